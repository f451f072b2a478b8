"""What the log keeps of a decision is enough to attribute and to learn."""

from base64 import b64decode

import msgspec
import pytest

from engine.decisioning.decide import decide
from engine.decisioning.offers import Offer, Promotes, Redemption
from engine.decisioning.policy import Placement
from engine.decisioning.record import decided, eligible_in
from engine.events.offers import Decided
from engine.moments import DAY
from tests import shop


def logged(offer: Offer) -> Decided:
    policy = shop.policy(placements={"hero": Placement(shown_when="decided")})
    catalogue = shop.catalogue([offer], policy)
    decision = decide(shop.situation(shop.customer()), catalogue, shop.scorers(catalogue), policy)
    return decided(decision, catalogue, policy, request_id="r-1", fingerprint="f")


def test_a_decision_survives_its_way_through_the_log() -> None:
    record = logged(shop.offer("a", promotes=Promotes(categories=("coffee",)), attribution_window_days=7))

    again = msgspec.json.decode(msgspec.json.encode(record), type=Decided)

    assert again == record
    (offer,) = again.offers
    assert (offer.categories, offer.attribution_window_ms, offer.shown_when) == (("coffee",), 7 * DAY, "decided")
    assert len(b64decode(offer.vector)) % 4 == 0
    assert again.eligible == {"hero": ("a",)}
    assert sum(again.stages["hero"].values()) == 1
    assert set(again.versions) == {"policy", "catalogue", "next_best_offer"}


@pytest.mark.parametrize(
    ("offer", "way"),
    [
        (shop.offer("a", promotes=Promotes(categories=("coffee",))), ("buys", "")),
        (shop.offer("a"), ("event", "")),
        (shop.offer("a", redeemed_when=Redemption(coupon="ESP10")), ("coupon", "ESP10")),
        (shop.offer("a", redeemed_when=Redemption(event="offer_accepted")), ("event", "")),
    ],
)
def test_what_counts_as_taken_rides_along(offer: Offer, way: tuple[str, str]) -> None:
    (chosen,) = logged(offer).offers

    assert (chosen.redeemed_when, chosen.coupon) == way


def test_a_large_eligible_set_is_logged_as_a_bit_an_offer_and_reads_back_by_name() -> None:
    policy = shop.policy()
    catalogue = shop.catalogue([*shop.sells(300), shop.offer("off", status="paused")], policy)
    decision = decide(shop.situation(shop.customer()), catalogue, shop.scorers(catalogue), policy)

    record = decided(decision, catalogue, policy)
    raw = msgspec.json.encode(record)

    assert record.eligible == {}
    assert len(raw) < 2_000
    again = msgspec.json.decode(raw, type=Decided)
    assert eligible_in(again, catalogue.columns.ids) == {"hero": tuple(f"sell-{n}" for n in range(300))}
    assert eligible_in(again, ()) == {"hero": ()}
