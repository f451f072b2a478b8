"""Where all customers stand together: how many in each segment and at each stage, and where the segments begin."""

from math import exp2

from msgspec import Struct

from api.insights import Ask
from engine.errors import StoreUnavailable
from engine.models.segments import Cuts
from engine.moments import Millis, rfc3339
from engine.profiles.standing import BEST, TIERS
from engine.shards.segments import grouped
from engine.store import keys
from engine.store.redis_reader import Refused


class SegmentsAnswer(Struct, frozen=True):
    """`compared` customers are those that are still scored; money is what they spent lately, fading with a half-life of
    224 days, in minor units. `heavy_from_minor` and `moderate_from_minor` are null until there are cut points."""

    at: str
    tiers: dict[str, int]
    best: int
    stages: dict[str, int]
    compared: int
    heavy_from_minor: int | None = None
    moderate_from_minor: int | None = None
    best_from_minor: int | None = None
    cuts_at: str | None = None


SEGMENTS_EXAMPLE = {
    "at": "2026-03-01T12:00:00.000Z",
    "tiers": {"heavy": 801, "moderate": 812, "light": 804},
    "best": 240,
    "stages": {"new": 85, "active": 1640, "at_risk": 402, "lapsed": 290, "lost": 52},
    "compared": 2417,
    "heavy_from_minor": 84_210,
    "moderate_from_minor": 31_900,
    "best_from_minor": 171_400,
    "cuts_at": "2026-02-28T00:00:00.000Z",
}


async def read_groups(ask: Ask, shards: int) -> dict[str, int]:
    """The counts of all shards together. Raises `StoreUnavailable`."""
    answers = await ask([("HGETALL", keys.histogram(shard)) for shard in range(shards)])
    counts: list[dict[str, int]] = []
    for answer in answers:
        if isinstance(answer, Refused):
            raise StoreUnavailable(str(answer))
        counts.append({name.decode(): int(count) for name, count in zip(answer[::2], answer[1::2], strict=True)})
    return grouped(counts)


def segments_answer(groups: dict[str, int], cuts: Cuts, now: Millis) -> SegmentsAnswer:
    """The answer to `GET /v1/insights/segments`."""
    stages = {name: count for name, count in groups.items() if name not in (*TIERS, BEST)}
    known = cuts.known
    return SegmentsAnswer(
        at=rfc3339(now),
        tiers={name: groups[name] for name in TIERS},
        best=groups[BEST],
        stages=stages,
        compared=sum(stages.values()) - stages["lost"],
        heavy_from_minor=_minor(cuts.tiers[1]) if known else None,
        moderate_from_minor=_minor(cuts.tiers[0]) if known else None,
        best_from_minor=_minor(cuts.best) if known else None,
        cuts_at=rfc3339(cuts.at) if known else None,
    )


def _minor(money: float) -> int:
    return round(100.0 * exp2(money))
