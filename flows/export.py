"""`regulars export`: events, decisions and customers as NDJSON, for a warehouse or a notebook."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import orjson

from engine.decisioning.record import eligible_in
from engine.events.decode import decode_canonical
from engine.events.offers import OfferDecided
from engine.models.base import Example
from engine.moments import rfc3339
from engine.store.redis_archive import Archive
from flows.running import WrongUse, open_archive, since_of, write_line


def main(*, redis_url: str, data: Path, what: str, since: str) -> int:
    """NDJSON on standard output: events as accepted, decisions with their outcome, customers as profiles."""
    exports: dict[str, Callable[[Archive, int], Iterator[object]]] = {
        "events": _events,
        "decisions": _decisions,
        "customers": _customers,
    }
    if what not in exports:
        raise WrongUse(f"cannot export {what!r}: events, decisions or customers")
    for line in exports[what](open_archive(redis_url, data), since_of(since)):
        write_line(line)
    return 0


def _events(archive: Archive, since_ms: int) -> Iterator[object]:
    for event in archive.events(since_ms):
        yield orjson.Fragment(event.event)


def _decisions(archive: Archive, since_ms: int) -> Iterator[object]:
    """Each decision as it was logged; its offers carry their readings as numbers, and their label once it matured."""
    outcomes: dict[int, dict[str, Example]] = {}
    names: dict[str, tuple[str, ...]] = {}
    for shard, raw in archive.decisions(since_ms):
        decided = decode_canonical(raw)
        if not isinstance(decided, OfferDecided):
            continue
        if shard not in outcomes:
            outcomes[shard] = {each.id: each for each in archive.examples(shard) if each.offer_id}
        line = msgspec.to_builtins(decided)
        version = decided.data.versions.get("catalogue", "")
        if decided.data.eligible_bits and version not in names:
            names[version] = archive.offers(version)
        line["data"]["eligible"] = eligible_in(decided.data, names.get(version, ()))
        line["data"].pop("eligible_bits", None)
        for chosen in line["data"].get("offers", ()):
            vector = chosen.pop("vector", "")
            chosen["features"] = np.frombuffer(b64decode(vector), "<f4").astype(float).tolist()
            name = f"{decided.decision_id}|{chosen['offer_id']}|{chosen['placement']}"
            chosen["outcome"] = _outcome(outcomes[shard].get(name))
        yield line


def _outcome(example: Example | None) -> dict[str, object] | None:
    """None while the attribution window is open, and for an offer that was never shown."""
    if example is None:
        return None
    return {"redeemed": example.label > 0, "clicked": example.clicked, "closed_at": rfc3339(example.closed_at)}


def _customers(archive: Archive, since_ms: int) -> Iterator[object]:
    """Profiles as they are held, by field names; `since` is the newest arrival among a customer's events."""
    for profile in archive.profiles():
        if profile.arrived_at >= since_ms:
            yield _by_name(profile)


def _by_name(value: object) -> object:
    """Structs are stored as arrays; a reader wants the names of the fields."""
    match value:
        case msgspec.Struct():
            return {name: _by_name(getattr(value, name)) for name in value.__struct_fields__}
        case dict():
            return {key: _by_name(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_by_name(each) for each in value]
        case bytes():
            return value.hex()
        case _:
            return value
