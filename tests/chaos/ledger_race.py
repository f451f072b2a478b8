"""Many clients at once after the same few customers, offers, units, codes and money, and what must hold all the while.

A race asks for decisions and looks at some of the offers at once, through HTTP. Meanwhile, and when it is over, `Judge` reads
what Redis holds and compares it with what catalogue and policy allow: at no instant may anything be exceeded by one.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from msgspec import Struct
from redis import Redis

from config.catalogue_files import Loaded
from engine.decisioning.ledger import REDEEMED, RESERVED, VIEWED, Entry, Ledger, count, decode_ledger
from engine.decisioning.pools import Pool
from engine.ids import shard_of
from engine.moments import DAY, Millis
from engine.store import keys
from tests.integration.api_client import consent, write_catalogue

PLACES: Final = (("hero", "web"), ("side", "web"), ("till", "pos"), ("mail", "email"))
POLICY: Final = """\
placements:
  hero: {channel: web, max: 3, sticky_seconds: 1}
  side: {channel: web, max: 2}
  till: {channel: pos, shown_when: decided}
  mail: {channel: email, shown_when: decided}
reservation_seconds: RESERVED_S
caps:
  each_offer: [{count: 4, window_days: 7}]
  all_offers: [{count: 40, window_days: 7}]
  tags: [{tag: wine, caps: [{count: 5, window_days: 7}]}]
  channels: [{channel: email, caps: [{count: 6, window_days: 1}]}, {channel: pos, caps: [{count: 9, window_days: 1}]}]
"""


def race_catalogue(folder: Path, scale: int, reserved_s: int) -> Path:
    """Offers of every kind of limit; stock, codes and money grow with `scale` and stay far below what is asked for."""
    offers = [
        *(_offer(f"plain-{n}", f"tags: [{'wine' if n % 2 else 'tea'}]") for n in range(6)),
        *(_offer(f"stocked-{n}", f"stock: {scale * (n + 1)}") for n in range(3)),
        _offer("coded", f"coupons: {{prefix: C-, count: {2 * scale}}}"),
        *(
            _offer(
                f"dear-{n}",
                f"campaign: weeks, tags: [wine], cost: 0.{17 + n} EUR, redemption_cost: {n}.99 EUR",
                "redeemed_when: {event: offer_accepted}",
            )
            for n in range(3)
        ),
    ]
    (folder / "campaigns").mkdir(parents=True)
    campaign = f"campaigns:\n  - {{id: weeks, budget: {scale // 2}.00 EUR, caps: [{{count: 3, window_days: 7, channel: web}}]}}\n"
    (folder / "campaigns" / "all.yaml").write_text(campaign)
    return write_catalogue(folder, POLICY.replace("RESERVED_S", str(reserved_s)), "offers:\n" + "".join(offers))


def _offer(name: str, *fields: str) -> str:
    margin = "margin: 12.00 EUR" if name.startswith("dear") else "margin: 5.00 EUR"
    said = ", ".join((f"id: {name}", "kind: sell", margin, "placements: [hero, side, till, mail]", *fields))
    return f"  - {{{said}, content: {{default: {{title: An offer}}}}}}\n"


class Tally(Struct):
    """What the clients were told, and how often they looked: in time, and late."""

    decisions: int = 0
    offers: int = 0
    empty: Counter[str] = Counter()
    failed: list[str] = []
    views: int = 0
    late: int = 0


class Caller:
    """One client with one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer; any other status than 200 and 202 is a failure."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        assert self._reader is not None
        raw = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: race\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
        self._writer.write(head.encode() + raw)
        told = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(told.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        content = await self._reader.readexactly(length)
        assert told[9:12] in (b"200", b"202"), (told, content)
        return cast("dict[str, Any]", json.loads(content))

    async def close(self) -> None:
        """Hangs up."""
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()


async def race(ports: Sequence[int], clients: int, decisions: int, customers: int, judge: "Judge", reserved_s: int) -> Tally:
    """All decisions, by so many clients at once; each looks at about half of what it gets, and takes some of it.

    Of what they do not look at in time they look at some when it has come back, and may be another's by then.
    """
    tally = Tally(empty=Counter(), failed=[])
    left = iter(range(decisions))
    later: list[tuple[float, dict[str, Any]]] = []
    over = asyncio.Event()

    async def client(place: int) -> None:
        caller, chance = Caller(ports[place % len(ports)]), random.Random(place)
        for number in left:
            for seen in await _visit(caller, f"u-{chance.randrange(customers)}", number, chance, tally, reserved_s / 4):
                later.append((time.monotonic() + 1.1 * reserved_s, seen))
        await caller.close()

    async def dawdle() -> None:
        while later or not over.is_set():
            await asyncio.sleep(0.05)
            while later and later[0][0] < time.monotonic():
                caller = Caller(ports[0])
                await caller.post("/v1/events", later.pop(0)[1])
                await caller.close()
                tally.late += 1

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.2)
            judge.look()

    caller = Caller(ports[0])
    for number in range(customers):
        await caller.post("/v1/events", consent(name=f"c-{number}", user_id=f"u-{number}"))
    await caller.close()
    watching, dawdling = asyncio.create_task(watch()), asyncio.create_task(dawdle())
    await asyncio.gather(*(client(place) for place in range(clients)))
    over.set()
    await dawdling
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    return tally


