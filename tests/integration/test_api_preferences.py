"""The page where customers choose, links to it, and corrected traits, on a real Redis."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest
from httpx import Client, Response

from api.preference_link import Link, link_in, token_of
from api.preference_words import FIRST, WORDS, language_of
from engine.ids import CustomerKey
from engine.moments import Millis
from engine.store import keys
from engine.store.redis_writer import RedisStore
from tests.integration.api_client import OFFERS, POLICY, api_client, consent, fold, shown, write_catalogue

PAGE_POLICY = POLICY + "preferences: {topics: [coffee, wine], text_version: page-3}\n"


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path, PAGE_POLICY, OFFERS)
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=2000) as client:
        yield client


class Read(HTMLParser):
    """What a browser makes of a page: its controls, and which of them nobody could name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.boxes: dict[str, bool] = {}
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.nameless: list[str] = []
        self._labels = 0
        self._for: set[str | None] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.tags.append(tag)
        self.attributes.append((tag, said))
        if tag == "label":
            self._labels += 1
            self._for.add(said.get("for"))
        if tag in ("input", "select") and not self._labels and said.get("id") not in self._for:
            self.nameless.append(str(said.get("name")))
        if said.get("type") == "checkbox":
            self.boxes[str(said["name"])] = "checked" in said

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"


def linked(client: Client, user: str = "u-1") -> str:
    answer = client.post(f"/v1/customers/{user}/preferences-link")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["path"])


def decided(client: Client, user: str = "u-1", placement: str = "home_hero") -> list[str]:
    return shown(client.post("/v1/decisions", json={"user_id": user, "placements": [{"name": placement, "count": 3}]}))


def sent(client: Client, path: str, **form: str) -> Response:
    return client.post(path, data=form, follow_redirects=True)


EVERYTHING = {
    "purpose.onsite": "yes",
    "profiling": "yes",
    "topic.coffee": "yes",
    "topic.wine": "yes",
    "often": "",
    "from": "",
    "until": "",
}


def test_the_page_shows_what_holds_and_what_is_chosen_there_is_obeyed_at_once(client: Client) -> None:
    client.post("/v1/events", json=consent())
    path = linked(client)
    assert "house" not in decided(client)

    before = Read(client.get(path).text)
    answer = sent(client, path, **{**EVERYTHING, "often": "2"})
    without_wine = sent(client, path, **{name: value for name, value in EVERYTHING.items() if name != "topic.wine"})

    assert before.boxes == {
        "purpose.onsite": True,
        "purpose.email": True,
        "purpose.sms": True,
        "purpose.push": True,
        "profiling": True,
        "topic.coffee": True,
        "topic.wine": True,
    }
    assert answer.status_code == 200
    assert WORDS["en"]["saved"] in answer.text
    after = Read(without_wine.text)
    assert (after.boxes["purpose.onsite"], after.boxes["purpose.email"], after.boxes["topic.wine"]) == (True, False, False)
    assert decided(client, placement="home_hero") == ["coffee"]


def test_one_button_stops_everything(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=consent())
    path = linked(client)

    answer = sent(client, path, do="stop")

    assert WORDS["en"]["stopped"] in answer.text
    assert not any(on for name, on in Read(answer.text).boxes.items() if not name.startswith("topic."))
    assert decided(client) == ["house"]
    fold(redis_url)
    assert decided(client) == ["house"]
    known = client.get("/v1/customers/u-1").json()
    assert known["consent"]["marketing"]["status"] == "revoked"
    assert known["consent"]["marketing"]["text_version"] == "page-3"
    assert (known["churn"]["probability"], known["churn"]["status"]) == (None, "denied")
    assert (known["purchase"]["status"], known["value"]["status"], known["features"], known["segments"]) == (
        "denied",
        "denied",
        {},
        [],
    )


def test_a_form_that_changes_nothing_renews_no_consent(client: Client) -> None:
    client.post("/v1/events", json=consent())
    path = linked(client)
    boxes = {name: "yes" for name, on in Read(client.get(path).text).boxes.items() if on}

    sent(client, path, **boxes, often="", **{"from": "", "until": ""})

    known = client.get("/v1/customers/u-1").json()
    assert list(known["consent"]) == ["marketing"]
    assert known["consent"]["marketing"]["at"] == "2026-01-01T00:00:00.000Z"
    assert known["preferences"] == {"topics": {}, "channels": {}, "frequency": None, "quiet_hours": None}


def test_how_often_and_when_not_are_kept_and_bind(client: Client) -> None:
    client.post("/v1/events", json=consent())
    path = linked(client)

    page = sent(client, path, **{**EVERYTHING, "often": "1", "from": "20:00", "until": "09:30"})

    wished = client.get("/v1/customers/u-1").json()["preferences"]
    assert wished["frequency"] == {"count": 1, "window_days": 7.0}
    assert wished["quiet_hours"] == {"start": "20:00", "end": "09:30"}
    assert 'value="20:00"' in page.text
    assert '<option value="1" selected>' in page.text
    assert len([name for name in decided(client) if name != "house"]) == 1
    again = client.post(
        "/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "banner"}], "exclude": ["coffee", "wine"]}
    ).json()["placements"][0]
    assert (again["offers"], again["reason"]) == ([], "capped")
    sent(client, path, **EVERYTHING)
    assert client.get("/v1/customers/u-1").json()["preferences"]["frequency"] is None


