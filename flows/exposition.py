"""Metrics read back from the text that `/metrics` answers."""

from collections.abc import Mapping
from math import inf, nan

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families


class Sample(Struct, frozen=True):
    """One line of an exposition."""

    labels: Mapping[str, str]
    value: float


class Samples:
    """All lines by name. A name that is not there has no lines and a total of 0."""

    def __init__(self, by_name: Mapping[str, list[Sample]] | None = None) -> None:
        self._by_name = dict(by_name or {})

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def of(self, name: str, **labels: str) -> list[Sample]:
        """The lines of one name that carry these labels."""
        wanted = labels.items()
        return [sample for sample in self._by_name.get(name, []) if wanted <= sample.labels.items()]

    def total(self, name: str, **labels: str) -> float:
        """The sum over those lines."""
        return sum(sample.value for sample in self.of(name, **labels))

    def quantile(self, name: str, share: float, before: "Samples | None" = None, **labels: str) -> float:
        """A quantile of a histogram, straight between its bounds, of what came after `before`; NaN without anything.

        Beyond the last finite bound the answer is that bound: the histogram does not know more.
        """
        counts: dict[float, float] = {}
        for samples, sign in ((self, 1.0), (before, -1.0)):
            for sample in samples.of(f"{name}_bucket", **labels) if samples is not None else []:
                bound = float(sample.labels["le"])
                counts[bound] = counts.get(bound, 0.0) + sign * sample.value
        target = share * counts.get(inf, 0.0)
        if target <= 0.0:
            return nan
        low, below = 0.0, 0.0
        for bound in sorted(counts):
            if counts[bound] >= target:
                return low if bound == inf else low + (bound - low) * (target - below) / (counts[bound] - below)
            low, below = bound, counts[bound]
        return low


def read_samples(text: str) -> Samples:
    """An exposition in the Prometheus text format."""
    by_name: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            by_name.setdefault(sample.name, []).append(Sample(sample.labels, sample.value))
    return Samples(by_name)
