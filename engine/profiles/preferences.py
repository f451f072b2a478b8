"""What the customer wishes: topics, channels, how often, and when not. Of each wish the newest holds.

A wish narrows what consent allows and never widens it.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import UNSET, Struct

from engine.events.consent import PreferenceUpdated
from engine.moments import DAY

MOST_CHOICES = 100
EVERY = "*"
"""What holds for all that nothing newer was said of."""

Choice = tuple[bool, int]
"""Whether it is wanted, and when that was said."""


class Limit(Struct, frozen=True, gc=False, array_like=True):
    """At most `count` offers in a sliding span; None sets no limit."""

    count: int | None = None
    window_ms: int = 0
    at: int = 0

    @property
    def order(self) -> tuple[int, float, int]:
        """The newer wish wins; of two at the same instant the stricter."""
        return self.at, -self.count if self.count is not None else float("-inf"), self.window_ms


class Quiet(Struct, frozen=True, gc=False, array_like=True):
    """Minutes of the day between which nothing is sent; None leaves it to the shop."""

    span: tuple[int, int] | None = None
    at: int = 0

    @property
    def order(self) -> tuple[int, bool, tuple[int, int]]:
        return self.at, self.span is not None, self.span or (0, 0)


class Preferences(Struct, frozen=True, gc=False, array_like=True):
    """The wishes of one identity."""

    topics: dict[str, Choice] = {}
    channels: dict[str, Choice] = {}
    limit: Limit = Limit()
    quiet: Quiet = Quiet()

    def declines(self, topics: Collection[str]) -> bool:
        """Whether something about these topics is unwanted: one of them is, and none is wanted. About none is never unwanted."""
        said = [_said(self.topics, topic) for topic in topics]
        return False in said and True not in said

    def topic(self, name: str) -> bool | None:
        """Whether a topic is wanted; None where nothing was said."""
        return _said(self.topics, name)

    def refuses(self, channel: str) -> bool:
        """Whether offers on a channel are unwanted."""
        return bool(self.channels) and _said(self.channels, channel) is False

    @property
    def refusals(self) -> "Preferences":
        """What is not wanted."""
        topics = {name: said for name, said in self.topics.items() if not said[0]}
        return Preferences(topics, {name: said for name, said in self.channels.items() if not said[0]})

    def merge(self, other: "Preferences") -> "Preferences":
        """Wishes of two identities of one customer."""
        return Preferences(
            _newest(self.topics, other.topics),
            _newest(self.channels, other.channels),
            max(self.limit, other.limit, key=lambda one: one.order),
            max(self.quiet, other.quiet, key=lambda one: one.order),
        )


def _said(choices: Mapping[str, Choice], name: str) -> bool | None:
    own, every = choices.get(name), choices.get(EVERY)
    if own is not None and (every is None or own[1] >= every[1]):
        return own[0]
    return every[0] if every is not None else None


def _newest(one: Mapping[str, Choice], other: Mapping[str, Choice]) -> dict[str, Choice]:
    both = {name: _later(one.get(name), other.get(name)) for name in sorted({*one, *other})}
    if len(both) <= MOST_CHOICES:
        return both
    kept = sorted(both, key=lambda name: (name != EVERY, both[name][0], -both[name][1], name))[:MOST_CHOICES]
    return {name: both[name] for name in sorted(kept)}


def _later(one: Choice | None, other: Choice | None) -> Choice:
    """Of two at the same instant the refusal."""
    return max((said for said in (one, other) if said is not None), key=lambda said: (said[1], not said[0]))


def _choices(said: Any, at: int) -> dict[str, Choice]:
    if said is None:
        return {EVERY: (True, at)}
    if isinstance(said, dict):
        return {name: (wanted, at) for name, wanted in said.items()}
    return {EVERY: (False, at), **dict.fromkeys(said, (True, at))}


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _updated(facet: Preferences, event: PreferenceUpdated, at: int) -> Preferences:
    said = event.data
    limit, quiet = Limit(), Quiet()
    if said.frequency is not UNSET:
        often = said.frequency
        limit = Limit(None, 0, at) if often is None else Limit(often.count, int(often.window_days * DAY), at)
    if said.quiet_hours is not UNSET:
        hours = said.quiet_hours
        quiet = Quiet(None if hours is None else (_minutes(hours.start), _minutes(hours.end)), at)
    topics = {} if said.topics is UNSET else _choices(said.topics, at)
    channels = {} if said.channels is UNSET else _choices(said.channels, at)
    return facet.merge(Preferences(topics, channels, limit, quiet))


HANDLERS: dict[str, Callable[..., Preferences]] = {"preference_updated": _updated}
