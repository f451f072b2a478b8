"""Next best offer: the probability that this customer takes this offer if it is shown now.

One model is shared by all offers; it reads the customer, the offer, and both together, so an offer that nobody has
seen yet scores from its first moment. It starts *at* the personal-frequency rule and has nothing to unlearn before it is
useful: prior weight 1 on `affinity.companion_logit`, which is the rule until it is known what goes along with what and the
rule with that from then on (where it is not read, on `affinity.rule_logit`), and 0 on everything else; `rule_weight` 0 is a
model that starts knowing nothing. What is left to an offer alone is an intercept of its own, updated in the same step; its
covariance with the shared weights is left out, which keeps an update independent of the number of offers. It is shrunk to
what the offer looks like by a variance that the offers themselves tell: how much they differ beyond what is read of them.

Clicks are a second target. They are more than redemptions and come for some of the same reasons, so they are taken as a hint:
the same weights and intercepts, and in each placement a gap by which clicks are likelier. A hint counts for a part of a label,
and for less the more redemptions have been learned, since clicks have reasons of their own. Where hardly anything is ever
clicked (a till) there are no hints.

Only examples with a recorded propensity are learned: they were drawn. The number of offers is bounded; the one that
was learned longest ago makes room.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import msgspec
import numpy as np

from engine.features.companions import Companions
from engine.models.base import Example, Report, numbers_of
from engine.models.logit import LOOSER, BayesianLogit
from engine.models.progress import Progress
from engine.models.scoring import NEXT_BEST_OFFER, shape_facts
from engine.models.snapshot import Fact, Numbers, Snapshot, SnapshotMismatch, State

RULE = "affinity.rule_logit"
EXAMINATION = "offer.examination"
EXAMINED = 0.5
"""What is presumed of places before anything is learned: odds fall with the square root of the place."""

COMPANIONS = "affinity.companion_logit"
OFFER_VARIANCE = 0.15
"""Prior variance of an offer's own intercept: two new offers in three are within 0.4 of a logit of what they look like."""

SPREADS_FROM, SPREADS_TO = 0.01, 1.0
PRESUMED_OFFERS = 10.0
"""How many offers' worth of belief there is in `OFFER_VARIANCE` before the offers themselves have told how they differ."""

TOLD_EVERY = 500
"""After so many labels the variance is worked out anew."""

CLICK_WEIGHT, CLICKS_UNTIL = 0.5, 500.0
"""For how much of a label a click counts at first, and after so many redemptions for half of that."""

FEWEST_CLICKS = 20
"""A placement tells by so many clicks that it is one where people click."""

MAX_PLACEMENTS = 256
MAX_OFFERS = 4096
MAX_CATEGORIES = 4096


class _Own(msgspec.Struct):
    """An offer's own intercept: posterior mean and variance, and the version at which it last learned."""

    mean: float = 0.0
    variance: float = OFFER_VARIANCE
    last: int = 0


class _Clicked(msgspec.Struct):
    """A placement's clicks, and by how many logits clicking is likelier there than taking: mean and variance."""

    clicks: int = 0
    gap: float = 0.0
    variance: float = 1.0


