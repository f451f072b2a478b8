"""Parts that move between the shards of identities, case by case: chains, shared devices, late words, erasure, open offers."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.experiment import in_holdout
from engine.decisioning.policy import Holdout
from engine.models.base import Example
from engine.models.lift import EVERYTHING, HOLDOUT
from engine.moments import DAY, HOUR
from engine.profiles.profile import Part, Profile
from engine.shards.commit import Entry
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START, decided, folded, order, simple
from tests.identities import CARD, LAPTOP, OTHER, TABLET, USER, Shards, admit, arrivals, said
from tests.property.test_trials import decision, sums

LIMITED = settings(max_examples=40, deadline=None)
DAYS = [START + number * DAY for number in range(100)]


def lived(*log: dict[str, Any], seed: int | None = None, settled: int = 0) -> dict[str, Profile]:
    """Profiles after a log; everything told is passed on before the next event, unless a seed leaves that to chance after as many
    events as are `settled`."""
    return shards_after(log, seed, settled).profiles()


def shards_after(log: Sequence[dict[str, Any]], seed: int | None = None, settled: int = 0) -> Shards:
    shards = Shards(random.Random(seed or 0))
    for index, one in enumerate(arrivals(log)):
        shards.take(one)
        if seed is None or index < settled:
            shards.settle()
    shards.settle()
    return shards


def bought(name: str, day: int, **who: str) -> dict[str, Any]:
    return order(name, "", DAYS[day], 1_000) | {"user_id": None} | who


def looked(name: str, day: int, **who: str) -> dict[str, Any]:
    return simple("page_viewed", name, "", DAYS[day]) | {"user_id": None} | who


def examples(store: MemoryStore) -> list[Example]:
    return [msgspec.msgpack.decode(raw, type=Example) for raws in store.examples.values() for raw in raws]


@pytest.mark.parametrize("seed", range(8))
def test_a_browser_follows_its_card_to_the_account_of_the_card(seed: int) -> None:
    profiles = lived(
        bought("1", 1, **TABLET), looked("2", 2, **TABLET, **CARD), bought("3", 3, **TABLET),
        bought("4", 4, **CARD), looked("5", 5, **CARD, **USER), bought("6", 6, **TABLET), bought("7", 7, **CARD),
        seed=seed,
    )  # fmt: skip

    assert profiles["u:ann"].purchases.count == 5
    assert set(profiles["u:ann"].parts) == {"u:ann", "l:card-7", "a:tablet"}
    assert (profiles["a:tablet"].moved_to, profiles["l:card-7"].moved_to) == ("l:card-7", "u:ann")


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_a_card_that_is_unlinked_takes_its_browser_home(seed: int | None) -> None:
    profiles = lived(
        bought("1", 1, **TABLET), looked("2", 2, **TABLET, **CARD), looked("3", 5, **CARD, **USER), bought("4", 6, **TABLET),
        bought("5", 6, **USER), said("identity_unlinked", 6, DAYS[7], USER, CARD), bought("7", 8, **TABLET),
        bought("8", 8, **CARD),
        seed=seed,
    )  # fmt: skip

    assert set(profiles["u:ann"].parts) == {"u:ann"}
    assert profiles["u:ann"].purchases.count == 1
    assert set(profiles["l:card-7"].parts) == {"l:card-7", "a:tablet"}
    assert profiles["l:card-7"].purchases.count == 4


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_a_browser_that_came_with_a_card_is_unlinked_by_itself(seed: int | None) -> None:
    profiles = lived(
        bought("1", 1, **TABLET), looked("2", 2, **TABLET, **CARD), looked("3", 5, **CARD, **USER), bought("4", 6, **TABLET),
        said("identity_unlinked", 6, DAYS[7], USER, TABLET), bought("7", 8, **TABLET), bought("8", 8, **CARD),
        seed=seed,
    )  # fmt: skip

    assert set(profiles["u:ann"].parts) == {"u:ann", "l:card-7"}
    assert profiles["a:tablet"].purchases.count == 3
    assert not profiles["a:tablet"].moved_to


@pytest.mark.parametrize("seed", [None, *range(6)])
def test_a_shared_device_belongs_to_who_logged_in_first_until_they_let_go_of_it(seed: int | None) -> None:
    first = [
        bought("1", 1, **TABLET), looked("2", 2, **TABLET, **USER), bought("3", 3, **TABLET),
        looked("4", 4, **TABLET, **OTHER), bought("5", 5, **TABLET), bought("6", 6, **TABLET, **OTHER),
    ]  # fmt: skip
    let_go = [said("identity_unlinked", 7, DAYS[7], USER, TABLET), bought("8", 8, **TABLET)]
    taken_up = [said("identity_linked", 9, DAYS[9], OTHER, TABLET), bought("10", 10, **TABLET)]

    shared = lived(*first)
    apart = lived(*first, *let_go, seed=seed)
    moved = lived(*first, *let_go, *taken_up)

    assert [shared[key].purchases.count for key in ("u:ann", "u:bob")] == [3, 1]
    if seed is None:
        assert [apart[key].purchases.count for key in ("u:ann", "u:bob", "a:tablet")] == [0, 1, 4]
    assert sum(profile.purchases.count for profile in apart.values()) == 5
    assert [moved[key].purchases.count for key in ("u:ann", "u:bob", "a:tablet")] == [0, 6, 0]
    assert moved["a:tablet"].moved_to == "u:bob"


@LIMITED
@given(
    st.permutations(
        [
            said("identity_linked", 1, DAYS[10], USER, TABLET),
            said("identity_unlinked", 2, DAYS[20], USER, TABLET),
            said("identity_linked", 3, DAYS[30], USER, TABLET),
            looked("4", 40, **USER, **TABLET),
            looked("5", 5, **USER, **TABLET),
        ]
    ),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_of_what_was_said_outright_the_newest_holds_in_whichever_order_it_arrives(
    log: list[dict[str, Any]], parted_last: bool, seed: int
) -> None:
    """An event that names both in passing changes nothing about it, and what is said twice is said once."""
    if parted_last:
        log = [said("identity_unlinked", 9, DAYS[35], USER, TABLET) if body["id"] == "s-1" else body for body in log]

    profiles = lived(bought("1", 1, **TABLET), *log, bought("2", 50, **TABLET), *log, seed=seed)

    holder = "a:tablet" if parted_last else "u:ann"
    assert profiles[holder].part_of("a:tablet").purchases.count == 2
    assert profiles["a:tablet"].moved_to == ("" if parted_last else "u:ann")


def test_a_link_before_either_has_done_anything_holds_for_what_comes() -> None:
    profiles = lived(said("identity_linked", 1, DAYS[1], USER, TABLET), bought("2", 2, **TABLET))

    assert profiles["u:ann"].purchases.count == 1
    assert profiles["u:ann"].first_identity == "u:ann"


def test_who_is_linked_to_themselves_stays_as_they_are() -> None:
    same = {"user_id": "x", "anonymous_id": "x", "loyalty_id": "x"}
    profiles = lived(
        looked("1", 1, **same), looked("2", 2, **same), bought("3", 3, user_id="x"), bought("4", 4, anonymous_id="x")
    )

    assert profiles["u:x"].purchases.count == 2
    assert set(profiles["u:x"].parts) == {"u:x", "l:x", "a:x"}
    for kind in ("identity_linked", "identity_unlinked"):
        alone = lived(bought("1", 1, **USER), said(kind, 2, DAYS[2], USER))
        assert (alone["u:ann"].purchases.count, alone["u:ann"].links.by_key) == (1, {})


@pytest.mark.parametrize("seed", [None, *range(6)])
def test_who_is_forgotten_is_forgotten_under_every_name(seed: int | None) -> None:
    forget = simple("erasure_requested", "gone", "ann", DAYS[9])
    log = [
        bought("1", 1, **TABLET), looked("2", 2, **TABLET, **CARD), looked("3", 5, **CARD, **USER), bought("4", 6, **LAPTOP),
        looked("5", 7, **LAPTOP, **USER), forget, bought("7", 10, **TABLET), bought("8", 10, **CARD),
    ]  # fmt: skip
    shards = shards_after(log, seed)

    left = {key: profile for key, profile in shards.profiles().items() if profile.parts or profile.moved_to}
    assert not {"u:ann", "l:card-7"} & set(left)
    assert not left
    assert b"ann" not in b"".join(shards.store.profiles.values())


def test_who_was_let_go_of_does_not_remember_who_is_forgotten() -> None:
    forget = simple("erasure_requested", "gone", "ann", DAYS[9])
    shards = shards_after(
        [
            bought("1", 1, **USER), looked("2", 2, **TABLET, **USER),
            decision("d-1", "", DAYS[3], ["winback"], "learned", **TABLET), bought("3", 4, **TABLET),
            said("identity_unlinked", 5, DAYS[5], USER, TABLET),
        ]
    )  # fmt: skip
    assert shards.profiles()["a:tablet"].unit == "u:ann"

    shards.take(admit(forget, DAYS[9]))
    shards.settle()

    (only,) = shards.profiles().values()
    assert (only.key, only.purchases.count, only.unit) == ("a:tablet", 1, "a:tablet")
    assert b"ann" not in b"".join(shards.store.profiles.values())


def test_a_browser_that_is_forgotten_leaves_its_customer() -> None:
    forget = simple("erasure_requested", "gone", "", DAYS[9]) | {"user_id": None} | TABLET
    shards = shards_after(
        [bought("1", 1, **TABLET), looked("2", 2, **TABLET, **USER), bought("3", 3, **USER), forget, bought("4", 10, **TABLET)]
    )

    (only,) = shards.profiles().values()
    assert (only.key, only.purchases.count) == ("u:ann", 1)
    assert b"tablet" not in b"".join(shards.store.profiles.values())


def test_of_a_card_that_is_forgotten_the_browser_stays_with_the_customer() -> None:
    forget = simple("erasure_requested", "gone", "", DAYS[9]) | {"user_id": None} | CARD
    profiles = lived(
        bought("1", 1, **TABLET), bought("2", 1, **CARD), looked("3", 2, **TABLET, **CARD), looked("4", 5, **CARD, **USER),
        forget, bought("6", 10, **TABLET),
    )  # fmt: skip

    assert set(profiles["u:ann"].parts) == {"u:ann", "a:tablet"}
    assert profiles["u:ann"].purchases.count == 2
    assert profiles["a:tablet"].moved_to == "u:ann"


def seen(day: int, **who: str) -> dict[str, Any]:
    told = simple("offer_viewed", "seen", "", DAYS[day] + HOUR) | {"user_id": None} | who
    return told | {"decision_id": "d-1", "offer_id": "o-1"}


def made(day: int, **who: str) -> dict[str, Any]:
    return decided("d-1", "", DAYS[day]) | {"user_id": None} | who


def matured(log: Sequence[dict[str, Any]], seed: int | None = None) -> list[Example]:
    """What was learned of offers when every window has closed."""
    shards = shards_after(log, seed)
    folded([(shard, Entry("", tick=DAYS[60])) for shard in range(SHARDS)], store=shards.store)
    assert shards.store.waiting.keys() == {key for key in shards.store.waiting if "|u:" not in key[1] or "o|" not in key[1]}
    return [one for one in examples(shards.store) if one.model == "next_best_offer"]


@pytest.mark.parametrize("seed", [None, *range(12)])
def test_a_purchase_after_the_login_closes_the_decision_of_before_once(seed: int | None) -> None:
    before_login = [made(1, **TABLET), seen(1, **TABLET)]
    log = [*before_login, looked("login", 2, **TABLET, **USER), bought("1", 3, **USER)]

    (learned,) = matured(log, seed)

    assert (learned.label, learned.customer, learned.id) == (1.0, "u:ann", "d-1|o-1|home_hero")
    (alone,) = matured(before_login)
    assert (learned.vector, learned.fingerprint, learned.propensity) == (alone.vector, alone.fingerprint, alone.propensity)
    assert alone.label == 0.0


@pytest.mark.parametrize("seed", [None, *range(6)])
def test_what_is_seen_as_a_customer_of_a_visitors_offer_is_seen(seed: int | None) -> None:
    log = [made(1, **TABLET), seen(1, **TABLET, **USER), bought("1", 3, **CARD), looked("2", 4, **CARD, **USER)]

    (learned,) = matured(log, seed)

    assert learned.label == 1.0


@pytest.mark.parametrize("seed", [None, *range(24)])
def test_what_a_card_owner_heard_of_the_browsers_of_the_card_goes_with_the_card(seed: int | None) -> None:
    """Events under card and browser that arrive after the card moved: the browser is the card's, whoever has heard of it."""
    profiles = lived(
        bought("1", 1, **TABLET), looked("2", 2, **CARD, **USER), bought("3", 3, **TABLET, **CARD),
        looked("4", 4, **TABLET, **CARD), said("identity_unlinked", 5, DAYS[5], USER, CARD), bought("6", 6, **TABLET),
        seed=seed,
    )  # fmt: skip

    assert profiles["u:ann"].purchases.count == 0
    assert profiles["a:tablet"].moved_to == "l:card-7"
    assert set(profiles["l:card-7"].parts) == {"l:card-7", "a:tablet"}
    assert profiles["l:card-7"].purchases.count == 3


