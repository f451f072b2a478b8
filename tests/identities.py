"""Random lives of a customer under several names, shards that crash while these run through them, and who should hold what."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import strategies as st

from engine.errors import Rejected
from engine.events.base import Event
from engine.events.decode import decode_canonical
from engine.events.routing import Admitted, admitted, route
from engine.features.vector import GROUPS, NO_REQUEST
from engine.moments import DAY, HOUR, MINUTE, Millis, rfc3339
from engine.profiles.profile import Part, Profile
from engine.shards.commit import Entry
from engine.store.codec import decode_profile
from engine.store.memory import MemoryStore
from flows.owner import Owner
from flows.runner import run_until_idle
from tests.builders import SHARDS, START, decided, entry_of, processor, taken

NOW = Millis(START + 400 * DAY)
USER, TABLET, LAPTOP, CARD = {"user_id": "ann"}, {"anonymous_id": "tablet"}, {"anonymous_id": "laptop"}, {"loyalty_id": "card-7"}
OTHER = {"user_id": "bob"}
KEYS = {"user_id": "u", "loyalty_id": "l", "anonymous_id": "a"}


def key_of(who: dict[str, str]) -> str:
    """The key of one identity."""
    ((kind, name),) = who.items()
    return f"{KEYS[kind]}:{name}"


def happening(index: int, at: int, who: dict[str, str], chance: random.Random, in_full: bool = False) -> dict[str, Any]:
    """Something that a customer does, under these names. `in_full`: money may go back in full."""
    order_id = str(chance.randrange(index + 1))
    kind, data = chance.choice(
        [
            ("order_completed", _order(index, chance)),
            ("order_completed", _order(index, chance)),
            ("order_refunded", {"order_id": order_id, "currency": "EUR", "total": chance.randint(1, 90)}),
            ("order_refunded", {"order_id": order_id, "currency": "EUR"} | ({} if in_full else {"total": 1})),
            ("product_viewed", {"product_id": f"p-{chance.randint(1, 5)}", "category": chance.choice(["coffee", "wine"])}),
            ("product_added", {"product_id": f"p-{chance.randint(1, 3)}", "category": "coffee", "price": 100, "currency": "EUR"}),
            ("product_removed", {"product_id": f"p-{chance.randint(1, 3)}"}),
            ("session_started", {}),
            ("complaint_filed", {"complaint_id": f"k-{chance.randint(1, 3)}", "reason": "late"}),
            ("complaint_resolved", {"complaint_id": f"k-{chance.randint(1, 3)}"}),
            (
                "consent_updated",
                {"purpose": chance.choice(["marketing", "email"]), "status": chance.choice(["granted", "revoked"])},
            ),
            ("customer_identified", {"household_size": str(chance.randint(1, 4))}),
            ("points_earned", {"points": chance.randint(1, 50)}),
            ("feedback_submitted", {"nps": chance.randint(0, 10)}),
        ]
    )
    return {
        "id": f"e-{index}",
        "type": kind,
        "time": rfc3339(at),
        "source": "web://shop",
        "channel": "web",
        "data": data,
        **who,
    }


def _order(index: int, chance: random.Random) -> dict[str, Any]:
    chosen = chance.sample(["coffee", "bread", "wine"], chance.randint(1, 2))
    lines = [{"product_id": f"p-{name}", "category": name, "price": 400} for name in chosen]
    return {"order_id": str(index), "currency": "EUR", "total": chance.randint(5_000, 9_000), "products": lines}


def said(kind: str, index: int, at: int, *who: dict[str, str]) -> dict[str, Any]:
    """`identity_linked` or `identity_unlinked`."""
    named = {name: value for one in who for name, value in one.items()}
    return {"id": f"s-{index}", "type": kind, "time": rfc3339(at), "source": "crm://desk", "data": {}, **named}


def life(seed: int, count: int, unlinks: bool = True, crossing: bool = True) -> list[dict[str, Any]]:
    """A user, two devices and a card that turn out to be theirs, and a second user on one of the devices.

    Things are done under one name, or under a name with the user's beside it; decisions are made on a device. `crossing`: what is
    done under one name may answer an offer that was made to another.
    """
    chance = random.Random(seed)
    log: list[dict[str, Any]] = []
    at = int(START)
    for index in range(count):
        at += chance.choice([1_000, MINUTE, HOUR, 3 * DAY])
        draw_of = chance.random()
        device = chance.choice([TABLET, LAPTOP])
        if draw_of < 0.10:
            log.append(said("identity_linked", index, at, USER, chance.choice([device, CARD])))
        elif draw_of < 0.20 and unlinks:
            log.append(said("identity_unlinked", index, at, USER, chance.choice([device, CARD])))
        elif draw_of < 0.22:
            log.append(happening(index, at, {**CARD, **device}, chance, in_full=not crossing))
        elif draw_of < 0.26:
            log.append(happening(index, at, {**OTHER, **device}, chance, in_full=not crossing))
        elif draw_of < 0.40:
            log.append(
                happening(index, at, {**USER, **chance.choice([device, CARD, {**device, **CARD}])}, chance, in_full=not crossing)
            )
        elif draw_of < 0.55:
            made = decided(f"d-{index}", "", at, window=390 * DAY) | {"user_id": None} | device
            made["data"]["offers"][0]["redeemed_when"] = "buys" if crossing else "event"
            log.append(made)
            if chance.random() < 0.8:
                who = chance.choice([device, {**USER, **device}]) if crossing else device
                seen = {"decision_id": f"d-{index}", "offer_id": "o-1", "source": "web://shop", "data": {}, **who}
                log.append({"id": f"v-{index}", "type": "offer_viewed", "time": rfc3339(at + 500), **seen})
        else:
            log.append(happening(index, at, chance.choice([USER, device, device, CARD, OTHER]), chance, in_full=not crossing))
    return log


def lives(unlinks: bool = True, crossing: bool = True, most: int = 40) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Such a life of any length."""
    return st.builds(life, st.integers(0, 2**32), st.integers(1, most), st.just(unlinks), st.just(crossing))


