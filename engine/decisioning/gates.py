"""The stages that may drop an offer before anything is scored, each as one mask over the catalogue.

`decide` and `explain` read the same masks, so an explanation cannot tell another story than the decision. The order of
`STAGES` is the order in which they speak: the first that drops an offer is the one that is named.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.conditions import BoolArray, local_time, minute_of_day, within
from engine.decisioning.eligibility import Eligibility
from engine.decisioning.experiment import in_holdout
from engine.decisioning.frequency import held, within_caps
from engine.decisioning.ledger import EMPTY, MOST_ENTRIES, Entry, channel_scopes, count, pruned
from engine.decisioning.permission import Proof, own_basis
from engine.decisioning.policy import Policy
from engine.decisioning.service import stopped_by
from engine.decisioning.situation import Situation
from engine.decisioning.wishes import limit_of, quiet_span, topics_of, welcome
from engine.profiles.consent import Granted
from engine.profiles.profile import Part

STAGES = ("consent", "holdout", "placement", "eligibility", "service", "cap", "stock", "quiet_hours")
CONSENT, HOLDOUT, PLACEMENT, ELIGIBILITY, SERVICE, CAP, STOCK, QUIET_HOURS = range(8)
Masks = tuple[BoolArray, BoolArray, BoolArray, BoolArray, BoolArray, BoolArray, BoolArray, BoolArray]
_COUNTED = (*STAGES, "arbitration")
_NONE = [0]
_NOTHING_HELD: Mapping[int, Entry] = {}


def through(everything: BoolArray, met: Sequence[Masks]) -> tuple[BoolArray, list[dict[str, int]]]:
    """Offers that every stage lets pass, a row for each decision; and of each how many offers a stage was the first to drop,
    and how many are left.

    Stages that stand open for everybody cost nothing; what is shared by all is looked at once.
    """
    size = (len(met), len(everything))
    alive, left = np.broadcast_to(everything, size), [size[1]] * size[0]
    dropped = []
    for masks in zip(*met, strict=True):
        first, before = masks[0], left
        if all(one is first for one in masks):
            if first is everything:
                dropped.append(_NONE * size[0])
                continue
            alive = alive & first
        else:
            alive = alive & np.concatenate(masks).reshape(size)
        left = np.add.reduce(alive, axis=1, dtype=np.intp).tolist()
        dropped.append([had - has for had, has in zip(before, left, strict=True)])
    return alive, [dict(zip(_COUNTED, counts, strict=True)) for counts in zip(*dropped, left, strict=True)]


def _unwanted(part: Part, channels: tuple[str, ...]) -> bool:
    """Whether the customer wants no offers on one of the channels; most never said a word about any."""
    wishes = part.preferences
    return bool(wishes.channels) and any(wishes.refuses(channel) for channel in channels)


class Gates:
    """The masks of one decision. Those that no placement changes are computed once and shared.

    `eligibility` answers for the whole group of situations that are decided together; this is the one at `which`.
    """

    def __init__(self, situation: Situation, catalogue: Catalogue, policy: Policy, eligibility: Eligibility, which: int) -> None:
        self.situation = situation
        self._eligibility, self._which = eligibility, which
        self.catalogue = catalogue
        self.policy = policy
        self.columns = columns = catalogue.columns
        self.held_out = in_holdout(situation.unit, policy.holdout)
        self.holdout = ~columns.personal if self.held_out else columns.everything
        part = situation.part
        self.stopped_by = stopped_by(part, policy.service, situation.now) if part is not None else ""
        """Why nothing is sold for the sake of the relationship; empty where nothing stops it."""
        self.service = columns.recovery if self.stopped_by else columns.everything
        self.welcome = welcome(part, catalogue, policy) if part is not None else columns.everything
        self.limit = limit_of(part)
        """The customer's own cap."""
        self._channels: dict[str, tuple[str, ...]] = {}
        self._caps: dict[tuple[str, ...], BoolArray] = {}
        self.stock = self._stock()
        self._consent: dict[tuple[str, ...], BoolArray] = {}
        self._permissions: dict[tuple[str, tuple[str, ...]], Granted | None] = {}

    def masks(self, placement: str) -> tuple[Masks, Mapping[int, Entry]]:
        """One mask for each of `STAGES`, and the rows that a live reservation is held of, with its entry.

        Masks may be shared: copy before writing.
        """
        columns, situation = self.columns, self.situation
        channels = self.channels(placement)
        cap, stock = self.cap(channels), self.stock
        reserved = _NOTHING_HELD
        if situation.ledger is not None and situation.ledger.entries:
            reserved = held(columns, situation.ledger, placement, situation.now, channel_scopes(channels))
            rows = [row for row in reserved if columns.ids[row] not in situation.refused]
            if rows:
                cap, stock = cap.copy(), stock.copy()
                cap[rows] = stock[rows] = True
        masks = (
            self.consent(channels),
            self.holdout,
            columns.placement[placement],
            self._eligibility.mask(self._which, channels[0]),
            self.service,
            cap,
            stock,
            self.quiet(channels),
        )
        return masks, reserved

    def meant_for(self, masks: Masks) -> BoolArray:
        """Offers that are in place for this customer whichever arm they are in: what holdout, caps and stock say is left out."""
        mask = masks[CONSENT]
        for stage in (PLACEMENT, ELIGIBILITY, SERVICE, QUIET_HOURS):
            if masks[stage] is not self.columns.everything:
                mask = mask & masks[stage]
        return mask

    def channels(self, placement: str) -> tuple[str, ...]:
        """Channels that a contact touches: the one of the request, and the one that the placement is declared for."""
        channels = self._channels.get(placement)
        if channels is None:
            own = self.policy.placements[placement].channel or ""
            channel = self.situation.channel or own
            channels = self._channels[placement] = (channel, own) if own and own != channel else (channel,)
        return channels

    def purposes(self, placement: str) -> list[str]:
        """Purposes that offers of a placement need and that are not granted."""
        there, channels = self.columns.placement[placement], self.channels(placement)
        return [
            name
            for name, mask in zip(self.columns.purposes, self.columns.purpose_mask, strict=True)
            if (there & mask).any() and self.consent_status(name, channels) != "granted"
        ]

    def consent(self, channels: tuple[str, ...]) -> BoolArray:
        """Offers whose purpose is granted on all the channels that the contact touches, or that need none; of these, what the
        customer has not said to be unwanted."""
        mask = self._consent.get(channels)
        if mask is None:
            mask = self.welcome
            for name, needing in zip(self.columns.purposes, self.columns.purpose_mask, strict=True):
                if self.permission(name, channels) is None:
                    mask = mask & ~needing
            self._consent[channels] = mask
        return mask

    def permission(self, purpose: str, channels: tuple[str, ...]) -> Granted | None:
        """The proof that a purpose is granted on every one of these channels, and that none of them is unwanted."""
        asked = (purpose, channels)
        if asked not in self._permissions:
            part = self.situation.part
            if part is None or self.situation.ledger is None or _unwanted(part, channels):
                self._permissions[asked] = None
            else:
                self._permissions[asked] = part.consent.permission(purpose, channels, self.situation.now)
        return self._permissions[asked]

    def proof(self, row: int, placement: str) -> Proof | None:
        """By what right an offer can be made there; None where there is none."""
        offer = self.catalogue.offers[row]
        return own_basis(offer.kind) or self.permission(offer.purpose, self.channels(placement))

    def consent_status(self, purpose: str, channels: tuple[str, ...]) -> str:
        """`granted` only where every channel says so; else what the first other one says. By default `unknown`."""
        part = self.situation.part
        if part is None or self.situation.ledger is None:
            return "unknown"
        if _unwanted(part, channels):
            return "not wished for"
        return part.consent.refusal(purpose, channels, self.situation.now)

    def topics(self, row: int) -> tuple[str, ...]:
        """What an offer is about, as far as a customer can choose."""
        return topics_of(self.catalogue, self.policy.preferences.topics)[row]

    def sales_left(self) -> int | None:
        """How many more sales the customer's own cap admits; None where they set none."""
        if self.limit is None:
            return None
        return max(0, self.limit.count - count(self.situation.ledger or EMPTY, self.limit, self.situation.now))

    def quiet(self, channels: tuple[str, ...]) -> BoolArray:
        """In quiet hours only duties go out on push channels."""
        span = quiet_span(self.situation.part, self.policy)
        if span is None or not any(channel in self.policy.quiet_hours.channels for channel in channels):
            return self.columns.everything
        if not within(span, minute_of_day(local_time(self.situation))):
            return self.columns.everything
        duties: BoolArray = self.columns.precedence <= 1
        return duties

    def cap(self, channels: tuple[str, ...]) -> BoolArray:
        """Offers of which one more contact on these channels breaks no cap."""
        if channels not in self._caps:
            self._caps[channels] = self._cap(channels)
        return self._caps[channels]

    def _cap(self, channels: tuple[str, ...]) -> BoolArray:
        situation, columns = self.situation, self.columns
        mask = columns.everything
        if situation.ledger is not None and situation.ledger.entries and columns.capped:
            mask = within_caps(columns, situation.ledger, situation.now, channel_scopes(channels))
        if situation.ledger is not None and len(situation.ledger.entries) >= MOST_ENTRIES:
            kept = pruned(situation.ledger.entries, situation.now, self.catalogue.longest_window_ms)
            mask = mask & ~columns.counted if len(kept) >= MOST_ENTRIES else mask
        if self.sales_left() == 0:
            mask = mask & ~columns.sell
        return self._without_refused(mask, "cap")

    def _stock(self) -> BoolArray:
        situation, columns = self.situation, self.columns
        if situation.ledger is None:
            return ~columns.stocked
        mask = columns.everything
        for pool, left in situation.stock_left.items():
            if pool in columns.taken_of:
                mask = mask & (columns.taken_of[pool] <= max(left, 0))
        return self._without_refused(mask, "stock")

    def _without_refused(self, mask: BoolArray, stage: str) -> BoolArray:
        if not self.situation.refused:
            return mask
        rows = [
            self.columns.row[name] for name, why in self.situation.refused.items() if why == stage and name in self.columns.row
        ]
        if rows:
            mask = mask.copy()
            mask[rows] = False
        return mask
