"""The catalogue over HTTP: read, replaced, refused, taken over by every process, and noted in every shard's log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from engine.events.decode import decode_canonical
from engine.events.offers import OfferDecided
from engine.events.reference import ReferenceChanged
from engine.store.redis_archive import Archive
from engine.store.redis_writer import RedisStore
from tests.integration.api_client import OFFERS, POLICY, SHARDS, api_client, consent, fold, shown, write_catalogue
from tests.integration.test_api_operating import eventually, metric

SPRING = """\
campaigns:
  - {id: spring, name: Spring, starts: 2026-01-01, budget: 10.00 EUR}
  - {id: quiet, goal: nothing yet}
"""
CAMPAIGN_OFFERS = """\
offers:
  - {id: coffee, kind: sell, campaign: spring, placements: [home_hero], redeemed_when: {event: offer_accepted}, margin: 1.80 EUR,
     cost: 0.07 EUR, content: {default: {title: Coffee}, de: {title: Kaffee, url: /de}, de-AT: {title: Kaffee aus Wien}}}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_catalogue(tmp_path / "catalogue")


@pytest.fixture
def client(redis_url: str, shop: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=shop, catalogue_poll_s=0.05, decision_deadline_ms=5000) as client:
        yield client


def ask(client: Client, **more: Any) -> Any:
    return client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "home_hero"}], **more})


def activations(redis_url: str) -> list[list[tuple[str, str]]]:
    """What each shard's log says of catalogues, in its order."""
    found: list[list[tuple[str, str]]] = [[] for _ in range(SHARDS)]
    for accepted in Archive(redis_url, SHARDS).events():
        event = decode_canonical(accepted.event)
        if isinstance(event, ReferenceChanged) and event.data.name == "catalogue":
            found[accepted.shard].append((event.data.value["catalogue"], event.data.value["policy"]))
    return found


def test_the_files_are_read_with_what_is_served_and_a_tag(client: Client) -> None:
    answer = client.get("/v1/catalogue")

    body = answer.json()
    assert body["files"] == {"policy.yaml": POLICY, "offers/all.yaml": OFFERS}
    assert body["version"] == client.get("/readyz").json()["catalogue"]
    assert (body["offers"], body["mistakes"], answer.headers["etag"]) == (5, [], f'"{body["tag"]}"')
    assert client.get("/v1/catalogue", params={"file": "policy.yaml"}).text == POLICY
    assert client.get("/v1/catalogue", headers={"if-none-match": answer.headers["etag"]}).status_code == 304
    wrong = client.get("/v1/catalogue", params={"file": "polcy.yaml"})
    assert (wrong.status_code, "did you mean 'policy.yaml'?" in wrong.json()["detail"]) == (404, True)


def test_one_file_is_replaced_and_served_at_once(client: Client, shop: Path) -> None:
    client.post("/v1/events", json=consent())
    before = client.get("/v1/catalogue")

    text = OFFERS.replace("id: coffee", "id: mocha")
    answer = client.put(
        "/v1/catalogue", json={"file": "offers/all.yaml", "text": text}, headers={"if-match": before.headers["etag"]}
    )

    assert answer.status_code == 200
    assert answer.json()["version"] != before.json()["version"]
    assert (shop / "offers" / "all.yaml").read_text() == text
    assert "mocha" in ask(client, placements=[{"name": "home_hero", "count": 3}]).text


def test_the_whole_folder_is_replaced_in_every_process(client: Client, redis_url: str, shop: Path) -> None:
    files = {"policy.yaml": POLICY, "offers/new.yaml": OFFERS.replace("id: wine", "id: beer")}
    with api_client(redis_url, catalogue=shop, catalogue_poll_s=0.05) as other:
        answer = client.put("/v1/catalogue", json={"files": files})

        assert answer.json()["files"] == files
        assert eventually(lambda: other.get("/readyz").json()["catalogue"] == answer.json()["version"])
    assert not (shop / "offers" / "all.yaml").exists()
    assert metric(client, "regulars_catalogue_reloads_total") == 1
    assert metric(client, 'regulars_catalogue_offers{status="live"}') == 5


