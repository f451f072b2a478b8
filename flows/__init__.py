"""The edges where Bytewax lives: streams in, shard commits and model commits out.

A step here is a thin adapter around an object of the engine, so that every rule can be tested without a dataflow and
the scheduler stays replaceable. `flows` and `api` do not know each other: they meet in Redis only.
"""
