"""What is left of stocks, coupon codes and budgets, as far as a decision should know before it tries to reserve."""

from collections.abc import Mapping


class Stock:
    """How much is left of each pool, as far as is known: a look now and then, and every "none left" at once."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def left(self) -> dict[str, int]:
        """Pools with less left than some offer takes. Others are not named: the reservation tells."""
        return self._left

    def used_up(self, pool: str) -> None:
        self._left = {**self._left, pool: 0}

    def looked(self, left: Mapping[str, int], most: Mapping[str, int]) -> None:
        """After a look at all pools; `most` is what the offer takes that takes most of each."""
        self._left = {pool: number for pool, number in left.items() if number < most[pool]}
