"""What pages of other origins may do: fetch the tag, knock at the web doors, and nothing else."""

import gzip
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import ValidationError

from api.routes.tag import packed, source
from config.settings import ApiSettings
from tests.integration.api_client import api_client, write_catalogue

MOST_BYTES = 6 * 1024
HTML_OR_COOKIES = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", ".cookie")
PAGE = "https://shop.example"
EVENT = {"id": "w-1", "type": "page_viewed", "time": "2026-03-02T10:00:00Z", "anonymous_id": "a-1"}
QUESTION = {"anonymous_id": "a-1", "channel": "web", "placements": [{"name": "home_hero"}]}


def test_the_tag_is_small_on_its_way() -> None:
    assert len(packed(source())) < MOST_BYTES


def test_the_tag_is_hand_written_and_builds_no_html() -> None:
    text = source().decode()

    assert max(map(len, text.splitlines())) <= 160
    assert [word for word in HTML_OR_COOKIES if word in text] == []


def test_the_tag_is_kept_by_browsers_and_told_by_its_etag(redis_url: str, tmp_path: Path) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path)) as client:
        plain = client.get("/v1/tag.js", headers={"accept-encoding": "identity"})
        small = client.get("/v1/tag.js", headers={"accept-encoding": "gzip, br"})
        again = client.get("/v1/tag.js", headers={"if-none-match": plain.headers["etag"]})

    assert plain.content == small.content == source()
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "max-age=3600" in plain.headers["cache-control"]
    assert "content-encoding" not in plain.headers
    assert (small.headers["content-encoding"], small.headers["vary"]) == ("gzip", "accept-encoding")
    assert int(small.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert (again.status_code, again.content) == (304, b"")


def test_only_pages_of_allowed_origins_reach_the_web_doors_and_no_page_another(redis_url: str, tmp_path: Path) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), cors_origins=f"{PAGE},http://localhost:3000") as client:

        def answer(path: str, origin: str, method: str = "OPTIONS") -> httpx.Response:
            return client.request(method, path, headers={"origin": origin, **asks})

        for path in ("/v1/events", "/v1/decisions", "/v1/offers"):
            allowed, foreign = answer(path, PAGE), answer(path, "https://evil.example")
            assert allowed.headers["access-control-allow-origin"] == PAGE
            assert allowed.headers["access-control-max-age"] == "7200"
            assert "access-control-allow-origin" not in foreign.headers
            assert "access-control-allow-credentials" not in allowed.headers
        for path in ("/v1/customers/u-1", "/v1/customers/u-1/consent", "/v1/catalogue", "/metrics", "/v1/insights/lift"):
            assert "access-control-allow-origin" not in answer(path, PAGE).headers
            assert "access-control-allow-origin" not in answer(path, PAGE, "GET").headers
        refused = client.post("/v1/decisions", content=b"{", headers={"origin": PAGE})

    assert refused.status_code == 400
    assert refused.headers["access-control-allow-origin"] == PAGE


def test_a_web_key_may_stand_in_the_address_and_no_other_key(redis_url: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"web_keys": "w+/1", "write_keys": "till", "secret_keys": "secret"}
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), **keys) as client:

        def sent(path: str, body: object, **query: str) -> tuple[int, str]:
            answer = client.post(path, params=query, content=orjson.dumps(body), headers={"content-type": "text/plain"})
            return answer.status_code, answer.json().get("code", "")

        assert sent("/v1/events", [EVENT], key="w+/1") == (202, "")
        assert sent("/v1/decisions", QUESTION, key="w+/1") == (200, "")
        one = {"anonymous_id": "a-1", "placement": "home_hero", "key": "w+/1"}
        assert client.get("/v1/offers", params=one).status_code == 200
        for other in ("till", "secret"):
            assert sent("/v1/events", [EVENT], key=other) == (401, "key.in_address")
        assert sent("/v1/events", [EVENT], key="unknown") == (401, "key.unknown")
        assert sent("/v1/events", [EVENT]) == (401, "key.missing")
        assert client.get("/v1/customers/u-1", params={"key": "w+/1"}).status_code == 401
        order = {**EVENT, "type": "order_completed", "data": {"order_id": "1", "currency": "EUR", "total": "1.00"}}
        beside = client.post("/v1/events", params={"key": "w+/1"}, json=[order]).json()

    assert [each["code"] for each in beside["rejected"]] == ["key.event_type"]


def test_without_keys_a_page_that_nobody_allowed_changes_nothing(redis_url: str, tmp_path: Path) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), cors_origins=PAGE) as client:

        def sent(path: str, **headers: str) -> int:
            body = orjson.dumps([EVENT] if path == "/v1/events" else QUESTION)
            return client.post(path, content=body, headers={"content-type": "text/plain", **headers}).status_code

        for path, taken in (("/v1/events", 202), ("/v1/decisions", 200)):
            assert sent(path) == sent(path, origin=PAGE) == sent(path, origin=str(client.base_url)) == taken
            assert sent(path, origin="https://evil.example") == sent(path, origin="null") == 403
        erased = client.delete("/v1/customers/u-1", headers={"origin": "https://evil.example"})

    assert (erased.status_code, erased.json()["code"]) == (403, "origin.not_allowed")


def test_the_same_text_is_packed_to_the_same_bytes() -> None:
    assert packed(source()) == packed(source())
    assert gzip.decompress(packed(source())) == source()


@pytest.mark.parametrize("origin", ["https://shop.example/", "shop.example", "https://shop.example/path", "https://"])
def test_an_origin_that_could_never_match_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValidationError, match="an origin is written like"):
        ApiSettings.model_validate({"cors_origins": origin})
