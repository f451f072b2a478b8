"""What every learner of the roster promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.models.base import Example, Learner, recorded
from engine.models.journal import Entry, Run, encode_example, relearn
from engine.models.lifetime_value import FINGERPRINT, LIFETIME_VALUE
from engine.models.lineup import learn_all
from engine.models.roster import LISTENS, ROSTER, Inputs, learners
from engine.models.scoring import NEXT_BEST_OFFER
from engine.models.snapshot import SnapshotMismatch, decode_state, encode_snapshot, encode_state

INPUTS = Inputs(
    customer_names=("rfm.recency", "rfm.trips_56d", "service.open_complaints"),
    customer_fingerprint="f",
    offer_names=("offer.margin",),
    cross_names=("affinity.rule_logit", "affinity.days_since"),
)
MODELS = sorted(ROSTER)
SEEDS = st.integers(0, 2**32 - 1)


def examples(model: str, seed: int, count: int = 40) -> list[Example]:
    """Ordinary examples of those that the model listens to, with a few of every odd kind between them."""
    chance = np.random.default_rng(seed)
    kinds = {NEXT_BEST_OFFER: (6, INPUTS.arm_fingerprint), LIFETIME_VALUE: (4, FINGERPRINT)}
    size, fingerprint = kinds.get(LISTENS[model], (3, "f"))
    drawn = []
    for number in range(count):
        vector = chance.lognormal(1.0, 1.0, size)
        if LISTENS[model] == LIFETIME_VALUE:
            vector = np.array([np.floor(vector[0]), *sorted(vector[1:3]), vector[3]])
        kind = chance.integers(0, 12)
        if kind == 0:
            vector[chance.integers(0, size)] = chance.choice([np.nan, np.inf])
        drawn.append(
            Example(
                model=LISTENS[model],
                id=f"u:{number}|{seed}",
                customer=f"u:{number}",
                opened_at=0,
                closed_at=number,
                label=0.5 if kind == 1 else float(chance.random() < 0.3),
                fingerprint="another" if kind == 2 else fingerprint,
                vector=recorded(vector),
                offer_id=f"offer-{chance.integers(0, 4)}",
                propensity=0.0 if kind == 3 else 0.25,
                clicked=number % 4 > 0,
            )
        )
    return drawn


def fresh(model: str) -> Learner:
    return ROSTER[model](INPUTS)


def taught(learner: Learner, given_examples: list[Example]) -> Learner:
    learner.learn(given_examples)
    return learner


def bits(learner: Learner) -> bytes:
    return encode_state(learner.state())


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, cut=st.integers(0, 40))
def test_restore_then_continue_is_continue(model: str, seed: int, cut: int) -> None:
    drawn = examples(model, seed)
    whole = taught(fresh(model), drawn)

    restored = fresh(model).from_state(decode_state(bits(taught(fresh(model), drawn[:cut]))))
    continued = taught(restored, drawn[cut:])

    assert bits(continued) == bits(whole)
    assert encode_snapshot(continued.publish()) == encode_snapshot(whole.publish())
    assert continued.report() == whole.report()


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_one_at_a_time_is_all_at_once(model: str, seed: int) -> None:
    drawn = examples(model, seed)
    one_by_one = fresh(model)
    for example in drawn:
        one_by_one.learn([example])

    assert bits(one_by_one) == bits(taught(fresh(model), drawn))


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_every_example_is_learned_or_counted(model: str, seed: int) -> None:
    drawn = examples(model, seed)

    report = taught(fresh(model), drawn).report()

    assert report.version + report.unlearnable + report.foreign + report.ignored == len(drawn)
    assert report.positives <= report.version


@pytest.mark.parametrize("model", MODELS)
def test_numbers_stay_finite_whatever_comes(model: str) -> None:
    learner = taught(fresh(model), [example for seed in range(20) for example in examples(model, seed)])

    assert all(np.isfinite(array).all() for array in learner.state().arrays.values())
    assert all(np.isfinite(array).all() for array in learner.publish().arrays.values())


@pytest.mark.parametrize("model", MODELS)
def test_publishing_changes_nothing(model: str) -> None:
    learner = taught(fresh(model), examples(model, 1))
    before = bits(learner)

    snapshot = learner.publish()

    assert bits(learner) == before
    assert (snapshot.name, snapshot.version) == (model, learner.version)


@pytest.mark.parametrize("model", MODELS)
def test_a_published_snapshot_does_not_move_when_learning_goes_on(model: str) -> None:
    learner = taught(fresh(model), examples(model, 1))
    snapshot = learner.publish()
    before = snapshot.checksum()

    learner.learn(examples(model, 2))

    assert snapshot.checksum() == before


@pytest.mark.parametrize("model", [model for model in MODELS if model != LIFETIME_VALUE])
def test_a_state_of_other_features_is_refused(model: str) -> None:
    other = Inputs(INPUTS.customer_names, "g", INPUTS.offer_names, INPUTS.cross_names)

    with pytest.raises(SnapshotMismatch):
        ROSTER[model](other).from_state(fresh(model).state())


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, cuts=st.lists(st.integers(0, 80), max_size=5))
def test_a_journal_relearns_to_the_last_bit(seed: int, cuts: list[int]) -> None:
    mixed = [example for pair in zip(examples("churn", seed), examples("next_best_offer", seed), strict=True) for example in pair]
    streams = {0: [encode_example(one) for one in mixed[:50]] + [b"\x00not an example"], 1: list(map(encode_example, mixed[50:]))}
    live, entries, stands = learners(INPUTS), [], {0: 0, 1: 0}
    for number, cut in enumerate([*cuts, 80], start=1):
        runs = []
        for shard in ((0, 1), (1, 0))[cut % 2]:
            taken = streams[shard][stands[shard] : stands[shard] + cut]
            if taken:
                stands[shard] += len(taken)
                learn_all(live, taken)
                runs.append(Run(shard, f"0-{stands[shard]}", len(taken)))
        entries.append(Entry(number, tuple(runs)))

    def fetch(shard: int, after: str, last: str) -> list[bytes]:
        return streams[shard][int(after.split("-")[1]) : int(last.split("-")[1])]

    again = relearn(entries, fetch, lambda: learners(INPUTS))

    assert {name: bits(learner) for name, learner in again.items()} == {name: bits(learner) for name, learner in live.items()}


def test_a_model_that_began_afresh_is_relearned_from_there() -> None:
    drawn = [encode_example(example) for example in examples("churn", 3)]
    live = learners(INPUTS)
    learn_all(live, drawn[20:])

    entries = [Entry(1, (Run(0, "0-20", 20),)), Entry(2, (Run(0, "0-40", 20),), ("churn",))]
    again = relearn(entries, lambda _, after, last: drawn[int(after[2:]) : int(last[2:])], lambda: learners(INPUTS))

    assert bits(again["churn"]) == bits(live["churn"])


def test_all_who_listen_to_a_kind_of_examples_are_given_each_of_them() -> None:
    drawn = examples("churn", 4)
    mixed = [encode_example(one) for pair in zip(drawn, examples("next_best_offer", 4), strict=True) for one in pair]
    listening = {"churn": fresh("churn"), "churn.shadow": fresh("churn")}

    given = learn_all(listening, mixed, {"churn.shadow": "churn"})

    assert given == {"churn": 40, "churn.shadow": 40, "": 40}
    assert bits(listening["churn"]) == bits(listening["churn.shadow"]) == bits(taught(fresh("churn"), drawn))


def test_models_listen_to_a_kind_of_examples_that_some_model_is_named_after() -> None:
    assert set(LISTENS.values()) <= set(ROSTER)


def test_what_one_read_brings_from_several_shards_is_learned_in_the_order_of_closing() -> None:
    drawn = [replace(one, closed_at=1_000 + place) for place, one in enumerate(examples("churn", 5))]
    streams = {shard: [encode_example(one) for one in drawn[shard::2]] for shard in (0, 1)}
    runs = (Run(1, "0-20", 20), Run(0, "0-20", 20, joined=True))

    again = relearn(
        [Entry(1, runs)],
        lambda shard, after, last: streams[shard][int(after[2:]) : int(last[2:])],
        lambda: learners(INPUTS),
    )

    assert bits(again["churn"]) == bits(taught(fresh("churn"), drawn))
