"""From an action to a webhook: decided when it is sent, signed, tried again, delivered once; only what is allowed then."""

import base64
import hmac
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from httpx import Client
from msgspec.structs import replace

from config.catalogue_files import load_catalogue
from engine.decisioning.deliveries import Delivery, Patience
from engine.decisioning.triggers import Action, Occasion, action_id
from engine.ids import erased_name, shard_of
from engine.moments import HOUR, MINUTE, Millis, moment
from engine.store import keys
from engine.store.redis_actions import Held, RedisActions
from engine.store.redis_writer import RedisStore
from flows import actions as commands
from flows.deliver import Deliverer, Plan
from flows.door import JSON, Answer, Door
from flows.webhooks import Webhook, signature
from tests.integration.api_client import SHARDS, api_client, consent, write_catalogue
from tests.receiver import Receiver, receiving

POLICY = """\
timezone: UTC
placements:
  message: {channel: email, shown_when: decided}
  bill: {channel: email, shown_when: decided}
holdout: {share: 0.0, salt: none}
"""
OFFERS = """\
offers:
  - {id: coffee, kind: sell, placements: [message], caps: [{count: 1, window_days: 7}], margin: 1.80 EUR,
     content: {default: {title: Coffee}}, redeemed_when: {event: offer_accepted}}
  - {id: hello, kind: service, placements: [bill], content: {default: {title: Hello}}}
"""
TRIGGERS = """\
triggers:
  - {id: sale, event: birthday, placement: message, max_age_minutes: 60}
  - {id: help, event: birthday, placement: bill, max_age_minutes: 60}
"""
SECRET = "a secret of the shop"
EMAIL = {"purpose": "marketing", "status": "granted", "channels": ["email"]}


def now_ms() -> int:
    return int(time.time() * 1000)


class Desk:
    """A sender in the hands of a test, step by step, with the API and the store that it works on."""

    def __init__(self, redis_url: str, folder: Path, client: Client, receiver: Receiver) -> None:
        self.client, self.receiver, self.url = client, receiver, redis_url
        self.store = RedisStore(redis_url)
        self.store.open(0)
        self.book = RedisActions(redis_url, SHARDS)
        triggers = {one.id: one for one in load_catalogue(folder).triggers}
        self.plan = Plan(triggers, {"default": (receiver.url, SECRET)}, Patience(attempts=3, first_ms=1, longest_ms=1), 5.0)
        self.told: list[tuple[str, str]] = []
        door = Door(str(client.base_url), patience_s=5)
        self.deliverer = Deliverer(
            lambda: self.plan, self.book, door, time.time, lambda what, one: self.told.append((what, one.reason))
        )

    def allow(self, status: str = "granted", name: str = "c-1") -> None:
        body = consent(status, name) | {"data": EMAIL | {"status": status}}
        assert self.client.post("/v1/events", json=body).json()["accepted"] == 1

    def act(self, trigger: str = "sale", due_at: int | None = None, occasion: str = "2026", user: str = "u-1") -> str:
        """An action as a shard puts it on its stream, taken over by the sender."""
        told = Occasion(event="birthday", id=occasion, at=now_ms())
        name = action_id(trigger, f"u:{user}", told, b"salt")
        action = Action(id=name, trigger=trigger, customer=f"u:{user}", occasion=told, due_at=due_at or now_ms())
        self.store.client.xadd(keys.actions(shard_of(action.customer, SHARDS)), {"a": msgspec.json.encode(action)})
        self.book.take_over(1)
        return name

    def close(self) -> None:
        self.deliverer.close()
        self.book.close()
        self.store.client.close()

    def claim(self) -> list[Held]:
        return self.book.claim(now_ms() + 1, now_ms() + MINUTE, 100)

    def step(self) -> list[Delivery]:
        """One step of everything that is due; how it stands then."""
        time.sleep(0.003)
        held = self.claim()
        for one in held:
            self.deliverer.step(one)
        return [found for one in held if (found := self.book.one(one.delivery.id)) is not None]

    def one(self, name: str) -> Delivery:
        found = self.book.one(name)
        assert found is not None
        return found


class Crashing(Door):
    """The process dies when it has been answered."""

    def post(self, path: str, body: bytes, content_type: str = JSON, headers: dict[str, str] | None = None) -> Answer:
        super().post(path, body, content_type, headers)
        raise KeyboardInterrupt


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_catalogue(tmp_path, POLICY, OFFERS)
    (folder / "triggers.yaml").write_text(TRIGGERS)
    return folder


