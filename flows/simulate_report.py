"""What a rehearsal came to, for a reader: the current catalogue and the proposed one beside each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

MOST_LINES = 15


def print_report(figures: Mapping[str, Any]) -> None:
    """Tables on standard output."""
    console = Console()
    current, proposed = figures["catalogues"]["current"], figures["catalogues"]["proposed"]
    who = figures["customers"]
    console.print(
        f"{proposed['visits']:,} visits of {who['played']:,} customers ({who['asked']:,} asked) from {figures['from']} to"
        f" {figures['to']}; {who['rebuilt']:,} as they were, {who['as_they_are_now']:,} as they are now. Nothing was written."
    )
    for title, head, rows in (
        ("Together", "", _totals(current, proposed)),
        ("Customers reached, by campaign", "campaign", _beside(current["campaigns"], proposed["campaigns"], "reached")),
        ("Customers who see an offer, by segment", "segment", _beside(current["segments"], proposed["segments"], "reached")),
        ("Left with nothing, because", "reason", _reasons(current, proposed)),
    ):
        table = Table(head, "current", "proposed", "change", title=title, title_justify="left", box=None)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    _losing(console, proposed["losing"])
    _saturated(console, proposed["saturated"])


def _totals(current: Mapping[str, Any], proposed: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    yield "catalogue", current["catalogue"], proposed["catalogue"], ""
    yield _row("customers with an offer", current["served"], proposed["served"])
    now, then = (one["left_with_nothing"]["customers"] for one in (current, proposed))
    yield _row("customers left with nothing", now, then)


def _beside(current: Mapping[str, Any], proposed: Mapping[str, Any], what: str) -> Iterator[tuple[str, ...]]:
    for name in dict.fromkeys([*proposed, *current]):
        yield _row(name, current.get(name, {}).get(what), proposed.get(name, {}).get(what))


def _reasons(current: Mapping[str, Any], proposed: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    now, then = (one["left_with_nothing"]["because"] for one in (current, proposed))
    for name in dict.fromkeys([*then, *now]):
        yield _row(name, now.get(name, 0), then.get(name, 0))


def _row(name: str, now: int | None, then: int | None) -> tuple[str, ...]:
    change = f"{then - now:+,}" if now is not None and then is not None else "gone" if then is None else "new"
    return name, *("-" if one is None else f"{one:,}" for one in (now, then)), change


def _losing(console: Console, losing: list[dict[str, Any]]) -> None:
    if not losing:
        console.print("Every live offer of the proposed catalogue was chosen at least once.")
        return
    table = Table("offer", "campaign", "mostly lost at", title="Never chosen", title_justify="left", box=None)
    for one in losing[:MOST_LINES]:
        table.add_row(one["offer"], one["campaign"] or "", one["stage"])
    console.print(table)
    if len(losing) > MOST_LINES:
        console.print(f"… and {len(losing) - MOST_LINES} more; --json FILE has all")


def _saturated(console: Console, saturated: Mapping[str, Any]) -> None:
    for name, pool in saturated["pools"].items():
        console.print(f"{name} is used up: {pool['taken']:,} of {pool['capacity']:,}, {pool['refused']:,} refused")
    for rule, count in saturated["caps"].items():
        console.print(f"cap reached: {rule} ({count:,} times among the visits followed)")
