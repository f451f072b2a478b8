"""Who does not want to be profiled is not scored, not learned from, and offered what everybody may see."""

from base64 import b64decode
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.decide import decide
from engine.decisioning.explanation import explain
from engine.decisioning.policy import ConsentRule, Experiment, Variation
from engine.decisioning.record import decided
from engine.ids import shard_of
from engine.models.base import Example
from engine.moments import DAY, MINUTE
from engine.profiles.standing import Standing
from engine.shards.timers import parsed
from engine.store.codec import decode_profile
from engine.store.memory import MemoryStore
from tests import shop
from tests.builders import SHARDS, START, bodies, entry_of, folded, order, simple, taken
from tests.builders import decided as decided_body

histories = st.lists(
    st.builds(shop.bought, st.integers(shop.NOON - 200 * DAY, shop.NOON), st.tuples(st.just("p"), st.sampled_from(shop.MARKET))),
    max_size=4,
)
REFUSED = shop.consented("denied", shop.NOON - DAY, purpose="profiling")


@settings(max_examples=60, deadline=None)
@given(histories, st.sampled_from(["learned", "rule", "popularity", "random"]), st.integers(0, 99))
def test_what_somebody_did_changes_nothing_for_who_refused_to_be_profiled(history: list[Any], ranker: Any, number: int) -> None:
    under = shop.policy(experiment=Experiment(variations={"only": Variation(share=1.0, ranker=ranker)}))
    of = shop.catalogue([*shop.sells(6), shop.offer("recent", eligible_when=shop.RECENT)], under)
    scorers = shop.scorers(of, {name: 0.1 * place for place, name in enumerate(shop.MARKET, 1)})

    made = [
        decide(shop.situation(shop.customer(REFUSED, *events), count=3, decision_id=f"d-{number}"), of, scorers, under)
        for events in (history, [])
    ]

    assert [offer.offer_id for offer in made[0].offers] == [offer.offer_id for offer in made[1].offers]
    assert len(made[0].offers) == 3
    assert "recent" not in [offer.offer_id for offer in made[0].offers]
    assert (made[0].ranker, made[0].degraded, made[0].campaigns) == ("popularity", (), ())
    assert not any(offer.learn or offer.vector for offer in made[0].offers)


def test_the_log_says_so_and_holds_no_reading() -> None:
    under = shop.policy()
    of = shop.catalogue(shop.sells(3), under)
    asked = shop.situation(shop.customer(REFUSED, shop.bought(shop.NOON - DAY, ("p", "tea"))))

    logged = decided(decide(asked, of, shop.scorers(of), under), of, under)

    assert logged.unprofiled
    assert logged.readings == ""
    assert [b64decode(offer.vector) for offer in logged.offers] == [b""]
    assert [(one.purpose, one.channel) for one in logged.allowed] == [("marketing", "web")]


def test_the_shop_decides_for_those_who_said_nothing() -> None:
    denied = shop.policy(consent=ConsentRule(profiling_default="denied"))
    of = shop.catalogue(shop.sells(3), denied)
    said = shop.customer(shop.consented("granted", shop.NOON - DAY, purpose="profiling"))

    assert decide(shop.situation(shop.customer()), of, shop.scorers(of), denied).unprofiled
    assert not decide(shop.situation(said), of, shop.scorers(of), denied).unprofiled
    assert not decide(shop.situation(shop.customer()), of, shop.scorers(of), shop.policy()).unprofiled


def test_the_explanation_tells_the_same_story() -> None:
    under = shop.policy()
    of = shop.catalogue([*shop.sells(2), shop.offer("recent", eligible_when=shop.RECENT)], under)
    asked = shop.situation(shop.customer(REFUSED, shop.bought(shop.NOON - DAY, ("p", "tea"))))

    decision, told = explain(asked, of, shop.scorers(of), under)

    assert decision.placements == decide(asked, of, shop.scorers(of), under).placements
    assert {one.stage for one in told if one.offer_id == "recent"} == {"eligibility"}
    assert not any(name.startswith("rfm") for one in told for name in one.contributions)


def profiling(status: str, number: int, user: str, at: int) -> dict[str, Any]:
    return simple("consent_updated", f"profiling-{number}", user, at, purpose="profiling", status=status)


def examples_of(store: MemoryStore, user: str) -> list[Example]:
    held = [msgspec.msgpack.decode(raw, type=Example) for raw in store.examples[shard_of(f"u:{user}", SHARDS)]]
    return [example for example in held if example.customer == f"u:{user}"]


@settings(max_examples=60, deadline=None)
@given(bodies(most=25), st.integers(0, 25), st.sampled_from(["denied", "revoked"]))
def test_nothing_is_learned_from_a_refusal_on(log: list[dict[str, Any]], when: int, status: str) -> None:
    at = START + (when * 7) * DAY
    before = [body for body in log if taken(body).event.time.timestamp() * 1000 < at]
    after = [body for body in log if body not in before]
    store = folded([entry_of(taken(body)) for body in before])
    known = len(examples_of(store, "ann"))

    folded([entry_of(taken(profiling(status, 1, "ann", at)))], store=store)
    folded([entry_of(taken(body)) for body in after], store=store)
    folded([entry_of(taken(order("end", "bob", START + 700 * DAY), START + 700 * DAY + MINUTE))], store=store)
    folded([entry_of(taken(order("end2", "ann", START + 700 * DAY), START + 700 * DAY + MINUTE))], store=store)

    late = [one for one in examples_of(store, "ann")[known:] if one.closed_at > at + 8 * DAY]
    assert late == []
    waiting = [tag for (_, tag) in store.waiting if parsed(tag)[2] == "u:ann" and parsed(tag)[0] in ("c", "p")]
    assert waiting == []
    held = store.profile(shard_of("u:ann", SHARDS), "u:ann")
    assert held is not None
    assert decode_profile("u:ann", held).standing == Standing()


def test_what_waits_is_forgotten_at_once_and_the_window_of_an_offer_still_ends() -> None:
    log = [order("1", "ann", START), order("2", "ann", START + 8 * DAY)]
    made = decided_body("d-1", "ann", START + 8 * DAY + 1)
    store = folded([entry_of(taken(body)) for body in log])
    shard = shard_of("u:ann", SHARDS)
    engine_made = msgspec.json.encode(made)
    folded([(shard, msgspec.structs.replace(entry_of(taken(log[0]))[1], event=engine_made, fingerprint=bytes(12)))], store=store)
    assert {parsed(tag)[0] for (_, tag) in store.waiting if parsed(tag)[2] == "u:ann"} == {"c", "p", "o"}

    folded([entry_of(taken(profiling("revoked", 1, "ann", START + 9 * DAY)))], store=store)

    assert not [tag for (_, tag) in store.waiting if parsed(tag)[2] == "u:ann"]
    folded([entry_of(taken(order("end", "ann", START + 60 * DAY)))], store=store)
    held = decode_profile("u:ann", store.profile(shard, "u:ann") or b"")
    assert held.whole.offers.open == ()
    assert {one.model for one in examples_of(store, "ann")} == {"lifetime_value"}
    assert max(one.closed_at for one in examples_of(store, "ann")) <= START + 9 * DAY
