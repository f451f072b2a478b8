"""The catalogue over HTTP: its files as they stand, and a new one in their place, checked before anything is written."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import orjson
from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response

from api.activation import Active
from api.catalogue_watch import CatalogueWatch
from api.problems import MEDIA_TYPE, Problem
from config.catalogue_folder import ChangedMeanwhile, NotWritable, read_files, tag_of, write_files
from config.mistakes import CatalogueError, Mistake, did_you_mean
from engine.moments import rfc3339

STATUSES = ("live", "draft", "paused")


class CatalogueAnswer(Struct, frozen=True):
    """The body of `GET` and `PUT /v1/catalogue`.

    `version` and `policy` are what is served and what decisions name, `active_since` when it was announced to the logs.
    `tag` names the files as they stand (it is the `ETag`); `mistakes` says why they are not served where they are not.
    """

    version: str
    policy: str
    active_since: str | None
    tag: str
    offers: int
    campaigns: int
    mistakes: tuple[str, ...]
    files: dict[str, str]


class Proposed(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT /v1/catalogue`: all files by their path, or one `file` with its `text` (null removes it)."""

    files: dict[str, str] | None = None
    file: str | None = None
    text: str | None = None


_PROPOSED = msgspec.json.Decoder(Proposed)


class BadCatalogue(Problem):
    """422 with every mistake."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__(422, "catalogue.mistakes", "; ".join(str(mistake) for mistake in mistakes[:3]))
        self.mistakes = mistakes

    def response(self) -> Response:
        body = {
            "type": f"urn:regulars:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "mistakes": [{"file": one.file, "path": one.path, "what": one.what} for one in self.mistakes],
        }
        return Response(orjson.dumps(body), self.status, self.headers, MEDIA_TYPE)


async def shown(watch: CatalogueWatch, active: Active) -> CatalogueAnswer:
    """The files as they stand beside what is served. Raises 503 where the folder cannot be read."""
    try:
        files = await asyncio.to_thread(read_files, watch.folder)
    except (CatalogueError, OSError) as error:
        raise Problem(503, "catalogue.unreadable", str(error)) from None
    return _answer(watch, active, files)


def proposed(body: bytes) -> Proposed:
    """What is to be written. Raises 400 and 422."""
    try:
        wanted = _PROPOSED.decode(body)
    except msgspec.ValidationError as error:
        raise Problem(422, "schema.type", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None
    if (wanted.files is None) is (wanted.file is None):
        raise Problem(422, "schema.missing", "send all `files`, or one `file` with its `text`", "files")
    return wanted


async def replaced(watch: CatalogueWatch, wanted: Proposed, if_match: str) -> None:
    """Writes what was proposed; every process takes it over at its next look.

    Raises 422 with every mistake, 412 where the files are not those of `if_match`, 409 where they cannot be written.
    """
    try:
        await asyncio.to_thread(_write, watch, wanted, if_match)
    except CatalogueError as error:
        raise BadCatalogue(error.mistakes) from None
    except ChangedMeanwhile as error:
        raise Problem(412, "catalogue.changed", str(error), headers={"ETag": etag(tag_of(read_files(watch.folder)))}) from None
    except NotWritable as error:
        raise Problem(409, "catalogue.read_only", str(error)) from None


def etag(tag: str) -> str:
    return f'"{tag}"'


def file_of(answer: CatalogueAnswer, name: str) -> str:
    """The text of one file. Raises 404 with a did-you-mean."""
    if name not in answer.files:
        raise Problem(404, "catalogue.file_unknown", f"there is no file {name!r}{did_you_mean(name, answer.files)}", "file")
    return answer.files[name]


def _write(watch: CatalogueWatch, wanted: Proposed, if_match: str) -> None:
    held = read_files(watch.folder)
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",") if tag.strip()]
    if tags and tags != ["*"] and tag_of(held) not in tags:
        raise ChangedMeanwhile("the catalogue was changed meanwhile: read it again")
    files = wanted.files if wanted.files is not None else _with_one(held, wanted)
    write_files(watch.folder, files, tag_of(held))


def _with_one(held: Mapping[str, str], wanted: Proposed) -> dict[str, str]:
    rest = {name: text for name, text in held.items() if name != wanted.file}
    return rest if wanted.text is None or wanted.file is None else {**rest, wanted.file: wanted.text}


def _answer(watch: CatalogueWatch, active: Active, files: dict[str, str]) -> CatalogueAnswer:
    catalogue = watch.loaded.catalogue
    since = active.since if active.versions == (catalogue.version, catalogue.policy_version) else 0
    return CatalogueAnswer(
        version=catalogue.version,
        policy=catalogue.policy_version,
        active_since=rfc3339(since) if since else None,
        tag=tag_of(files),
        offers=len(catalogue.offers),
        campaigns=len(catalogue.campaigns),
        mistakes=watch.mistakes,
        files=files,
    )


class CatalogueGauges(Collector):
    """The catalogue that is served, at the moment of the scrape."""

    def __init__(self, watch: CatalogueWatch, active: Callable[[], Active]) -> None:
        self._watch, self._active = watch, active

    def collect(self) -> Iterator[Metric]:
        offers = self._watch.loaded.catalogue.offers
        count = GaugeMetricFamily("regulars_catalogue_offers", "Offers of the catalogue by status", labels=["status"])
        for status in STATUSES:
            count.add_metric([status], sum(offer.status == status for offer in offers))
        yield count
        for name, words, value in (
            ("regulars_catalogue_mistakes", "Mistakes in the folder, for which the one before serves", len(self._watch.mistakes)),
            ("regulars_catalogue_active_timestamp_seconds", "Since when it is announced", self._active().since / 1000),
        ):
            yield GaugeMetricFamily(name, words, value=value)


CATALOGUE_EXAMPLE: dict[str, Any] = {
    "version": "c-5a0f31c2", "policy": "p-91be0d77", "active_since": "2026-03-02T12:00:00.000Z", "tag": "41c0d2f09b1e77aa",
    "offers": 1, "campaigns": 0, "mistakes": [],
    "files": {"policy.yaml": "placements:\n  home_hero: {channel: web}\n", "offers/coffee.yaml": "offers: []\n"},
}  # fmt: skip