async def _visit(
    caller: Caller, user: str, number: int, chance: random.Random, tally: Tally, patience_s: float
) -> list[dict[str, Any]]:
    """One decision and looks at what it brought; the views that will be late."""
    began = time.monotonic()
    place, channel = PLACES[number % len(PLACES)]
    asked = {
        "user_id": user,
        "channel": channel,
        "placements": [{"name": place, "count": chance.randint(1, 3)}],
        "deadline_ms": 10_000,
    }
    answer = await caller.post("/v1/decisions", asked)
    (placement,) = answer["placements"]
    tally.decisions += 1
    tally.offers += len(placement["offers"])
    tally.empty[placement["reason"]] += 1
    if answer["degraded"] not in ([], ["model"]):
        tally.failed.append(str(answer["degraded"]))
    late = []
    for offer in placement["offers"] if place in ("hero", "side") else ():
        seen = {"user_id": user, "decision_id": answer["decision_id"], "offer_id": offer["offer_id"], "placement": place}
        view = {"type": "offer_viewed", "id": f"v-{number}-{offer['offer_id']}", **seen}
        if chance.random() < 0.5 and time.monotonic() < began + patience_s:
            tally.views += 1
            await caller.post("/v1/events", view)
            if chance.random() < 0.3:
                await caller.post("/v1/events", {"type": "offer_accepted", "id": f"a-{number}-{offer['offer_id']}", **seen})
        elif chance.random() < 0.1:
            late.append(view)
    return late


class Judge:
    """Reads what Redis holds and compares it with what is allowed."""

    def __init__(self, redis_url: str, loaded: Loaded, customers: int, shards: int, reserved_s: int) -> None:
        self._in_time_ms = reserved_s * 500
        self._redis: Any = Redis.from_url(redis_url)
        self._columns = loaded.catalogue.columns
        self._ledgers = [keys.ledger(shard_of(f"u:u-{n}", shards), f"u:u-{n}") for n in range(customers)]
        self.pools = {pool.name: pool for row in self._columns.pools for pool in row}
        self.looks = 0

    def now(self) -> Millis:
        """By the server's clock."""
        seconds, micros = self._redis.time()
        return Millis(seconds * 1000 + micros // 1000)

    def look(self) -> None:
        """Fails where a cap, a stock, a coupon pool or a budget is exceeded at this instant."""
        self.looks += 1
        for ledger in self.ledgers():
            self._within_caps(ledger)
        for name, pool in self.pools.items():
            assert self.held(name) <= pool.capacity, f"{name} gives {self.held(name)} of {pool.capacity}"

    def ledgers(self) -> list[Ledger]:
        return [decode_ledger(blob) for blob in self._redis.mget(self._ledgers)]

    def _within_caps(self, ledger: Ledger) -> None:
        now = self.now()
        # A view counts whenever it comes. One that came when its reservation was over was not admitted by a decision.
        ledger = Ledger(entries=tuple(one for one in ledger.entries if not self._late(one)))
        for cap in {cap for caps in self._columns.caps for cap in caps}:
            number = count(ledger, cap, now)
            assert number <= cap.count, f"{cap} holds {number} contacts"

    def held(self, name: str) -> int:
        """What of a pool is reserved or gone now, in units, codes or minor units."""
        pool, now = self.pools[name], self.now()
        if pool.kind != "budget":
            return int(self._redis.zcount(_ends(pool), f"({now}", "+inf"))
        live = self._redis.zrangebyscore(_ends(pool), f"({now}", "+inf")
        amounts = self._redis.hmget(keys.budget(name, "amounts"), live) if live else []
        return sum(int(amount) for amount in amounts if amount is not None)

    def gone(self, name: str) -> int:
        """What of a pool never comes back."""
        pool = self.pools[name]
        names = self._redis.zrangebyscore(_ends(pool), "+inf", "+inf")
        if pool.kind != "budget":
            return len(names)
        return sum(int(amount) for amount in self._redis.hmget(keys.budget(name, "amounts"), names)) if names else 0

    def _late(self, entry: Entry) -> bool:
        """Whether it may have been noted only after another had its place: the view came in the second half of its time."""
        return entry.state >= VIEWED and entry.at > entry.expires - self._in_time_ms

    def seen(self, in_time: bool = False) -> list[Entry]:
        """All contacts that were seen, or those that were seen in time."""
        seen = [entry for ledger in self.ledgers() for entry in ledger.entries if entry.state >= VIEWED]
        return [entry for entry in seen if not (in_time and self._late(entry))]

    def spent_by(self, entries: Sequence[Entry], pool: str) -> int:
        """What these contacts took of a pool for good: the contact itself and, where it was taken, its redemption."""
        total = 0
        for entry in entries:
            for one in self._columns.pools[self._columns.row[entry.offer_id]]:
                if one.name == pool:
                    total += one.amount + (one.later if entry.state == REDEEMED else 0)
        return total

    def waiting(self) -> int:
        """Reservations that are still open."""
        now = self.now()
        return sum(one.state == RESERVED and one.expires > now for ledger in self.ledgers() for one in ledger.entries)

    def later(self, pool: str, days: float) -> int:
        """What of a budget is still held so many days from now when nothing more happens."""
        now = self.now() + int(days * DAY)
        live = self._redis.zrangebyscore(_ends(self.pools[pool]), f"({now}", "+inf")
        return sum(int(amount) for amount in self._redis.hmget(keys.budget(pool, "amounts"), live)) if live else 0


def _ends(pool: Pool) -> str:
    match pool.kind:
        case "units":
            return keys.stock(pool.name)
        case "codes":
            return keys.codes(pool.name, "ends")
        case "budget":
            return keys.budget(pool.name, "ends")
