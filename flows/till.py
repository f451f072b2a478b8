"""A till's own client: transactions that survive an outage, and an offer before the customer pays.

    till = Till("https://regulars.example", key, Path("till.db"))
    offer = till.offer({"loyalty_id": "c-9", "cart": [{"product_id": "p-1"}]}, deadline_ms=120)
    till.record(poslog_transaction)

`record` writes to the till's own disk and returns; a thread sends what waits, in order. 429, 503 and silence mean send again,
with pauses that grow and never less than `Retry-After`; a transaction that the server refuses goes aside with its reason and
holds up nobody. `offer` never takes longer than its deadline; without an answer in time there is no offer, and tender goes on.
"""

import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from pathlib import Path
from typing import Any, Final

import orjson
from msgspec import Struct

from engine.errors import RegularsError, StoreUnavailable
from engine.events.dialects import poslog
from flows.till_line import Line
from flows.till_queue import Counts, Refused, TillQueue, Waiting

POSLOG: Final = "/v1/pos/transactions"
EVENTS: Final = "/v1/events"
PLACEMENT: Final = "till"
MOST_TOGETHER: Final = 200
MOST_BYTES: Final = 1_000_000
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
IDLE_S: Final = 0.5
ASKING: Final = 4
"""Questions under way at once; one whose answer came too late ends with its connection's time."""
_FINAL: Final = frozenset({400, 413, 415, 422})
"""A body that will be refused however often it is sent. A wrong key or a wrong address is not the transaction's fault."""


