"""Products come in by feeds of three kinds, line by line, and are what the next decision and the next sale go by."""

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from engine.store.redis_writer import RedisStore
from tests.integration.api_client import api_client, write_catalogue

CSV = """\
product_id;title;category;price;currency;unit_cost;availability;image;url;replenish_days;colour
p-1;"Espresso; 500 g";coffee;7.90;EUR;4.10;in stock;/img/1.jpg;/p/1;30;brown
p-2;Filters;coffee;-1;EUR;;yes;;;;
p-3;"Never closed;coffee;2.00;EUR;;yes;;;;
p-4;Grinder;machines;89;EUR;;out_of_stock;;;;
p-5;Too short
p-6;"Two
lines";coffee;3.00;EUR;1.00;1;;;;
"""


@pytest.fixture
def client(redis_url: str, tmp_path: Any) -> Iterator[httpx.Client]:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path)) as client:
        yield client


def send(client: httpx.Client, body: bytes | str, kind: str = "text/csv") -> dict[str, Any]:
    answer = client.post("/v1/products", content=body, headers={"content-type": kind})
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    return told


def product(name: str, **facts: Any) -> dict[str, Any]:
    return {"product_id": name, "title": name.upper(), "price": "2.00", "currency": "EUR", **facts}


def test_a_bad_line_of_a_csv_never_loses_the_others(client: httpx.Client) -> None:
    told = send(client, CSV)
    known = {name: client.get(f"/v1/products/{name}").status_code for name in ("p-1", "p-2", "p-3", "p-4", "p-5", "p-6")}

    assert told["accepted"] == 3
    assert [(one["index"], one["code"], one.get("field", "")) for one in told["rejected"]] == [
        (1, "schema.type", "price"),
        (2, "csv.invalid", ""),
        (4, "csv.invalid", ""),
    ]
    assert told["rejected"][0]["id"] == "p-2"
    assert all(one["dead_letter_id"] for one in told["rejected"])
    assert told["ignored"] == ["colour"]
    assert known == {"p-1": 200, "p-2": 404, "p-3": 404, "p-4": 200, "p-5": 404, "p-6": 200}


def test_a_product_is_read_back_as_it_was_told(client: httpx.Client) -> None:
    send(client, CSV)
    espresso, grinder, lines = (client.get(f"/v1/products/p-{one}").json() for one in (1, 4, 6))

    assert (espresso["title"], espresso["price_minor"], espresso["price"]) == ("Espresso; 500 g", 790, "7.90")
    assert (espresso["unit_cost_minor"], espresso["margin_minor"], espresso["replenish_days"]) == (410, 380, 30.0)
    assert (espresso["available"], espresso["image"], espresso["url"]) == (True, "/img/1.jpg", "/p/1")
    assert (grinder["available"], grinder["price_minor"], grinder["unit_cost_minor"]) == (False, 8900, None)
    assert (lines["title"], lines["margin_minor"]) == ("Two\nlines", 200)
    assert client.get("/v1/products").json()["count"] == 3


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (orjson.dumps([product("a"), product("b", price=200)]), "application/json"),
        (b"\n".join(orjson.dumps(product(name)) for name in "ab"), "application/x-ndjson"),
        (b"\n".join(orjson.dumps(product(name)) for name in "ab"), "application/json"),
        ("ID,Name,Price,Currency\na,A,2.00,EUR\nb,B,2,EUR\n", "text/csv; charset=utf-8"),
        ("\ufeffid\tname\tprice\tcurrency\r\na\tA\t2.00\tEUR\r\nb\tB\t2.00\tEUR\r\n", "text/tab-separated-values"),
        (orjson.dumps({"products": [product("a"), product("b")]}), "application/json"),
    ],
)
def test_json_lines_and_csv_come_to_the_same(client: httpx.Client, body: bytes | str, kind: str) -> None:
    told = send(client, body, kind)

    assert told == {"accepted": 2, "rejected": []}
    assert [client.get(f"/v1/products/{name}").json()["price_minor"] for name in "ab"] == [200, 200]