@pytest.fixture
def desk(redis_url: str, folder: Path, receiver: Receiver) -> Iterator[Desk]:
    with api_client(redis_url, catalogue=folder) as client:
        desk = Desk(redis_url, folder, client, receiver)
        desk.allow()
        yield desk
        desk.close()


def test_what_may_be_sent_is_decided_signed_and_delivered_once(desk: Desk, receiver: Receiver) -> None:
    name = desk.act()

    (done,) = desk.step()

    (sent,) = receiver.requests
    signed = hmac.new(SECRET.encode(), f"{name}.{sent.headers['webhook-timestamp']}.".encode() + sent.body, sha256).digest()
    assert sent.headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    assert sent.headers["idempotency-key"] == sent.id == name
    told = sent.message["data"]
    assert (told["trigger"], told["customer"], told["occasion"]["event"]) == ("sale", {"user_id": "u-1"}, "birthday")
    assert [(offer["offer_id"], offer["content"]["title"]) for offer in told["offers"]] == [("coffee", "Coffee")]
    assert not {"score", "probability", "terms", "reasons"} & set(told["offers"][0])
    assert (done.state, done.action, done.body) == ("delivered", None, b"")
    assert desk.step() == []


def test_an_action_that_is_handed_in_again_is_known(desk: Desk, receiver: Receiver) -> None:
    first = desk.act()
    desk.step()

    again = desk.act()

    assert again == first
    assert desk.step() == []
    assert len(receiver.requests) == 1


def test_a_webhook_that_fails_is_tried_again_under_the_same_id_with_the_same_message(desk: Desk, receiver: Receiver) -> None:
    receiver.answer = lambda _, nth: (503, 0, 204)[nth]
    name = desk.act()

    states = [desk.step()[0].state for _ in range(3)]

    assert states == ["delivering", "delivering", "delivered"]
    assert {(one.id, one.body) for one in receiver.requests} == {(name, receiver.requests[0].body)}
    assert desk.one(name).tries == 3


