"""Judging ways of choosing offers by the log: what an even draw and each offer alone would really bring."""

import json
from datetime import UTC, datetime

import numpy as np
from typer.testing import CliRunner

import regulars
from engine.events.decode import encode_canonical
from engine.events.offers import ChosenOffer, Decided, OfferDecided
from engine.models.base import Example
from engine.models.journal import encode_example
from engine.store import keys
from engine.store.redis_writer import RedisStore

OFFERS = ("tea", "coffee", "cake")
PROPENSITIES = np.array([0.6, 0.3, 0.1])
TRUTH = np.array([0.1, 0.3, 0.5])
SHARDS = 8


def log_decisions(redis_url: str, count: int) -> None:
    """Decisions that show tea most often, though cake is taken most often; every tenth position was not drawn."""
    chance = np.random.default_rng(1)
    pipe = RedisStore(redis_url).client.pipeline(transaction=False)
    for number in range(count):
        arm = int(chance.choice(3, p=PROPENSITIES))
        chosen = ChosenOffer(
            offer_id=OFFERS[arm], placement="home_hero", propensity=float(PROPENSITIES[arm]), learn=number % 10 > 0
        )
        decided = OfferDecided(
            id=f"e-{number}",
            type="offer_decided",
            time=datetime(2026, 5, 1, tzinfo=UTC),
            decision_id=f"d-{number}",
            user_id="u",
            data=Decided(offers=(chosen,), eligible={"home_hero": (*OFFERS, "a-fallback")}),
        )
        shard = number % SHARDS
        pipe.xadd(keys.decisions(shard), {"d": encode_canonical(decided)})
        label = float(chance.random() < TRUTH[arm]) if number % 10 else 1.0
        example = Example(
            model="next_best_offer",
            id=f"d-{number}|{OFFERS[arm]}|home_hero",
            customer="u:u",
            opened_at=0,
            closed_at=1,
            label=label,
            fingerprint="",
            vector=b"",
            offer_id=OFFERS[arm],
        )
        pipe.xadd(keys.examples(shard), {"x": encode_example(example)})
    pipe.execute()


def judged(redis_url: str, *words: str) -> list[dict[str, float | str]]:
    result = CliRunner().invoke(regulars.app, ["models", "judge", "--redis-url", redis_url, *words])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_an_even_draw_and_each_offer_alone_are_judged_by_what_they_would_bring(redis_url: str) -> None:
    log_decisions(redis_url, 8000)

    found = {str(line["way"]): line for line in judged(redis_url, "--json")}

    assert set(list(found)[:2]) == {"drawn evenly", "always coffee"}
    assert list(found)[2:] == ["as decided", "always tea", "always cake"]
    for way, truth in {"drawn evenly": TRUTH.mean(), "as decided": PROPENSITIES @ TRUTH, "always tea": 0.1}.items():
        assert float(found[way]["lower"]) <= truth <= float(found[way]["upper"]), way
        assert found[way]["refused"] == ""
    assert "effective sample" in str(found["always cake"]["refused"])
    assert found["as decided"]["decisions"] == 7200


def test_without_any_label_there_is_nothing_to_judge(redis_url: str) -> None:
    result = CliRunner().invoke(regulars.app, ["models", "judge", "--redis-url", redis_url])

    assert "No decision that was drawn has a matured label yet" in result.stdout
