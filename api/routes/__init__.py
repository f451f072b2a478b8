"""The HTTP routes, a file a group: each reads a request, asks for what it wants, and answers in bytes."""
