"""Identities over HTTP and Redis: who was joined to whom, taken apart again, and what a page cannot make anybody believe."""

import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
import redis as sync_redis
from httpx import Client

from engine.decisioning.ledger import VIEWED, Ledger, decode_ledger
from engine.ids import shard_of
from engine.store import keys
from engine.store.redis_writer import RedisStore
from tests.integration.api_client import SHARDS, api_client, consent, fold, shown, write_catalogue

SECRET = "kept-where-the-server-is"
VICTIM: dict[str, Any] = {"user_id": "u-1"}
EVERYBODY = ("u:u-1", "l:c-9", "l:c-7", "a:a-9", "u:mallory", "a:lead:9")
PAGE = next(
    name for name in map("page-{}".format, range(100)) if all(shard_of(f"a:{name}", 8) != shard_of(one, 8) for one in EVERYBODY)
)
"""The visitor of the page, in a shard of their own: what time does to the others is not what the page did."""


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), decision_deadline_ms=2000) as client:
        yield client


@pytest.fixture
def keyed(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    with api_client(
        redis_url,
        catalogue=write_catalogue(tmp_path),
        decision_deadline_ms=2000,
        web_keys=("page",),
        write_keys=("till",),
        secret_keys=(SECRET,),
    ) as client:
        yield client


def event(kind: str, name: str, day: int = 1, data: dict[str, Any] | None = None, **who: str) -> dict[str, Any]:
    return {"id": name, "type": kind, "time": f"2026-03-{day:02}T10:00:00Z", "source": "web://shop", "data": data or {}, **who}


def order(name: str, total: str, day: int, **who: str) -> dict[str, Any]:
    data = {"order_id": name, "currency": "EUR", "total": total, "products": [{"product_id": "p", "category": "wine"}]}
    return event("order_completed", name, day, data, **who)


def send(client: Client, *events: dict[str, Any], key: str = "") -> dict[str, Any]:
    answer = client.post("/v1/events", json=list(events), headers=bearer(key) if key else {})
    assert answer.status_code == 202, answer.text
    return cast("dict[str, Any]", answer.json())


def settle(redis_url: str) -> None:
    """Folds, and passes on what shards tell each other, until nothing is left."""
    store = RedisStore(redis_url)
    while fold(redis_url) + sum(store.relay(shard) for shard in range(SHARDS)):
        continue
    store.client.close()


def view(client: Client, user: str = "u-1", path: str = "", key: str = "") -> dict[str, Any]:
    answer = client.get(f"/v1/customers/{user}{path}", headers=bearer(key) if key else {})
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json())


@pytest.mark.parametrize("turn", [1, -1])
def test_card_and_account_are_one_whichever_is_known_first(client: Client, redis_url: str, turn: int) -> None:
    card = [order("t-1", "10.00", 1, loyalty_id="c-9"), order("t-2", "5.00", 4, loyalty_id="c-9")]
    linked = event("identity_linked", "l", 2, loyalty_id="c-9", **VICTIM)
    account = [order("o-1", "20.00", 2, **VICTIM), linked, order("o-2", "7.00", 5, **VICTIM)]
    for one in [*card, *account][::turn]:
        send(client, one)
        settle(redis_url)

    assert view(client)["purchases"]["spend_minor"] == 4_200
    assert view(client)["identities"]["loyalty"] == ["c-9"]
    assert client.get("/v1/customers", params={"loyalty_id": "c-9"}).json()["purchases"]["count"] == 4


def test_what_was_joined_is_told_with_the_events_that_said_so_and_goes_apart_again(client: Client, redis_url: str) -> None:
    send(client, order("g-1", "10.00", 1, anonymous_id="a-1"), order("o-1", "20.00", 2, **VICTIM))
    settle(redis_url)
    before = view(client)
    send(client, event("page_viewed", "login", 3, anonymous_id="a-1", **VICTIM))
    settle(redis_url)
    assert view(client)["purchases"]["spend_minor"] == 3_000
    events = [json.loads(line) for line in client.get("/v1/customers/u-1/export").text.splitlines() if '"event"' in line[:20]]
    assert sorted(one["value"]["id"] for one in events if not one["value"]["id"].startswith("segment")) == ["g-1", "login", "o-1"]
    assert view(client, path="/identities")["identities"] == [
        {
            "kind": "anonymous",
            "id": "a-1",
            "status": "joined",
            "at": "2026-03-03T10:00:00.000Z",
            "event_id": "login",
            "source": "web://shop",
        }
    ]

    send(client, event("identity_unlinked", "desk-1", 4, anonymous_id="a-1", **VICTIM) | {"source": "crm://desk"})
    send(client, order("g-2", "4.00", 5, anonymous_id="a-1"))
    settle(redis_url)
    told = view(client, path="/identities")

    assert view(client)["purchases"] == before["purchases"]
    assert view(client)["identities"] == {"anonymous": [], "loyalty": []}
    alone = client.get("/v1/customers", params={"anonymous_id": "a-1"}).json()
    assert (alone["user_id"], alone["purchases"]["spend_minor"]) == (None, 1_400)
    assert [(one["status"], one["event_id"], one["source"]) for one in told["identities"]] == [
        ("unlinked", "desk-1", "crm://desk")
    ]
    assert [(one["what"], one["event_id"]) for one in told["changes"]] == [
        ("linked", "login"), ("joined", "login"), ("unlinked", "desk-1"), ("parted", "desk-1"),
    ]  # fmt: skip
    assert '"g-1"' not in client.get("/v1/customers/u-1/export").text
    exported = client.get("/v1/customers/u-1/export").text
    assert "desk-1" in exported
    assert "parted" in exported


