"""The loyalty programme that shards judge tiers by, announced to all of them when policy.yaml says another.

One process does this, the learner. A shard moves to a new programme by an entry of its own log, so when exactly it was
announced changes nobody's replay.
"""

import logging
from pathlib import Path

import msgspec

from config.catalogue_files import folder_stamp, load_catalogue
from config.mistakes import CatalogueError
from engine.decisioning.loyalty import LOYALTY, NO_PROGRAMME, Programme
from engine.events.announcing import announcement
from engine.store.redis_facts import RedisFacts

_LOG = logging.getLogger("regulars.learn")
LOOK_EVERY_S = 5.0


class ProgrammeRules:
    """The programme of the folder's policy. A bad folder changes nothing."""

    def __init__(self, folder: Path, facts: RedisFacts) -> None:
        self._folder, self._facts = folder, facts
        self._looked_at = float("-inf")
        self._stamp: object = None
        self._announced: Programme | None = None

    def look(self, now_s: float, wall_ms: int) -> bool:
        """Announce a programme that the shards do not stand at; whether one was."""
        if now_s - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now_s
        stamp = folder_stamp(self._folder)
        if stamp == self._stamp:
            return False
        try:
            programme = load_catalogue(self._folder).policy.loyalty
        except CatalogueError as error:
            _LOG.error("the loyalty programme was not taken over", extra={"mistakes": [str(one) for one in error.mistakes[:20]]})
            self._stamp = stamp
            return False
        held = self._facts.reference(LOYALTY)
        known = msgspec.convert(held.value, Programme) if held else NO_PROGRAMME
        if told := programme not in (known, self._announced):
            version = max(wall_ms, held.version + 1 if held else 1)
            self._facts.announce(announcement(LOYALTY, version, programme, wall_ms))
            _LOG.info("the shards are told the loyalty programme", extra={"tiers": len(programme.tiers), "version": version})
        self._stamp, self._announced = stamp, programme
        return told
