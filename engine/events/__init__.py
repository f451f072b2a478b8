"""What happened: typed facts in the past tense, and decoding them from any bytes.

An event is a fact that was sent to us, so a broken one is data about its sender and not an error of ours: decoding
returns `Rejected`, which travels on to the dead letters with its reason.
"""