def test_a_misspelt_column_is_named_with_what_was_meant(client: httpx.Client) -> None:
    in_csv = send(client, "product_id,titel,price,currency\na,A,2.00,EUR\nb,B,2.00,EUR\n")
    in_json = send(client, orjson.dumps([product("a", categroy="x"), product("b")]), "application/json")

    assert (in_csv["accepted"], in_json["accepted"]) == (0, 1)
    assert [(one["index"], one["code"], one["field"]) for one in in_csv["rejected"]] == [
        (0, "schema.unknown", "titel"),
        (1, "schema.unknown", "titel"),
    ]
    assert "did you mean 'title'?" in in_csv["rejected"][0]["detail"]
    assert "did you mean 'category'?" in in_json["rejected"][0]["detail"]


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"title": ""}, "title"),
        ({"price": "1.999"}, "price"),
        ({"price": 1.5}, "price"),
        ({"currency": "EURO"}, "price"),
        ({"margin_rate": 1.5}, "margin_rate"),
        ({"unit_cost": 1, "margin_rate": 0.5}, ""),
        ({"availability": "perhaps"}, "availability"),
        ({"replenish_days": 0}, "replenish_days"),
        ({"product_id": ""}, "product_id"),
        ({"currency": None}, "currency"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(client: httpx.Client, facts: dict[str, Any], field: str) -> None:
    told = send(client, orjson.dumps([product("a", **facts), product("b")]), "application/json")

    assert told["accepted"] == 1
    assert told["rejected"][0].get("field", "") in (field, "data")


def test_what_was_told_later_holds_whichever_comes_first(client: httpx.Client) -> None:
    new = product("a", price="1.00", updated_at="2026-02-02T00:00:00Z")
    old = product("a", price="3.00", updated_at="2026-02-01T00:00:00Z")
    for body in (new, old):
        send(client, orjson.dumps(body), "application/json")

    assert client.get("/v1/products/a").json()["price_minor"] == 100


def test_an_event_tells_of_a_product_as_well_and_is_in_nobodys_log(client: httpx.Client, redis_url: str) -> None:
    event = {"id": "e-1", "type": "product_upserted", "time": "2026-02-02T00:00:00Z", "data": product("a", margin_rate=0.25)}
    told = client.post("/v1/events", json=[event, {**event, "id": "e-2", "data": {"product_id": "b", "currency": "EUR"}}]).json()
    store = RedisStore(redis_url)

    assert told["accepted"] == 1
    assert told["rejected"][0]["field"] == "data.title"
    assert client.get("/v1/products/a").json()["unit_cost_minor"] == 150
    assert not any(b"product_upserted" in repr(store.client.xrange(name)).encode() for name in store.client.scan_iter("ev:*"))
    store.client.close()


@pytest.mark.parametrize("body", [b"", b"[{", b"\xff\xfe,", b"just some words", b"a,b\n1,2"])
def test_a_body_that_is_no_feed_at_all_is_refused_as_a_whole(client: httpx.Client, body: bytes) -> None:
    assert client.post("/v1/products", content=body).status_code == 400


def test_products_take_a_key_of_a_server(redis_url: str, tmp_path: Any) -> None:
    keys: dict[str, Any] = {"web_keys": ("w",), "write_keys": ("t",), "secret_keys": ("s",)}
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), **keys) as client:
        by = {
            key: [
                client.post("/v1/products", json=[product("a")], headers=headers).status_code,
                client.get("/v1/products/a", headers=headers).status_code,
                client.get("/v1/products", headers=headers).status_code,
            ]
            for key in ("w", "t", "s", "?")
            for headers in [{"authorization": f"Bearer {key}"}]
        }

    assert by == {"w": [403, 403, 403], "t": [202, 200, 200], "s": [202, 200, 200], "?": [401, 401, 401]}