def test_identities_are_read_with_a_secret_key_and_leave_with_their_customer(keyed: Client, redis_url: str) -> None:
    send(keyed, event("page_viewed", "login", anonymous_id="a-1", **VICTIM), key="till")
    settle(redis_url)

    refused = [keyed.get("/v1/customers/u-1/identities", headers=bearer(key)).status_code for key in ("page", "till")]
    assert refused == [403, 403]
    assert view(keyed, path="/identities", key=SECRET)["user_id"] == "u-1"
    keyed.delete("/v1/customers/u-1", headers=bearer(SECRET))
    settle(redis_url)

    assert keyed.get("/v1/customers/u-1/identities", headers=bearer(SECRET)).status_code == 410
    assert keyed.get("/v1/customers/nobody/identities", headers=bearer(SECRET)).status_code == 404
    raw = sync_redis.Redis.from_url(redis_url)
    assert [name for kind in ("prof", "pend", "led", "time") for name in raw.scan_iter(f"{kind}:*")] == []
    raw.close()


def test_a_refusal_stays_with_both_when_they_are_parted(client: Client, redis_url: str) -> None:
    said = {"purpose": "marketing"}
    send(
        client,
        event("consent_updated", "c-1", 1, said | {"status": "granted"}, **VICTIM),
        event("page_viewed", "login", 2, anonymous_id="a-1", **VICTIM),
        event("consent_updated", "c-2", 3, said | {"status": "revoked"}, anonymous_id="a-1"),
        event("identity_unlinked", "desk", 4, anonymous_id="a-1", **VICTIM),
    )
    settle(redis_url)

    alone = client.get("/v1/customers", params={"anonymous_id": "a-1"}).json()
    assert [each["consent"]["marketing"]["status"] for each in (view(client), alone)] == ["revoked", "revoked"]


def test_what_is_passed_on_within_one_shard_arrives_before_the_identity_is_given_back(client: Client, redis_url: str) -> None:
    """What is obeyed at once goes another way than what is not."""
    near = next(name for name in map("a-{}".format, range(100)) if shard_of(f"a:{name}", SHARDS) == shard_of("u:u-1", SHARDS))
    send(client, event("page_viewed", "login", 1, anonymous_id=near, **VICTIM))
    settle(redis_url)
    send(
        client,
        event("complaint_filed", "k", 2, {"complaint_id": "k-1"}, anonymous_id=near),
        event("identity_unlinked", "desk", 3, anonymous_id=near, **VICTIM),
    )
    settle(redis_url)

    alone = client.get("/v1/customers", params={"anonymous_id": near}).json()
    assert [each["service"]["open_complaints"] for each in (view(client), alone)] == [0, 1]
    assert view(client, path="/identities")["identities"][0]["status"] == "unlinked"
    assert "k-1" not in client.get("/v1/customers/u-1").text


def test_a_cap_counts_what_was_seen_under_any_name_of_a_customer(client: Client, redis_url: str) -> None:
    def asked(**who: str) -> list[str]:
        return shown(client.post("/v1/decisions", json={**who, "placements": [{"name": "till"}], "exclude": ["coffee"]}))

    send(client, consent("granted", "c-1", loyalty_id="c-9"), consent("granted", "c-2", **VICTIM))
    settle(redis_url)

    assert asked(loyalty_id="c-9") == ["once"]
    send(client, event("identity_linked", "l", 2, loyalty_id="c-9", **VICTIM))
    settle(redis_url)
    assert asked(**VICTIM) == asked(loyalty_id="c-9") == []
    send(client, event("identity_unlinked", "n", 3, loyalty_id="c-9", **VICTIM))
    settle(redis_url)
    assert (asked(**VICTIM), asked(loyalty_id="c-9")) == (["once"], [])


