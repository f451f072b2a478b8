"""The sender process: takes the actions of all shards and sends what may be sent to the webhooks of the shop.

The main thread takes actions over and keeps house; workers claim what is due and take each action as far as it goes. All
that they share is in Redis, so the process may be killed at any instruction, and a second one does no harm.
"""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Final

from config.logging import log_to_stderr
from config.memory import settle_memory
from config.settings import ApiSettings, SenderSettings
from engine.decisioning.deliveries import Delivery, Patience
from engine.errors import RegularsError, StoreUnavailable
from engine.moments import SECOND
from engine.store.redis_actions import RedisActions
from engine.store.redis_facts import RedisFacts
from engine.store.redis_products import Falls
from engine.store.redis_writer import RedisStore
from flows import sender_metrics
from flows.deliver import Deliverer, Plan
from flows.door import Door
from flows.price_news import PriceNews
from flows.trigger_rules import TriggerRules
from flows.webhooks import Webhook

_LOG = logging.getLogger("regulars.act")
_PER_CLAIM: Final = 4
_TIDY_EVERY_S: Final = 60.0
_PRICES_EVERY_S: Final = 1.0
_SHOW_EVERY_S: Final = 1.0
_AWAY_S: Final = 0.5
_API_PATIENCE_S: Final = 5.0


class Sender:
    """Everything one sender process works with."""

    def __init__(self, redis_url: str, url: str, key: str, settings: SenderSettings) -> None:
        self._redis_url, self._url, self._key, self._settings = redis_url, url, key, settings
        self._book = RedisActions(redis_url, settings.shards)
        store = RedisStore(redis_url)
        facts = RedisFacts(store.client, settings.shards)
        self._rules = TriggerRules(settings.catalogue, facts, settings.webhooks)
        self._prices = PriceNews(Falls(store.client), facts, self._rules.starts)
        self._webhooks = {name: (where, settings.webhook_secrets[name]) for name, where in settings.webhooks.items()}
        for where, secret in self._webhooks.values():
            Webhook(where, secret, 1.0)
        self.stopping = threading.Event()
        self._work = threading.Event()
        self._looked = self._priced = self._shown = self._tidied = float("-inf")

    def run(self) -> None:
        """Until it is asked to stop; what is in hand is finished."""
        workers = [threading.Thread(target=self._worker, name=f"act-{number}") for number in range(self._settings.sender_workers)]
        for worker in workers:
            worker.start()
        while not self.stopping.is_set():
            try:
                self._keep_house()
                new = self._book.take_over(self._settings.sender_idle_ms)
            except StoreUnavailable as error:
                _LOG.warning("the store does not answer; trying again", extra={"error": str(error)})
                self.stopping.wait(_AWAY_S)
                continue
            if new:
                sender_metrics.TAKEN.inc(new)
                self._work.set()
        self._work.set()
        for worker in workers:
            worker.join()

    def plan(self) -> Plan:
        """What the workers go by at this moment."""
        settings = self._settings
        patience = Patience(
            attempts=settings.webhook_attempts,
            first_ms=settings.webhook_first_pause_ms,
            longest_ms=settings.webhook_longest_pause_s * SECOND,
        )
        return Plan(self._rules.live, self._webhooks, patience, settings.webhook_timeout_ms / 1000)

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now - self._looked >= self._settings.catalogue_poll_s:
            self._rules.look(int(time.time() * 1000))
            self._looked = now
        if now - self._priced >= _PRICES_EVERY_S:
            self._prices.look()
            self._priced = now
        if now - self._shown >= _SHOW_EVERY_S:
            sender_metrics.show(self._book.standing(int(time.time() * 1000)))
            self._shown = now
        if now - self._tidied >= _TIDY_EVERY_S:
            self._book.tidy(int(time.time() * 1000))
            self._tidied = now

    def _worker(self) -> None:
        book = RedisActions(self._redis_url, self._settings.shards)
        door = Door(self._url, self._key, patience_s=_API_PATIENCE_S, timeout_s=_API_PATIENCE_S, stopping=self.stopping)
        deliverer = Deliverer(self.plan, book, door, time.time, _tell)
        while not self.stopping.is_set():
            try:
                if not self._round(book, deliverer):
                    self._work.clear()
                    self._work.wait(self._settings.sender_idle_ms / 1000)
            except StoreUnavailable as error:
                _LOG.warning("the store does not answer; trying again", extra={"error": str(error)})
                self.stopping.wait(_AWAY_S)
            except Exception:  # noqa: BLE001
                # A fault of ours with one action must not silence the others: its claim runs out, and it is seen again.
                _LOG.exception("an action could not be taken further")
                self.stopping.wait(_AWAY_S)
        deliverer.close()
        book.close()

    def _round(self, book: RedisActions, deliverer: Deliverer) -> int:
        now = int(time.time() * 1000)
        held = book.claim(now, now + self._settings.sender_claim_ms, _PER_CLAIM)
        for one in held:
            if not self.stopping.is_set():
                deliverer.step(one)
        return len(held)


def _tell(what: str, delivery: Delivery) -> None:
    sender_metrics.tell(what, delivery, int(time.time() * 1000))
    if what == "dead":
        told = {"action": delivery.id, "trigger": delivery.trigger, "why": delivery.reason}
        _LOG.warning("an action could not be delivered", extra=told)


def main(*, redis_url: str, url: str, key: str, catalogue: Path | None) -> int:
    """Runs until SIGTERM, which finishes what is in hand and exits 0."""
    log_to_stderr(os.environ.get("REGULARS_PART", "act"))
    chosen: dict[str, Any] = {"catalogue": catalogue} if catalogue else {}
    settings = SenderSettings(**chosen)
    secrets = ApiSettings().secret_keys
    sender = _opened(redis_url, url, key or (secrets[0] if secrets else ""), settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sender.stopping.set())
    settle_memory()
    _LOG.info("the sender has begun", extra={"webhooks": sorted(settings.webhooks)})
    sender.run()
    return 0


def _opened(redis_url: str, url: str, key: str, settings: SenderSettings) -> Sender:
    if settings.sender_claim_ms <= settings.webhook_timeout_ms:
        raise RegularsError("REGULARS_SENDER_CLAIM_MS has to be longer than REGULARS_WEBHOOK_TIMEOUT_MS")
    return Sender(redis_url, url, key, settings)
