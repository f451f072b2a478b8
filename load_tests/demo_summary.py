"""What the demo ends with: the figures as text and as JSON, and what they cannot show."""

from math import isfinite
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import asdict
from rich.console import Console

from engine.money import to_major
from engine.shards.commit import Totals
from flows.complete_journey import CURRENCY
from load_tests.demo_arms import ARMS, Arm
from load_tests.demo_board import Board
from load_tests.demo_incident import Recovery, recovery_words
from load_tests.demo_plan import Plan
from load_tests.demo_screen import arms_table, shoppers_table, worth_of
from load_tests.shoppers.truth import Truth

LIMITS = (
    "Households cannot be persuaded by a replay: their hit rates say how well purchases are foreseen, not what offers cause.",
    "A hit counts the basket that is being paid for as well as those of the next two weeks, for all four arms alike.",
    "Consent is not in the data: each household is taken to have allowed marketing at its first receipt.",
    "The shoppers' effect is as true as their simulator; it shows that learning finds what is there to be found.",
    "It is one machine with its callers on it: latencies are of a busy computer, not of a network.",
)


class Outcome(Struct, frozen=True):
    """Everything the summary speaks of."""

    plan: Plan
    bulk_baskets: int
    replayed_to: str
    seconds: float
    recovery: Recovery
    totals: Totals


def figures(board: Board, truth: Truth, outcome: Outcome) -> dict[str, Any]:
    """The figures as plain values; a figure that does not exist yet is null."""
    counts, watched, totals = board.counts, board.watched, outcome.totals
    middle, high = board.latency()
    held = totals.spend.get(CURRENCY, 0)
    sent = counts.spend_minor + counts.shopper_spend_minor + counts.shop_spend_minor
    played = board.played()
    by_arm = {arm.name: arm for arm in board.arms}
    return {
        "events": {"accepted": counts.accepted, "rejected": counts.rejected, "dead_letters": watched.dead_letters},
        "baskets": {
            "replayed": counts.baskets,
            "in_bulk": outcome.bulk_baskets,
            "households": outcome.plan.households,
            "replayed_to": outcome.replayed_to,
        },
        "offers": {
            "decided": counts.decided,
            "shown": counts.shown,
            "clicked": counts.clicked,
            "redeemed": board.redeemed,
            "counted_by_regulars": {
                "decided": totals.offers_decided,
                "shown": totals.offers_shown,
                "clicked": totals.offers_clicked,
                "redeemed": totals.offers_redeemed,
            },
        },
        "arms": {name: _arm(by_arm.get(name, Arm(name))) for name in ARMS},
        "shoppers": {
            "customers": len(truth.accepted),
            "visits": len(played),
            "orders": sum(bool(one.outcome.basket) for one in played),
            "caused": sum(one.outcome.caused for one in played),
            "arms": {name: asdict(worth) | {"captured": worth.captured} for name, worth in worth_of(board, truth).items()},
        },
        "decisions": {
            "answered": len(board.answers()),
            "empty": dict(board.empty),
            "degraded": dict(board.degraded),
        },
        "decision_ms": {"p50": round(middle, 3), "p99": round(high, 3)},
        "freshness_ms": {"p50": _known(watched.freshness_p50_ms), "p99": _known(watched.freshness_p99_ms)},
        "churn": {"auc": _known(watched.churn_auc), "labels": watched.churn_labels},
        "spend": {
            "currency": CURRENCY,
            "data_minor": counts.spend_minor,
            "shoppers_minor": counts.shopper_spend_minor,
            "shop_minor": counts.shop_spend_minor,
            "shop_orders": counts.shop_orders,
            "regulars_minor": held,
            "difference_minor": held - sent,
        },
        "engine_killed": asdict(outcome.recovery),
        "first_offer_seconds": _known(board.first_offer_s),
        "seconds": round(outcome.seconds, 1),
    }


def write_json(path: Path, told: dict[str, Any]) -> None:
    """Writes the figures, in folders that are made where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))


def print_summary(console: Console, board: Board, truth: Truth, outcome: Outcome) -> None:
    """The end of the demo."""
    told = figures(board, truth, outcome)
    console.print()
    console.print(arms_table(board.arms))
    console.print(shoppers_table(worth_of(board, truth)))
    lines = [*_what_ran(told, outcome), *_how_well(told, outcome), *_agreement(told), "", "What this cannot show:"]
    for line in [*lines, *(f"  – {limit}" for limit in LIMITS)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _what_ran(told: dict[str, Any], outcome: Outcome) -> list[str]:
    baskets, events = told["baskets"], told["events"]
    return [
        f"Ran {outcome.seconds:.0f} s: {baskets['households']:,} households to {outcome.replayed_to},"
        f" {baskets['replayed']:,} receipts ({baskets['in_bulk']:,} in bulk), {told['shoppers']['visits']:,} visits of"
        f" {told['shoppers']['customers']:,} simulated shoppers",
        f"Events: {events['accepted']:,} accepted, {events['rejected']:,} rejected, {events['dead_letters']:,} dead letters",
    ]


def _how_well(told: dict[str, Any], outcome: Outcome) -> list[str]:
    wait, fresh, churn, decisions = (told[name] for name in ("decision_ms", "freshness_ms", "churn", "decisions"))
    auc = "warming up" if churn["auc"] is None else f"{churn['auc']:.3f} on {churn['labels']:,} matured labels"
    newest = "" if fresh["p50"] is None else f"p50 {fresh['p50']:.0f} ms, p99 {fresh['p99']:.0f} ms"
    return [
        f"Decisions: {decisions['answered']:,} answered, p50 {wait['p50']:.1f} ms, p99 {wait['p99']:.1f} ms at the caller;"
        f" degraded {sum(decisions['degraded'].values()):,}, empty {sum(decisions['empty'].values()):,}",
        f"Freshness, accepted to committed: {newest or 'nothing live yet'}",
        f"Churn AUC so far: {auc}",
        f"Killed half-way: {recovery_words(outcome.recovery)}" if outcome.recovery.pid else "The engine was not killed",
    ]


def _agreement(told: dict[str, Any]) -> list[str]:
    offers, spend = told["offers"], told["spend"]
    counted = offers["counted_by_regulars"]
    names = ("data", "shoppers", "shop", "regulars", "difference")
    amounts = {name: to_major(spend[f"{name}_minor"], CURRENCY) for name in names}
    return [
        f"Hits counted from the data {offers['redeemed']:,}; redeemed as Regulars counted {counted['redeemed']:,};"
        f" difference {counted['redeemed'] - offers['redeemed']:,}"
        + (f"; {spend['shop_orders']} orders in the web shop are counted there only" if spend["shop_orders"] else ""),
        f"Spend in the data {amounts['data']} {CURRENCY}, {amounts['shoppers']} {CURRENCY} of simulated orders, and"
        f" {amounts['shop']} {CURRENCY} of the web shop with its accounts;"
        f" spend in Regulars {amounts['regulars']} {CURRENCY}; difference {amounts['difference']} {CURRENCY}",
    ]


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "customers": arm.customers,
        "shown": arm.shown,
        "redeemed": arm.redeemed,
        "rate": arm.rate,
        "interval": list(arm.interval),
    }


def _known(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else round(value, 4)
