"""What holds when processes are killed: the same bits as if nothing had happened.

Real processes and a real Redis that flushes each write. The truth is counted here from what was sent, by code that shares nothing
with the engine.
"""