def test_a_bad_catalogue_is_refused_with_every_mistake_and_nothing_changes(client: Client, shop: Path) -> None:
    before = client.get("/v1/catalogue").json()

    bad = OFFERS.replace("kind: sell", "kind: sel", 1).replace("placements: [banner]", "placements: [baner]")
    answer = client.put("/v1/catalogue", json={"file": "offers/all.yaml", "text": bad})

    assert (answer.status_code, answer.json()["code"]) == (422, "catalogue.mistakes")
    assert [(one["file"], one["path"]) for one in answer.json()["mistakes"]] == [
        ("offers/all.yaml", "offers[0].kind"),
        ("offers/all.yaml", "offers[2].placements[0]"),
    ]
    assert client.get("/v1/catalogue").json() == before
    assert (shop / "offers" / "all.yaml").read_text() == OFFERS


def test_an_update_of_what_was_changed_meanwhile_is_refused(client: Client) -> None:
    tag = client.get("/v1/catalogue").headers["etag"]
    one = {"file": "offers/all.yaml", "text": OFFERS.replace("Coffee", "Espresso")}
    two = {"file": "offers/all.yaml", "text": OFFERS.replace("Wine", "Beer")}

    first = client.put("/v1/catalogue", json=one, headers={"if-match": tag})
    second = client.put("/v1/catalogue", json=two, headers={"if-match": tag})

    assert (first.status_code, second.status_code, second.json()["code"]) == (200, 412, "catalogue.changed")
    assert second.headers["etag"] == first.headers["etag"]
    assert client.put("/v1/catalogue", json=two, headers={"if-match": second.headers["etag"]}).status_code == 200


@pytest.mark.parametrize(
    "name", ["../x.yaml", "/etc/passwd", "offers/../../x.yaml", "offers/sub/x.yaml", "offers/x.yaml\x00", "x.txt"]
)
def test_no_name_leads_out_of_the_folder(client: Client, shop: Path, name: str) -> None:
    answer = client.put("/v1/catalogue", json={"file": name, "text": "offers: []\n"})

    assert (answer.status_code, answer.json()["code"]) == (422, "catalogue.mistakes")
    assert [path.name for path in shop.parent.iterdir()] == ["catalogue"]


@pytest.mark.parametrize(
    ("body", "status"),
    [("{", 400), ("{}", 422), ('{"files": {}, "file": "a"}', 422), ('{"fils": {}}', 422), ('{"files": {}}', 422)],
)
def test_a_body_that_is_none_is_told(client: Client, body: str, status: int) -> None:
    assert client.put("/v1/catalogue", content=body).status_code == status


def test_the_catalogue_takes_a_secret_key(redis_url: str, shop: Path) -> None:
    with api_client(redis_url, catalogue=shop, web_keys=("p",), write_keys=("w",), secret_keys=("s",)) as client:
        for key, status in (("", 401), ("p", 403), ("w", 403), ("s", 200)):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            assert client.get("/v1/catalogue", headers=headers).status_code == status
            assert (
                client.put("/v1/catalogue", json={"file": "policy.yaml", "text": POLICY}, headers=headers).status_code == status
            )


def test_every_shards_log_says_from_when_a_catalogue_held_and_decisions_name_it(
    client: Client, redis_url: str, shop: Path
) -> None:
    client.post("/v1/events", json=consent())
    first = client.get("/v1/catalogue").json()
    ask(client)
    second = client.put("/v1/catalogue", json={"file": "offers/all.yaml", "text": OFFERS.replace("Coffee", "Espresso")}).json()
    ask(client, user_id="u-2")
    with api_client(redis_url, catalogue=shop) as again:
        assert again.get("/v1/catalogue").json()["active_since"] == second["active_since"]
    fold(redis_url)

    assert first["active_since"] < second["active_since"]
    expected = [(first["version"], first["policy"]), (second["version"], second["policy"])]
    assert activations(redis_url) == [expected] * SHARDS
    store = RedisStore(redis_url)
    for shard in range(SHARDS):
        opened = store.open(shard)
        assert opened.references["catalogue"].value["catalogue"] == second["version"]
        assert opened.record.references["catalogue"] == opened.references["catalogue"].version
    logged = [decode_canonical(raw) for _, raw in Archive(redis_url, SHARDS).decisions()]
    versions = [one.data.versions["catalogue"] for one in logged if isinstance(one, OfferDecided)]
    assert sorted(versions, key=[first["version"], second["version"]].index) == [first["version"], second["version"]]
    store.client.close()


