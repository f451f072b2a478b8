"""What a customer can choose, what they have chosen, and what a form asks to change. No web framework here."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from msgspec import Struct

from config.catalogue_files import Loaded
from engine.decisioning.conditions import clock
from engine.profiles.consent import COVERED, MARKETING, PROFILING, PURPOSE_OF
from engine.profiles.profile import Part

MOST_FORM_BYTES: Final = 65_536
MOST_TOPICS: Final = 60
OFTEN: Final = (0, 1, 2, 3, 5, 7, 14)
"""How many offers a week the page lets choose from; none of them is the shop's own measure."""
WEEK_DAYS: Final = 7.0
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
Form = Mapping[str, str]


class Choices(Struct, frozen=True):
    """The state of the page. `often` is None where the shop decides, and so are empty times of day."""

    purposes: dict[str, bool]
    profiling: bool
    topics: dict[str, bool]
    often: int | None
    quiet_from: str
    quiet_until: str


def chosen(part: Part, loaded: Loaded, now: int) -> Choices:
    """What holds at this moment."""
    limit, quiet = part.preferences.limit, part.preferences.quiet.span
    return Choices(
        purposes={purpose: _reached(part, purpose, now) for purpose in COVERED},
        profiling=part.consent.may_profile(now, loaded.policy.consent.profiling_by_default),
        topics={name: part.preferences.topic(name) is not False for name in topics_shown(loaded)},
        often=limit.count,
        quiet_from=clock(quiet[0]) if quiet else "",
        quiet_until=clock(quiet[1]) if quiet else "",
    )


def topics_shown(loaded: Loaded) -> tuple[str, ...]:
    """What the policy lists; without a list the categories that offers promote."""
    if loaded.policy.preferences.topics:
        return loaded.policy.preferences.topics
    offers, personal = loaded.catalogue.offers, loaded.catalogue.columns.personal
    named = {name for offer, asks in zip(offers, personal, strict=True) if asks for name in offer.promotes.categories}
    return tuple(sorted(named))[:MOST_TOPICS]


def form_in(body: bytes) -> Form:
    """The fields of a form; of one that is sent twice the last. Raises `ValueError` for what no browser sends."""
    fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=500)
    return {name: values[-1] for name, values in fields.items()}


def changes(form: Form, before: Choices, part: Part, text_version: str) -> list[tuple[str, dict[str, Any]]]:
    """What the form asks to change, as (event type, body). What stays as it is makes no event: no older word is renewed."""
    if form.get("do") == "stop":
        refused = [_said(purpose, False, text_version) for purpose in (MARKETING, *COVERED, PROFILING)]
        return [("consent_updated", one) for one in refused]
    made: list[tuple[str, dict[str, Any]]] = []
    for purpose, held in before.purposes.items():
        wanted = f"purpose.{purpose}" in form
        if wanted != held:
            made.append(("consent_updated", _said(purpose, wanted, text_version)))
    if ("profiling" in form) != before.profiling:
        made.append(("consent_updated", _said(PROFILING, "profiling" in form, text_version)))
    wishes = _wishes(form, before, part)
    return [*made, ("preference_updated", wishes)] if wishes else made


def _reached(part: Part, purpose: str, now: int) -> bool:
    return any(
        part.consent.permission(purpose, (channel,), now) is not None and not part.preferences.refuses(channel)
        for channel, own in PURPOSE_OF.items()
        if own == purpose
    )


def _said(purpose: str, wanted: bool, text_version: str) -> dict[str, Any]:
    return {"purpose": purpose, "status": "granted" if wanted else "revoked", "text_version": text_version}


def _wishes(form: Form, before: Choices, part: Part) -> dict[str, Any]:
    wishes: dict[str, Any] = {}
    topics = {name: f"topic.{name}" in form for name, held in before.topics.items() if (f"topic.{name}" in form) != held}
    if topics:
        wishes["topics"] = topics
    # Who consents here to a channel that they once did not wish for wishes for it again.
    opened = {name: True for name, own in PURPOSE_OF.items() if f"purpose.{own}" in form and part.preferences.refuses(name)}
    if opened:
        wishes["channels"] = opened
    often = next((count for count in (*OFTEN, before.often) if form.get("often") == str(count)), None)
    if often != before.often and "often" in form:
        wishes["frequency"] = None if often is None else {"count": often, "window_days": WEEK_DAYS}
    start, end = (form.get(name, "") if _CLOCK.fullmatch(form.get(name, "")) else "" for name in ("from", "until"))
    if not (start and end):
        start = end = ""
    if (start, end) != (before.quiet_from, before.quiet_until) and "from" in form:
        wishes["quiet_hours"] = {"start": start, "end": end} if start else None
    return wishes
