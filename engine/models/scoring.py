"""Scores and their reasons, from published numbers alone.

A model here is additive: its logit is an intercept plus one bent line per reading. So a request pays for the readings
of the customer once, those of the offers not at all (they are worked out when catalogue or snapshot change), and a
score is explained by its own terms: each contribution is the difference that a reading makes against an average one.

numpy only. The request path imports this file, so River must not be reachable from it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from hashlib import blake2b
from typing import ClassVar, Self, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.features.affinity import CROSS_NAMES, LOGITS, POPULARITY, TOLD
from engine.features.companions import Companions, companions_from
from engine.models.bgnbd import BgNbd, buys_within
from engine.models.expansion import Layout
from engine.models.snapshot import Fact, Numbers, Snapshot, SnapshotMismatch
from engine.models.terms import MAX_LOGIT, Terms, odds_of, probability_by

CHURN = "churn"
PURCHASE = "purchase"
NEXT_BEST_OFFER = "next_best_offer"

PURCHASE_DAYS = 7.0
"""The horizon of the purchase likelihood."""

READY_LABELS = 500
READY_EACH = 50
"""A model of a horizon answers for itself from so many labels on, so many of each kind; until then it is warming up."""

NEWCOMER_PURCHASES = 3
"""Who bought less often is a newcomer: there are no two gaps to compare."""

SOME_POPULATION = BgNbd()
"""Of customers in general, until those of the shop are known."""


def arm_fingerprint(customer: str, offer_names: Sequence[str], cross_names: Sequence[str]) -> str:
    """The fingerprint of an arm's vector: readings of the customer (by their own fingerprint), the offer, and both."""
    told = "\n".join((customer, *offer_names, "", *cross_names))
    return blake2b(told.encode(), digest_size=6).hexdigest()