@pytest.mark.parametrize("later", [{**VICTIM, "anonymous_id": "a-1"}, {"anonymous_id": "a-1"}])
def test_a_view_after_the_login_takes_what_was_reserved_before_it(client: Client, redis_url: str, later: dict[str, str]) -> None:
    """Under both names, or under that of the browser alone, which has moved by then."""
    send(client, consent("granted", "c-1", anonymous_id="a-1"))
    settle(redis_url)
    asked = {"anonymous_id": "a-1", "placements": [{"name": "banner"}]}
    login = event("identity_linked", "l", 2, anonymous_id="a-1", **VICTIM)
    if "user_id" not in later:
        send(client, login)
        settle(redis_url)
    first = client.post("/v1/decisions", json=asked).json()
    send(client, login)
    named = {"offer_id": "last-two", "decision_id": first["decision_id"], "placement": "banner"}

    send(client, {"id": "v", "type": "offer_viewed", **named, **later})

    held = [
        (entry.offer_id, entry.state)
        for key in ("a:a-1", "u:u-1")
        for entry in ledger_of(redis_url, key).entries
        if first["decision_id"] in entry.decisions
    ]
    assert held == [("last-two", VIEWED)]


def ledger_of(redis_url: str, key: str) -> Ledger:
    raw = sync_redis.Redis.from_url(redis_url)
    stored = cast("bytes | None", raw.get(keys.ledger(shard_of(key, SHARDS), key)))
    raw.close()
    return decode_ledger(stored)


def state(redis_url: str, *names: str) -> dict[bytes, bytes]:
    """All bytes that Redis holds of these customers, but for dead letters, which are of nobody."""
    raw = sync_redis.Redis.from_url(redis_url)
    held: dict[bytes, bytes] = {}
    for name in names:
        shard = shard_of(name, SHARDS)
        wanted = [keys.profile(shard, name), keys.ledger(shard, name), keys.pending(shard, name), keys.timeline(shard, name)]
        wanted += [key.decode() for key in raw.scan_iter(f"*{name}*") if isinstance(key, bytes)]
        held.update({key.encode(): cast("bytes", raw.dump(key)) or b"" for key in sorted(set(wanted))})
    for number in range(SHARDS):
        held[f"events {number}".encode()] = str(raw.xlen(keys.events(number))).encode()
        held[f"decisions {number}".encode()] = str(raw.xlen(keys.decisions(number))).encode()
    raw.close()
    return held


def signed(user: str, key: str = SECRET) -> str:
    return hmac.new(key.encode(), user.encode(), sha256).hexdigest()


def forgeries() -> list[dict[str, Any]]:
    """What somebody who has the key of the page, and an account of their own, may try to say of others."""
    names: tuple[dict[str, Any], ...] = (
        VICTIM,
        VICTIM | {"anonymous_id": "a-9"},
        VICTIM | {"user_hash": "0" * 64},
        VICTIM | {"user_hash": signed("mallory")},
        VICTIM | {"user_hash": signed("u-1", "page")},
    )
    bodies: dict[str, dict[str, Any]] = {
        "page_viewed": {},
        "product_added": {"product_id": "p"},
        "offer_viewed": {"offer_id": "coffee", "decision_id": "d-1"},
        "consent_updated": {"purpose": "marketing", "status": "granted"},
        "preference_updated": {"topics": False},
        "identity_linked": {},
        "identity_unlinked": {},
        "customer_identified": {"household_size": "9"},
        "order_completed": {"order_id": "x", "currency": "EUR", "total": "1.00"},
        "complaint_filed": {},
        "erasure_requested": {},
    }
    forged = [
        event(kind, f"x-{kind}-{number}", 3, data, **who) for kind, data in bodies.items() for number, who in enumerate(names)
    ]
    own: dict[str, Any] = {"user_id": "mallory", "user_hash": signed("mallory")}
    return [
        *forged,
        event("page_viewed", "card", 3, loyalty_id="c-7", **own),
        event("page_viewed", "lead", 3, anonymous_id="lead:9", **own),
        event("page_viewed", "card-alone", 3, loyalty_id="c-9"),
        event("identity_linked", "linked", 3, loyalty_id="c-7", **own),
        event("identity_linked", "browser", 3, anonymous_id="a-9", loyalty_id="c-7"),
    ]


