"""The demo on a screen: a live view on a terminal, a plain line every five seconds anywhere else."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.moments import moment
from load_tests.demo_arms import ARMS, Arm
from load_tests.demo_board import Board
from load_tests.shoppers.truth import Truth, Worth

SAY_EVERY_S: Final = 5.0
STORY_LINES, NOTE_LINES = 12, 6
_RECENT: Final = 500
OPEN: Final = "open"
"""The phase in which the replay has ended and the shop goes on."""


class Screen(Protocol):
    """Somebody looks at the board now and then."""

    def show(self) -> None: ...


@contextmanager
def screen(board: Board, truth: Truth, console: Console) -> Iterator[Screen]:
    """The view that fits the console."""
    if not console.is_terminal:
        yield _Plain(board, console)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield _Live(board, truth, live)


class _Plain:
    """A line every few seconds, and what is new in story and notes."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board, self._console = board, console
        self._said_s = float("-inf")
        self._told = self._noted = 0

    def show(self) -> None:
        story, notes = self._board.lines()
        for line in (*notes[self._noted :], *story[self._told :]):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._noted, self._told = len(notes), len(story)
        now = time.monotonic()
        if self._board.phase == OPEN:
            return
        if now - self._said_s >= SAY_EVERY_S:
            self._said_s = now
            self._console.print(state_line(self._board), markup=False, highlight=False, soft_wrap=True)


class _Live:
    def __init__(self, board: Board, truth: Truth, live: Live) -> None:
        self._board, self._truth, self._live = board, truth, live

    def show(self) -> None:
        story, notes = self._board.lines()
        parts: list[RenderableType] = [Text("\n".join(state_parts(self._board)))]
        if any(arm.shown for arm in self._board.arms):
            parts.append(arms_table(self._board.arms))
            parts.append(shoppers_table(worth_of(self._board, self._truth)))
        parts.append(Panel(_uncut(story[-STORY_LINES:]), title="one household", title_align="left"))
        parts.append(
            Panel(
                _uncut(notes[-NOTE_LINES:]),
                title="keys: c complain, r revoke consent, k kill the engine, s keep the shop open at the end",
                title_align="left",
            )
        )
        self._live.update(Group(*parts), refresh=True)


def state_parts(board: Board) -> list[str]:
    """Everything that moves but the arms: where it stands, how fast, how well."""
    if not board.sim_at:
        return [f"{board.seconds:5.0f} s  {board.phase}"]
    (events, decisions), watched = board.rates(), board.watched
    auc = f"{watched.churn_auc:.3f} after {watched.churn_labels:,} labels" if watched.churn_auc else "warming up"
    return [
        f"{board.seconds:5.0f} s  {board.phase} {moment(board.sim_at):%Y-%m-%d}{board.progress}  {events:,.0f} events/s"
        f"  {decisions:,.0f} decisions/s p99 {board.latency(_RECENT)[1]:.0f} ms",
        f"fresh p50 {_ms(watched.freshness_p50_ms)} p99 {_ms(watched.freshness_p99_ms)}"
        f"  dead letters {watched.dead_letters + board.counts.rejected}  churn AUC {auc}",
    ]


def state_line(board: Board) -> str:
    """Everything that moves, in a line."""
    arms = (f"{arm.name} {arm.rate:.3f} ±{(arm.interval[1] - arm.interval[0]) / 2:.3f}" for arm in board.arms if arm.shown)
    return "  ".join([*state_parts(board), *arms])


def _uncut(lines: list[str]) -> Text:
    """A line each, whatever the width: the end of a long one is what can be spared."""
    return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def arms_table(arms: list[Arm]) -> Table:
    """The arms on real households."""
    table = Table(title="real households: prediction (a replay persuades nobody)", title_justify="left")
    for heading in ("arm", "households", "offers shown", "hits", "hit rate", "95 % interval over households"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for arm in arms:
        low, high = arm.interval
        table.add_row(
            arm.name, f"{arm.customers:,}", f"{arm.shown:,}", f"{arm.redeemed:,}", f"{arm.rate:.3f}", f"{low:.3f} to {high:.3f}"
        )
    return table


def shoppers_table(worths: dict[str, Worth]) -> Table:
    """The arms on simulated shoppers, beside what is known to be best for the same showings."""
    table = Table(
        title="simulated shoppers: expected margin of a showing in cents, beside the known optimum", title_justify="left"
    )
    for heading in ("arm", "offers viewed", "sales", "optimum", "even draw", "way gone", "effect", "best effect"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for name, worth in worths.items():
        table.add_row(
            name, f"{worth.showings:,}", f"{worth.accepted:.1f}", f"{worth.accepted_best:.1f}", f"{worth.accepted_even:.1f}",
            f"{worth.captured:.0%}" if worth.showings else "", f"{worth.caused:.1f}", f"{worth.caused_best:.1f}",
        )  # fmt: skip
    return table


def worth_of(board: Board, truth: Truth) -> dict[str, Worth]:
    """What the showings to shoppers were worth, by arm."""
    shown: dict[str, list[tuple[int, str]]] = {name: [] for name in ARMS}
    for played in board.played():
        if played.outcome.offer_id and played.variation in shown:
            shown[played.variation].append((played.arrival.shopper, played.outcome.offer_id))
    return {name: truth.worth(pairs) for name, pairs in shown.items()}


def _ms(value: float) -> str:
    return "–" if isnan(value) else f"{value:.0f} ms"
