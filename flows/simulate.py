"""`regulars simulate`: whom a proposed catalogue would reach, played through the visits of the last days. Nothing is written."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from msgspec import Struct
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import Progress

from config.catalogue_files import load_catalogue
from config.settings import DEFAULT_CATALOGUE, EngineSettings
from engine.decisioning.catalogue import Catalogue
from engine.errors import Rejected, StoreUnavailable
from engine.events.consent import ErasureRequested
from engine.events.decode import decode_canonical, times_of
from engine.events.offers import OURS, OfferDecided, OfferSeen
from engine.ids import unit_interval
from engine.moments import DAY, SECOND, rfc3339
from engine.profiles.profile import Profile
from engine.store import keys
from engine.store.redis_archive import Accepted, Archive
from engine.store.redis_products import read_shelf
from flows.rehearsal import MOST_EXPLAINED, Figures, World
from flows.rehearsal_shop import Shop, shop_with
from flows.running import NotFound, WrongUse, redis_of
from flows.simulate_report import print_report


class Visits(Struct):
    """What a first look at the log finds: who asked for offers in the window, and whose events are all there."""

    asked: Counter[str]
    events: Counter[str]
    last_at: int = 0
    entries: int = 0
    looks: dict[str, float] = {}
    """By placement, the share of visits that found it filled who looked at it."""


def main(
    *, redis_url: str, data: Path, folder: Path, days: int, customers: int, current: Path | None, json_file: Path | None
) -> int:
    """Prints what the proposed catalogue would have done beside the current one."""
    proposed, today = load_catalogue(folder), load_catalogue(current or DEFAULT_CATALOGUE)
    url = redis_of(redis_url, data)
    archive = Archive(url, EngineSettings().shards)
    published, shelf = _published(url), read_shelf(url, EngineSettings().shards)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        visits = look(archive.events(), days)
        if not visits.asked:
            raise NotFound(f"nobody asked for offers in the last {days} days of this log: there is nothing to play through")
        chosen = sample(visits, customers)
        fixed = as_today(archive.profiles(), visits, chosen)
        progress.update(task, description="playing", total=visits.entries)
        worlds = play(
            archive.events(),
            [shop_with(today, published, shelf), shop_with(proposed, published, shelf)],
            visits.last_at - days * DAY,
            chosen,
            fixed,
            visits.looks,
            lambda: progress.advance(task, 1000),
        )
    figures = report(worlds, chosen, fixed, visits, days)
    print_report(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def look(log: Iterable[Accepted], days: int) -> Visits:
    """The first pass. The window ends with the newest decision: a log of old data is as good as a live one."""
    when: dict[str, list[int]] = defaultdict(list)
    events: Counter[str] = Counter()
    seen: set[tuple[str, str, str]] = set()
    filled: dict[str, set[str]] = defaultdict(set)
    viewed: dict[str, set[str]] = defaultdict(set)
    entries = last_at = 0
    for one in log:
        entries += 1
        event = decode_canonical(one.event)
        if isinstance(event, Rejected) or (one.customer, event.source, event.id) in seen:
            continue
        seen.add((one.customer, event.source, event.id))
        if isinstance(event, OfferDecided):
            at = times_of(event)[0]
            when[one.customer].append(at)
            last_at = max(last_at, at)
            for offer in event.data.offers:
                if offer.shown_when == "viewed":
                    filled[offer.placement].add(event.decision_id or event.id)
        elif isinstance(event, OfferSeen) and event.type in ("offer_viewed", "offer_clicked"):
            viewed[event.placement or str(event.data.get("placement", ""))].add(event.decision_id or "")
        elif isinstance(event, ErasureRequested):
            when.pop(one.customer, None)
        events[one.customer] += isinstance(event, OfferDecided) or event.type not in OURS
    asked = Counter({key: n for key, times in when.items() if (n := sum(at >= last_at - days * DAY for at in times))})
    looks = {name: len(there & viewed[name]) / len(there) for name, there in filled.items()}
    return Visits(asked, events, last_at, entries, looks)


def sample(visits: Visits, customers: int) -> frozenset[str]:
    """All who asked, or as many of them, the same at every run."""
    if not customers or len(visits.asked) <= customers:
        return frozenset(visits.asked)
    return frozenset(sorted(visits.asked, key=lambda key: unit_interval("simulate", key))[:customers])


def as_today(profiles: Iterable[Profile], visits: Visits, chosen: frozenset[str]) -> dict[str, Profile]:
    """Customers of whom the log does not hold everything, as they are now."""
    fixed: dict[str, Profile] = {}
    moved: dict[str, str] = {}
    held: dict[str, Profile] = {}
    for profile in profiles:
        if profile.moved_to:
            moved[profile.key] = profile.moved_to
        elif profile.key in chosen and (len(profile.parts) > 1 or profile.events != visits.events[profile.key]):
            fixed[profile.key] = profile
        held[profile.key] = profile if len(profile.parts) > 1 else Profile(profile.key)
    for key in chosen & moved.keys():
        fixed[key] = held.get(moved[key], Profile(key))
    return fixed


def play(
    log: Iterable[Accepted],
    shops: Iterable[Shop],
    since: int,
    chosen: frozenset[str],
    fixed: Mapping[str, Profile],
    looks: Mapping[str, float],
    tick: Callable[[], None] = lambda: None,
) -> list[World]:
    """The second pass: one world for each shop, all from the same events."""
    every = max(1, len(chosen) // MOST_EXPLAINED)
    late = EngineSettings().allowed_lateness_s * SECOND
    worlds = [World(shop, since, fixed, looks, every, late) for shop in shops]
    seen: set[tuple[str, str, str]] = set()
    for number, one in enumerate(log, 1):
        if number % 1000 == 0:
            tick()
        if one.customer not in chosen:
            continue
        event = decode_canonical(one.event)
        if isinstance(event, Rejected) or (one.customer, event.source, event.id) in seen:
            continue
        seen.add((one.customer, event.source, event.id))
        at, arrived, _ = times_of(event)
        for world in worlds:
            world.happened(event, one.customer, at, arrived)
    return worlds


def report(
    worlds: list[World], chosen: frozenset[str], fixed: Mapping[str, Profile], visits: Visits, days: int
) -> dict[str, Any]:
    """Everything that is told, as plain values. Numbers are of the customers who were played."""
    return {
        "from": rfc3339(visits.last_at - days * DAY),
        "to": rfc3339(visits.last_at),
        "customers": {
            "asked": len(visits.asked),
            "played": len(chosen),
            "rebuilt": len(chosen) - len(fixed.keys() & chosen),
            "as_they_are_now": len(fixed.keys() & chosen),
        },
        "catalogues": dict(zip(("current", "proposed"), (_told(world) for world in worlds), strict=True)),
    }


def _told(world: World) -> dict[str, Any]:
    figures, catalogue = world.figures, world.shop.loaded.catalogue
    nothing = figures.customers - figures.served
    return {
        "catalogue": catalogue.version,
        "policy": catalogue.policy_version,
        "visits": figures.visits,
        "customers": len(figures.customers),
        "served": len(figures.served),
        "left_with_nothing": {
            "customers": len(nothing),
            "because": dict(Counter(figures.empty_because[key].most_common(1)[0][0] for key in sorted(nothing)).most_common()),
        },
        "campaigns": {name: _campaign(figures, catalogue, name) for name in campaigns_in(catalogue)},
        "segments": dict(_segments(figures)),
        "losing": list(_losing(figures, catalogue)),
        "saturated": {
            "caps": dict(figures.capped_by.most_common(10)),
            "pools": {
                name: {"capacity": pool.capacity, "taken": pool.taken, "refused": pool.refused}
                for name, pool in world.pools.by_name.items()
                if pool.refused or pool.taken >= pool.capacity
            },
        },
        "stages": dict(figures.stages),
    }


def campaigns_in(catalogue: Catalogue) -> list[str]:
    """Campaigns that are written, and labels that offers bear."""
    return list(dict.fromkeys([*catalogue.campaigns, *(offer.campaign for offer in catalogue.offers if offer.campaign)]))


def _campaign(figures: Figures, catalogue: Catalogue, name: str) -> dict[str, Any]:
    reached = figures.reached.get(name, set())
    by_segment = Counter(segment for key in reached for segment in figures.segment_of[key])
    offers = [offer.id for offer in catalogue.offers if offer.campaign == name]
    return {
        "reached": len(reached),
        "decided": sum(figures.chosen[offer] for offer in offers),
        "shown": sum(figures.shown[offer] for offer in offers),
        "by_segment": dict(by_segment.most_common()),
    }


def _segments(figures: Figures) -> Iterator[tuple[str, dict[str, int]]]:
    """Customers by segment at their last visit: how many there are, were given an offer, and saw one of a campaign."""
    seen = set().union(*figures.reached.values()) if figures.reached else set()
    everybody = Counter(segment for segments in figures.segment_of.values() for segment in segments)
    for name, count in everybody.most_common():
        mine = {key for key, segments in figures.segment_of.items() if name in segments}
        yield name, {"customers": count, "served": len(mine & figures.served), "reached": len(mine & seen)}


def _losing(figures: Figures, catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    """Live offers that were never chosen, with the stage at which most followed visits lost them."""
    for offer, live in zip(catalogue.offers, catalogue.columns.live, strict=True):
        if live and offer.kind != "fallback" and not figures.chosen[offer.id]:
            stages = {stage: count for stage, count in figures.dropped[offer.id].most_common() if stage != "chosen"}
            yield {"offer": offer.id, "campaign": offer.campaign, "stage": next(iter(stages), "not asked for"), "stages": stages}


def _published(url: str) -> Callable[[str], bytes | None]:
    """The newest snapshot of a model, read once."""
    if not url:
        raise WrongUse("name a Redis with --redis-url, or the folder of a running `up` with --data")
    client = redis.Redis.from_url(url, socket_timeout=30.0)

    def read(model: str) -> bytes | None:
        try:
            held = client.get(keys.snapshot(model))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return held if isinstance(held, bytes) else None

    return read