@pytest.mark.parametrize("seed", [None, *range(8), 566, 626, 666, 701, 723])
def test_a_view_that_overtakes_its_offer_on_the_way_home_is_counted(seed: int | None) -> None:
    """The browser's part goes home from the user's shard and on to the card; what the browser does goes straight to the card."""
    profiles = lived(
        looked("1", 1, **CARD, **USER), looked("2", 1, **TABLET, **CARD), made(2, **TABLET),
        said("identity_unlinked", 3, DAYS[2] + 1, USER, CARD), seen(2, **TABLET),
        looked("4", 4, **LAPTOP), looked("5", 5, **LAPTOP),
        seed=seed, settled=3,
    )  # fmt: skip

    offers = profiles["l:card-7"].part_of("a:tablet").offers
    assert (offers.decided, offers.shown) == (1, 1)


@pytest.mark.parametrize("seed", [None, *range(80)])
def test_a_view_that_went_on_with_the_card_before_its_offer_follows_it(seed: int | None) -> None:
    """The view is with the card's next owner for a while, the offer comes when the card is let go of again."""
    profiles = lived(
        looked("1", 1, **CARD, **USER), looked("2", 1, **TABLET, **CARD), made(2, **TABLET),
        said("identity_unlinked", 3, DAYS[2] + 1, USER, CARD), said("identity_linked", 4, DAYS[2] + 2, OTHER, CARD),
        seen(2, **TABLET), said("identity_unlinked", 5, DAYS[4], OTHER, CARD), looked("6", 6, **LAPTOP),
        seed=seed,
    )  # fmt: skip

    offers = [part.offers for profile in profiles.values() for part in profile.parts.values()]
    assert (sum(one.decided for one in offers), sum(one.shown for one in offers)) == (1, 1)