class TillAway(StoreUnavailable):
    """The server gave no usable answer; what was sent still waits."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Sent(Struct, frozen=True):
    """What became of one round: acknowledged and refused transactions, and how many still wait."""

    acknowledged: int = 0
    refused: int = 0
    waiting: int = 0


class Offer(Struct, frozen=True):
    """What to offer before tender: the content to show, and the ids that a redemption names."""

    offer_id: str
    decision_id: str
    content: dict[str, Any]
    body: dict[str, Any]


class Till:
    """One till. Safe to use from several threads; `start` begins to send beside the caller, `close` ends it.

    `trouble` says in words why nothing gets through at the moment; empty while it does.
    """

    def __init__(self, url: str, key: str, file: Path, *, timeout_s: float = 15.0, seed: int | None = None) -> None:
        self._line = Line(url, key, timeout_s)
        self._file = file
        self._chance = random.Random(seed)
        self._own = threading.local()
        self._stopping, self._more = threading.Event(), threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asking = ThreadPoolExecutor(ASKING, thread_name_prefix="till-offer")
        self.trouble = ""

    def record(self, *transactions: Mapping[str, Any]) -> None:
        """Keeps POSLog documents, or native events, in this order. They are on disk when it returns."""
        self._queue().put([pair for one in transactions for pair in _apart(orjson.dumps(dict(one)), "type" in one)])
        self._more.set()

    def offer(self, basket: Mapping[str, Any], deadline_ms: int) -> Offer | None:
        """An offer for this basket, or None where there is none in time. Never raises and never takes longer.

        `basket` names the customer (`loyalty_id`, `user_id`), the `cart`, and `events` that the decision must see.
        """
        until = time.monotonic() + deadline_ms / 1000.0
        question = _question(basket, deadline_ms)
        try:
            # Looking a name up knows no deadline, so the question is asked beside the caller.
            return self._asking.submit(self._asked, question, until).result(max(until - time.monotonic(), 0.0))
        except (TooLate, RuntimeError):
            return None

    def send(self) -> Sent:
        """Sends what waits until nothing does. Raises `TillAway` where the server does not answer, `SenderBusy` where another
        process is at it, and `RegularsError` for a key or an address that is refused."""
        acknowledged = refused = 0
        queue = self._queue()
        with self._turn, queue.sending():
            while not self._stopping.is_set():
                batch = queue.first(MOST_TOGETHER, MOST_BYTES)
                if not batch:
                    break
                done, wrong = self._round(batch)
                queue.settle(done, wrong)
                acknowledged, refused = acknowledged + len(done), refused + len(wrong)
        return Sent(acknowledged, refused, queue.counts().waiting)

    def send_on(self) -> None:
        """Sends for as long as the till runs: at once what is recorded, and after pauses that grow while nobody answers."""
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._more.clear()
            try:
                self.send()
                pause, self.trouble = FIRST_PAUSE_S, ""
                self._more.wait(IDLE_S)
            except RegularsError as error:
                self.trouble = str(error)
                told = error.retry_after_s if isinstance(error, TillAway) else None
                # Half of the pause is drawn, so that the tills of a street do not come back in step.
                self._stopping.wait(max(pause * self._chance.uniform(0.5, 1.0), told or 0.0))
                pause = min(2 * pause, LONGEST_PAUSE_S)
        self._queue().close()

    def start(self) -> "Till":
        """Sends in a thread beside the caller."""
        self._thread = threading.Thread(target=self.send_on, name="till", daemon=True)
        self._thread.start()
        return self

    def status(self) -> Counts:
        """What waits and what was refused."""
        return self._queue().counts()

    def refused(self) -> list[Refused]:
        """Transactions that are aside, with the reason of each."""
        return list(self._queue().refused())

    def send_again(self, n: int | None = None, transaction: Mapping[str, Any] | None = None) -> int:
        """Queues one that is aside, or all of them, once more; `transaction` replaces what was wrong. Answers how many."""
        count = self._queue().again(n, None if transaction is None else orjson.dumps(dict(transaction)))
        self._more.set()
        return count

    def close(self) -> None:
        """Stops sending; what waits stays on disk."""
        self._stopping.set()
        self._more.set()
        if self._thread is not None:
            self._thread.join()
        self._asking.shutdown(wait=True, cancel_futures=True)
        self._line.close()
        self._queue().close()

    def _round(self, batch: Sequence[Waiting]) -> tuple[list[Waiting], list[tuple[Waiting, str, str, str]]]:
        """Which of a batch were acknowledged, and which were refused and why. A body refused as a whole goes in halves."""
        body = b"[" + b",".join(one.body for one in batch) + b"]"
        try:
            status, told, content = self._line.post("sending", batch[0].path, body)
        except OSError as error:
            raise TillAway(f"no answer: {str(error) or type(error).__name__}") from None
        if status in _FINAL:
            if len(batch) == 1:
                return [], [(batch[0], *_problem(content, status))]
            half = len(batch) // 2
            first, second = self._round(batch[:half]), self._round(batch[half:])
            return first[0] + second[0], first[1] + second[1]
        if status in (429, 502, 503, 504):
            raise TillAway(f"the server answered {status}", told)
        if status >= 400:
            raise RegularsError(f"the server answered {status}: {content[:200].decode(errors='replace')}")
        refusals = {item["index"]: item for item in orjson.loads(content).get("rejected", [])}
        done = [one for place, one in enumerate(batch) if place not in refusals]
        wrong = [(batch[place], item["code"], item.get("field", ""), item["detail"]) for place, item in refusals.items()]
        return done, wrong

    def _asked(self, question: bytes, until: float) -> Offer | None:
        try:
            status, _, content = self._line.post("offers", "/v1/decisions", question, until)
            return _offer_in(orjson.loads(content)) if status == 200 else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _queue(self) -> TillQueue:
        held: TillQueue | None = getattr(self._own, "queue", None)
        if held is None:
            held = self._own.queue = TillQueue(self._file)
        return held


def _apart(body: bytes, native: bool) -> list[tuple[str, bytes]]:
    """Each transaction by itself with where it goes: one that is refused must not take others along."""
    if native:
        return [(EVENTS, body)]
    return [(POSLOG, one) for one in poslog.transactions_in(body)]


def _question(basket: Mapping[str, Any], deadline_ms: int) -> bytes:
    asked = {name: value for name, value in basket.items() if name not in ("cart", "context")}
    context = dict(basket.get("context") or {})
    if "cart" in basket:
        context["cart"] = basket["cart"]
    asked.setdefault("placements", [{"name": PLACEMENT, "count": 1}])
    asked.setdefault("channel", "pos")
    asked.setdefault("request_id", os.urandom(12).hex())
    return orjson.dumps({"deadline_ms": max(int(deadline_ms * 0.8), 1), **asked, "context": context})


def _offer_in(answer: Any) -> Offer | None:
    for placement in answer.get("placements", ()):
        for offer in placement["offers"]:
            return Offer(offer["offer_id"], answer["decision_id"], offer.get("content") or {}, offer)
    return None


def _problem(content: bytes, status: int) -> tuple[str, str, str]:
    try:
        told = orjson.loads(content)
    except ValueError:
        told = {}
    return str(told.get("code", f"http.{status}")), str(told.get("field", "")), str(told.get("detail", ""))
