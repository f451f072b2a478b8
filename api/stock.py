"""What is left of stocks and budgets, as far as a decision should know before it tries to reserve."""


class Stock:
    """How much is left of each pool, as far as is known: a look now and then, and every "none left" at once."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def left(self) -> dict[str, int]:
        """Pools with nothing left. Others are not named: the reservation tells."""
        return self._left

    def used_up(self, pool: str) -> None:
        self._left = {**self._left, pool: 0}

    def looked(self, left: dict[str, int]) -> None:
        """After a look at all pools."""
        self._left = {pool: number for pool, number in left.items() if number <= 0}