@pytest.mark.parametrize("seed", [None, *range(40)])
def test_what_a_browser_does_while_its_part_is_on_the_way_is_not_left_behind(seed: int | None) -> None:
    """The card is let go of, taken again and let go of: what came through it in between leaves with it, part or no part."""
    profiles = lived(
        bought("1", 1, **TABLET), looked("2", 2, **TABLET, **CARD), said("identity_linked", 3, DAYS[3], USER, CARD),
        said("identity_unlinked", 4, DAYS[4], USER, CARD), said("identity_linked", 5, DAYS[5], USER, CARD),
        bought("6", 6, **TABLET), said("identity_unlinked", 7, DAYS[7], USER, CARD), bought("8", 8, **TABLET),
        seed=seed,
    )  # fmt: skip

    assert set(profiles["u:ann"].parts) == {"u:ann"}
    assert set(profiles["l:card-7"].parts) - {"l:card-7"} == {"a:tablet"}
    assert profiles["l:card-7"].purchases.count == 3


def test_an_open_offer_goes_home_with_its_part_and_is_learned_from_there() -> None:
    log = [
        made(1, **TABLET), seen(1, **TABLET), looked("login", 2, **TABLET, **USER),
        said("identity_unlinked", 4, DAYS[4], USER, TABLET), bought("1", 5, **TABLET),
    ]  # fmt: skip

    (learned,) = matured(log)

    assert (learned.label, learned.customer) == (1.0, "a:tablet")


