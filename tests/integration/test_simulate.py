"""Visits of a real shop played through another catalogue: what comes out, and that nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from redis import Redis

from engine.errors import RegularsError
from engine.store.embedded import EmbeddedRedis
from flows.simulate import main
from tests.integration.api_client import api_client, consent, fold, write_catalogue

POLICY = """\
placements:
  home_hero: {channel: web, max: 2, shown_when: viewed}
  till: {channel: pos, max: 1, shown_when: decided}
holdout: {share: 0.0, salt: none}
"""
NOW = """\
offers:
  - {id: coffee, kind: sell, campaign: drinks, placements: [home_hero], promotes: {categories: [coffee]}, margin: 1.80 EUR,
     content: {default: {title: Coffee}}}
  - {id: house, kind: fallback, placements: [home_hero, till], content: {default: {title: Welcome}}}
"""
PROPOSED = """\
offers:
  - {id: tea, kind: sell, campaign: drinks, placements: [home_hero], promotes: {categories: [tea]}, margin: 1.80 EUR,
     eligible_when: [{bought: {categories: [bread]}}], content: {default: {title: Tea}}}
  - {id: few, kind: sell, campaign: scarce, placements: [home_hero], stock: 2, promotes: {categories: [x]}, margin: 9.00 EUR,
     eligible_when: [{bought: {categories: [bread]}}], content: {default: {title: Few}}}
  - {id: vienna, kind: sell, campaign: city, placements: [till], eligible_when: [{trait: city, is: Wien}], margin: 1.00 EUR,
     promotes: {categories: [y]}, caps: [{count: 1, window_days: 7}], content: {default: {title: Wien}}}
  - {id: never, kind: sell, placements: [home_hero], eligible_when: [{feature: rfm.frequency, above: 50}], margin: 1.00 EUR,
     promotes: {categories: [z]}, content: {default: {title: Never}}}
  - {id: house, kind: fallback, placements: [home_hero, till], content: {default: {title: Welcome}}}