class NextBestOfferLearner:
    """The shared offer model, the offers' own intercepts, and how well it did so far."""

    def __init__(
        self,
        customer_names: Sequence[str],
        offer_names: Sequence[str],
        cross_names: Sequence[str],
        fingerprint: str,
        prior_precision: float = 30.0,
        max_offers: int = MAX_OFFERS,
        rule_weight: float = 1.0,
        click_weight: float = CLICK_WEIGHT,
    ) -> None:
        self.customer_names, self.offer_names = tuple(customer_names), tuple(offer_names)
        self.cross_names = tuple(cross_names)
        self.fingerprint = fingerprint
        self.max_offers = max_offers
        self.rule_weight = rule_weight
        self.click_weight = click_weight
        self._size = len(customer_names) + len(offer_names) + len(cross_names)
        start = COMPANIONS if COMPANIONS in self.cross_names else RULE
        self.logit = BayesianLogit(
            prior_precision=prior_precision,
            intercept_precision=1.0,
            plain=(RULE, EXAMINATION, COMPANIONS),
            straight=(*self.customer_names, *self.offer_names),
            prior_means=((start, rule_weight), (EXAMINATION, EXAMINED)),
            names=(*self.customer_names, *self.offer_names, *self.cross_names),
        )
        self._own: dict[str, _Own] = {}
        self.spread = OFFER_VARIANCE
        self._clicked: dict[str, _Clicked] = {}
        self.progress = Progress()

    @property
    def name(self) -> str:
        """`next_best_offer`."""
        return NEXT_BEST_OFFER

    @property
    def version(self) -> int:
        """How many examples it has learned."""
        return self.logit.learned

    def learn(self, examples: Sequence[Example]) -> None:
        """Learn matured examples in this order; undrawn ones are ignored, those of other features left."""
        for example in examples:
            vector = numbers_of(example)
            if example.fingerprint != self.fingerprint or len(vector) != self._size:
                self.progress.foreign += 1
            elif not 0.0 < example.propensity <= 1.0:
                self.progress.ignored += 1
            else:
                self._learn(example, vector)

    def _learn(self, example: Example, vector: Numbers) -> None:
        own = self._own.get(example.offer_id) or _Own(variance=self.spread)
        step = self.logit.learn(vector, example.label, own.mean, own.variance)
        if step is None:
            return
        own.mean += own.variance * step.pull
        own.variance -= own.variance * own.variance * step.curvature
        own.last = self.version
        self._own[example.offer_id] = own
        self.progress.learned(step.probability, example.label)
        self._hint(example, vector, own)
        if len(self._own) > self.max_offers:
            del self._own[min(self._own, key=lambda offer_id: self._own[offer_id].last)]
        if self.version % TOLD_EVERY == 0:
            self._respread()

    def _hint(self, example: Example, vector: Numbers, own: _Own) -> None:
        """What a click, or that there was none, says of the same weights."""
        name = example.id.rpartition("|")[2]
        place = self._clicked.get(name)
        if place is None:
            if len(self._clicked) >= MAX_PLACEMENTS or not example.clicked:
                return
            place = self._clicked[name] = _Clicked()
        place.clicks += example.clicked
        weight = self.click_weight / (1.0 + self.progress.positives / CLICKS_UNTIL)
        if place.clicks < FEWEST_CLICKS or not weight:
            return
        offset, variance = own.mean + place.gap, own.variance + place.variance
        step = self.logit.hint(vector, float(example.clicked), offset, variance, weight)
        if step is None:
            return
        own.mean += own.variance * step.pull
        own.variance -= own.variance * own.variance * step.curvature
        place.gap += place.variance * step.pull
        place.variance -= place.variance * place.variance * step.curvature

    def _respread(self) -> None:
        """How much offers differ by themselves, as the offers tell it (a step of expectation-maximisation), and each offer's
        intercept under it: what was learned of an offer is its precision beyond the prior's, and that stays."""
        owns = self._own.values()
        told = sum(own.mean * own.mean + own.variance for own in owns) + PRESUMED_OFFERS * OFFER_VARIANCE
        spread = min(max(told / (len(owns) + PRESUMED_OFFERS), SPREADS_FROM), SPREADS_TO)
        for own in owns:
            variance = 1.0 / (1.0 / own.variance - 1.0 / self.spread + 1.0 / spread)
            own.mean *= variance / own.variance
            own.variance = variance
        self.spread = spread

    def loosen(self) -> None:
        """Become readier to follow: what was learned is less certain than it seemed."""
        self.logit.loosen()
        for own in self._own.values():
            own.variance = min(LOOSER * own.variance, self.spread)

    def report(self) -> Report:
        """The figures of this moment."""
        return self.progress.report(NEXT_BEST_OFFER, self.version, self.logit.unlearnable)

    def state(self) -> State:
        """Everything that influences what comes next."""
        inner = self.logit.state()
        owns, places = list(self._own.values()), list(self._clicked.values())
        return State(
            arrays={
                **inner.arrays,
                **self.progress.arrays(),
                "offer_means": np.array([own.mean for own in owns]),
                "offer_variances": np.array([own.variance for own in owns]),
                "offer_last": np.array([own.last for own in owns], dtype=np.float64),
                "offer_spread": np.array([self.spread]),
                "click_counts": np.array([place.clicks for place in places], dtype=np.float64),
                "click_gaps": np.array([place.gap for place in places]),
                "click_variances": np.array([place.variance for place in places]),
            },
            facts={
                **inner.facts,
                **self.progress.facts(),
                "fingerprint": self.fingerprint,
                "offers": list(self._own),
                "placements": list(self._clicked),
                "max_offers": self.max_offers,
            },
        )

    def from_state(self, state: State) -> Self:
        """A learner of the same make that continues from a state."""
        offers, places = state.facts.get("offers"), state.facts.get("placements")
        if state.facts.get("fingerprint") != self.fingerprint or not isinstance(offers, list) or not isinstance(places, list):
            raise SnapshotMismatch("this next_best_offer state is of other features")
        if state.facts.get("max_offers") != self.max_offers:
            raise SnapshotMismatch("this next_best_offer state was bounded differently")
        fresh = type(self)(
            self.customer_names,
            self.offer_names,
            self.cross_names,
            self.fingerprint,
            self.logit.prior_precision,
            self.max_offers,
            self.rule_weight,
            self.click_weight,
        )
        fresh.logit = self.logit.from_state(state)
        fresh.progress = Progress.from_state(state)
        fresh.spread = float(state.arrays["offer_spread"][0])
        rows = (state.arrays[name].tolist() for name in ("offer_means", "offer_variances", "offer_last"))
        for offer_id, mean, variance, last in zip(offers, *rows, strict=True):
            fresh._own[offer_id] = _Own(mean, variance, int(last))
        rows = (state.arrays[name].tolist() for name in ("click_counts", "click_gaps", "click_variances"))
        for name, clicks, gap, variance in zip(places, *rows, strict=True):
            fresh._clicked[name] = _Clicked(int(clicks), gap, variance)
        return fresh

    def publish(self) -> Snapshot:
        """Weights, standardisation and the offers' own intercepts; the report rides along."""
        logit = self.logit
        ids = sorted(self._own)
        facts: dict[str, Fact] = {
            **shape_facts(logit.layout),
            "group_sizes": [len(self.customer_names), len(self.offer_names), len(self.cross_names)],
            "offers": list(ids),
            "positives": self.progress.positives,
            "clicks": {name: place.gap for name, place in sorted(self._clicked.items()) if place.clicks >= FEWEST_CLICKS},
        }
        return Snapshot(
            name=NEXT_BEST_OFFER,
            version=self.version,
            fingerprint=self.fingerprint,
            arrays={
                "weights": logit.weights,
                "mean": logit.mean,
                "deviation": logit.deviation,
                "variances": logit.variances,
                "offer_intercepts": np.array([self._own[offer_id].mean for offer_id in ids]),
                "offer_variances": np.array([self._own[offer_id].variance for offer_id in ids]),
            },
            facts=facts,
            carried={"report": msgspec.to_builtins(self.report())},
        )


def with_companions(snapshot: Snapshot, companions: Companions) -> Snapshot:
    """The snapshot carrying what goes along with what; as it is where nothing is known."""
    if not companions.names:
        return snapshot
    return msgspec.structs.replace(snapshot, carried={**snapshot.carried, "companions": companions.carried()})


def with_popularity(snapshot: Snapshot, shares: Mapping[str, float]) -> Snapshot:
    """The snapshot carrying everybody's habit: of each category the share of all purchases that hold it.

    Carried, not learned: relearning a journal does not reproduce it. Only the most bought categories travel.
    """
    most = sorted(shares, key=lambda name: (-shares[name], name))[:MAX_CATEGORIES]
    carried = {**snapshot.carried, "popularity": {name: float(shares[name]) for name in sorted(most)}}
    return msgspec.structs.replace(snapshot, carried=carried)
