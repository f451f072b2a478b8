"""Other people's ways to say what happened, each put into the native one.

A dialect is a pure function from the bytes of one JSON document to native events as a sender would have written them, or to
the reason why not. It judges nothing that `engine.events.decode` judges for everybody: after it, all dialects go one way.
A new dialect is a file here and a line in `roster`.
"""
