"""A till that was offline for a day, against one that was not: two whole systems, the same transactions, equal to the cent.

Five thousand transactions of a day (sales with cards and without, returns, voids, training, cards shown later) go to one
system as they happen and to another in one burst, after its till had nobody to talk to. A hundred numbers are left out of both.
Then a purchase of thirty days ago is taken back. Every customer's readings, the totals and the gaps are compared.
"""

import argparse
import http.client
import random
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from msgspec.structs import replace

from config.settings import DEFAULT_CATALOGUE
from engine.features.vector import NO_REQUEST, read_features
from engine.moments import DAY, HOUR, MINUTE, Millis, moment, rfc3339
from engine.shards.commit import Totals
from flows.till import Till
from load_tests.demo_system import System

TILLS: Final = (("store-1", "1"), ("store-1", "2"), ("store-7", "1"), ("store-12", "3"))
CARDS: Final = 250
TOGETHER: Final = 100


def transaction(place: tuple[str, str], number: int, at: int, cents: int, card: str = "", **head: Any) -> dict[str, Any]:
    """One sale of two lines."""
    half = cents // 2
    lines = [
        {"Sale": {"ItemID": f"p-{part % 40}", "MerchandiseHierarchy": f"c-{part % 9}", "ExtendedAmount": f"{part / 100:.2f}"}}
        for part in (half, cents - half)
    ]
    retail: dict[str, Any] = {"LineItem": lines, "Total": f"{cents / 100:.2f}"}
    if card:
        points = {"Points": [{"Type": "PointsEarned", "value": cents // 100}]}
        retail["LoyaltyAccount"] = [{"LoyaltyAccountID": card, "LoyaltyProgram": points}]
    named = {"RetailStoreID": place[0], "WorkstationID": place[1], "SequenceNumber": number}
    day = moment(at).date().isoformat()
    return {**named, "BusinessDayDate": day, "EndDateTime": rfc3339(at), **head, "RetailTransaction": retail}


def link(sale: dict[str, Any]) -> dict[str, Any]:
    """The names by which another transaction points to this one."""
    return {name: sale[name] for name in ("RetailStoreID", "WorkstationID", "BusinessDayDate", "SequenceNumber")}


def given_back(sale: dict[str, Any], place: tuple[str, str], number: int, at: int) -> dict[str, Any]:
    """All of a sale taken back, without a card."""
    back = transaction(place, number, at, 2)
    goods = [{"Return": one["Sale"]} for one in sale["RetailTransaction"]["LineItem"]]
    back["RetailTransaction"] = {
        "LineItem": goods, "Total": sale["RetailTransaction"]["Total"], "TransactionLink": {**link(sale), "ReasonCode": "Return"},
    }  # fmt: skip
    return back


def a_day(count: int, lost: int, begin: int, chance: random.Random) -> tuple[list[dict[str, Any]], set[tuple[str, str, int]]]:
    """The day's transactions in order, and the numbers that are left out of them."""
    numbers, day = dict.fromkeys(TILLS, 0), moment(begin).date().isoformat()
    log: list[dict[str, Any]] = []
    sales: list[dict[str, Any]] = []
    for index in range(count + lost):
        at, place = begin + index * (20 * HOUR) // (count + lost), chance.choice(TILLS)
        numbers[place] += 1
        card = f"c-{chance.randrange(CARDS)}" if chance.random() < 0.6 else ""
        fate = chance.random()
        if sales and fate < 0.04:
            log.append(given_back(chance.choice(sales), place, numbers[place], at))
        elif sales and fate < 0.06:
            undone = transaction(place, numbers[place], at, 2)
            undone["RetailTransaction"] = {"TransactionLink": {**link(chance.choice(sales)), "ReasonCode": "Void"}}
            log.append(undone)
        else:
            head = {"TrainingModeFlag": True} if fate > 0.99 else {}
            sale = transaction(place, numbers[place], at, chance.randrange(100, 9_000), card, **head)
            log.append(sale)
            if not head:
                sales.append(sale)
        log[-1]["BusinessDayDate"] = day
    links = [one["RetailTransaction"].get("TransactionLink") for one in log]
    named = {key_of(one) for one in links if one}
    loose = [one for one in sales[TOGETHER:-TOGETHER] if key_of(one) not in named]
    gone = {id(one) for one in chance.sample(loose, lost)}
    left_out = {(one["RetailStoreID"], one["WorkstationID"], one["SequenceNumber"]) for one in log if id(one) in gone}
    nobodys = [one for one in loose if id(one) not in gone and "LoyaltyAccount" not in one["RetailTransaction"]]
    shown = [card_shown(one, f"c-{chance.randrange(CARDS)}") for one in chance.sample(nobodys, lost)]
    return [*(one for one in log if id(one) not in gone), *shown], left_out


def key_of(sale: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(link(sale).values())


def card_shown(sale: dict[str, Any], card: str) -> dict[str, Any]:
    """A card for a receipt that was nobody's, a while after."""
    named = dict(zip(("store", "workstation", "business_day", "sequence_number"), key_of(sale), strict=True))
    return {
        "id": "card-" + "-".join(map(str, key_of(sale))), "type": "pos_customer_identified", "time": sale["EndDateTime"],
        "loyalty_id": card, "data": named,
    }  # fmt: skip


def get(url: str, path: str) -> Any:
    """A JSON answer."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path)
        return orjson.loads(connection.getresponse().read())
    finally:
        connection.close()


def folded(system: System, url: str) -> Totals:
    """The totals, once nothing is under way any more."""
    before = system.totals()
    while True:
        time.sleep(1.0)
        now = system.totals()
        if now == before and not get(url, "/readyz")["lag"]["events"]:
            return now
        before = now


def missing(url: str) -> set[tuple[str, str, int]]:
    """Every number that the server says is missing."""
    return {
        (day["store"], day["workstation"], number)
        for day in get(url, "/v1/pos/gaps")["gaps"]
        for hole in day["missing"]
        for number in range(hole["first"], hole["last"] + 1)
    }


def different(one: System, other: System, now: int) -> tuple[int, int]:
    """How many cards are known to either, and how many of those read differently."""
    known = wrong = 0
    for card in (f"c-{number}" for number in range(CARDS)):
        mine, theirs = one.profile(card), other.profile(card)
        if mine is None and theirs is None:
            continue
        known += 1
        if mine is None or theirs is None:
            wrong += 1
            continue
        first, second = (read_features(each, NO_REQUEST, Millis(now)) for each in (mine, theirs))
        plain = [(each.purchases.count, each.purchases.spend, each.whole.loyalty.balance) for each in (mine, theirs)]
        wrong += plain[0] != plain[1] or not np.allclose(first, second, rtol=1e-6, atol=1e-6)
    return known, wrong


def taken_back(url: str, till: Till, now: int, system: System) -> bool:
    """Whether a purchase of thirty days ago that is returned leaves its customer as before, to the cent."""
    place = ("store-9", "1")
    kept = transaction(place, 1, now - 40 * DAY, 1_234, "c-back")
    till.record(kept)
    till.send()
    folded(system, url)
    asked = "/v1/customers?loyalty_id=c-back"
    before = get(url, asked)
    sale = transaction(place, 1, now - 30 * DAY, 8_765, "c-back")
    till.record(sale)
    till.send()
    folded(system, url)
    between = get(url, asked)
    till.record(given_back(sale, ("store-7", "9"), 1, now - MINUTE))
    till.send()
    folded(system, url)
    after = get(url, asked)
    told = [(one["purchases"], one["loyalty"]) for one in (before, between, after)]
    same = [(bought["count"], bought["spend_minor"], loyalty["points"]) for bought, loyalty in told]
    print(f"thirty days later: count, spend, points {same[0]} -> {same[1]} -> {same[2]}")
    return same[0] == same[2] != same[1]


def sent_again(url: str, file: Path, log: Sequence[dict[str, Any]], system: System) -> Totals:
    """The totals after everything was sent once more, in no order; duplicates are counted, and nothing else."""
    shuffled = list(log)
    random.Random(1).shuffle(shuffled)
    till = Till(url, "", file)
    till.record(*shuffled)
    till.send()
    till.close()
    return replace(folded(system, url), duplicates=0)


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


def checked(folder: Path, log: Sequence[dict[str, Any]], left_out: set[tuple[str, str, int]], now: int) -> bool:
    """Both systems, one after the other's till; prints what they come to."""
    online, offline = System(folder / "online"), System(folder / "offline")
    url = online.start("127.0.0.1", 0, DEFAULT_CATALOGUE)
    till = Till(url, "", folder / "online.db")
    for place in range(0, len(log), TOGETHER):
        till.record(*log[place : place + TOGETHER])
        till.send()
    live = folded(online, url)
    port = free_port()
    away = Till(f"http://127.0.0.1:{port}", "", folder / "offline.db", timeout_s=30.0).start()
    away.record(*log)
    print(f"offline: {away.status().waiting:,} waiting, {away.trouble or 'not tried yet'}")
    there = offline.start("127.0.0.1", port, DEFAULT_CATALOGUE)
    began = time.monotonic()
    while away.status().waiting:
        time.sleep(0.05)
    took = time.monotonic() - began
    print(f"{len(log):,} sent in a burst within {took:.1f} s of the server's return, {away.status().refused} refused")
    burst = replace(folded(offline, there), duplicates=0)
    known, wrong = different(online, offline, now)
    totals = (live.purchases, live.spend, live.customers) == (burst.purchases, burst.spend, burst.customers)
    found = missing(there)
    print(f"totals: online {live.purchases:,} purchases {live.spend}, offline {burst.purchases:,} {burst.spend}")
    print(f"{known} customers, {wrong} read differently")
    both = "the same online" if missing(url) == found else "OTHERS online"
    print(f"{len(left_out)} left out: {len(found & left_out)} reported, {len(found - left_out)} false alarms, {both}")
    again = sent_again(there, folder / "again.db", log, offline) == burst and missing(there) == found
    print(f"sent once more, shuffled: {'nothing changed' if again else 'CHANGED'}")
    back = taken_back(there, away, now, offline)
    for one in (till, away):
        one.close()
    for system in (online, offline):
        system.stop()
    return totals and not wrong and found == left_out and again and back


def main() -> int:
    """0 where everything is equal."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--transactions", type=int, default=5_000)
    options.add_argument("--gaps", type=int, default=100)
    options.add_argument("--seed", type=int, default=5)
    asked = options.parse_args()
    now = int(time.time() * 1000)
    log, left_out = a_day(asked.transactions, asked.gaps, now - DAY, random.Random(asked.seed))
    with tempfile.TemporaryDirectory(prefix="till") as name:
        well = checked(Path(name), log, left_out, now)
    print("equal" if well else "NOT EQUAL")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
