"""Where state lives: the ports, and the adapters that keep their promises on memory and on Redis."""
