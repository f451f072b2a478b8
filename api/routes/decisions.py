"""`POST /v1/decisions`, `GET /v1/decisions/{id}` and `GET /v1/offers`."""

import asyncio
import time
from collections.abc import Callable

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.access import Caller, need_secret
from api.asking import DecisionRequest, asked_in, asked_of, check
from api.container import Container
from api.items import Item, items_in
from api.lean_route import Direct, JsonAnswer, Reply
from api.privacy import Erased
from api.problems import Problem, store_away
from api.question import Answer, Question
from api.recall import recalled
from api.requests import body_of, header
from engine.errors import StoreUnavailable
from engine.events.base import Event
from engine.ids import shard_of


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the decision routes on the application."""

    async def decide(request: Request) -> JsonAnswer:
        """Which offers for these placements, now; with the event that the decision must see, if there is one."""
        started = time.monotonic()
        caller = container.access.caller(header(request.scope, b"authorization"), request.scope["query_string"])
        body = await body_of(request, container.settings.max_body_bytes)
        return await _answered(container, lambda: asked_of(body), caller, started)

    async def offers(request: Request) -> JsonAnswer:
        """The offers of one placement."""
        started = time.monotonic()
        caller = container.access.caller(header(request.scope, b"authorization"), request.scope["query_string"])
        return await _answered(container, lambda: asked_in(request.query_params), caller, started)

    async def recall(request: Request) -> Response:
        """What was decided, from what, by which readings and versions, and what came of it."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        name = str(request.path_params["id"])
        try:
            found = await recalled(container.redis.ask, container.rules.shards, name)
        except Erased:
            raise Problem(410, "customer.erased", "the customer of this decision asked to be forgotten") from None
        except StoreUnavailable:
            raise store_away() from None
        if found is None:
            raise Problem(404, "decision.unknown", f"no decision {name[:40]!r} is kept") from None
        return Response(schemas.encode(found), 200, {"cache-control": "no-store"}, "application/json")

    described = schemas.DECISIONS
    app.add_api_route("/v1/decisions", decide, methods=["POST"], tags=["decisions"], **described.decide)
    app.add_api_route("/v1/decisions/{id}", recall, methods=["GET"], tags=["decisions"], **described.recall)
    app.add_api_route("/v1/offers", offers, methods=["GET"], tags=["decisions"], **described.offers)


def direct(container: Container) -> Direct:
    """`POST /v1/decisions` for who gives the answer to whoever asked, without a task in between."""
    access, reception = container.access, container.serving.reception

    def decide(body: bytes, authorization: str, reply: Reply) -> None:
        started = time.monotonic()

        def told(how: Answer | BaseException) -> None:
            reply(_counted(container, how, started) if isinstance(how, Answer) else _miscounted(container, how, started))

        caller = access.caller(authorization)
        try:
            question = _question(container, asked_of(body), caller, started)
        except Problem as problem:
            reply(_miscounted(container, problem, started))
            return
        container.timing.parse += time.monotonic() - started
        reception.begin(question, told)

    return decide


async def _answered(container: Container, read: Callable[[], DecisionRequest], caller: Caller, started: float) -> JsonAnswer:
    try:
        question = _question(container, read(), caller, started)
        container.timing.parse += time.monotonic() - started
        return _counted(container, await container.serving.reception.answer(question), started)
    except Problem as problem:
        raise _miscounted(container, problem, started) from None


def _counted(container: Container, answer: Answer, started: float) -> JsonAnswer:
    metrics = container.metrics
    if answer.decision is not None:
        metrics.decided(answer.decision)
    metrics.answered(answer.outcome, time.monotonic() - started)
    return JsonAnswer(answer.body, no_store=True)


def _miscounted(container: Container, error: BaseException, started: float) -> BaseException:
    """What went wrong, once it is counted."""
    if isinstance(error, Problem):
        container.metrics.answered("conflict" if error.status == 409 else "refused", time.monotonic() - started)
    return error


def _question(container: Container, asked: DecisionRequest, caller: Caller, started: float) -> Question:
    basis, settings = container.basis, container.settings
    key = asked.key
    check(asked, caller, basis.policy_placements, container.access.vouches)
    question = Question(
        asked=asked,
        key=key,
        to_page=caller.is_web,
        arrival=container.now(),
        started=started,
        deadline=started + (asked.deadline_ms or settings.decision_deadline_ms) / 1000,
        shards=container.rules.shards,
        basis=basis,
        shard=shard_of(key, container.rules.shards),
    )
    if asked.events:
        riding = items_in(map(bytes, asked.events), container.rules.most_items)
        _take_along(container, question, riding, caller)
    return question


def _take_along(container: Container, question: Question, items: list[Item], caller: Caller) -> None:
    """Accepts the events of the call as the door would; those of this customer are folded into what is decided on."""
    sent = container.door.sorted(items, question.arrival, container.stores, False, caller)
    question.riding = tuple(_own(question, [(one.key, one.event) for one in sent.admitted]))
    if question.asked.writes:
        question.taking = asyncio.create_task(container.door.take(sent))


def _own(question: Question, events: list[tuple[str, Event]]) -> list[Event]:
    return [event for key, event in events if key == question.key]
