"""May this offer be made at all, apart from consent and caps? Each rule answers for all offers and situations at once.

A rule that concerns no offer of the catalogue is left out when the catalogue is loaded. A new rule kind is a class and
a line in `RULES`; a new kind of condition for marketers belongs in `conditions`.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from engine.decisioning.catalogue import FOR_EVER, Catalogue, Columns, Conditions, Rule
from engine.decisioning.conditions import BoolArray
from engine.decisioning.offers import locale_chain
from engine.decisioning.shelf import NOTHING_FOUND
from engine.decisioning.situation import Situation
from engine.features.affinity import habits_of
from engine.moments import DAY, rfc3339

MOST_NAMED = 3


class Status:
    """Drafts and paused offers wait, also when their campaign does."""

    def concerns(self, columns: Columns) -> bool:
        return not columns.live.all()

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:  # noqa: ARG002
        return columns.live

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:  # noqa: ARG002
        offer = catalogue.offers[row]
        campaign = catalogue.campaigns.get(offer.campaign or "")
        if offer.status != "live" or campaign is None:
            return f"the offer is {'a draft' if offer.status == 'draft' else offer.status}"
        return f"the campaign {campaign.id} is {'a draft' if campaign.status == 'draft' else campaign.status}"


class Dates:
    """From the first instant on, and before the last."""

    def concerns(self, columns: Columns) -> bool:
        return bool((columns.starts > 0).any() or (columns.ends < FOR_EVER).any())

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        now = np.array([one.now for one in situations])[:, None]
        running: BoolArray = (columns.starts <= now) & (columns.ends > now)
        return running

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:
        columns = catalogue.columns
        if columns.starts[row] > situation.now:
            return f"starts at {rfc3339(int(columns.starts[row]))}"
        return f"ended at {rfc3339(int(columns.ends[row]))}"


class Channels:
    """On the channels that offer and campaign name; without any, on all."""

    def concerns(self, columns: Columns) -> bool:
        return not columns.any_channel.all()

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        return np.array([columns.channel.get(one.channel, columns.any_channel) for one in situations])

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:
        columns = catalogue.columns
        allowed = [name for name, mask in columns.channel.items() if mask[row]]
        return f"not on channel {situation.channel or 'unknown'}, only on {' or '.join(allowed) or 'none'}"


class Locales:
    """Where the offer is bound to locales, or has no content for everybody."""

    def concerns(self, columns: Columns) -> bool:
        return not (columns.unbound.all() and columns.content_in.get("default", columns.nothing).all())

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        return np.array([self._mask(columns, one.locale) for one in situations])

    def _mask(self, columns: Columns, locale: str) -> BoolArray:
        chain = locale_chain(locale)
        fits: BoolArray = self._any(columns, columns.bound_to, chain) | columns.unbound
        return fits & self._any(columns, columns.content_in, chain)

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:
        offer = catalogue.offers[row]
        return f"not for locale {situation.locale or 'unknown'}, only {' or '.join(offer.locales or offer.content)}"

    @staticmethod
    def _any(columns: Columns, masks: Mapping[str, BoolArray], names: tuple[str, ...]) -> BoolArray:
        found = [masks[name] for name in names if name in masks]
        return np.logical_or.reduce(found) if found else columns.nothing


class Excluded:
    """Offers that the caller does not want to see."""

    def concerns(self, columns: Columns) -> bool:  # noqa: ARG002
        return True

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        return _without(columns, [[columns.row[name] for name in one.exclude if name in columns.row] for one in situations])

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:  # noqa: ARG002
        return "the request excludes it"


class NotJustBought:
    """Never what was just bought or returned, nor what lies in the cart: the product, and its category for less long."""

    def concerns(self, columns: Columns) -> bool:
        return bool(columns.bought_products or columns.bought_categories)

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        mask = _without(columns, [self._rows(columns, one) for one in situations])
        silences = columns.silences
        known = [
            (at, one.part, one.now)
            for at, one in enumerate(situations)
            if one.part is not None and one.now - one.part.purchases.sums_at < silences.longest_ms
        ]
        if not known:
            return mask
        last = habits_of([part.purchases.categories for _, part, _ in known], silences.names)[..., 1]
        age = np.array([now for _, _, now in known], dtype=np.float64)[:, None] - last
        lately = np.logical_or.reduceat(age[:, silences.name] < silences.span_ms, silences.start, axis=1)
        if not lately.any():
            return mask
        mask = np.array(np.broadcast_to(mask, (len(situations), len(columns.everything))))
        mask[np.array([at for at, _, _ in known])[:, None], silences.rows] &= ~lately
        return mask

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:
        return next(why for silenced, why in self._silenced(catalogue.columns, situation) if silenced == row)

    @staticmethod
    def _rows(columns: Columns, situation: Situation) -> list[int]:
        """What the cart and the products bought last silence; rows of `_silenced` without words."""
        products, categories = columns.bought_products, columns.bought_categories
        rows: list[int] = []
        for line in situation.cart:
            rows += [row for row, _ in (*products.get(line.product_id, ()), *categories.get(line.category, ()))]
        if situation.part is None or not products:
            return rows
        for purchase in situation.part.purchases.last:
            age = situation.now - purchase.at
            if age < columns.silence_ms:
                for name in purchase.products:
                    rows += [row for row, span in products.get(name, ()) if age < span]
        return rows

    @staticmethod
    def _silenced(columns: Columns, situation: Situation) -> Iterator[tuple[int, str]]:
        products, categories = columns.bought_products, columns.bought_categories
        for line in situation.cart:
            for row, _ in (*products.get(line.product_id, ()), *categories.get(line.category, ())):
                yield row, "already in the cart"
        if situation.part is None:
            return
        bought, now = situation.part.purchases, situation.now
        for name in sorted(bought.categories.names.keys() & categories.keys()):
            age = now - bought.categories.reading(name)[1]
            for row, span in categories[name]:
                if age < span:
                    yield row, f"bought {max(age, 0) / DAY:.1f} days ago"
        for purchase in bought.last if products else ():
            age = now - purchase.at
            if age < columns.silence_ms:
                for name in sorted(products.keys() & set(purchase.products)):
                    for row, span in products[name]:
                        if age < span:
                            yield row, f"bought {max(age, 0) / DAY:.1f} days ago"


class OnShelf:
    """What an offer names can be bought, some of it at least."""

    def concerns(self, columns: Columns) -> bool:
        return bool(columns.gone.any())

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:  # noqa: ARG002
        there: BoolArray = ~columns.gone
        return there

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:  # noqa: ARG002
        names = catalogue.columns.promoted_products[row]
        return f"{names[0]} is not available" if len(names) == 1 else f"none of {', '.join(names[:MOST_NAMED])} is available"


class Found:
    """Where the products of an offer are found when it is decided, some have to be found."""

    def concerns(self, columns: Columns) -> bool:
        return bool(columns.expanding)

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        return _without(columns, [[row for row in self._asked(columns, one) if not _shows(one, row)] for one in situations])

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:  # noqa: ARG002
        found = situation.expanded.get(row, NOTHING_FOUND)
        return found.words or "nothing is read of the customer that products could be found by"

    @staticmethod
    def _asked(columns: Columns, situation: Situation) -> list[int]:
        return [row for wanted in situation.placements for row in columns.expanding.get(wanted.name, ())]


def _shows(situation: Situation, row: int) -> bool:
    return bool(situation.expanded.get(row, NOTHING_FOUND).products)


class Dismissed:
    """What the customer has waved away rests for a while."""

    def concerns(self, columns: Columns) -> bool:
        return any(columns.dismissed_ms.values())

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        return _without(columns, [[columns.row[name] for name, _ in self._resting(columns, one)] for one in situations])

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:
        at = dict(self._resting(catalogue.columns, situation))[catalogue.columns.ids[row]]
        return f"dismissed {max(situation.now - at, 0) / DAY:.1f} days ago"

    @staticmethod
    def _resting(columns: Columns, situation: Situation) -> Sequence[tuple[str, int]]:
        if situation.part is None or not situation.part.offers.dismissed:
            return ()
        now, spans = situation.now, columns.dismissed_ms
        return [(name, at) for name, at in situation.part.offers.dismissed.items() if now - at < spans.get(name, 0)]


class Written:
    """The conditions of the offer and of its campaign's target."""

    def concerns(self, columns: Columns) -> bool:
        return columns.conditions is not None

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        conditions = columns.conditions
        if conditions is None:
            return columns.everything
        held = _clauses(conditions, situations)
        if not conditions.one_each:
            held = np.logical_and.reduceat(held, conditions.row_start, axis=1)
        mask = np.ones((len(situations), len(columns.everything)), dtype=np.bool_)
        mask[:, conditions.rows] = held
        for at, one in enumerate(situations):
            if one.vector is None or one.part is None:
                mask[at] &= ~conditions.reads_profile
        return mask

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:
        conditions = catalogue.columns.conditions
        if conditions is None:
            return "no conditions"
        if (situation.vector is None or situation.part is None) and conditions.reads_profile[row]:
            return "nothing can be read of the customer"
        at = int(np.flatnonzero(conditions.rows == row)[0])
        start = int(conditions.row_start[at])
        words = conditions.words[at]
        held = _clauses(conditions, [situation])[0, start : start + len(words)]
        return "needs " + "; ".join(word for word, holds in zip(words, held, strict=True) if not holds)


