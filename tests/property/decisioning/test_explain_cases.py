"""In ten thousand cases of a made-up trade what is explained adds up: one stage for each offer, and the counts are the log's."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.conditions import Feature, Span
from engine.decisioning.decide import decide
from engine.decisioning.explanation import explain
from engine.decisioning.gates import STAGES
from engine.decisioning.ledger import EMPTY, RESERVED, VIEWED, Entry, Ledger
from engine.decisioning.offers import KINDS, SERVICE_RECOVERY, Campaign, Cap, Coupons, Money, Promotes
from engine.decisioning.policy import Caps, ChannelCaps, Holdout, Placement, Policy, QuietHours
from engine.decisioning.situation import PlacementRequest, Situation
from engine.moments import DAY, HOUR, Millis
from engine.profiles.profile import Profile
from tests import shop

CASES, SHOPS, PEOPLE = 10_000, 50, 60
PLACES = {
    "hero": Placement(channel="web", max=3, sticky_seconds=600),
    "till": Placement(channel="pos", max=2, shown_when="decided"),
    "mail": Placement(channel="email", shown_when="decided"),
}
CHANNELS = ("", "web", "pos", "email")


def made_shop(chance: random.Random) -> tuple[Catalogue, Policy, Any]:
    """Up to eight offers of all kinds, with every reason why one might not be made."""
    policy = shop.policy(
        placements=PLACES,
        holdout=Holdout(share=chance.choice([0.0, 0.0, 1.0])),
        quiet_hours=QuietHours(span=chance.choice([None, Span(start=11 * 60, end=13 * 60)])),
        caps=chance.choice([Caps(), Caps(channels=(ChannelCaps(channel="web", caps=(Cap(count=2, window_days=1),)),))]),
    )
    offers = [
        shop.offer(
            f"o-{number}",
            chance.choice([*KINDS, "sell", "sell", "sell"]),
            placements=tuple(chance.sample(sorted(PLACES), chance.randint(1, 3))),
            status=chance.choice(["live", "live", "live", "paused"]),
            purpose=chance.choice(["marketing", "marketing", "email"]),
            tags=tuple(chance.sample(["wine", SERVICE_RECOVERY], chance.randint(0, 1))),
            caps=chance.choice([(), (Cap(count=1, window_days=1),), (Cap(count=2, window_days=7, channel="web"),)]),
            stock=chance.choice([None, None, 5]),
            campaign=chance.choice([None, "weeks"]),
            cost=Money(20, "EUR"),
            promotes=Promotes(categories=tuple(chance.sample(shop.MARKET, chance.randint(0, 2)))),
            eligible_when=chance.choice([(), (), (Feature(feature="rfm.recency", below=10.0),)]),
            starts=chance.choice([None, None, shop.NOON + DAY]),
        )
        for number in range(chance.randint(0, 7))
    ]
    offers.append(shop.offer("coded", coupons=Coupons(codes=("A", "B")), placements=("hero",)))
    weeks = Campaign(id="weeks", budget=Money(1_000, "EUR"), caps=(Cap(count=2, window_days=7),))
    catalogue = shop.catalogue(offers, policy, (weeks,))
    return catalogue, policy, shop.scorers(catalogue)


def made_person(chance: random.Random) -> Profile:
    happened = [
        shop.consented("granted", shop.NOON - 5 * DAY, purpose="email"),
        shop.consented("revoked", shop.NOON - 2 * DAY),
        shop.complained(shop.NOON - DAY),
        shop.bought(shop.NOON - 3 * DAY, ("p-1", chance.choice(shop.MARKET))),
        shop.bought(shop.NOON - 90 * DAY, ("p-2", chance.choice(shop.MARKET))),
    ]
    return shop.customer(*chance.sample(happened, chance.randint(0, 3)), consent=chance.random() < 0.8)


def made_ledger(chance: random.Random, catalogue: Catalogue) -> Ledger | None:
    """None, once in a while: the store does not answer."""
    if chance.random() < 0.5:
        return EMPTY if chance.random() < 0.95 else None
    columns = catalogue.columns
    entries = [
        Entry(
            (f"d-{number}",),
            columns.ids[row := chance.randrange(len(columns.ids))],
            chance.choice(sorted(PLACES)),
            chance.choice([RESERVED, VIEWED]),
            Millis(shop.NOON - chance.choice([1, 30]) * HOUR),
            Millis(shop.NOON + chance.choice([-1, 1]) * HOUR),
            (*columns.scopes[row], f"x:{chance.choice(CHANNELS[1:])}"),
        )
        for number in range(chance.randint(1, 4))
    ]
    return Ledger(entries=tuple(entries))


def made_case(chance: random.Random, catalogue: Catalogue, person: Situation, number: int) -> Situation:
    places = chance.sample(sorted(PLACES), chance.randint(1, 2))
    return Situation(
        decision_id=f"d-{number}",
        now=person.now,
        unit=person.unit,
        placements=tuple(PlacementRequest(name, chance.randint(1, 3)) for name in places),
        part=person.part,
        vector=person.vector,
        ledger=made_ledger(chance, catalogue),
        stock_left=chance.choice([{}, {}, {"campaign:weeks": 10}, {"coded": 0}, {"o-1": 0}]),
        refused=chance.choice([{}, {}, {"o-0": "cap"}, {"o-2": "stock"}]),
        channel=chance.choice(CHANNELS),
        exclude=chance.choice([frozenset[str](), frozenset({"o-0"})]),
        late=chance.random() < 0.05,
    )


@pytest.mark.slow
def test_stages_add_up_to_the_catalogue_in_ten_thousand_cases() -> None:
    chance = random.Random(4)
    shops = [made_shop(chance) for _ in range(SHOPS)]
    people = [shop.situation(made_person(chance)) for _ in range(PEOPLE)]
    met = Counter[str]()

    for number in range(CASES):
        catalogue, policy, scorers = shops[number % SHOPS]
        case = made_case(chance, catalogue, people[chance.randrange(PEOPLE)], number)

        decision, entries = explain(case, catalogue, scorers, policy)

        size = len(catalogue.offers)
        assert len(entries) == size * len(case.placements)
        for place, filled in enumerate(decision.placements):
            told = Counter(entry.stage for entry in entries[place * size : (place + 1) * size])
            assert {name: count for name, count in filled.stages.items() if count} == told
            assert told.total() == size
            met += told
        assert all(entry.rule for entry in entries)
        if number % 20 == 0:
            assert decide(case, catalogue, scorers, policy).placements == decision.placements
    assert set(met) == {*STAGES, "arbitration", "chosen"}
    assert np.all([count > CASES / 200 for count in met.values()]), met
