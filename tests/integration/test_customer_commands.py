"""`regulars erase` and `regulars preferences-link`, against an API on a real Redis."""

import threading
from pathlib import Path

import orjson
import pytest

from flows.customers import erase, preferences_link
from flows.running import NotFound
from tests.integration.api_client import api_client, consent, fold, shown, write_catalogue


def test_a_customer_is_forgotten_and_the_certificate_lists_every_store(
    redis_url: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), decision_deadline_ms=2000, secret_keys="s") as client:
        client.headers["authorization"] = "Bearer s"
        url = str(client.base_url)
        client.post("/v1/events", json=[consent(), consent(name="c-2", user_id="ä/1")])
        fold(redis_url)
        engine = threading.Timer(0.3, fold, [redis_url])
        engine.start()

        assert erase(customer="u-1", url=url, key="s") == 0

        engine.join()
        certificate = orjson.loads(capsysbinary.readouterr().out)
        assert certificate["status"] == "erased"
        assert {"profile", "contact ledger"} <= {one["store"] for one in certificate["stores"]}
        assert client.get("/v1/customers/u-1").status_code == 410
        with pytest.raises(NotFound, match="forgotten"):
            preferences_link(customer="u-1", url=url, key="s")
        with pytest.raises(NotFound):
            preferences_link(customer="nobody", url=url, key="s")


def test_a_link_opens_the_page_of_the_customer(
    redis_url: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), decision_deadline_ms=2000) as client:
        client.post("/v1/events", json=consent())
        preferences_link(customer="u-1", url=str(client.base_url), key="")

        made = orjson.loads(capsysbinary.readouterr().out)
        assert made["url"].startswith(str(client.base_url))
        assert client.post(made["url"], data={"do": "stop"}, follow_redirects=True).status_code == 200
        asked = {"user_id": "u-1", "placements": [{"name": "home_hero", "count": 3}]}
        assert shown(client.post("/v1/decisions", json=asked)) == ["house"]
