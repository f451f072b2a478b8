"""When a customer is scored, what waits for its label meanwhile, and what the label is.

Churn and purchase. At a boundary T the readings are recorded from the profile as it is before any event at or after T. A
label closes when the watermark passes T + horizon, never earlier, since early negatives would bias the model: churned means
no purchase in [T, T + churn horizon), and the label of purchase is 1 for one in [T, T + a week). Boundaries are a week apart
and staggered over the week by a hash of the customer.

Offers. The readings come with the logged decision and are never rebuilt. An offer that was shown closes with its
attribution window as taken or not; one that was never shown teaches nothing.
"""

from base64 import b64decode
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from engine.events.decode import time_of
from engine.events.offers import OfferDecided
from engine.ids import unit_interval
from engine.models import scoring
from engine.models.base import Example
from engine.moments import DAY, WEEK, Millis
from engine.profiles.profile import Profile
from engine.profiles.purchases import LAST, Purchase
from engine.shards.commit import Waiting
from engine.shards.timers import CHURN, OFFERS, PURCHASE, boundary_tag, churn_tag, offers_tag, purchase_tag

_ENCODER = msgspec.msgpack.Encoder()
_WAITING = msgspec.msgpack.Decoder(list[Waiting])
READINGS = (CHURN, PURCHASE, OFFERS)
"""Kinds of alarms under whose tags readings wait."""
_PURCHASE_MS = int(scoring.PURCHASE_DAYS * DAY)


class ChurnRule(msgspec.Struct, frozen=True):
    """`horizon_days` of silence are churn; who has not bought for `silent_days` is not scored any more until they buy again.

    `phase_ms` fixes one boundary for everybody, as an evaluation wants; None staggers them. `profiling` is whether customers are
    scored who have not said whether they may be.
    """

    horizon_days: int = 28
    silent_days: int = 182
    phase_ms: int | None = None
    profiling: bool = True


class Labels:
    """The rules of labels; no state."""

    def __init__(self, churn: ChurnRule) -> None:
        self._churn = churn

    @property
    def profiling(self) -> bool:
        """Whether customers are scored who have not said whether they may be."""
        return self._churn.profiling

    def judging(self, profiling: bool) -> "Labels":
        """The same rules with this default."""
        return self if profiling == self._churn.profiling else Labels(replace(self._churn, profiling=profiling))

    def may_profile(self, profile: Profile, at: int) -> bool:
        """Whether the customer may be scored and learned from."""
        return profile.may_profile(at, self._churn.profiling)

    def boundary_after(self, customer: str, at: int) -> Millis:
        """The first boundary strictly after `at`."""
        phase = self._churn.phase_ms
        if phase is None:
            phase = int(unit_interval("boundary", customer) * WEEK)
        return Millis(phase + ((at - phase) // WEEK + 1) * WEEK)

    def next_boundary(self, bought_at: int, boundary: int) -> int:
        """A week on; for a customer who bought last at `bought_at` and has been silent too long none, and that this one was: its
        negative."""
        silent = boundary - bought_at > self._churn.silent_days * DAY
        return -boundary if silent else boundary + WEEK

    def boundary_timer(self, profile: Profile) -> tuple[str, int]:
        """The alarm of the customer's next boundary."""
        return boundary_tag(profile.key), profile.next_boundary

    def waits(self, customer: str, boundary: int) -> tuple[tuple[str, str, int], tuple[str, str, int]]:
        """The labels that wait for the readings of a boundary: model, and the tag and time under which they do."""
        return (
            (scoring.CHURN, churn_tag(boundary, customer), boundary + self._churn.horizon_days * DAY),
            (scoring.PURCHASE, purchase_tag(boundary, customer), boundary + _PURCHASE_MS),
        )

    def offers_waiting(self, profile: Profile, event: OfferDecided) -> list[tuple[str, int, bytes]]:
        """The readings of a decision's drawn offers, grouped by when their windows close."""
        at, decision_id = time_of(event), event.decision_id or event.id
        learned = self.may_profile(profile, at)
        by_close: dict[int, list[Waiting]] = {}
        for chosen in event.data.offers:
            waiting = Waiting(
                "next_best_offer",
                at,
                event.data.fingerprint,
                b64decode(chosen.vector),
                chosen.offer_id,
                chosen.placement,
                chosen.propensity,
                event.data.variation,
            )
            by_close.setdefault(at + chosen.attribution_window_ms, []).extend([waiting] if learned else [])
        return [
            (offers_tag(closes, decision_id, profile.key), closes, _ENCODER.encode(waiting))
            for closes, waiting in by_close.items()
        ]

    def closed(self, kind: str, middle: tuple[str, ...], profile: Profile, at: int, raw: bytes) -> tuple[list[bytes], Profile]:
        """What a closing timer teaches, and the profile without what was open."""
        learned = raw and profile.events and not profile.moved_to and self.may_profile(profile, at)
        waiting = _WAITING.decode(raw) if learned else []
        if kind != OFFERS:
            return [_ENCODER.encode(_horizon_example(profile, one, at)) for one in waiting], profile
        if profile.moved_to:
            return [], profile
        decision_id = middle[1]
        examples = [_offer_example(profile, decision_id, one, at) for one in waiting]
        parts = {
            key: replace(part, offers=part.offers.closed(decision_id, at)) if part.offers.open else part
            for key, part in profile.parts.items()
        }
        return [_ENCODER.encode(example) for example in examples if example is not None], replace(profile, parts=parts)


def _horizon_example(profile: Profile, waiting: Waiting, at: int) -> Example:
    last = profile.purchases.last
    inside = _bought_within(last, waiting.opened_at, at)
    beyond = len(last) == LAST and last[0].at >= at
    label = float((inside or beyond) is (waiting.model == scoring.PURCHASE))
    opened_at, name = waiting.opened_at, f"{profile.key}|{waiting.opened_at}"
    return Example(waiting.model, name, profile.key, opened_at, at, label, waiting.fingerprint, waiting.vector)


def _bought_within(last: Sequence[Purchase], since: int, until: int) -> bool:
    """Whether a purchase that stands lies in a span; they come oldest first, and those that matter are the newest."""
    for one in reversed(last):
        if one.at < since:
            return False
        if one.at < until and not one.taken_back:
            return True
    return False


def _offer_example(profile: Profile, decision_id: str, waiting: Waiting, at: int) -> Example | None:
    for offer in profile.whole.offers.open:
        if (offer.decision_id, offer.offer_id, offer.placement) != (decision_id, waiting.offer_id, waiting.placement):
            continue
        if not offer.viewed_at or not offer.learn:
            return None
        return Example(
            model=waiting.model,
            id=f"{decision_id}|{offer.offer_id}|{offer.placement}",
            customer=profile.key,
            opened_at=waiting.opened_at,
            closed_at=at,
            label=float(offer.redeemed_at > 0),
            fingerprint=waiting.fingerprint,
            vector=waiting.vector,
            offer_id=offer.offer_id,
            propensity=waiting.propensity,
            clicked=offer.clicked_at > 0,
            variation=waiting.variation,
        )
    return None
