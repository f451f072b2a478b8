"""The pure core: what happened, who the customer is, what to offer.

No clock, no randomness and no I/O live here (only `engine.store` talks to Redis): `now` and seeds are parameters, so
any past decision replays from its log to the same answer and each promise of the product is a property test.
"""
