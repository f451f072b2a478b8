"""The exchanges of the OpenAPI document, had with a running system. `python -m tests.e2e.exchanges` records the answers anew."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
from msgspec import UNSET

from api.openapi import Exchange, exchanges
from tests.e2e.running import Up, up

KEYS = {"web": "web-key-of-the-page", "write": "write-key-of-a-till", "secret": "secret-key-of-the-shop"}
CATALOGUE = Path(__file__).parents[2] / "config" / "catalogue"
MOST_ITEMS, MOST_FIELDS, MOST_TEXT = 2, 14, 600
WITHIN_S = 20.0


@contextmanager
def shop(data: Path) -> Iterator[Up]:
    """A running system with a key of every kind and a copy of the catalogue that comes along."""
    catalogue = shutil.copytree(CATALOGUE, data / "catalogue")
    environment = {f"REGULARS_{kind.upper()}_KEYS": key for kind, key in KEYS.items()}
    with up(data / "up", "--catalogue", str(catalogue), environment=environment) as system:
        yield system


def had(url: str, exchange: Exchange, kept: dict[str, str]) -> tuple[int, str, Any]:
    """The status, the media type and the answer; what the exchange keeps is added to `kept`.

    A place to keep from is a path of names and positions; one that ends in a slash means the last part of an address.
    """
    method, _, path = exchange.operation.partition(" ")
    for name, value in exchange.path.items():
        path = path.replace("{" + name + "}", _filled(value, kept))
    headers = {name: _filled(value, kept) for name, value in exchange.headers.items()}
    if exchange.key:
        headers["authorization"] = f"Bearer {KEYS.get(exchange.key, exchange.key)}"
    content: bytes | None = None
    if exchange.body is not UNSET:
        content = _filled(orjson.dumps(exchange.body).decode(), kept).encode()
    elif isinstance(exchange.text, str):
        content = _filled(exchange.text, kept).encode()
    if content is not None:
        headers["content-type"] = exchange.content_type
    query = {name: _filled(value, kept) for name, value in exchange.query.items()}
    got = httpx.request(method, url + path, params=query or None, headers=headers, content=content, timeout=20)
    media_type = got.headers.get("content-type", "").partition(";")[0]
    answer = got.json() if media_type.endswith("json") and "ndjson" not in media_type else got.text
    for name, place in exchange.keeps.items():
        found = str(_at(answer, place.removesuffix("/")))
        kept[name] = found.rpartition("/")[2] if place.endswith("/") else found
    return got.status_code, media_type, answer


def settled(url: str, exchange: Exchange, kept: dict[str, str]) -> tuple[int, str, Any]:
    """As `had`; an exchange that waits is had again until its answer is complete."""
    end = time.monotonic() + WITHIN_S
    while True:
        try:
            found = had(url, exchange, kept)
            if not exchange.waits or (found[0] == exchange.status and not missing(exchange.answer, found[2])):
                return found
        except (KeyError, IndexError):
            if not exchange.waits:
                raise
        if time.monotonic() > end:
            return had(url, exchange, kept)
        time.sleep(0.05)


def missing(shown: object, real: object, place: str = "$") -> list[str]:
    """Where the real answer lacks what the shown one has, or has it of another kind. Null goes with everything."""
    if shown is None or real is None or shown is UNSET:
        return []
    if isinstance(shown, dict) and isinstance(real, dict):
        gone = [f"{place}.{name}" for name in shown if name not in real]
        return gone + [each for name in shown if name in real for each in missing(shown[name], real[name], f"{place}.{name}")]
    if isinstance(shown, list) and isinstance(real, list):
        if shown and not real:
            return [f"{place}[0]"]
        return [each for one, other in zip(shown, real, strict=False) for each in missing(one, other, f"{place}[]")]
    numbers = (int, float)
    alike = isinstance(real, type(shown)) or (isinstance(shown, numbers) and isinstance(real, numbers))
    return [] if alike else [f"{place} is {type(real).__name__}, shown as {type(shown).__name__}"]


def shortened(value: Any, deep: bool = False) -> Any:
    """As much of an answer as a reader wants to see; of its own fields, all."""
    if isinstance(value, dict):
        shown = list(value.items())[: MOST_FIELDS if deep else None]
        return {name: shortened(inner, True) for name, inner in shown}
    if isinstance(value, list):
        return [shortened(inner, True) for inner in value[:MOST_ITEMS]]
    if isinstance(value, str) and len(value) > MOST_TEXT:
        cut = value.rfind("\n", 0, MOST_TEXT)
        return value[: cut + 1 or value.find("\n") + 1 or MOST_TEXT]
    return value


def _filled(text: str, kept: dict[str, str]) -> str:
    for name, value in kept.items():
        text = text.replace("{" + name + "}", value)
    return text


def _at(answer: Any, place: str) -> Any:
    for step in place.split("."):
        answer = answer[int(step)] if isinstance(answer, list) else answer[step]
    return answer


def main() -> None:
    """Has every exchange once and writes what was answered."""
    recorded: list[Exchange] = []
    kept: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, shop(Path(folder)) as system:
        for exchange in exchanges():
            status, media_type, answer = settled(system.url, exchange, kept)
            if status != exchange.status:
                raise SystemExit(f"{exchange.name}: {status} instead of {exchange.status}: {answer}")
            shown = shortened(answer) if answer else UNSET
            recorded.append(msgspec.structs.replace(exchange, answer=shown, answer_type=media_type))
            print(f"{exchange.operation:48} {status} {exchange.name}")
    written = orjson.dumps(msgspec.to_builtins(recorded), option=orjson.OPT_INDENT_2)
    Path(__file__).parents[2].joinpath("api", "examples.json").write_bytes(written + os.linesep.encode())


if __name__ == "__main__":
    main()
