"""What the engine process counts. No label holds anything that a caller typed."""

from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram

from engine.decisioning.loyalty import NO_PROGRAMME, Programme
from engine.profiles.standing import BEST, STAGES, TIERS
from engine.shards.commit import Commit, Totals
from engine.shards.sequences import Numbers

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

COMMITTED = Counter("regulars_events_committed_total", "Events folded into profiles by a commit")
DUPLICATES = Counter("regulars_events_duplicate_total", "Events that had been taken before")
LATE = Counter("regulars_events_late_total", "Events older than their shard's watermark; they count all the same")
FUTURE = Counter("regulars_events_future_total", "Events dated at their arrival because their time lay ahead of it")
REJECTED = Counter("regulars_events_rejected_total", "Events that could not be used", ["reason"])
DEAD_LETTERS = Counter("regulars_dead_letters_total", "Dead letters written")
OFFERS = Counter("regulars_offers_total", "Offers by what became of them", ["outcome"])
LABELS = Counter("regulars_labels_total", "Labels that matured")
SEGMENT_CHANGES = Counter("regulars_segment_changes_total", "Customers who moved, by segment or stage they came to", ["to"])
TRIGGERS = Counter(
    "regulars_triggers_total", "Waits of triggers: started, fired, cancelled, repeated too soon, withdrawn", ["outcome"]
)
FRESHNESS = Histogram("regulars_freshness_seconds", "From acceptance to commit, live events only", buckets=_FAST)
COMMIT_SECONDS = Histogram("regulars_commit_seconds", "One round of commits, on the wire", buckets=_FAST)
FENCED = Counter("regulars_fenced_commits_total", "Commits refused because another owner had committed")
STORE_RETRIES = Counter("regulars_store_retries_total", "Commits tried again because Redis did not answer")
CUSTOMERS = Gauge("regulars_customers", "Customers with a profile", multiprocess_mode="livesum")
PURCHASES = Gauge("regulars_purchases", "Purchases that stand", multiprocess_mode="livesum")
SPEND = Gauge("regulars_spend_minor", "Spend net of returns, minor units", ["currency"], multiprocess_mode="livesum")
SEGMENTS = Gauge("regulars_segment_customers", "Customers by segment and stage", ["segment"], multiprocess_mode="livesum")
PAST_DUE = Gauge("regulars_cases_past_due", "Complaints and support cases past due and open", multiprocess_mode="livesum")
MEMBERS = Gauge("regulars_loyalty_customers", "Customers by tier of loyalty", ["tier"], multiprocess_mode="livesum")
POS_GAPS = Gauge("regulars_pos_gaps", "Ranges of receipt numbers that are missing", multiprocess_mode="livesum")
POS_MISSING = Gauge("regulars_pos_missing_transactions", "Receipt numbers that are missing", multiprocess_mode="livesum")
POS_MISMATCHES = Gauge(
    "regulars_pos_days_mismatched", "Closed days of tills whose sums do not agree", multiprocess_mode="livesum"
)
LEADS = Gauge("regulars_leads_open", "Leads that are neither won nor lost", multiprocess_mode="livesum")
TIMERS = Gauge("regulars_timers", "Alarms set", multiprocess_mode="livesum")
WATERMARK = Gauge("regulars_watermark_timestamp_seconds", "Event time up to which labels are closed", multiprocess_mode="livemax")

SEGMENT_NAMES = (*TIERS, BEST, *(stage for stage in STAGES if stage != "prospect"))
_TIERS_TOLD: set[str] = set()
"""A tier that nobody is held in any more is told as empty, not forgotten."""
_OUTCOMES = ("decided", "shown", "clicked", "redeemed")
for _outcome in _OUTCOMES:
    OFFERS.labels(outcome=_outcome)
for _trigger in ("started", "fired", "cancelled", "repeated", "withdrawn"):
    TRIGGERS.labels(outcome=_trigger)
for _segment in SEGMENT_NAMES:
    SEGMENT_CHANGES.labels(to=_segment)


def count(commit: Commit, now_ms: int) -> None:
    """Count one commit that has landed."""
    before, after = commit.facts.before, commit.record.totals
    COMMITTED.inc(after.events - before.events)
    DUPLICATES.inc(after.duplicates - before.duplicates)
    LATE.inc(after.late - before.late)
    FUTURE.inc(after.from_the_future - before.from_the_future)
    LABELS.inc(after.labels - before.labels)
    DEAD_LETTERS.inc(len(commit.dead))
    for outcome in _OUTCOMES:
        change = getattr(after, f"offers_{outcome}") - getattr(before, f"offers_{outcome}")
        if change:
            OFFERS.labels(outcome=outcome).inc(max(change, 0))
    for reason, times in commit.facts.rejected.items():
        REJECTED.labels(reason=reason).inc(times)
    for what, times in commit.facts.triggers.items():
        TRIGGERS.labels(outcome=what).inc(times)
    for segment, times in commit.facts.moved_to.items():
        SEGMENT_CHANGES.labels(to=segment).inc(times)
    for arrived in commit.facts.arrivals:
        if arrived:
            FRESHNESS.observe(max(now_ms - arrived, 0) / 1000.0)


def tell_segments(groups: Sequence[Mapping[str, int]]) -> None:
    """How many customers of this process's shards are in each segment and at each stage."""
    for name in SEGMENT_NAMES:
        SEGMENTS.labels(segment=name).set(sum(one.get(name, 0) for one in groups))


def tell_members(tiers: Sequence[Mapping[str, int]], programme: Programme = NO_PROGRAMME) -> None:
    """How many customers of this process's shards are held in each tier that policy.yaml names."""
    _TIERS_TOLD.update(tier.id for tier in programme.tiers)
    _TIERS_TOLD.update(name for one in tiers for name in one)
    for name in sorted(_TIERS_TOLD):
        MEMBERS.labels(tier=name).set(sum(one.get(name, 0) for one in tiers))


def tell_tills(numbers: Sequence[Numbers]) -> None:
    """What is missing of the workstations of this process's shards."""
    POS_GAPS.set(sum(one.gaps for one in numbers))
    POS_MISSING.set(sum(one.missing for one in numbers))
    POS_MISMATCHES.set(sum(one.mismatched for one in numbers))


def gauge(totals: list[Totals], timers: int, watermark: int) -> None:
    """State of all shards of this process."""
    CUSTOMERS.set(sum(one.customers for one in totals))
    PURCHASES.set(sum(one.purchases for one in totals))
    spend: dict[str, int] = {}
    for one in totals:
        for currency, amount in one.spend.items():
            spend[currency] = spend.get(currency, 0) + amount
    for currency, amount in spend.items():
        SPEND.labels(currency=currency).set(amount)
    PAST_DUE.set(sum(one.cases_past_due for one in totals))
    TIMERS.set(timers)
    WATERMARK.set(watermark / 1000.0)
