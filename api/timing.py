"""Where the time of decisions goes."""


class Timing:
    """Where the time of decisions went, in seconds summed; waiting counts. For benchmarks."""

    def __init__(self) -> None:
        self.parse = self.read = self.decide = self.commit = self.answer = 0.0
        self.count = self.groups = 0

    def taken(self) -> dict[str, float]:
        """Milliseconds a decision by step, and how many were decided together, since the last time it was asked."""
        steps = ("parse", "read", "decide", "commit", "answer")
        told = {name: getattr(self, name) * 1000 / max(self.count, 1) for name in steps}
        told["together"] = self.count / max(self.groups, 1)
        self.__init__()  # type: ignore[misc]
        return told
