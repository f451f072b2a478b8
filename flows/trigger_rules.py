"""The triggers that shards follow, announced to all of them when the folder says others.

One process does this, the sender, since what nobody would send nobody has to wait for. A shard moves to new rules by an entry
of its own log, so when exactly they were announced changes nobody's replay.
"""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from config.catalogue_files import Loaded, folder_stamp, load_catalogue
from config.mistakes import CatalogueError
from engine.decisioning.triggers import TRIGGERS, Rules, Trigger, rules_of
from engine.events.announcing import announcement
from engine.store.redis_facts import RedisFacts

_LOG = logging.getLogger("regulars.act")


class TriggerRules:
    """The folder's triggers. Made with a good folder: raises `CatalogueError` else.

    Those whose webhook is not set up are left out: nobody has to wait for a message that goes nowhere.
    """

    def __init__(self, folder: Path, facts: RedisFacts, webhooks: Collection[str]) -> None:
        self._folder, self._facts, self._webhooks = folder, facts, frozenset(webhooks)
        self._stamp = folder_stamp(folder)
        self._take(load_catalogue(folder))
        self._announced: Rules | None = None

    @property
    def live(self) -> Mapping[str, Trigger]:
        """Triggers by id, without drafts and paused ones."""
        return self._live

    def starts(self, event: str) -> bool:
        """Whether a trigger that goes to some webhook starts from this type of event."""
        return any(rule.event == event for rule in self._rules.triggers)

    def look(self, wall_ms: int) -> None:
        """Take a changed folder over, and announce rules that the shards do not stand at. A bad folder changes nothing."""
        stamp = folder_stamp(self._folder)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._take(load_catalogue(self._folder))
            except CatalogueError as error:
                _LOG.error("the triggers were not taken over", extra={"mistakes": [str(one) for one in error.mistakes[:20]]})
        if self._announced == self._rules:
            return
        held = self._facts.references(TRIGGERS)
        if any((msgspec.convert(one.value, Rules) if one else Rules()) != self._rules for one in held):
            # Every shard is told, also where only some lack it: an announcement that broke off is made whole by the next one.
            version = max(wall_ms, 1 + max((one.version for one in held if one), default=0))
            self._facts.announce(announcement(TRIGGERS, version, self._rules, wall_ms))
            _LOG.info("the shards are told their triggers", extra={"triggers": len(self._rules.triggers), "version": version})
        self._announced = self._rules

    def _take(self, loaded: Loaded) -> None:
        self._live = {one.id: one for one in loaded.triggers if one.status == "live"}
        going = [one for one in loaded.triggers if one.webhook in self._webhooks]
        nowhere = sorted({one.webhook for one in loaded.triggers} - self._webhooks)
        if nowhere:
            _LOG.warning("triggers wait for their webhook to be set up in REGULARS_WEBHOOKS", extra={"webhooks": nowhere})
        self._rules = rules_of(going, loaded.cart_abandoned_minutes, loaded.policy.timezone) if going else Rules()
