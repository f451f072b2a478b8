"""The shard processor: a batch of stream entries in, one commit out.

Everything that must change together for the customers of one shard is in that commit, so a crash leaves either all of
a batch or nothing of it.
"""