def admit(body: dict[str, Any], arrival: int) -> Admitted:
    """Through the door, or for what the engine alone writes past it."""
    if body["type"] != "offer_decided":
        return taken(body, arrival)
    event = decode_canonical(msgspec.json.encode({name: value for name, value in body.items() if value is not None}))
    assert not isinstance(event, Rejected)
    return admitted(msgspec.structs.replace(event, received_at=taken_at(arrival)))


def taken_at(arrival: int) -> Any:
    return taken({"id": "t", "type": "page_viewed", "user_id": "t", "time": rfc3339(arrival)}, arrival).event.time


def arrivals(log: Sequence[dict[str, Any]]) -> list[Admitted]:
    """The log as it arrives, a minute apart."""
    return [admit(body, START + 500 * DAY + index * MINUTE) for index, body in enumerate(log)]


class Shards:
    """A store with its owners, who fold what has arrived in pieces of any size, die, and are told things twice."""

    def __init__(self, chance: random.Random) -> None:
        self.store = MemoryStore()
        self._chance = chance
        self._owner = self._opened()

    def _opened(self) -> Owner:
        return Owner(self.store, processor(), range(SHARDS))

    def take(self, one: Admitted) -> None:
        """An event arrives; what else happens is left to chance."""
        self.store.append([entry_of(one)])
        if self._chance.random() < 0.5:
            self._fold()
        if self._chance.random() < 0.5:
            self._relay()
        if self._chance.random() < 0.1:
            self.store.append([entry_of(one)])
        if self._chance.random() < 0.1:
            self._owner = self._opened()

    def settle(self) -> None:
        """Until nothing is left anywhere."""
        self._fold()
        while any(self.store.outbox.values()):
            self._relay()
            self._fold()

    def _fold(self) -> None:
        if self._chance.random() < 0.2:
            # What one owner has folded and not written is folded again by the next.
            batches = self.store.read(self._owner.offsets, self._chance.randint(1, 3), 0)
            self._owner.process(batches)
            self._owner = self._opened()
        run_until_idle(self._owner, self.store, self._chance.choice([1, 3, 500]))

    def _relay(self) -> None:
        """Passes on in order; a crash between the passing on and the forgetting repeats all of it."""
        for shard in sorted(self.store.outbox, key=lambda _: self._chance.random()):
            going = [(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in self.store.outbox[shard]]
            done = self._chance.randint(0, len(going))
            self.store.append(going[:done])
            if self._chance.random() < 0.7:
                self.store.append(going)
                del self.store.outbox[shard]

    def profiles(self) -> dict[str, Profile]:
        return {key: decode_profile(key, raw) for (_, key), raw in self.store.profiles.items()}


def run(log: Sequence[dict[str, Any]], seed: int) -> Shards:
    """A log through shards that crash."""
    shards = Shards(random.Random(seed))
    for one in arrivals(log):
        shards.take(one)
    shards.settle()
    return shards


def folded_alone(log: Sequence[dict[str, Any]], keys: set[str], key: str) -> Profile:
    """What one customer would be who did all that was done under these keys under a single name."""
    named = {name: key[2:] if kind == key[0] else None for name, kind in KEYS.items()}
    own = [
        entry_of(admitted(msgspec.structs.replace(one.event, **named)))
        for one in arrivals(log)
        if one.key in keys and one.event.type not in ("identity_linked", "identity_unlinked")
    ]
    store = MemoryStore()
    store.append(own)
    run_until_idle(Owner(store, processor(), range(SHARDS)), store)
    return {name: decode_profile(name, raw) for (_, name), raw in store.profiles.items()}.get(key, Profile(key))


def readings(part: Part) -> np.ndarray[Any, np.dtype[np.float64]]:
    """All readings before they are rounded to four bytes."""
    return np.array([number for group in GROUPS for number in group.read(part, NO_REQUEST, NOW)])


def named_in(event: Event) -> set[str]:
    """Every key that an event names."""
    pairs = (("u", event.user_id), ("l", event.loyalty_id), ("a", event.anonymous_id))
    return {f"{kind}:{name}" for kind, name in pairs if name}


def said_at_last(log: Sequence[dict[str, Any]], user: str) -> dict[str, bool]:
    """By key whether a user says that it is theirs: the newest that was said outright, else any mention."""
    outright: dict[str, tuple[str, bool]] = {}
    mentioned: set[str] = set()
    for body in log:
        event = admit(body, START).event
        if route(event) != user:
            continue
        for key in named_in(event) - {user}:
            mentioned.add(key)
            if event.type in ("identity_linked", "identity_unlinked"):
                outright[key] = max(outright.get(key, ("", False)), (body["time"], event.type == "identity_linked"))
    return {key: outright[key][1] if key in outright else True for key in mentioned}