def test_campaigns_tell_live_what_they_reach_cost_and_add(redis_url: str, tmp_path: Path) -> None:
    shop = write_catalogue(tmp_path, offers=CAMPAIGN_OFFERS)
    (shop / "campaigns").mkdir()
    (shop / "campaigns" / "all.yaml").write_text(SPRING)
    with api_client(redis_url, catalogue=shop, decision_deadline_ms=5000) as client:
        for user in ("u-1", "u-2", "u-3"):
            client.post("/v1/events", json=consent(name=f"c-{user}", user_id=user))
            decided = ask(client, user_id=user).json()
            if user == "u-3":
                continue
            seen = {"user_id": user, "decision_id": decided["decision_id"], "offer_id": "coffee", "placement": "home_hero"}
            for kind in ("viewed", "clicked", "accepted") if user == "u-1" else ("viewed",):
                client.post("/v1/events", json=[{"id": f"{kind}-{user}", "type": f"offer_{kind}", **seen}])
        fold(redis_url)

        body = client.get("/v1/insights/campaigns").json()
        one = client.get("/v1/insights/campaigns/spring").json()
        wrong = client.get("/v1/insights/campaigns/sprng")

    spring, quiet = body["campaigns"]
    assert one == spring
    counts = ("reached", "decided", "shown", "clicked", "redeemed", "spent_minor")
    assert [spring[name] for name in counts] == [2, 3, 2, 1, 1, 14]
    assert [quiet[name] for name in counts] == [0] * 6
    assert (spring["running"], quiet["running"], spring["offers"], body["currency"]) == (True, False, ["coffee"], "EUR")
    assert spring["budget"]["amount_minor"] == 1000
    assert spring["budget"]["taken_minor"] == 1000 - spring["budget"]["left_minor"]
    assert 14 <= spring["budget"]["taken_minor"] <= 21
    assert spring["lift"]["campaign_id"] == "spring"
    assert (wrong.status_code, "did you mean 'spring'?" in wrong.json()["detail"]) == (404, True)


def test_campaigns_are_metrics_by_campaign(redis_url: str, tmp_path: Path) -> None:
    shop = write_catalogue(tmp_path, offers=CAMPAIGN_OFFERS)
    (shop / "campaigns").mkdir()
    (shop / "campaigns" / "all.yaml").write_text(SPRING)
    with api_client(redis_url, catalogue=shop) as client:
        assert metric(client, 'regulars_campaign_offers{campaign="spring",outcome="shown"}') == 0
        assert metric(client, 'regulars_campaign_budget_burn_ratio{campaign="spring"}') == 0


@pytest.mark.parametrize(
    ("locale", "title", "url"),
    [
        ("de-AT", "Kaffee aus Wien", "/de"),
        ("de_AT", "Kaffee aus Wien", "/de"),
        ("de-CH", "Kaffee", "/de"),
        ("de", "Kaffee", "/de"),
        ("fr-FR", "Coffee", None),
        ("", "Coffee", None),
    ],
)
def test_content_falls_back_from_region_to_language_to_default(
    redis_url: str, tmp_path: Path, locale: str, title: str, url: str | None
) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path, offers=CAMPAIGN_OFFERS), decision_deadline_ms=5000) as client:
        client.post("/v1/events", json=consent())
        answer = ask(client, context={"locale": locale})

    assert shown(answer) == ["coffee"]
    content = answer.json()["placements"][0]["offers"][0]["content"]
    assert (content["title"], content.get("url")) == (title, url)