class _Shape(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    plain: tuple[int, ...]
    bending: tuple[int, ...]
    knots: tuple[float, ...]


def shape_facts(layout: Layout) -> dict[str, Fact]:
    """A layout as facts of a snapshot."""
    return {
        "names": list(layout.names),
        "plain": layout.plain.tolist(),
        "bending": layout.bending.tolist(),
        "knots": list(layout.knots),
    }


def layout_from(snapshot: Snapshot) -> Layout:
    """The layout that `shape_facts` wrote, checked against the arrays; `SnapshotMismatch` if they do not fit."""
    try:
        shape = msgspec.convert(dict(snapshot.facts), _Shape)
    except msgspec.ValidationError as error:
        raise SnapshotMismatch(f"{snapshot.name}: {error}") from error
    layout = Layout(
        shape.names,
        np.array(shape.plain, dtype=np.intp),
        np.array(shape.bending, dtype=np.intp),
        shape.knots,
    )
    sizes = {"weights": layout.width, "mean": len(layout.names), "deviation": len(layout.names)}
    for name, size in sizes.items():
        array = snapshot.arrays.get(name)
        if array is None or array.shape != (size,) or not np.isfinite(array).all():
            raise SnapshotMismatch(f"{snapshot.name}: {name} is not {size} finite numbers")
    return layout


def _enough(labels: object, positives: object) -> bool:
    if not isinstance(labels, int) or not isinstance(positives, int):
        return False
    return labels >= READY_LABELS and min(positives, labels - positives) >= READY_EACH


class HorizonScorer(ABC):
    """How likely something happens to a customer within a horizon.

    Without a snapshot, or before enough labels of both kinds have matured, `status` is `warming_up` and the answer is a
    prior that knows nothing but the customer's own purchases: BG/NBD, with the numbers of `population`. So it is for a
    customer with fewer than three purchases until as many labels of such customers have been learned.
    """

    MODEL: ClassVar[str]
    HORIZON_DAYS: ClassVar[float]

    def __init__(
        self,
        names: Sequence[str],
        snapshot: Snapshot | None = None,
        horizon_days: float | None = None,
        population: BgNbd = SOME_POPULATION,
    ) -> None:
        self.snapshot = snapshot
        self.version = snapshot.version if snapshot else 0
        self.horizon_days = self.HORIZON_DAYS if horizon_days is None else horizon_days
        self.population = population
        positions = {name: position for position, name in enumerate(names)}
        history = [positions.get(name) for name in ("rfm.frequency", "rfm.tenure", "rfm.recency")]
        self._history = None if None in history else cast("list[int]", history)
        self._terms = self._read(snapshot, positions) if snapshot else None
        ready = snapshot is not None and _enough(snapshot.version, snapshot.facts.get("positives"))
        self.status = "ready" if ready else "warming_up"
        told = snapshot.facts.get("newcomers") if snapshot else None
        self._knows_newcomers = isinstance(told, list) and _enough(*told)

    def among(self, population: BgNbd) -> Self:
        """The same scorer with a prior of these customers."""
        scorer = copy(self)
        scorer.population = population
        return scorer

    def _read(self, snapshot: Snapshot, positions: dict[str, int]) -> Terms:
        layout = layout_from(snapshot)
        missing = [name for name in layout.names if name not in positions]
        if snapshot.name.partition(".")[0] != self.MODEL or missing:
            raise SnapshotMismatch(f"{snapshot.name}: unknown readings {missing[:3]}")
        self.horizon_days = float(str(snapshot.facts.get("horizon_days", self.horizon_days)))
        self._columns: NDArray[np.intp] = np.array([positions[name] for name in layout.names], dtype=np.intp)
        arrays = snapshot.arrays
        self._intercept = float(arrays["weights"][0])
        return Terms(layout, arrays["weights"], arrays["mean"], arrays["deviation"], slice(None))

    def _trusted(self, vector: Numbers) -> Terms | None:
        """The learned terms where enough is known of customers like this one."""
        if self.status != "ready":
            return None
        newcomer = self._history is not None and vector[self._history[0]] < NEWCOMER_PURCHASES
        return self._terms if self._knows_newcomers or not newcomer else None

    def probability(self, vector: Numbers) -> float:
        """The probability that it happens within the horizon, for a vector of all readings."""
        terms = self._trusted(vector)
        if terms is None:
            return self.prior(vector)
        logit = self._intercept + float(terms.logit(vector[self._columns]))
        return 1.0 / (1.0 + math.exp(-min(max(logit, -MAX_LOGIT), MAX_LOGIT)))

    def contributions(self, vector: Numbers) -> dict[str, float]:
        """What each reading adds to the logit, all its bends together, against an average customer; empty for the prior."""
        terms = self._trusted(vector)
        return {} if terms is None else terms.each(vector[self._columns])

    @abstractmethod
    def prior(self, vector: Numbers) -> float:
        """The probability before there is a model: what the customer's own purchases say. One half where none is read."""

    def buys(self, vector: Numbers) -> float | None:
        """The probability of a purchase within the horizon by BG/NBD; None where the readings are not there.

        Who has never bought is not yet a customer of that model: they are taken for one who buys for the first time now.
        """
        if self._history is None:
            return None
        count, tenure, recency = (float(vector[place]) for place in self._history)
        last = max(tenure - recency, 0.0)
        return buys_within(self.population, max(round(count) - 1, 0), last, max(tenure, last), self.horizon_days)


class ChurnScorer(HorizonScorer):
    """How likely a customer stays away for the whole churn horizon."""

    MODEL = CHURN
    HORIZON_DAYS = 28.0

    def prior(self, vector: Numbers) -> float:
        """No purchase by BG/NBD."""
        bought = self.buys(vector)
        return 0.5 if bought is None else 1.0 - bought


class PurchaseScorer(HorizonScorer):
    """How likely a customer buys something within the next days."""

    MODEL = PURCHASE
    HORIZON_DAYS = PURCHASE_DAYS

    def prior(self, vector: Numbers) -> float:
        """A purchase by BG/NBD."""
        bought = self.buys(vector)
        return 0.5 if bought is None else bought


class Known(msgspec.Struct, frozen=True, eq=False):
    """What joint rows have in common with a stranger's of their kind: all but, for each of `TOLD`, what some `rows` say."""

    strangers: Numbers
    kind: NDArray[np.intp]
    rows: tuple[NDArray[np.intp], ...]


class OfferScorer:
    """How likely a customer takes each offer, for all offers of a request at once.

    Without a snapshot it is the personal-frequency rule itself: `affinity.rule_logit`, column 0 of the readings of
    customer and offer together, is the logit.
    """

    def __init__(self, snapshot: Snapshot | None = None, fingerprint: str | None = None) -> None:
        self.snapshot = snapshot
        self.version = snapshot.version if snapshot else 0
        self._intercepts: dict[str, float] = {}
        self._gaps: dict[str, float] = {}
        self._groups: tuple[Terms, Terms, Terms] | None = None
        if snapshot is None:
            return
        if fingerprint is not None and snapshot.fingerprint != fingerprint:
            raise SnapshotMismatch(f"features {snapshot.fingerprint!r}, expected {fingerprint!r}")
        layout = layout_from(snapshot)
        counts, offer_ids = snapshot.facts.get("group_sizes"), snapshot.facts.get("offers")
        own = snapshot.arrays.get("offer_intercepts")
        if snapshot.name != NEXT_BEST_OFFER or not isinstance(counts, list) or sum(counts) != len(layout.names):
            raise SnapshotMismatch(f"{snapshot.name}: not a model of customer, offer and both")
        if not isinstance(offer_ids, list) or own is None or len(own) != len(offer_ids) or not np.isfinite(own).all():
            raise SnapshotMismatch(f"{snapshot.name}: offers and their intercepts do not match")
        arrays = snapshot.arrays
        weights, mean, deviation = arrays["weights"], arrays["mean"], arrays["deviation"]
        first, second = int(counts[0]), int(counts[0] + counts[1])
        spans = (slice(0, first), slice(first, second), slice(second, None))
        customer, offer, both = (Terms(layout, weights, mean, deviation, span) for span in spans)
        self._groups = (customer, offer, both)
        usual = both.names == CROSS_NAMES and both.plain.issuperset(LOGITS)
        self._spans = [both.span(columns, POPULARITY) for columns in TOLD] if usual else []
        self._intercept = float(weights[0])
        self._intercepts = dict(zip(offer_ids, own.tolist(), strict=True))
        gaps = snapshot.facts.get("clicks")
        self._gaps = dict(gaps) if isinstance(gaps, dict) else {}

    @property
    def popularity(self) -> dict[str, float]:
        """Everybody's habit by category, as carried beside the learned numbers; empty where nothing is known."""
        carried = self.snapshot.carried.get("popularity") if self.snapshot else None
        return dict(carried) if isinstance(carried, dict) else {}

    @property
    def companions(self) -> Companions:
        """What goes along with what, as carried beside the learned numbers."""
        return companions_from(self.snapshot.carried.get("companions") if self.snapshot else None)

    def click_probability(self, placement: str, probability: float) -> float | None:
        """How likely an offer is clicked there that is taken with a probability; None where hardly anything is clicked."""
        gap = self._gaps.get(placement)
        if gap is None or not 0.0 < probability < 1.0:
            return None
        return 1.0 / (1.0 + (1.0 - probability) / probability * math.exp(-min(max(gap, -MAX_LOGIT), MAX_LOGIT)))

    def prepare(self, offer_ids: Sequence[str], offers: Numbers) -> Numbers:
        """(K,) odds of what the offers contribute; compute it once per catalogue, placement and snapshot."""
        own = np.array([self._intercepts.get(offer_id, 0.0) for offer_id in offer_ids])
        if self._groups is None:
            return np.ones(len(own))
        return odds_of(own + self._groups[1].logit(offers) + self._intercept)

    def score_prepared(self, customer: Numbers, prepared: Numbers, cross: Numbers) -> Numbers:
        """(K,) probabilities from the customer's readings (F,), `prepare`'s numbers (K,) and the joint ones (K, X)."""
        return probability_by(prepared * self.odds(customer[None], cross, np.zeros(len(cross), dtype=np.intp)))

    def strangers(self, pairs: Numbers) -> Numbers:
        """(R,) what `odds` may take for granted of joint rows (R, X): those of a customer of whom nothing is known."""
        return np.zeros(len(pairs)) if self._groups is None else self._groups[2].curved(pairs)

    def odds(self, customers: Numbers, pairs: Numbers, whose: NDArray[np.intp], known: Known | None = None) -> Numbers:
        """(R,) odds of what customers (N, F) and joint rows (R, X) contribute; `prepare`'s numbers are the rest.

        `whose` says which customer each row is of. With `known` only those rows are worked out that differ from a
        stranger's; the others are a stranger's to the last bit.
        """
        if self._groups is None:
            return odds_of(pairs[:, 0].copy())
        customer, _, both = self._groups
        if known is None or not self._spans:
            logits = both.logit(pairs)
        else:
            logits = known.strangers.take(known.kind)
            for span, rows in zip(self._spans, known.rows, strict=True):
                if len(rows):
                    logits[rows] += span.more(pairs, rows)
            both.add_plain(pairs, logits)
        told = customer.logit(customers)
        logits += told if len(told) == 1 else told.take(whose)
        return odds_of(logits)

    def score(self, customer: Numbers, offers: Numbers, cross: Numbers, offer_ids: Sequence[str] = ()) -> Numbers:
        """(K,) probabilities without preparation; without ids, every offer counts as a new one."""
        return self.score_prepared(customer, self.prepare(offer_ids or [""] * len(offers), offers), cross)

    def contributions(self, customer: Numbers, offer: Numbers, cross: Numbers, offer_id: str = "") -> dict[str, float]:
        """What each reading adds to the logit of one offer, and the offer's own term as `offer.itself`."""
        if self._groups is None:
            return {"affinity.rule_logit": float(cross[0])}
        terms: dict[str, float] = {"offer.itself": self._intercepts.get(offer_id, 0.0)}
        for group, readings in zip(self._groups, (customer, offer, cross), strict=True):
            terms.update(group.each(readings))
        return terms