def through_every_door(client: Client) -> dict[str, int]:
    """By door, how many events it accepted."""
    forged, page = forgeries(), bearer("page")
    clouds = [
        {"specversion": "1.0", "id": f"ce-{index}", "source": "web://shop", "type": one["type"], "subject": "u-1",
         "anonymousid": "a-9", "loyaltyid": "c-9", "data": one["data"]}
        for index, one in enumerate(forged)
    ]  # fmt: skip
    calls = [
        {"type": kind, "messageId": f"sg-{kind}", "userId": "u-1", "anonymousId": "a-9", "event": "Product Viewed",
         "previousId": "a-9", "traits": {"household_size": 9, "user_hash": signed("mallory")}, "context": {}}
        for kind in ("identify", "track", "page", "screen", "group", "alias")
    ]  # fmt: skip
    receipt = {"RetailTransaction": {"Customer": {"CustomerID": "c-9"}}}
    riding = {"anonymous_id": PAGE, "placements": [{"name": "home_hero"}], "events": forged}
    sent = {
        "native": client.post("/v1/events", json=forged, headers=page),
        "lines": client.post(
            "/v1/events",
            content="\n".join(json.dumps(one) for one in forged),
            headers=page | {"content-type": "application/x-ndjson"},
        ),
        "clouds": client.post(
            "/v1/events",
            content=json.dumps(clouds),
            headers=page | {"content-type": "application/cloudevents-batch+json"},
        ),
        "batch": client.post("/v1/batch", json={"batch": calls}, headers=page),
        **{f"segment {one['type']}": client.post(f"/v1/{one['type']}", json=one, headers=page) for one in calls},
        "till": client.post("/v1/pos/transactions", json=receipt, headers=page),
    }
    along = client.post("/v1/decisions", json=riding, headers=page).json()["events"]
    return {name: answer.json().get("accepted", 0) for name, answer in sent.items()} | {"riding": along["accepted"]}


def test_a_forged_user_from_a_page_changes_nothing_through_any_door(keyed: Client, redis_url: str) -> None:
    send(keyed, order("o-1", "20.00", 1, **VICTIM), event("page_viewed", "l-1", 1, loyalty_id="c-9", **VICTIM), key="till")
    send(keyed, consent("granted", "yes"), order("t-1", "9.00", 2, loyalty_id="c-7"), key="till")
    send(keyed, order("g-1", "9.00", 2, anonymous_id="a-9"), key="till")
    settle(redis_url)
    before = state(redis_url, *EVERYBODY)
    page = bearer("page")
    asked: dict[str, Any] = {"placements": [{"name": "home_hero"}]}
    own: dict[str, Any] = {"user_id": "mallory", "user_hash": signed("mallory")}
    others: list[dict[str, Any]] = [
        VICTIM,
        VICTIM | {"user_hash": signed("mallory")},
        {"loyalty_id": "c-9"},
        own | {"loyalty_id": "c-7"},
        own | {"anonymous_id": "lead:9"},
    ]

    accepted = through_every_door(keyed)
    statuses = [keyed.post("/v1/decisions", json={**asked, **who}, headers=page).status_code for who in others]
    statuses += [keyed.get("/v1/offers", params={"placement": "home_hero", **who}, headers=page).status_code for who in others]
    consents = {"consents": [{"purpose": "marketing", "status": "granted"}]}
    statuses += [
        keyed.put("/v1/customers/u-1/consent", json=consents, headers=page).status_code,
        keyed.delete("/v1/customers/u-1", headers=page).status_code,
        keyed.get("/v1/customers/u-1/identities", headers=page).status_code,
    ]
    settle(redis_url)

    assert set(accepted.values()) == {0}
    assert set(statuses) == {403}
    after = state(redis_url, *EVERYBODY)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    mine = shard_of(f"a:{PAGE}", SHARDS)
    assert changed == {f"events {mine}".encode(), f"decisions {mine}".encode()}, "but for the page's own decision"


def test_a_refusal_without_a_hash_is_obeyed_and_joins_nobody(keyed: Client, redis_url: str) -> None:
    send(keyed, consent("granted", "yes"), order("g-1", "9.00", 2, anonymous_id="a-9"), key="till")
    settle(redis_url)
    asked = VICTIM | {"placements": [{"name": "home_hero"}]}
    assert shown(keyed.post("/v1/decisions", json=asked, headers=bearer("till"))) != ["house"]
    refusal = event("consent_updated", "no", 1, {"purpose": "marketing", "status": "revoked"}, anonymous_id="a-9", **VICTIM)

    told = send(keyed, refusal, refusal, key="page")
    at_once = shown(keyed.post("/v1/decisions", json=asked, headers=bearer("till")))
    settle(redis_url)

    assert told["accepted"] == 2
    assert at_once == ["house"]
    found = view(keyed, key=SECRET)
    assert found["consent"]["marketing"]["status"] == "revoked"
    assert found["purchases"]["count"] == 0
    assert view(keyed, path="/identities", key=SECRET)["identities"] == []
