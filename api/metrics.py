"""What the API counts, and how the exposition of all processes is put together.

Labels take their values from lists of our own (refusal codes, reasons, degraded parts), never from what a caller typed:
a code that is not known yet is counted as "other". With several processes every one writes into the folder of
`PROMETHEUS_MULTIPROC_DIR` and whichever is asked adds them up.
"""

import os
from collections.abc import Iterable
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from engine.decisioning.decision import Decision, Reason
from engine.events.dialects.roster import NAMES

EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

REASONS: Final = frozenset(
    {
        "json.invalid",
        "schema.missing",
        "schema.type",
        "schema.time",
        "schema.money",
        "schema.depth",
        "schema.unknown",
        "csv.invalid",
        "schema.version",
        "type.reserved",
        "key.event_type",
        "key.not_allowed",
        "key.user_hash",
        "id.conflict",
        "customer.erased",
        "stored.format",
        "store.unknown",
    }
)
_LATENCIES: Final = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """The counters of one process. `registry` is where they are registered; several in one process need several."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._events_accepted = Counter(
            "regulars_events_accepted_total", "Events acknowledged at the door", registry=self.registry
        )
        self._events_spoken = Counter(
            "regulars_dialect_events_total", "Events acknowledged at the door, by what they were written in", ["dialect"],
            registry=self.registry,
        )  # fmt: skip
        self._events_rejected = Counter(
            "regulars_events_rejected_total", "Events refused at the door, by reason", ["reason"], registry=self.registry
        )
        self._products = Counter("regulars_products_accepted_total", "Products taken in", registry=self.registry)
        self._dead_letters = Counter("regulars_dead_letters_total", "Dead letters written", registry=self.registry)
        self._decisions = Counter(
            "regulars_decisions_total", "Decisions answered, by outcome", ["outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "regulars_decision_seconds",
            "Time from the request's body to the answer",
            ["outcome"],
            buckets=_LATENCIES,
            registry=self.registry,
        )
        self._degraded = Counter(
            "regulars_decisions_degraded_total",
            "Decisions that something was missing for, by what",
            ["reason"],
            registry=self.registry,
        )
        self._empty = Counter(
            "regulars_decisions_empty_total", "Placements answered empty, by reason", ["reason"], registry=self.registry
        )
        self._exploration_loss = Counter(
            "regulars_exploration_loss_total", "What drawing offers was expected to give up, by placement", ["placement"],
            registry=self.registry,
        )  # fmt: skip
        self._exploration_best = Counter(
            "regulars_exploration_best_total", "What the best offers in place of those drawn were expected to bring",
            ["placement"], registry=self.registry,
        )  # fmt: skip
        self._refused = Counter(
            "regulars_ledger_refusals_total", "Choices that caps or stock refused", ["stage"], registry=self.registry
        )
        self._catalogue_errors = Counter(
            "regulars_catalogue_errors_total", "Catalogues that were not taken over", registry=self.registry
        )
        self._catalogues = Counter(
            "regulars_catalogue_reloads_total", "Changed catalogues that were taken over", registry=self.registry
        )
        self._snapshot_errors = Counter(
            "regulars_snapshot_errors_total", "Snapshots that were not taken over, by model", ["model"],
            registry=self.registry,
        )  # fmt: skip
        self._snapshot_version = Gauge(
            "regulars_snapshot_version", "Examples behind the numbers being served, by model", ["model"],
            registry=self.registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self._snapshot_at = Gauge(
            "regulars_snapshot_taken_timestamp_seconds", "When the numbers being served were taken over, by model",
            ["model"], registry=self.registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self._by_outcome = {outcome: (self._decisions.labels(outcome), self._seconds.labels(outcome)) for outcome in OUTCOMES}
        # A label that shows up only with its first count hides that count from a rate.
        self._by_part = {part: self._degraded.labels(part) for part in ("deadline", "ledger", "model", "profile")}
        self._by_placement: dict[str, tuple[Counter, Counter]] = {}
        for reason in get_args(Reason):
            self._empty.labels(reason)
        for stage in ("cap", "stock"):
            self._refused.labels(stage)
        self._by_dialect = {dialect: self._events_spoken.labels(dialect) for dialect in NAMES}
        self._by_reason = {reason: self._events_rejected.labels(reason) for reason in sorted({*REASONS, "other"})}

    def accepted(self, events: int) -> None:
        if events:
            self._events_accepted.inc(events)

    def spoken(self, dialect: str, events: int) -> None:
        """So many of the accepted came in this dialect."""
        self._by_dialect[dialect].inc(events)

    def products(self, taken: int) -> None:
        """Products were taken in. They are no events of anybody: they are in no log and never folded."""
        if taken:
            self._products.inc(taken)

    def rejected(self, code: str) -> None:
        """An event was refused, and kept as a dead letter."""
        self._by_reason[code if code in REASONS else "other"].inc()
        self._dead_letters.inc()

    def answered(self, outcome: str, seconds: float) -> None:
        """A decision was answered; `outcome` is one of `OUTCOMES`."""
        counter, histogram = self._by_outcome[outcome]
        counter.inc()
        histogram.observe(seconds)

    def decided(self, decision: Decision) -> None:
        """What was missing for a decision, which placements stayed empty, and what was given up to learn."""
        for part in decision.degraded:
            self._by_part[part].inc()
        for filled in decision.placements:
            if not filled.offers:
                self._empty.labels(filled.reason).inc()
            best = sum([offer.best_score for offer in filled.offers])
            if best > 0.0:
                of_best, of_loss = self._by_placement.get(filled.name) or self._placement(filled.name)
                of_best.inc(best)
                of_loss.inc(sum([offer.exploration_loss for offer in filled.offers]))

    def placements(self, names: Iterable[str]) -> None:
        """Counts by placement exist before anything is drawn there."""
        for name in names:
            self._placement(name)

    def _placement(self, name: str) -> tuple[Counter, Counter]:
        self._by_placement[name] = self._exploration_best.labels(name), self._exploration_loss.labels(name)
        return self._by_placement[name]

    def refused(self, stage: str) -> None:
        self._refused.labels(stage).inc()

    def catalogue_error(self) -> None:
        self._catalogue_errors.inc()

    def catalogue_taken_over(self) -> None:
        self._catalogues.inc()

    def snapshot_error(self, model: str) -> None:
        self._snapshot_errors.labels(model).inc()

    def snapshot_taken(self, model: str, version: int, at_s: float) -> None:
        self._snapshot_version.labels(model).set(version)
        self._snapshot_at.labels(model).set(at_s)


OUTCOMES: Final = ("ok", "empty", "fallback", "degraded", "repeated", "dry_run", "conflict", "refused")
"""How a decision was answered. `fallback` is a placement filled by nothing personal; `refused` a request that is wrong."""


def exposition(own: CollectorRegistry, live: Collector) -> bytes:
    """Everything as text: this process, or all of them where they share a folder, and gauges read this moment."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        own = CollectorRegistry()
        MultiProcessCollector(own)  # type: ignore[no-untyped-call]
    now = CollectorRegistry()
    now.register(live)
    return generate_latest(own) + generate_latest(now)
