"""`regulars tail`: accepted events, and what became of each."""

import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from engine.errors import Rejected
from engine.events.announcing import OURSELVES
from engine.events.decode import decode_canonical
from engine.ids import stream_order
from engine.moments import moment
from engine.store.redis_archive import Accepted, Archive, accepted, folded, letter_id
from flows.running import open_archive

_UNFOLDED_AFTER_MS: Final = 2_000

Waiting = OrderedDict[tuple[int, str], Accepted]


def main(*, redis_url: str, data: Path, user: str, seconds: float | None) -> int:
    """Events and their fate as they happen, one line each, until Ctrl-C or for `seconds`."""
    archive = open_archive(redis_url, data)
    ends = archive.ends()
    until = None if seconds is None else time.monotonic() + seconds
    waiting: Waiting = OrderedDict()
    while until is None or time.monotonic() < until:
        for stream, entries in archive.after(ends, block_ms=100).items():
            ends[stream] = entries[-1][0]
            shard = int(stream[stream.index("{") + 1 : stream.index("}")])
            for entry_id, fields in entries:
                if stream.startswith("dead:"):
                    _tell_refusal(archive, waiting, shard, entry_id, user)
                elif b"e" in fields and _concerns(event := accepted(shard, entry_id, fields), user):
                    waiting[shard, entry_id] = event
        _tell_fates(archive, waiting)
    return 0


def _concerns(event: Accepted, user: str) -> bool:
    """Everybody's events, or one customer's. What the engine announces to all shards is nobody's."""
    return event.customer == f"u:{user}" if user else event.customer != OURSELVES


def _tell_refusal(archive: Archive, waiting: Waiting, shard: int, entry_id: str, user: str) -> None:
    letter = archive.letter(letter_id(shard, entry_id))
    if letter is None:
        return
    event = waiting.pop((shard, letter.entry_id), None)
    if event is None and user and letter.customer != f"u:{user}":
        return
    where = "refused" if letter.entry_id else "refused at the door"
    told = f"{where}: {letter.reason.code} {letter.reason.field} ({letter.reason.detail}), dead letter {letter.id}"
    _say(entry_id, letter.customer or "-", _type_of(event.event if event else letter.raw), told)


def _tell_fates(archive: Archive, waiting: Waiting) -> None:
    offsets = archive.offsets(sorted({shard for shard, _ in waiting}))
    now_ms = time.time_ns() // 1_000_000
    for (shard, entry_id), event in list(waiting.items()):
        if folded(entry_id, offsets[shard]):
            _say(entry_id, event.customer, _type_of(event.event), f"folded in shard {shard}")
        elif now_ms - stream_order(entry_id)[0] > _UNFOLDED_AFTER_MS:
            _say(entry_id, event.customer, _type_of(event.event), "accepted; the engine has not come to it yet")
        else:
            continue
        del waiting[shard, entry_id]


def _say(entry_id: str, customer: str, kind: str, fate: str) -> None:
    clock = moment(stream_order(entry_id)[0]).strftime("%H:%M:%S.%f")[:-3]
    sys.stdout.write(f"{clock}  {kind:<28} {customer:<24} {fate}\n")
    sys.stdout.flush()


def _type_of(raw: bytes) -> str:
    event = decode_canonical(raw)
    return "?" if isinstance(event, Rejected) else event.type