def test_who_does_not_want_to_be_profiled_is_not_learned_from_after_logging_in_either() -> None:
    refuses = simple("consent_updated", "no", "ann", DAYS[2], purpose="profiling", status="revoked")
    log = [made(1, **TABLET), seen(1, **TABLET), refuses, looked("login", 3, **TABLET, **USER), bought("1", 4, **USER)]

    assert matured(log) == []


def test_consent_goes_home_with_its_part_and_a_refusal_stays_with_both() -> None:
    def consent(name: str, day: int, status: str, purpose: str, **who: str) -> dict[str, Any]:
        told = simple("consent_updated", name, "", DAYS[day], purpose=purpose, status=status)
        return told | {"user_id": None} | who

    profiles = lived(
        consent("1", 1, "granted", "email", **TABLET), consent("2", 2, "revoked", "sms", **TABLET),
        looked("3", 3, **TABLET, **USER), consent("4", 4, "revoked", "push", **USER),
        consent("5", 4, "granted", "onsite", **USER), said("identity_unlinked", 6, DAYS[6], USER, TABLET),
    )  # fmt: skip

    def statuses(part: Part) -> list[str]:
        return [part.consent.status(purpose, None, DAYS[50]) for purpose in ("email", "sms", "push", "onsite")]

    assert statuses(profiles["u:ann"].whole) == ["unknown", "revoked", "revoked", "granted"]
    assert statuses(profiles["a:tablet"].whole) == ["granted", "revoked", "revoked", "unknown"]