@pytest.mark.parametrize(("status", "tries"), [(410, 1), (404, 1), (302, 1), (500, 3)])
def test_what_cannot_be_delivered_is_dead_until_somebody_replays_it(
    desk: Desk, receiver: Receiver, tmp_path: Path, status: int, tries: int, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    receiver.answer = lambda *_: status
    name = desk.act()
    for _ in range(tries):
        desk.step()
    assert (desk.one(name).state, len(receiver.requests)) == ("dead", tries)

    receiver.answer = lambda *_: 200
    assert commands.replay(redis_url=desk.url, data=tmp_path, action_id="") == 0
    desk.step()
    assert commands.replay(redis_url=desk.url, data=tmp_path, action_id=name) == 1

    assert desk.one(name).state == "delivered"
    assert receiver.acknowledged == {name: 1}
    assert b'"outcome":"queued"' in capfdbinary.readouterr().out


def test_the_operator_sees_what_is_dead_and_why(
    desk: Desk, receiver: Receiver, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    receiver.answer = lambda *_: 410
    name = desk.act()
    desk.step()

    commands.list_actions(redis_url=desk.url, data=tmp_path, which="dead", limit=5)
    listed = msgspec.json.decode(capfdbinary.readouterr().out)
    commands.show(redis_url=desk.url, data=tmp_path, action_id=name)
    shown = msgspec.json.decode(capfdbinary.readouterr().out)

    assert (listed["id"], listed["state"], listed["status"]) == (name, "dead", 410)
    assert (shown["customer"], shown["message"]["id"]) == ("u:u-1", name)


def test_without_consent_nothing_is_sent(desk: Desk, receiver: Receiver) -> None:
    desk.allow("revoked", "c-2")
    name = desk.act()

    desk.step()

    assert (desk.one(name).state, desk.one(name).reason) == ("dropped", "consent")
    assert receiver.requests == []


def test_consent_that_is_revoked_while_the_webhook_is_down_stops_the_next_attempt(desk: Desk, receiver: Receiver) -> None:
    receiver.answer = lambda *_: 503
    name = desk.act()
    desk.step()

    desk.allow("revoked", "c-2")
    desk.step()

    assert (desk.one(name).state, desk.one(name).reason, len(receiver.requests)) == ("dropped", "consent", 1)


def test_a_complaint_stops_a_sale_and_not_the_help(desk: Desk, receiver: Receiver) -> None:
    filed = {"id": "f", "type": "complaint_filed", "user_id": "u-1", "time": moment(now_ms()).isoformat(), "data": {}}
    assert desk.client.post("/v1/events", json=filed).json()["accepted"] == 1

    sale, help_ = desk.act("sale"), desk.act("help")
    desk.step()

    assert (desk.one(sale).reason, desk.one(help_).state) == ("complaint_open", "delivered")
    assert [one.id for one in receiver.requests] == [help_]


def test_caps_hold_over_actions(desk: Desk, receiver: Receiver) -> None:
    names = [desk.act(occasion=str(year)) for year in (2024, 2025, 2026)]

    desk.step()

    assert sorted(desk.one(name).state for name in names) == ["delivered", "dropped", "dropped"]
    assert {desk.one(name).reason for name in names} == {"", "capped"}
    assert len(receiver.requests) == 1


def test_what_is_too_old_is_dropped(desk: Desk, receiver: Receiver) -> None:
    name = desk.act(due_at=now_ms() - 61 * MINUTE)

    desk.step()

    assert (desk.one(name).reason, receiver.requests) == ("max_age", [])


def test_a_trigger_that_was_taken_back_and_one_without_a_webhook_send_nothing(desk: Desk, receiver: Receiver) -> None:
    gone, nowhere = desk.act("taken-back"), desk.act("help")
    desk.plan = replace(desk.plan, webhooks={})

    desk.step()

    assert (desk.one(gone).reason, desk.one(nowhere).reason) == ("withdrawn", "no_webhook")
    assert receiver.requests == []


def test_nobody_who_was_erased_is_written_to(desk: Desk, receiver: Receiver) -> None:
    receiver.answer = lambda *_: 410
    dead, salt = desk.act("help"), desk.store.open(1).salt
    desk.step()
    waiting = desk.act("help", occasion="next")
    desk.store.client.sadd(keys.gone(shard_of("u:u-1", SHARDS)), erased_name("u:u-1", salt))

    desk.step()
    desk.book.tidy(now_ms())

    assert (desk.one(waiting).reason, len(receiver.requests)) == ("erased", 1)
    assert desk.book.one(dead) is None


def test_a_claim_that_ran_out_settles_nothing(desk: Desk, receiver: Receiver) -> None:
    name = desk.act("help")
    (slow,) = desk.book.claim(now_ms() + 1, now_ms() + 2, 1)
    time.sleep(0.01)
    (quick,) = desk.claim()
    desk.deliverer.step(quick)

    desk.deliverer.step(slow)

    assert ("lost", "") in desk.told
    assert desk.one(name).state == "delivered"
    assert receiver.acknowledged == {name: 1}


def test_who_crashed_after_asking_sends_what_was_decided_then(desk: Desk, receiver: Receiver) -> None:
    name = desk.act()
    (held,) = desk.claim()
    crashing = Deliverer(lambda: desk.plan, desk.book, Crashing(str(desk.client.base_url)), time.time, lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        crashing.step(held)
    crashing.close()
    desk.store.client.zadd(keys.ACTION_QUEUE, {name: now_ms() - 1})
    desk.step()

    assert desk.one(name).state == "delivered"
    assert receiver.acknowledged == {name: 1}


def test_in_quiet_hours_it_waits_until_they_end(redis_url: str, tmp_path: Path, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    span = f'{{start: "{now - timedelta(hours=1):%H:%M}", end: "{now + timedelta(hours=2):%H:%M}"}}'
    folder = write_catalogue(tmp_path, f"{POLICY}quiet_hours: {{span: {span}, channels: [email]}}\n", OFFERS)
    (folder / "triggers.yaml").write_text(TRIGGERS)
    with api_client(redis_url, catalogue=folder) as client:
        desk = Desk(redis_url, folder, client, receiver)
        desk.allow()
        name = desk.act()

        desk.step()

        again_at = desk.store.client.zscore(keys.ACTION_QUEUE, name)
        waiting = desk.one(name)
        desk.close()
        assert (waiting.state, waiting.reason, receiver.requests) == ("waiting", "quiet_hours", [])
        assert abs(float(str(again_at)) - Millis(now_ms() + 2 * HOUR)) < 2 * MINUTE


def test_the_signature_is_the_one_that_the_specification_gives_as_its_example() -> None:
    body = b'{"test": 2432232314}'
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    told = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    assert Webhook("http://127.0.0.1:1/hook", SECRET, 1.0).post("act-1", b"{}", 1).meaning == "try_again"
