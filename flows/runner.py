"""The plain loop: the same processor and the same store as the engine process, without a runtime around them.

It is the oracle that the dataflow is compared with, and what keeps the runtime replaceable.
"""

from engine.store.ports import EventLog
from flows.owner import Owner


def run_until_idle(owner: Owner, log: EventLog, most: int = 500) -> int:
    """Process and write everything that is in the log; returns how many entries that were."""
    done = 0
    while batches := log.read(owner.offsets, most, 0):
        owner.write(owner.process(batches))
        done += sum(len(batch.entries) for batch in batches)
    return done
