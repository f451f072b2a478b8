"""What shards judge by, announced to all of them when policy.yaml says otherwise: the loyalty programme, and rules of service,
segments and profiling.

One process does this, the learner. A shard moves to new rules by an entry of its own log, so when exactly they were announced
changes nobody's replay.
"""

import logging
from pathlib import Path

import msgspec

from config.catalogue_files import folder_stamp, load_catalogue
from config.mistakes import CatalogueError
from engine.decisioning.loyalty import LOYALTY, NO_PROGRAMME, Programme
from engine.decisioning.policy import Policy
from engine.events.announcing import announcement
from engine.shards.judging import JUDGING, Judging
from engine.store.redis_facts import RedisFacts

_LOG = logging.getLogger("regulars.learn")
LOOK_EVERY_S = 5.0


def judging_of(policy: Policy) -> Judging:
    """The rules of a policy that shards need."""
    return Judging(policy.service, policy.value.segments, policy.consent.profiling_by_default)


class PolicyRules:
    """The rules of the folder's policy. A bad folder changes nothing."""

    def __init__(self, folder: Path, facts: RedisFacts) -> None:
        self._folder, self._facts = folder, facts
        self._looked_at = float("-inf")
        self._stamp: object = None
        self._announced: dict[str, Programme | Judging] = {}

    @property
    def judging(self) -> Judging | None:
        """What was announced last by this process, or found announced."""
        found = self._announced.get(JUDGING)
        return found if isinstance(found, Judging) else None

    def look(self, now_s: float, wall_ms: int) -> bool:
        """Announce rules that the shards do not stand at; whether any were. Raises `StoreUnavailable`."""
        if now_s - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now_s
        stamp = folder_stamp(self._folder)
        if stamp == self._stamp:
            return False
        try:
            policy = load_catalogue(self._folder).policy
        except CatalogueError as error:
            _LOG.error("the policy was not taken over", extra={"mistakes": [str(one) for one in error.mistakes[:20]]})
            self._stamp = stamp
            return False
        told = [
            self._told(LOYALTY, policy.loyalty, NO_PROGRAMME, wall_ms),
            self._told(JUDGING, judging_of(policy), None, wall_ms),
        ]
        self._stamp = stamp
        return any(told)

    def _told(self, name: str, wanted: Programme | Judging, start: Programme | None, wall_ms: int) -> bool:
        held = self._facts.reference(name)
        known = self._announced.get(name) or (msgspec.convert(held.value, type(wanted)) if held else start)
        if known != wanted:
            version = max(wall_ms, held.version + 1 if held else 1)
            self._facts.announce(announcement(name, version, wanted, wall_ms))
            _LOG.info("the shards are told what they judge by", extra={"rules": name, "version": version})
        self._announced[name] = wanted
        return known != wanted
