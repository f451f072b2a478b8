"""The composition root: everything one API process works with, made once from its settings."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from api.access import Access
from api.activation import Activation
from api.answering import stale_parts
from api.basis import Basis, basis_of
from api.campaigns import CampaignGauges, Figures, read_figures
from api.catalogue import CatalogueGauges
from api.catalogue_watch import CatalogueWatch
from api.coalesce import Coalescer
from api.door import Door, Rules
from api.find import Addresses
from api.health import Health, LiveGauges
from api.insights import LiftAnswer, LiftGauges, Sums, lift_answer, read_sums
from api.metrics import Metrics
from api.serving import Serving
from api.shelf import Goods
from api.snapshot_cache import SnapshotCache
from api.stock import Stock
from api.timing import Timing
from config.settings import ApiSettings, EngineSettings, RedisSettings
from engine.decisioning.pools import Pool
from engine.decisioning.stocktaking import as_on_shelf
from engine.errors import RegularsError, StoreUnavailable
from engine.events.decode import Store
from engine.models.lift import EVERYTHING
from engine.moments import Millis
from engine.store import keys
from engine.store.codec import encode_names
from engine.store.redis_ledger import queue_codes, queue_used
from engine.store.redis_reader import Command, RedisReader, commands_of, ledger_scripts

log = logging.getLogger(__name__)

MOST_WRITES_OUT = 1
"""Redis flushes to disk before it answers a write: what comes in meanwhile shares the next flush."""
LOOK_S = 1.0
GOODS_LOOK_S = 0.5
NAMES_S = 3_600.0
"""The store is told once an hour that a catalogue is still in use, and which coupon codes it holds."""
LIFT_LOOK_S = 15.0
"""Lift is of weeks; a scrape asks no more often."""


class OtherShards(RegularsError):
    """The store was set up with another number of shards: customers would be looked for in the wrong place."""


class Container:
    """The parts of a process, wired. Raises `CatalogueError` where the catalogue is not usable."""

    def __init__(
        self,
        settings: ApiSettings,
        redis: RedisSettings,
        shards: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.access = Access(settings.web_keys, settings.write_keys, settings.secret_keys, settings.rate_limit_per_s)
        self.metrics = Metrics()
        self.addresses = Addresses()
        self.redis = RedisReader(redis.redis_url, redis.redis_timeout_ms / 1000, ledger_scripts())
        self.goods = Goods(self.redis.ask, shards)
        self.rules = Rules(
            shards, settings.max_events_per_request, self.access.vouches, self.addresses.hashed, self.goods.shelf.costs
        )
        self.writes: Coalescer[Sequence[Command], list[Any]] = Coalescer(self._write, MOST_WRITES_OUT)
        self.door = Door(self.writes, self.rules, self.pools_of, self.metrics)
        self.catalogue = CatalogueWatch(settings.catalogue, self.metrics.catalogue_error)
        self.metrics.placements(self.catalogue.loaded.policy.placements)
        self.snapshots = SnapshotCache(self.redis.ask, self.metrics, clock)
        self.basis: Basis = basis_of(self.catalogue.loaded, None)
        self.health = Health(
            self.redis.ask,
            shards,
            EngineSettings().engines,
            settings.children_file,
            redis.redis_memory_warn_percent / 100,
            clock,
        )
        self._lift: Sums = {}
        self.activation = Activation(self.redis.ask, shards)
        self._figures = Figures()
        self.gauges = LiveGauges(
            self.health,
            lambda: self.readiness()[0],
            LiftGauges(self._lift_so_far, self._arms),
            CatalogueGauges(self.catalogue, lambda: self.activation.active),
            CampaignGauges(lambda: (self._figures, self.basis.loaded.catalogue)),
        )
        self.stock = Stock()
        self._names_kept = ("", 0.0)
        self._stale: tuple[str, ...] = ()
        self.timing = Timing()
        self.serving = Serving(
            self.redis.read, self.redis.write, self.writes, self.metrics, lambda: self._stale, self.stock, self.timing
        )
        self._beside: list[asyncio.Task[None]] = []

    def now(self) -> Millis:
        """The server's clock."""
        return Millis(int(self.clock() * 1000))

    @property
    def stores(self) -> Mapping[str, Store]:
        """Zone and currency of each store."""
        return self.basis.stores

    def pools_of(self, offer_id: str) -> Sequence[Pool]:
        """The stocks, codes and budgets that an offer takes from."""
        columns = self.basis.loaded.catalogue.columns
        row = columns.row.get(offer_id)
        return columns.pools[row] if row is not None else ()

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether this process can serve, and what is missing."""
        versions = {model: served.version for model, served in self.snapshots.served.items() if served.seal}
        return self.health.readiness(versions, self.basis.versions["catalogue"], self.catalogue.mistakes)

    async def start(self) -> None:
        """Begins what runs beside the requests. Raises `OtherShards`."""
        try:
            await self._agree_on_shards()
            await self.addresses.look(self.redis.ask)
            await self.snapshots.look()
            await self._look_at_lift()
            await self.goods.look()
            await self.activation.look(self.catalogue.loaded, self.now())
        except StoreUnavailable as error:
            log.warning("Redis does not answer yet", extra={"error": str(error)})
        self._renew()
        await self._look()
        for every_s, look in (
            (self.settings.snapshot_poll_ms / 1000, self._look_for_snapshots),
            (self.settings.catalogue_poll_s, self.reload),
            (LOOK_S, self._look),
            (GOODS_LOOK_S, self._look_at_goods),
            (LIFT_LOOK_S, self._look_at_lift),
        ):
            self._beside.append(asyncio.create_task(_again_and_again(every_s, look)))

    async def stop(self) -> None:
        """Ends it, and lets go of Redis."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await self.redis.close()

    async def _agree_on_shards(self) -> None:
        shards = self.rules.shards
        _, held = await self.redis.ask([("HSETNX", keys.META, "shards", shards), ("HGET", keys.META, "shards")])
        if isinstance(held, bytes) and int(held) != shards:
            raise OtherShards(f"this store was set up with {held.decode()} shards: set REGULARS_SHARDS to that, not {shards}")

    async def _look_for_snapshots(self) -> None:
        if await self.snapshots.look():
            self._renew()

    async def _look_at_goods(self) -> None:
        before = self.goods.shelf.version
        await self.goods.look()
        catalogue = self.basis.loaded.catalogue
        if self.goods.shelf.version != before and as_on_shelf(catalogue, self.goods.shelf) is not catalogue:
            self._renew()

    async def reload(self) -> None:
        """Takes over what the catalogue's folder holds now, and announces it where nobody has."""
        if await self.catalogue.look():
            self.metrics.catalogue_taken_over()
            self._renew()
        await self.activation.look(self.catalogue.loaded, self.now())

    def _renew(self) -> None:
        self.basis = basis_of(
            self.catalogue.loaded,
            self.snapshots.offers,
            self.snapshots.churn,
            self.snapshots.purchase,
            self.snapshots.value,
            self.goods.shelf,
        )

    async def _look_at_lift(self) -> None:
        self._lift = await read_sums(self.redis.ask, self.rules.shards)
        self._figures = await read_figures(self.redis.ask, self.rules.shards, self.basis.loaded.catalogue, self.now())

    def _lift_so_far(self) -> LiftAnswer:
        loaded = self.basis.loaded
        written = {EVERYTHING, *loaded.catalogue.campaigns}
        sums = {arm: held for arm, held in self._lift.items() if arm[0] in written}
        return lift_answer(sums, loaded.catalogue, loaded.policy, self.now())

    def _arms(self) -> Sequence[str]:
        return tuple(self.basis.loaded.policy.experiment.variations)

    async def _look(self) -> None:
        await self.health.look()
        self._note_what_is_stale()
        if not self.health.facts.problem:
            await self.addresses.look(self.redis.ask)
            await self._keep_names()
            await self._look_at_stock()

    async def _keep_names(self) -> None:
        """What the bits of a logged eligible set stand for, and the coupon codes that may be given."""
        catalogue, now = self.basis.loaded.catalogue, self.clock()
        version, until = self._names_kept
        if version != catalogue.version or now >= until:
            names = encode_names(catalogue.columns.ids)
            await self.redis.value("SET", keys.offers(catalogue.version), names, "EX", keys.OFFERS_SECONDS)
            filled = [partial(queue_codes, offer_id=name, codes=codes) for name, codes in catalogue.codes.items()]
            await self.redis.ask(commands_of(*filled))
            self._names_kept = (catalogue.version, now + NAMES_S)

    async def _look_at_stock(self) -> None:
        columns = self.basis.loaded.catalogue.columns
        pools = {pool.name: pool for taken in columns.pools for pool in taken}
        if pools:
            used = await self.redis.ask(commands_of(*(partial(queue_used, pool=pool, now=self.now()) for pool in pools.values())))
            self.stock.looked(
                {
                    name: pools[name].capacity - number
                    for name, number in zip(pools, used, strict=True)
                    if isinstance(number, int)
                },
                {name: int(taken.max()) for name, taken in columns.taken_of.items()},
            )

    def _note_what_is_stale(self) -> None:
        settings = self.settings
        self._stale = stale_parts(
            self.health.facts.waiting_ms, settings.features_stale_ms, self.snapshots.ages_s(), settings.snapshot_stale_s
        )

    async def _write(self, wanted: Sequence[Sequence[Command]]) -> list[list[Any]]:
        answers = await self.redis.write([command for commands in wanted for command in commands])
        return _cut(answers, [len(commands) for commands in wanted])


async def _again_and_again(every_s: float, look: Callable[[], Awaitable[None]]) -> None:
    """Looks for ever. A store that is away is waited for; anything else is a fault of ours, said and survived."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await look()
        except StoreUnavailable as error:
            log.debug("Redis does not answer", extra={"error": str(error)})
        except (RegularsError, ValueError, TypeError, KeyError):
            log.exception("a look beside the requests failed")


def _cut(answers: list[Any], sizes: Sequence[int]) -> list[list[Any]]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(answers[at : at + size])
        at += size
    return pieces