def _clauses(conditions: Conditions, situations: Sequence[Situation]) -> BoolArray:
    answers = [table.holds(situations) for table in conditions.tables]
    uses = answers[0] if len(answers) == 1 else np.concatenate(answers, axis=1)
    clauses = uses[:, conditions.literal]
    if conditions.any_negated:
        clauses ^= conditions.negated
    if not conditions.single:
        clauses = np.logical_or.reduceat(clauses, conditions.clause_start, axis=1)
    return clauses


def _without(columns: Columns, rows: Sequence[list[int]]) -> BoolArray:
    """Everything but some rows, for each situation."""
    if not any(rows):
        return columns.everything
    mask = np.ones((len(rows), len(columns.everything)), dtype=np.bool_)
    for at, some in enumerate(rows):
        mask[at, some] = False
    return mask


RULES: tuple[Rule, ...] = (
    Status(),
    Dates(),
    Channels(),
    Locales(),
    Excluded(),
    NotJustBought(),
    OnShelf(),
    Found(),
    Dismissed(),
    Written(),
)
"""In the order in which a reason is named where several apply."""


class Eligibility:
    """What no rule objects to, for a group of situations that are decided together."""

    def __init__(self, situations: Sequence[Situation], catalogue: Catalogue) -> None:
        self._situations, self._catalogue = situations, catalogue
        self._on: dict[str, dict[int, BoolArray]] = {}

    def mask(self, which: int, channel: str) -> BoolArray:
        """For one of the group, on the channel of the contact. The result may be shared: copy before writing."""
        if channel not in self._on:
            # Who asks on another channel is never contacted on this one.
            reached = {at: on(one, channel) for at, one in enumerate(self._situations) if one.channel in ("", channel)}
            together = self._together(list(reached.values()))
            rows = together if together.ndim == 2 else [together] * len(reached)
            self._on[channel] = dict(zip(reached, rows, strict=True))
        return self._on[channel][which]

    def _together(self, situations: Sequence[Situation]) -> BoolArray:
        columns = self._catalogue.columns
        together = columns.everything
        for rule in self._catalogue.rules:
            mask = rule.mask(columns, situations)
            if mask is not columns.everything:
                together = mask if together is columns.everything else together & mask
        return together


def on(situation: Situation, channel: str) -> Situation:
    """The situation with the channel of the contact."""
    return situation if channel == situation.channel else replace(situation, channel=channel)
