"""The demo shop's own servers behind its page: they hold the key, keep the shop's time, and do what no page may do by itself.

The page's tag talks to the shop's own address, and this passes it on. The replay lives in 2017, so the shop does too:
its clock starts where the replay is when the first visitor comes and then goes on as fast as any other. So does nobody's
visit hurry the replayed households along, and when the replay has ended the clock goes on from its end.

Visitors are all in the arm that learns, since that is what there is to see. A few households of the data that take no part in
the replay have accounts: who logs in as one of them finds offers made from half a year of its real receipts.
"""

import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any, Final

import orjson
from msgspec import Struct, to_builtins

from api.access import WEB_TYPES
from engine.decisioning.experiment import variation_of
from engine.decisioning.policy import Policy
from engine.errors import RegularsError
from engine.moments import Millis, millis, moment, rfc3339
from engine.money import to_minor
from flows.complete_journey import CURRENCY
from flows.door import JSON, NDJSON, Door, DoorClosed, DoorRefused
from load_tests.demo_board import Board
from load_tests.demo_story import in_words
from load_tests.shop_shelf import Shelf

HERO: Final = "home_hero"
ARM: Final = "learned"
DEADLINE_MS: Final = 1_000
MOST_REMEMBERED: Final = 12
_BATCH: Final = 200
_FOLDED_WITHIN_S: Final = 2.0


class Refused(RegularsError):
    """The page asked for something that a page may not have."""


class Member(Struct, frozen=True):
    """A household with an account. `fond_of` says in words what it buys most."""

    user_id: str
    household: str
    fond_of: str
    receipts: int


class ShopClock:
    """The shop's time, in the year of the replay. `replayed_to` says how far that is, `over` whether it has ended."""

    def __init__(self, replayed_to: Callable[[], int], over: Callable[[], bool]) -> None:
        self._replayed_to, self._over = replayed_to, over
        self._ahead, self._rests_on_end = 0, False

    @property
    def ahead(self) -> int:
        """How far the shop's time is ahead of the machine's, in milliseconds: the same for an event however often it is sent."""
        if not self._ahead or (self._over() and not self._rests_on_end):
            self._rests_on_end = self._over()
            self._ahead = self._replayed_to() - _clock()
        return self._ahead

    def now(self) -> Millis:
        """The instant that a visitor's action is dated at."""
        return Millis(_clock() + self.ahead)