"""
BREAD = [f"u-{number}" for number in range(6)]
OTHERS = [f"v-{number}" for number in range(4)]


def ask(client: Client, user: str, at: str, *names: str) -> Any:
    body = {"user_id": user, "placements": [{"name": name} for name in names], "at": at}
    return client.post("/v1/decisions", json=body).json()


def live(client: Client) -> None:
    """Ten customers: six buy bread, one lives in Wien. All ask twice on the home page and look; one asks thrice at the till."""
    events: list[dict[str, Any]] = [consent(name=f"c-{user}", user_id=user) for user in (*BREAD, *OTHERS)]
    bread = {"currency": "EUR", "total": 300, "products": [{"product_id": "b", "category": "bread"}]}
    for user in BREAD:
        order = {"order_id": f"o-{user}", **bread}
        events.append(
            {"id": f"o-{user}", "type": "order_completed", "user_id": user, "time": "2026-01-02T00:00:00Z", "data": order}
        )
    told = {"id": "t", "type": "customer_identified", "user_id": "u-0", "time": "2026-01-02T00:00:00Z", "data": {"city": "Wien"}}
    assert client.post("/v1/events", json=[*events, told]).json()["rejected"] == []
    for day in ("05", "06"):
        for user in (*BREAD, *OTHERS):
            at = f"2026-01-{day}T12:00:00Z"
            decided = ask(client, user, at, "home_hero")
            for offer in decided["placements"][0]["offers"]:
                seen = {"decision_id": decided["decision_id"], "offer_id": offer["offer_id"], "placement": "home_hero"}
                client.post(
                    "/v1/events", json={"id": f"s-{user}-{day}", "type": "offer_viewed", "user_id": user, "time": at, **seen}
                )
    for hour in ("13", "14", "15"):
        ask(client, "u-0", f"2026-01-06T{hour}:00:00Z", "till")


@pytest.fixture(scope="module")
def shop(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """A shop that has lived a while, its catalogue and the proposed one."""
    folder = tmp_path_factory.mktemp("simulate")
    now = write_catalogue(folder / "now", POLICY, NOW)
    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
    with api_client(redis_server.url, catalogue=now, decision_deadline_ms=5000) as client:
        live(client)
    fold(redis_server.url)
    return redis_server.url, now, write_catalogue(folder / "proposed", POLICY, PROPOSED)


def simulated(shop: tuple[str, Path, Path], tmp_path: Path, **more: Any) -> Any:
    url, now, proposed = shop
    written = tmp_path / "out.json"
    told: dict[str, Any] = {"folder": proposed, "days": 30, "customers": 0, "current": now, "json_file": written} | more
    assert main(redis_url=url, data=tmp_path, **told) == 0
    return json.loads(written.read_text())


def test_nothing_is_written(shop: tuple[str, Path, Path], tmp_path: Path) -> None:
    with Redis.from_url(shop[0]) as redis:
        before = redis.execute_command("DEBUG", "DIGEST")
        writes = redis.info("commandstats")
        simulated(shop, tmp_path)
        after = redis.info("commandstats")

        assert redis.execute_command("DEBUG", "DIGEST") == before
        for name in ("xadd", "set", "hset", "zadd", "evalsha", "eval", "del", "mset", "append"):
            assert after.get(f"cmdstat_{name}", {}).get("calls") == writes.get(f"cmdstat_{name}", {}).get("calls")


def test_the_current_catalogue_plays_out_as_it_did(shop: tuple[str, Path, Path], tmp_path: Path) -> None:
    told = simulated(shop, tmp_path)

    current = told["catalogues"]["current"]
    assert told["customers"] == {"asked": 10, "played": 10, "rebuilt": 10, "as_they_are_now": 0}
    assert (current["visits"], current["customers"], current["served"]) == (23, 10, 10)
    assert (current["campaigns"]["drinks"]["reached"], current["campaigns"]["drinks"]["shown"]) == (10, 20)
    assert current["losing"] == []


def test_the_proposed_one_tells_reach_losers_what_is_used_up_and_who_is_left_with_nothing(
    shop: tuple[str, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proposed = simulated(shop, tmp_path)["catalogues"]["proposed"]

    campaigns = proposed["campaigns"]
    assert campaigns["drinks"]["reached"] + campaigns["scarce"]["reached"] >= 6
    assert (campaigns["scarce"]["shown"], campaigns["scarce"]["reached"]) == (2, 2)
    assert (campaigns["city"]["reached"], campaigns["city"]["shown"]) == (1, 1)
    assert [(one["offer"], one["stage"]) for one in proposed["losing"]] == [("never", "eligibility")]
    assert proposed["saturated"]["pools"]["few"]["taken"] == 2
    assert any("1" in rule for rule in proposed["saturated"]["caps"])
    assert proposed["left_with_nothing"] == {"customers": 4, "because": {"no_eligible": 4}}
    assert sum(segment["reached"] for name, segment in proposed["segments"].items() if name in ("active", "new")) == 6
    text = " ".join(capsys.readouterr().out.split())
    assert "Nothing was written" in text
    assert "Left with nothing" in text
    assert "never" in text


def test_a_sample_is_the_same_every_time_and_a_window_without_visits_is_told(
    shop: tuple[str, Path, Path], tmp_path: Path
) -> None:
    once, again = (simulated(shop, tmp_path, customers=4) for _ in range(2))

    assert once == again
    assert once["customers"]["played"] == once["catalogues"]["proposed"]["customers"] == 4
    assert simulated(shop, tmp_path, days=1)["catalogues"]["current"]["visits"] == 13


def test_what_cannot_be_played_is_told_in_a_sentence(shop: tuple[str, Path, Path], tmp_path: Path) -> None:
    wrong = write_catalogue(tmp_path / "wrong", POLICY, PROPOSED.replace("kind: sell", "kind: sel", 1))
    with pytest.raises(RegularsError, match="did you mean 'sell'"):
        simulated(shop, tmp_path, folder=wrong)
    with pytest.raises(RegularsError, match="no `regulars up` works on"):
        main(redis_url="", data=tmp_path, folder=shop[1], days=7, customers=0, current=None, json_file=None)