def test_every_control_has_a_name_and_the_page_needs_no_script(client: Client) -> None:
    client.post("/v1/events", json=consent())

    answer = client.get(linked(client))

    page = Read(answer.text)
    assert page.nameless == []
    assert "script" not in page.tags
    assert not any(name.startswith("on") or name == "style" for _, said in page.attributes for name in said)
    assert ("html", {"lang": "en"}) in page.attributes
    assert page.tags.count("h1") == 1
    assert page.tags.count("fieldset") == page.tags.count("legend") == 4
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")


def test_the_page_speaks_the_language_of_the_customer(client: Client) -> None:
    client.post("/v1/events", json=consent())
    path = linked(client)

    assert WORDS["de"]["save"] in client.get(path, headers={"accept-language": "de-AT,de;q=0.9,en;q=0.5"}).text
    client.patch("/v1/customers/u-1/traits", json={"locale": "de-CH"})
    assert WORDS["en"]["title"] in client.get(path + "?lang=en").text
    assert language_of([None, "fr", "pt-BR,de;q=0.3"]) == "de"
    assert language_of(["fr"]) == FIRST
    assert {language: set(words) for language, words in WORDS.items()} == {name: set(WORDS["en"]) for name in WORDS}


@pytest.mark.parametrize("token", ["x", "a" * 500, "ÄÖ%FF", "A.B", "=====", "%00"])
def test_a_link_that_is_not_ours_says_so_in_plain_words(client: Client, token: str) -> None:
    for answer in (client.get(f"/preferences/{token}"), client.post(f"/preferences/{token}", data={"do": "stop"})):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert WORDS["en"]["404.title"] in answer.text


def test_a_link_ends_and_cannot_be_bent(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[consent(), consent(name="c-2", user_id="u-2")])
    linked(client)
    secret = cast("bytes", RedisStore(redis_url).client.hget(keys.META, "links"))
    one, ended = (Link(CustomerKey("u:u-1"), Millis(until)) for until in (9_999_999_999_999, 1))

    assert link_in(token_of(one, secret), secret) == one
    assert link_in(token_of(one, secret), bytes(32)) is None
    assert client.get(f"/preferences/{token_of(one, secret)}").status_code == 200
    over = client.get(f"/preferences/{token_of(ended, secret)}")
    assert (over.status_code, WORDS["en"]["410.title"] in over.text) == (410, True)
    token = token_of(one, secret)
    for place in range(len(token)):
        bent = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        # The last letter of base64 may have bits that mean nothing; the same bytes are the same link.
        assert link_in(bent, secret) in ((None, one) if place == len(token) - 1 else (None,))


def test_who_was_forgotten_finds_nothing_left_to_choose(client: Client) -> None:
    client.post("/v1/events", json=consent())
    path = linked(client)

    client.delete("/v1/customers/u-1")

    answer = client.get(path)
    assert (answer.status_code, WORDS["en"]["gone.title"] in answer.text) == (410, True)
    assert client.patch("/v1/customers/u-1/traits", json={"locale": "de"}).status_code == 410
    assert client.post("/v1/customers/u-1/preferences-link").status_code == 410


def test_a_form_that_no_browser_sends_is_not_read(client: Client) -> None:
    client.post("/v1/events", json=consent())
    path = linked(client)

    for body in (b"\xff\xfe=1", b"a=" + b"b" * 70_000):
        assert client.post(path, content=body).status_code == 400
    assert "house" not in decided(client)


def test_traits_are_corrected_by_a_merge_patch(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=consent())

    first = client.patch("/v1/customers/u-1/traits", json={"locale": "de", "has_children": True, "favourite_shop": "Graz"})
    second = client.patch("/v1/customers/u-1/traits", json={"locale": "de-AT", "has_children": None})
    fold(redis_url)

    assert first.json() == {"user_id": "u-1", "traits": {"favourite_shop": "Graz", "has_children": True, "locale": "de"}}
    assert second.status_code == 200
    assert client.get("/v1/customers/u-1").json()["traits"] == {"favourite_shop": "Graz", "locale": "de-AT"}


@pytest.mark.parametrize(
    ("patch", "status", "field"),
    [
        ([], 422, None),
        ({"first_name": "Jo"}, 422, "first_name"),
        ({"locale": 3}, 422, "locale"),
        ({"pets": {"cat": 1}}, 422, "pets"),
        ({"note": "x" * 101}, 422, "note"),
        ({f"t{number}": 1 for number in range(51)}, 422, None),
        ({"removed": ["locale"]}, 422, "removed"),
    ],
)
def test_a_patch_that_cannot_be_held_is_refused_as_a_whole(client: Client, patch: Any, status: int, field: str | None) -> None:
    client.post("/v1/events", json=consent())

    answer = client.patch("/v1/customers/u-1/traits", json=patch)

    assert (answer.status_code, answer.json().get("field")) == (status, field)
    assert client.get("/v1/customers/u-1").json()["traits"] == {}


def test_links_and_corrections_are_for_known_customers_and_secret_keys(redis_url: str, tmp_path: Path) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), web_keys="w", write_keys="t", secret_keys="s") as client:
        for key, status in (("w", 403), ("t", 403), ("s", 404)):
            headers = {"authorization": f"Bearer {key}"}
            assert client.post("/v1/customers/u-9/preferences-link", headers=headers).status_code == status
            assert client.patch("/v1/customers/u-9/traits", json={"locale": "de"}, headers=headers).status_code == status