@LIMITED
@given(st.lists(st.sampled_from([USER, TABLET, LAPTOP, CARD]), min_size=1, max_size=6), st.integers(0, 2**16), st.booleans())
def test_whoever_is_counted_in_an_experiment_keeps_their_side(asked_by: list[dict[str, str]], seed: int, parted: bool) -> None:
    """The side is that of the first decision of the customer, whichever identity was seen first and whatever is joined to it."""
    holdout = Holdout(share=0.5, salt=f"{seed}")
    shards, sides, joined = Shards(random.Random(seed)), [], set()
    for index, who in enumerate(asked_by):
        log = [looked(f"v{index}", 2 * index, **who)]
        if who != USER and (first := str(who)) not in joined:
            joined.add(first)
            log.append(said("identity_linked", index, DAYS[2 * index] + 1, USER, who))
        for body in log:
            shards.take(admit(body, DAYS[2 * index]))
        shards.settle()
        profile = shards.profiles()[
            "u:ann" if "u:ann" in shards.profiles() else f"{'al'[who == CARD]}:{next(iter(who.values()))}"
        ]
        held_out = in_holdout(profile.unit, holdout)
        arm = HOLDOUT if held_out else "learned"
        shards.take(admit(decision(f"d-{index}", "", DAYS[2 * index] + HOUR, ["winback"], arm, **who), DAYS[2 * index]))
        shards.settle()
        sides.append(held_out)
    if parted:
        shards.take(admit(said("identity_unlinked", 99, DAYS[90], USER, TABLET), DAYS[90]))
        shards.settle()
        sides += [
            in_holdout(one.unit, holdout) for one in shards.profiles().values() if one.part_of(one.key).experiment.enrolments
        ]

    assert len(set(sides)) == 1


def test_two_identities_that_were_counted_before_they_met_are_one_observation_of_the_earlier_side() -> None:
    log = [
        decision("d-1", "", DAYS[1], ["winback"], "learned", **TABLET),
        decision("d-2", "", DAYS[3], ["winback"], HOLDOUT, **USER),
        looked("login", 4, **TABLET, **USER),
        bought("1", 5, **USER),
        decision("d-3", "", DAYS[6], ["winback"], "learned", **USER),
    ]
    shards = shards_after(log)
    assert shards.profiles()["u:ann"].unit == "a:tablet"
    folded([(shard, Entry("", tick=START + 90 * DAY)) for shard in range(SHARDS)], store=shards.store)

    found = sums(shards.store)

    assert {arm for _, arm in found} == {"learned"}
    both = found[EVERYTHING, "learned"]
    assert (both.customers, both.mixed, both.money["EUR"].y) == (1, 1, 1_000.0)


def test_identities_that_part_before_they_are_counted_are_two_observations_with_their_own_spend() -> None:
    log = [
        decision("d-1", "", DAYS[1], ["winback"], "learned", **TABLET),
        looked("login", 2, **TABLET, **USER),
        bought("1", 3, **USER), bought("2", 4, **TABLET), bought("3", 4, **TABLET),
        said("identity_unlinked", 5, DAYS[5], USER, TABLET),
        decision("d-2", "", DAYS[6], ["winback"], "learned", **USER),
        bought("7", 7, **USER),
    ]  # fmt: skip
    shards = shards_after(log)
    folded([(shard, Entry("", tick=START + 90 * DAY)) for shard in range(SHARDS)], store=shards.store)

    money = sums(shards.store)["winback", "learned"]

    assert money.customers == 2
    assert (money.money["EUR"].y, money.money["EUR"].yy) == (3_000.0, 2_000.0**2 + 1_000.0**2)
