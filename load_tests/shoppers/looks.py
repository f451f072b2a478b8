"""An experiment that is looked at again and again while customers come in, as sums and lifts at each look.

`python -m load_tests.shoppers.looks` prints, for 300 experiments each: how often one without a difference is ever found to
have one, and how often the interval ever leaves out the truth of one that has.
"""

from collections.abc import Iterator

import numpy as np

from engine.models.lift import ArmSums, Lift, Moments, lift
from load_tests.shoppers.crowd import Crowd, Mask, Numbers

EVERY = 100
WEEKS = 4
CURRENCY = "EUR"


def lifts(treated: Mask, after: Numbers, before: Numbers, every: int = EVERY) -> Iterator[Lift]:
    """The lift after each so many customers, who come in the order of the arrays."""
    looks = np.arange(every - 1, len(after), every)
    ones = np.ones(len(after))
    columns = (ones, after > 0.0, after, after * after, before, before * before, before * after)
    arms: list[list[ArmSums]] = []
    for mask in (treated, ~treated):
        running = np.stack([np.cumsum(np.where(mask, column, 0.0))[looks] for column in columns], axis=1)
        arms.append([ArmSums(int(row[0]), int(row[1]), money={CURRENCY: Moments(*row[2:])}) for row in running.tolist()])
    for arm, control in zip(*arms, strict=True):
        yield lift(arm, control, CURRENCY)


def experiment(crowd: Crowd, held_out: float, weeks: int = WEEKS) -> Iterator[Lift]:
    """The lifts of a crowd's experiment as its customers come in."""
    treated = crowd.chance("assignment").random(crowd.customers) >= held_out
    nobody = np.zeros(crowd.customers, dtype=bool)
    return lifts(treated, crowd.play(weeks, treated).spend, crowd.play(weeks, nobody, "before").spend)


def ever_significant(seed: int, customers: int, held_out: float) -> tuple[bool, bool]:
    """Whether an experiment without a difference is ever found to have one: in spend, in the share of buyers."""
    seen = list(experiment(Crowd(seed, customers, effect=0.0), held_out))
    return (
        any(look.spend.significant for look in seen if look.spend is not None),
        any(look.buyers.significant for look in seen if look.buyers is not None),
    )


def always_covers(seed: int, customers: int, held_out: float, effect: float = 1.0) -> bool:
    """Whether the interval of spend holds the truth at every look.

    The truth is what offers add on average to the customers there are: those of the crowd itself.
    """
    crowd = Crowd(seed, customers, effect=effect)
    difference = crowd.expected_spend(WEEKS, True) - crowd.expected_spend(WEEKS, False)
    truth = np.cumsum(difference)[EVERY - 1 :: EVERY] / np.arange(EVERY, customers + 1, EVERY)
    return all(
        look.spend is None or look.spend.low <= true <= look.spend.high
        for look, true in zip(experiment(crowd, held_out), truth.tolist(), strict=True)
    )


def main(runs: int = 300, customers: int = 20_000) -> None:
    """Prints both shares for a small holdout and for two halves."""
    print(f"{runs} experiments of {customers:,} customers, looked at every {EVERY}")
    for held_out in (0.05, 0.1, 0.5):
        found = [ever_significant(seed, customers, held_out) for seed in range(runs)]
        spend, buyers = (sum(column) / runs for column in zip(*found, strict=True))
        missed = sum(not always_covers(10_000 + seed, customers, held_out) for seed in range(runs)) / runs
        told = f"ever significant without a difference: spend {spend:.3f}, buyers {buyers:.3f}"
        print(f"{held_out:4.0%} held out: {told}; interval ever without the truth: {missed:.3f}", flush=True)


if __name__ == "__main__":
    main()
