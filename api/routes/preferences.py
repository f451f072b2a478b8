"""`/preferences/{token}`: the page of a customer's own choices. And what a clerk does for them: links, corrected traits."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import schemas
from api.access import need_secret
from api.container import Container
from api.customer_state import Known
from api.own_events import own_event, take
from api.preference_link import Link, link_in, secret_of, token_of
from api.preference_page import HEADERS, MEDIA_TYPE, notice, page
from api.preference_words import language_of
from api.preferences import MOST_FORM_BYTES, Form, changes, chosen, form_in
from api.privacy import Erased, read_customer
from api.problems import Problem
from api.requests import body_of, header
from api.routes.customers import existing
from api.traits import patch_of, patched
from engine.errors import StoreUnavailable
from engine.ids import CustomerKey
from engine.moments import DAY, Millis, rfc3339

_NO_STORE = {"cache-control": "no-store"}
_JSON = "application/json"


class _Notice(Exception):
    """The page has one thing to say instead."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the routes on the application."""

    async def show(request: Request) -> Response:
        """The page where a customer chooses topics, channels, how often and when; opened by a signed link."""

        async def answer() -> Response:
            _, known = await _opened(container, request)
            choices = chosen(known.profile.whole, container.basis.loaded, container.now())
            return _html(page(choices, _language(request, known), request.query_params.get("said", "")))

        return await _told(request, answer)

    async def choose(request: Request) -> Response:
        """What the customer chose; it holds from the answer on."""

        async def answer() -> Response:
            customer, known = await _opened(container, request)
            form = await _form(request)
            loaded = container.basis.loaded
            part = known.profile.whole
            before = chosen(part, loaded, container.now())
            made = changes(form, before, part, loaded.policy.preferences.text_version)
            events = [own_event(container, kind, customer[2:], "preferences", data) for kind, data in made]
            if events:
                await take(container, events)
            said = "stopped" if form.get("do") == "stop" else "saved"
            return RedirectResponse(f"?said={said}&lang={_language(request, known)}", 303, HEADERS)

        return await _told(request, answer)

    async def link(request: Request) -> Response:
        """A link with which the customer reaches the page of their choices."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        user_id = str(request.path_params["id"])
        await existing(container, CustomerKey(f"u:{user_id}"))
        until = Millis(container.now() + int(container.basis.loaded.policy.preferences.link_days * DAY))
        token = token_of(Link(CustomerKey(f"u:{user_id}"), until), await secret_of(container.redis.ask))
        made = {"user_id": user_id, "path": f"/preferences/{token}", "expires_at": rfc3339(until)}
        made["url"] = f"{request.url.scheme}://{request.url.netloc}{made['path']}"
        return Response(orjson.dumps(made), 200, _NO_STORE, _JSON)

    async def traits(request: Request) -> Response:
        """Correct what is held of a customer: a merge patch, in which null takes a trait back."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        user_id = str(request.path_params["id"])
        patch = patch_of(await body_of(request, container.settings.max_body_bytes))
        known = await existing(container, CustomerKey(f"u:{user_id}"))
        if patch:
            await take(container, [own_event(container, "customer_identified", user_id, "api", patch)])
        held: dict[str, Any] = {"user_id": user_id, "traits": patched(known.profile.whole.identity.told, patch)}
        return Response(orjson.dumps(held), 200, _NO_STORE, _JSON)

    described = schemas.PREFERENCES
    app.add_api_route("/preferences/{token}", show, methods=["GET"], tags=["preferences"], **described.show)
    app.add_api_route("/preferences/{token}", choose, methods=["POST"], tags=["preferences"], **described.choose)
    app.add_api_route("/v1/customers/{id}/preferences-link", link, methods=["POST"], tags=["customers"], **described.link)
    app.add_api_route("/v1/customers/{id}/traits", traits, methods=["PATCH"], tags=["customers"], **described.traits)


async def _told(request: Request, answer: Callable[[], Awaitable[Response]]) -> Response:
    """The answer, or a page that says in plain words why there is none."""
    try:
        return await answer()
    except _Notice as one:
        return _html(notice(one.what, _language(request)), one.status)
    except StoreUnavailable:
        return _html(notice("503", _language(request)), 503, {"retry-after": "1"})


async def _opened(container: Container, request: Request) -> tuple[CustomerKey, Known]:
    ask = container.redis.ask
    link = link_in(str(request.path_params["token"]), await secret_of(ask))
    if link is None:
        raise _Notice(404, "404")
    if link.until <= container.now():
        raise _Notice(410, "410")
    try:
        known = await read_customer(ask, container.rules.shards, link.customer)
    except Erased:
        raise _Notice(410, "gone") from None
    if known is None:
        raise _Notice(404, "404")
    return link.customer, known


async def _form(request: Request) -> Form:
    try:
        return form_in(await body_of(request, MOST_FORM_BYTES))
    except (ValueError, Problem):
        raise _Notice(400, "400") from None


def _language(request: Request, known: Known | None = None) -> str:
    told = known.profile.whole.identity.trait("locale") if known is not None else None
    return language_of(
        (request.query_params.get("lang"), told if isinstance(told, str) else None, header(request.scope, b"accept-language"))
    )


def _html(body: str, status: int = 200, more: dict[str, str] | None = None) -> Response:
    return Response(body, status, {**HEADERS, **(more or {})}, MEDIA_TYPE)