class ShopCounter:
    """Answers what the page asks. Safe for several threads: one call to Regulars at a time."""

    def __init__(self, door: Door, board: Board, policy: Policy, clock: ShopClock) -> None:
        self._door, self._board, self._policy, self._clock = door, board, policy, clock
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._run = f"{time.time_ns():x}"
        self._sent: dict[str, deque[dict[str, str]]] = {}
        self._asked_at: dict[str, str] = {}
        self.shelf = Shelf("", ())
        self.members: tuple[Member, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the shelf is filled."""
        return bool(self.shelf.aisles)

    def open(self, shelf: Shelf, members: Mapping[Member, Sequence[dict[str, Any]]]) -> None:
        """Fills the shelf and gives members their history, as the customer's own events."""
        for member, events in members.items():
            own = [{**_without_card(event), "user_id": member.user_id} for event in events]
            for start in range(0, len(own), _BATCH):
                lines = b"\n".join(orjson.dumps(event) for event in own[start : start + _BATCH])
                body = self._called("/v1/events", lines, NDJSON, {"regulars-mode": "backfill"})
                self._board.took(int(body["accepted"]), len(body["rejected"]))
            self._board.sold_in_shop(sum(_paid(event) for event in own))
        self.members = tuple(members)
        self.shelf = shelf

    def state(self) -> dict[str, Any]:
        """What the page shows before anything else."""
        return {
            "open": self.is_open,
            "phase": self._board.phase,
            "date": f"{moment(self._clock.now()):%Y-%m-%d}" if self.is_open else "",
            "members": [to_builtins(one) for one in self.members],
        }

    def events(self, body: bytes) -> dict[str, Any]:
        """What the tag sends, dated in the shop's time. Only what a page may say is passed on."""
        self._need_open()
        events = orjson.loads(body)
        ahead = self._clock.ahead
        for event in events:
            if event.get("type") not in WEB_TYPES:
                raise Refused("a page does not say that")
            event.pop("sent_at", None)
            event["time"] = rfc3339(millis(datetime.fromisoformat(event["time"])) + ahead)
            self._known(event)
        return self._send(events)

    def decide(self, body: bytes) -> dict[str, Any]:
        """What the tag asks, at the shop's time; a repetition is asked at the same time again."""
        self._need_open()
        question = orjson.loads(body)
        name = str(question.get("request_id", ""))
        if len(self._asked_at) > 1000:
            self._asked_at.clear()
        question["at"] = self._asked_at.setdefault(name, rfc3339(self._clock.now()))
        question["deadline_ms"] = DEADLINE_MS
        return self._called("/v1/decisions", orjson.dumps(self._known(question)))

    def order(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Takes the money and says so to Regulars."""
        lines: list[dict[str, Any]] = []
        for wanted in asked["lines"]:
            found = self.shelf.line(str(wanted["product_id"]))
            quantity = int(wanted["quantity"])
            if found is None or not 1 <= quantity <= 99:
                raise Refused("that is not on the shelf")
            aisle, good = found
            sold = {"product_id": good.product_id, "category": aisle.category, "price": good.price_minor}
            lines.append({**sold, "quantity": quantity})
        total = sum(line["price"] * line["quantity"] for line in lines)
        name = f"shop-{self._run}-{next(self._numbers)}"
        # Who has allowed nothing has no name here: their money is taken all the same, and nobody is told.
        told = bool(asked.get("user_id") or asked.get("anonymous_id"))
        if told:
            data = {"order_id": name, "currency": self.shelf.currency, "total": total, "products": lines}
            who = self._known({name: asked.get(name) for name in ("user_id", "anonymous_id")})
            before = self._purchases(who)
            self._own("order_completed", asked, data)
            self._board.sold_in_shop(total, 1)
            # The page asks for offers right after this; they are to be those of somebody who has bought.
            end = time.monotonic() + _FOLDED_WITHIN_S
            while self._purchases(who) == before and time.monotonic() < end:
                time.sleep(0.02)
        return {"order_id": name, "total": total, "told": told}

    def complain(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A complaint is filed, or settled."""
        kind = "complaint_resolved" if asked.get("settled") else "complaint_filed"
        self._own(kind, asked, {"complaint_id": "shop", "reason": "not as ordered"})
        return {"complaint": kind}

    def why(self, asked: dict[str, Any]) -> dict[str, Any]:
        """For whoever watches: what is known of the visitor, where offers dropped out, and what speaks for those shown."""
        who = self._known({name: asked.get(name) for name in ("user_id", "anonymous_id")})
        question = {**who, "channel": "web", "placements": [{"name": HERO, "count": 3}], "explain": True}
        question |= {"at": rfc3339(self._clock.now()), "deadline_ms": DEADLINE_MS}
        told = self._called("/v1/decisions", orjson.dumps(question))
        entries = told.get("explanation") or []
        dropped = [entry for entry in entries if entry["stage"] not in ("chosen", "arbitration", "placement")]
        return {
            "arm": told["experiment"]["variation"],
            "reason": told["placements"][0]["reason"],
            "hint": told["placements"][0].get("hint", ""),
            "stages": dict(Tally(entry["stage"] for entry in entries if entry["stage"] != "placement")),
            "rules": list(dict.fromkeys(f"{entry['stage']}: {entry['rule']}" for entry in dropped))[:4],
            "offers": {entry["offer_id"]: in_words(entry["contributions"]) for entry in entries if entry.get("contributions")},
            "customer": self._customer(who),
            "sent": list(self._sent.get(_name(who), ())),
        }

    def _need_open(self) -> None:
        if not self.is_open:
            raise DoorClosed("the shop is not open yet")

    def _customer(self, who: dict[str, Any]) -> dict[str, Any]:
        user = who.get("user_id")
        path = f"/v1/customers/{user}" if user else f"/v1/customers?anonymous_id={who['anonymous_id']}"
        try:
            with self._lock:
                held = self._door.get(path).json()
        except DoorRefused:
            return {}
        return {
            "purchases": held["purchases"],
            "consent": {purpose: said["status"] for purpose, said in held["consent"].items()},
            "open_complaints": held["service"]["open_complaints"],
            "identities": len(held["identities"]["anonymous"]),
            "events": held["events"],
        }

    def _purchases(self, who: dict[str, Any]) -> int:
        held = self._customer(who)
        return int(held["purchases"]["count"]) if held else 0

    def _own(self, kind: str, asked: dict[str, Any], data: dict[str, Any]) -> None:
        """An event that only the shop's servers may send."""
        who = {name: asked[name] for name in ("user_id", "anonymous_id") if asked.get(name)}
        event = {"id": f"{self._run}-{next(self._numbers)}", "type": kind, "time": rfc3339(self._clock.now()), "channel": "web"}
        self._send([self._known({**event, "source": "web://demo-shop", **who, "data": data})])

    def _send(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        body = self._called("/v1/events", orjson.dumps(events))
        self._board.took(int(body["accepted"]), len(body["rejected"]))
        for event in events:
            sent = self._sent.setdefault(_name(event), deque(maxlen=MOST_REMEMBERED))
            sent.append({"type": event["type"], "what": _what(event)})
        return body

    def _known(self, message: dict[str, Any]) -> dict[str, Any]:
        """The same message of a customer that the shop knows: a member, or a visitor under a name of the arm that learns."""
        message.pop("user_hash", None)
        user, visitor = message.get("user_id"), message.get("anonymous_id")
        if user and user not in {one.user_id for one in self.members}:
            raise Refused("nobody of that name has an account")
        if visitor:
            message["anonymous_id"] = in_arm(str(visitor)[:60], "a", self._policy)
        if not user:
            message.pop("user_id", None)
        return message

    def _called(self, path: str, body: bytes, kind: str = JSON, more: dict[str, str] | None = None) -> dict[str, Any]:
        with self._lock:
            answer: dict[str, Any] = self._door.post(path, body, kind, more).json()
        return answer


def _clock() -> int:
    return round(1000 * time.time())


def in_arm(name: str, kind: str, policy: Policy) -> str:
    """The name itself, or the first that begins like it and falls into the arm that learns."""
    tries = (name if number == 0 else f"{name}-{number}" for number in count())
    return next(one for one in tries if variation_of(f"{kind}:{one}", policy)[0] == ARM)


def _name(message: Mapping[str, Any]) -> str:
    return str(message.get("user_id") or message.get("anonymous_id") or "")


def _what(event: Mapping[str, Any]) -> str:
    data = event.get("data") or {}
    return str(event.get("offer_id") or data.get("name") or data.get("category") or data.get("status") or data.get("title") or "")


def _without_card(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "loyalty_id"}


def _paid(event: Mapping[str, Any]) -> int:
    """Cents of a receipt; 0 for anything else."""
    return to_minor(event["data"]["total"], CURRENCY) if event["type"] == "pos_transaction_completed" else 0


