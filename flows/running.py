"""Finding the system that an operator's command is about, and writing what it answers."""

import sys
from datetime import datetime
from pathlib import Path

import msgspec
import orjson

from config.settings import EngineSettings
from engine.errors import RegularsError
from engine.moments import Millis, millis
from engine.store.redis_archive import Archive
from flows.children import ChildrenReport


class NotFound(RegularsError):
    """What was asked for is not there."""


class WrongUse(RegularsError):
    """The command was called with something it does not know."""


def open_archive(redis_url: str, data: Path) -> Archive:
    """The events, letters and decisions of the system that is meant."""
    return Archive(redis_of(redis_url, data), EngineSettings().shards)


def redis_of(redis_url: str, data: Path) -> str:
    """The address of the Redis that is named, or else of the embedded one of the `up` that runs on `data`."""
    if not redis_url:
        try:
            report = msgspec.json.decode((data / "children.json").read_bytes(), type=ChildrenReport)
        except (OSError, msgspec.MsgspecError):
            raise NotFound(
                f"no `regulars up` works on {data}: name its folder with --data, or a Redis with --redis-url"
            ) from None
        redis_url = report.redis_url
        if not redis_url:
            raise NotFound("this `regulars up` uses a Redis of its own: name it with --redis-url")
    return redis_url


def write_line(value: object) -> None:
    """One JSON line, at once."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def since_of(text: str) -> Millis:
    """The instant that an operator wrote, or the beginning."""
    if not text:
        return Millis(0)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUse(f"{text!r} is no RFC 3339 time such as 2026-01-31T09:30:00Z") from None
    if read.tzinfo is None:
        raise WrongUse(f"{text!r} has no offset: add Z or +01:00")
    return millis(read)
