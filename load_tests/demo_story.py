"""One real household, told in words: basket → what changed → offer → why → hit or miss."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from engine.features.affinity import CROSS
from engine.features.vector import NAMES, NO_REQUEST, READINGS, read_features
from engine.moments import DAY, Millis, moment, rfc3339
from engine.profiles.profile import Profile
from flows.door import Door, DoorRefused
from load_tests.demo_arms import Fate
from load_tests.demo_board import Board
from load_tests.shoppers.driver import Answered

REASONS_TOLD: Final = 3
CATEGORIES_TOLD: Final = 4
TOLD_OF_PROFILE: Final = ("rfm.recency", "rfm.trips_28d", "rfm.spend_28d", "rfm.last_amount")
_WAIT_S: Final = 1.0
_WORDS: Final = {reading.name: reading.words for reading in (*READINGS, *CROSS)} | {
    "offer.itself": "how this offer does with everybody"
}


class Story:
    """Writes the lines; each scene costs a dry run and a look at the profile, which the other households do without."""

    def __init__(self, board: Board, profile_of: Callable[[str], Profile | None]) -> None:
        self._board = board
        self._profile_of = profile_of
        self._before: dict[str, float] = {}
        self._purchases = 0

    def at_the_till(self, door: Door, household: str, at: int, event: dict[str, Any], answered: Answered) -> None:
        """The basket and the offer that was decided before it was paid, with the reasons of a dry run at that moment."""
        data = event["data"]
        names = sorted({line["category"] for line in data["lines"]})
        more = f" and {len(names) - CATEGORIES_TOLD} more" if len(names) > CATEGORIES_TOLD else ""
        told = ", ".join(name.lower() for name in names[:CATEGORIES_TOLD])
        self._board.tell(f"{moment(at):%Y-%m-%d}  basket of {len(data['lines'])} lines, {data['total']} USD: {told}{more}")
        self._purchases, self._before = self._profile(household, at)
        if answered.shown is None:
            self._board.tell(f"            no offer: {answered.reason}")
            return
        title = answered.offer.get("content", {}).get("title", answered.shown.offer_id)
        chance = answered.offer.get("probability")
        drawn = answered.offer.get("terms", {}).get("propensity")
        sure = f", expected to be taken {chance:.0%}" if isinstance(chance, float) else ""
        luck = f", drawn with {drawn:.0%}" if isinstance(drawn, float) else ""
        self._board.tell(f"            offer: {title}{sure}{luck}")
        why = self._why(door, household, at, answered.shown.offer_id)
        if why:
            self._board.tell(f"            why: {why}")

    def after(self, household: str, at: int, fates: list[Fate]) -> None:
        """What the receipt changed in the profile, and which open offers it decided."""
        end = time.monotonic() + _WAIT_S
        purchases, now = self._profile(household, at)
        while purchases == self._purchases and self._purchases and time.monotonic() < end:
            time.sleep(0.02)
            purchases, now = self._profile(household, at)
        changed = [
            f"{_WORDS.get(name, name)} {self._before[name]:.1f} → {now[name]:.1f}"
            for name in TOLD_OF_PROFILE
            if name in now and name in self._before and abs(now[name] - self._before[name]) >= 0.05
        ]
        if changed and purchases > self._purchases:
            self._board.tell(f"            changed: {'; '.join(changed[:REASONS_TOLD])}")
        for fate in fates:
            days = (fate.at - fate.showing.at) / DAY
            what = " or ".join(sorted(fate.showing.categories)).lower()
            if fate.what == "hit":
                when = "at once" if days < 0.01 else f"{days:.1f} days later"
                self._board.tell(
                    f"            HIT: {fate.category.lower()} offered {moment(fate.showing.at):%d %b}, bought {when}"
                )
            else:
                self._board.tell(
                    f"            MISS: {what} offered {moment(fate.showing.at):%d %b}, not bought in {days:.0f} days"
                )

    def _why(self, door: Door, household: str, at: int, offer_id: str) -> str:
        request = {
            "loyalty_id": household,
            "channel": "pos",
            "placements": [{"name": "till", "count": 1}],
            "at": rfc3339(at),
            "explain": True,
            "dry_run": True,
        }
        try:
            body = door.post("/v1/decisions", orjson.dumps(request)).json()
        except DoorRefused:
            return ""
        for entry in body.get("explanation") or []:
            if entry.get("offer_id") == offer_id and entry.get("contributions"):
                return in_words(entry["contributions"])
        return ""

    def _profile(self, household: str, at: int) -> tuple[int, dict[str, float]]:
        """Purchases, and the readings at a simulated moment; nothing while the profile cannot be had."""
        profile = self._profile_of(household)
        if profile is None:
            return 0, {}
        numbers = read_features(profile, NO_REQUEST, Millis(at)).tolist()
        return profile.purchases.count, dict(zip(NAMES, numbers, strict=True))


def in_words(contributions: Mapping[str, float]) -> str:
    """What speaks for it, strongest first, then what speaks against; in the words of the readings, each with what it adds to the
    log odds."""
    strongest = sorted(contributions.items(), key=lambda term: (term[1] <= 0, -abs(term[1])))[:REASONS_TOLD]
    return "; ".join(f"{_WORDS.get(name, name)} ({term:+.2f})" for name, term in strongest)
