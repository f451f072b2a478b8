"""What the sender tells an operator. Reasons are words of our own."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from engine.decisioning.deliveries import Delivery
from engine.store.redis_actions import Standing

TAKEN = Counter("regulars_actions_taken_total", "Actions taken over from the shards")
ENDED = Counter("regulars_actions_total", "Actions that are over, by how they ended", ["outcome"])
DROPPED = Counter("regulars_actions_dropped_total", "Actions that were not sent, and why not", ["reason"])
ATTEMPTS = Counter("regulars_webhook_attempts_total", "Attempts at webhooks, by what the answer means", ["outcome"])
LATENESS = Histogram(
    "regulars_action_delay_seconds",
    "From when an action was due to its delivery",
    buckets=(0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0),
)
WAITING = Gauge("regulars_actions_waiting", "Actions on their way", multiprocess_mode="mostrecent")
DEAD = Gauge(
    "regulars_actions_dead", "Actions that could not be delivered and wait to be replayed", multiprocess_mode="mostrecent"
)
OVERDUE = Gauge(
    "regulars_actions_overdue_seconds", "For how long the next action should have been sent", multiprocess_mode="mostrecent"
)

_OUTCOMES: Final = ("delivered", "dropped", "dead")
_REASONS: Final = (
    "max_age", "withdrawn", "no_webhook", "erased", "consent", "holdout", "no_eligible", "complaint_open", "capped", "deadline",
)  # fmt: skip
for _outcome in _OUTCOMES:
    ENDED.labels(outcome=_outcome)
for _reason in _REASONS:
    DROPPED.labels(reason=_reason)
for _meaning in ("acknowledged", "try_again", "refused", "lost"):
    ATTEMPTS.labels(outcome=_meaning)


def tell(what: str, delivery: Delivery, now_ms: int) -> None:
    """Count a step: an attempt with its answer, or an end."""
    if what in _OUTCOMES:
        ENDED.labels(outcome=what).inc()
        if what == "dropped":
            DROPPED.labels(reason=delivery.reason if delivery.reason in _REASONS else "other").inc()
        elif what == "delivered":
            LATENESS.observe(max(now_ms - delivery.due_at, 0) / 1000.0)
    else:
        ATTEMPTS.labels(outcome=what).inc()


def show(standing: Standing) -> None:
    """How it stands."""
    WAITING.set(standing.waiting)
    DEAD.set(standing.dead)
    OVERDUE.set(standing.overdue_ms / 1000.0)
