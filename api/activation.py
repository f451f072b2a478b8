"""From when a catalogue held: an entry in every shard's log, under its content hash.

Whichever process serves a catalogue first that is not the one announced last says so; the others see that it is said. The
announcement goes out before it is noted as made, so what a crash interrupts is said again, and a repeat of the same hash tells
nothing new. Decisions name the same versions, so any of them can be put beside the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from config.catalogue_files import Loaded
from engine.events.announcing import announcement
from engine.moments import Millis
from engine.store import keys

log = logging.getLogger(__name__)

Ask = Callable[..., Awaitable[list[Any]]]
CATALOGUE = "catalogue"
"""The name of the reference fact, and of the field of `meta` that holds what was announced last."""
_VERSION = "catalogue_version"


class Active(Struct, frozen=True):
    """What is announced: the versions that decisions name, and since when, by the server's clock."""

    catalogue: str
    policy: str
    since: int = 0

    @property
    def versions(self) -> tuple[str, str]:
        return self.catalogue, self.policy


_ACTIVE = msgspec.json.Decoder(Active)


class Activation:
    """Announces what this process serves, once for all processes."""

    def __init__(self, ask: Ask, shards: int) -> None:
        self._ask = ask
        self._shards = shards
        self._announcing = asyncio.Lock()
        self.active = Active("", "")
        """What was announced last, as far as this process knows."""

    async def look(self, loaded: Loaded, now: Millis) -> bool:
        """Announces a catalogue that nobody has announced; whether this call did. Raises `StoreUnavailable`.

        Who replaces the catalogue and who looks after it every so often ask one after the other, so both know what is active.
        """
        async with self._announcing:
            return await self._look(loaded, now)

    async def _look(self, loaded: Loaded, now: Millis) -> bool:
        wanted = Active(loaded.catalogue.version, loaded.catalogue.policy_version, now)
        if wanted.versions == self.active.versions:
            return False
        (held,) = await self._ask([("HGET", keys.META, CATALOGUE)])
        if isinstance(held, bytes) and (known := _ACTIVE.decode(held)).versions == wanted.versions:
            self.active = known
            return False
        announcer = keys.beat(f"announcer:{'/'.join(wanted.versions)}")
        (first,) = await self._ask([("SET", announcer, "1", "NX", "EX", keys.BEAT_SECONDS)])
        if not first:
            return False
        (version,) = await self._ask([("HINCRBY", keys.META, _VERSION, 1)])
        told = announcement(CATALOGUE, int(version), wanted, now)
        entries = [
            ("XADD", keys.events(shard), "*", "e", told.entry, "h", told.fingerprint, "k", told.key)
            for shard in range(self._shards)
        ]
        await self._ask(entries)
        await self._ask([("HSET", keys.META, CATALOGUE, msgspec.json.encode(wanted)), ("DEL", announcer)])
        self.active = wanted
        log.info("the catalogue is active", extra={"catalogue": wanted.catalogue, "policy": wanted.policy})
        return True
