"""The edge where FastAPI lives: events in over HTTP, decisions out.

Nothing here computes what the engine could: a route reads a request, calls the engine, counts, and answers. No River,
no Bytewax and no pickle is reachable from here, so a writable Redis is never a way to run code in the server.
"""
