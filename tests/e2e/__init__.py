"""The product as its users meet it: the command, the HTTP doors, the demo."""
