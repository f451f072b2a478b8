"""Caps by channel, tag and campaign: what counts is what a contact was when it was made."""

from engine.decisioning.decide import decide
from engine.decisioning.decision import Decision
from engine.decisioning.explanation import explain
from engine.decisioning.ledger import EMPTY, Ledger, commit
from engine.decisioning.offers import Campaign, Cap, Offer
from engine.decisioning.policy import Caps, ChannelCaps, Placement, Policy
from engine.decisioning.situation import PlacementRequest
from engine.moments import DAY
from tests import shop

ANNA = shop.customer()
PLACES = {"hero": Placement(max=5, shown_when="decided"), "side": Placement(max=5, shown_when="decided")}
ONCE = Cap(count=1, window_days=7)


class Walk:
    """Decisions one after the other, each on the ledger that those before it left."""

    def __init__(self, offers: list[Offer], policy: Policy, *campaigns: Campaign) -> None:
        self.policy, self.catalogue = policy, shop.catalogue(offers, policy, campaigns)
        self.scorers, self.ledger, self.number = shop.scorers(self.catalogue), EMPTY, 0

    def decision(self, channel: str, count: int = 1, place: str = "hero", days: float = 0) -> Decision:
        self.number += 1
        asked = shop.situation(
            ANNA,
            ledger=self.ledger,
            channel=channel,
            decision_id=f"d-{self.number}",
            placements=(PlacementRequest(place, count),),
            now=shop.NOON + int(days * DAY),
        )
        decision = decide(asked, self.catalogue, self.scorers, self.policy)
        after = commit(self.ledger, decision.claims, (), decision.at, self.catalogue.longest_window_ms)
        assert isinstance(after, Ledger)
        self.ledger = after
        return decision

    def shown(self, channel: str, count: int = 1, place: str = "hero", days: float = 0) -> int:
        return len(self.decision(channel, count, place, days).offers)


def test_a_channel_has_a_cap_of_its_own_over_all_sales() -> None:
    policy = shop.policy(
        placements=PLACES, caps=Caps(channels=(ChannelCaps(channel="email", caps=(Cap(count=2, window_days=1),)),))
    )
    walk = Walk(shop.sells(6), policy)

    assert walk.shown("web", 3) == 3
    assert walk.shown("email", 3) == 2
    assert walk.shown("email") == 0
    assert walk.shown("web", 5) == 5
    assert walk.shown("email", 3, days=1.01) == 2


def test_an_offer_may_be_capped_on_one_channel_only() -> None:
    walk = Walk([shop.offer("a", caps=(Cap(count=1, window_days=7, channel="email"),))], shop.policy(placements=PLACES))

    assert [walk.shown(channel) for channel in ("email", "email", "web", "web", "sms")] == [1, 0, 1, 1, 1]


def test_a_placement_with_a_channel_of_its_own_touches_both() -> None:
    places = {"hero": Placement(channel="app", shown_when="decided"), "side": Placement(shown_when="decided")}
    policy = shop.policy(placements=places, caps=Caps(channels=(ChannelCaps(channel="app", caps=(ONCE,)),)))
    walk = Walk(shop.sells(3, placements=("hero", "side")), policy)

    assert walk.shown("web") == 1
    assert walk.shown("app", place="side") == 0
    assert walk.shown("web", place="side") == 1


def test_a_campaign_may_cap_a_tag_on_a_channel() -> None:
    weeks = Campaign(id="weeks", caps=(Cap(count=1, window_days=7, channel="email", tag="wine"),))
    offers = [
        *(shop.offer(f"red-{n}", campaign="weeks", tags=("wine",)) for n in range(2)),
        shop.offer("tea", campaign="weeks", tags=("tea",)),
        shop.offer("other-wine", tags=("wine",)),
    ]
    walk = Walk(offers, shop.policy(placements=PLACES), weeks)

    chosen = {offer.offer_id for offer in walk.decision("email", 5).offers}

    assert len(chosen) == 3
    assert {"tea", "other-wine"} < chosen
    assert walk.shown("web", 5) == 4
    assert {offer.offer_id for offer in walk.decision("email", 5).offers} == {"tea", "other-wine"}


def test_tags_count_as_they_were_when_the_contact_was_made() -> None:
    policy = shop.policy(placements=PLACES, caps=Caps(all_offers=(Cap(count=1, window_days=7, tag="wine"),)))
    walk = Walk([shop.offer("a", tags=("wine",)), shop.offer("b", tags=("wine",), status="paused")], policy)
    walk.shown("web")

    retagged = Walk([shop.offer("a", tags=("tea",)), shop.offer("b", tags=("wine",))], policy)
    retagged.ledger, retagged.number = walk.ledger, 10

    assert [offer.offer_id for offer in retagged.decision("web", 2).offers] == ["a"]


def test_the_words_name_channel_and_tag() -> None:
    policy = shop.policy(placements=PLACES, caps=Caps(all_offers=(Cap(count=1, window_days=7, channel="web", tag="wine"),)))
    walk = Walk([shop.offer("a", tags=("wine",))], policy)
    walk.shown("web")

    asked = shop.situation(ANNA, ledger=walk.ledger, channel="web", decision_id="d-9")
    _, (told,) = explain(asked, walk.catalogue, walk.scorers, policy)

    assert (told.stage, told.rule) == ("cap", "every sale together with the tag wine on web was shown 1 times in 7 days, cap 1")
