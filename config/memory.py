"""The garbage collector in processes that live long."""

import gc

YOUNG = 50_000
"""Values made and not let go of since the last round, at which there is another."""
YOUNG_OF_BATCHES = 250_000
"""The same where many events are held until their commit: a round among them would look at what is about to go."""


def settle_memory(young: int = YOUNG) -> None:
    """Take everything loaded so far out of the collector's rounds, and make the rounds rare.

    What a batch or a request makes is freed by counting references; rounds only look again at what stays: modules, the
    catalogue, cached customers. In the engine that took a seventh of the time. Events and profiles never take part
    (`gc=False`): a frozen value holds only what was there before it, so no cycle runs through it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, 20, 50)
