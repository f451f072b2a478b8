"""Offers whose chances are known: new ones that come later, tastes that drift, and answers that are poisoned.

A customer takes an offer with a chance that depends on how well their traits fit what the offer is about, on the offer itself,
and on the week. What a learner may read (traits, what an offer is about, how well both fit) tells most of it, never all.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.models.base import Example, recorded
from engine.moments import DAY, WEEK
from load_tests.shoppers.crowd import Mask, Numbers

TRAITS = 5
ABOUT = 3


class Shelf(Struct, frozen=True):
    """The rules of a shelf. Offer number k is there from week `since[k]` on; from `drifts_at` on tastes are others.

    Answers of the weeks in `poisoned` (from, before) are reported the wrong way round with chance `lies`.
    """

    seed: int
    since: tuple[int, ...]
    drifts_at: int | None = None
    poisoned: tuple[int, int] = (0, 0)
    lies: float = 0.8
    level: float = -2.2
    own: float = 0.3

    def chance(self, what: str, number: int = 0) -> np.random.Generator:
        """The generator of one part of this shelf."""
        return np.random.default_rng([self.seed, number, *what.encode()])

    def traits(self, customers: int) -> Numbers:
        """(n, TRAITS): what is known of each customer."""
        return self.chance("traits").normal(0.0, 1.0, (customers, TRAITS))

    @property
    def about(self) -> Numbers:
        """(K, ABOUT): what each offer promotes, as numbers."""
        return self.chance("about").normal(0.0, 1.0, (len(self.since), ABOUT))

    def there(self, week: int) -> Mask:
        """(K,): which offers can be shown in a week."""
        return np.array(self.since) <= week

    def fit(self, traits: Numbers, week: int = 0) -> Numbers:
        """(n, K): how well each offer fits each customer, as it truly is in that week."""
        drifted = self.drifts_at is not None and week >= self.drifts_at
        tastes = self.chance("tastes", int(drifted)).normal(0.0, 0.6, (TRAITS, ABOUT))
        return np.asarray(traits @ tastes @ self.about.T)

    def probability(self, traits: Numbers, week: int) -> Numbers:
        """(n, K): the chance that each customer takes each offer."""
        own = self.chance("own").normal(0.0, self.own, len(self.since))
        return np.asarray(1.0 / (1.0 + np.exp(-(self.level + self.fit(traits, week) + own))))

    def answers(self, probability: Numbers, week: int) -> Numbers:
        """Taken (1.0) or not, as it is reported, for one chance each."""
        draw = self.chance("answers", week)
        taken = draw.random(probability.shape) < probability
        lied = draw.random(probability.shape) < self.lies
        wrong = self.poisoned[0] <= week < self.poisoned[1]
        return np.asarray(np.where(lied & wrong, ~taken, taken), dtype=np.float64)

    def readings(self, traits: Numbers, offers: Sequence[int] | NDArray[np.intp]) -> Numbers:
        """(n, width): what a learner reads of each customer with the offer that was shown. The joint readings are the products
        of each trait with what the offer is about; the first is the rule's guess, which knows nothing but the level."""
        about = self.about[np.asarray(offers)]
        both = (traits[:, :, np.newaxis] * about[:, np.newaxis, :]).reshape(len(traits), -1)
        return np.concatenate([traits, about, np.full((len(traits), 1), self.level), both], axis=1)

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Names of the readings: the customer's, the offer's, and the joint ones."""
        joint = tuple(f"both.{trait}_{about}" for trait in range(TRAITS) for about in range(ABOUT))
        return (
            tuple(f"trait.{number}" for number in range(TRAITS)),
            tuple(f"about.{number}" for number in range(ABOUT)),
            ("affinity.rule_logit", *joint),
        )

    def examples(self, traits: Numbers, shown: NDArray[np.intp], week: int, fingerprint: str, propensity: float) -> list[Example]:
        """What a week of showings teaches, as the engine's own examples."""
        chances = self.probability(traits, week)[np.arange(len(traits)), shown]
        vectors, labels = self.readings(traits, shown), self.answers(chances, week)
        return [
            Example(
                model="next_best_offer",
                id=f"d-{week}-{number}|offer-{offer}",
                customer=f"u:{number}",
                opened_at=week * WEEK,
                closed_at=week * WEEK + DAY,
                label=float(label),
                fingerprint=fingerprint,
                vector=recorded(vector),
                offer_id=f"offer-{offer}",
                propensity=propensity,
            )
            for number, (offer, vector, label) in enumerate(zip(shown.tolist(), vectors, labels, strict=True))
        ]
