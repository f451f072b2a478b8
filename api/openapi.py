"""What the OpenAPI document says beyond its schemas: who may call, what each answer looks like, and what goes wrong how.

The examples are exchanges that were really had, in the order of a customer's first day: `examples.json` holds them,
a test has them again with a running system and compares the shapes, so the document cannot drift from the server.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from api.access import Access
from api.problems import MEDIA_TYPE, Problem, store_away, too_large

Document = dict[str, Any]

WHAT_IT_IS: Final = """Events in, offers out, and it learns from what people do with them.

Money is an integer of minor units or a decimal string; times are RFC 3339 with an offset; every error is a problem
document (RFC 9457) with a stable `code`. `202` means durable and obeyed; a retry after any answer, or after none, counts once.
Send again after 429, 503 or no answer, not before `Retry-After`; whatever is `rejected` stays rejected."""

TAGS: Final = {
    "events": "What happens with customers, one at a time or thousands in a request.",
    "segment": "Segment's HTTP API, for its clients and those of RudderStack.",
    "pos": "What tills write down, and which of it is missing.",
    "decisions": "Which offers, for whom, why, and what came of it.",
    "customers": "What is known of a customer, what they allow, and their right to have it corrected, carried away or forgotten.",
    "preferences": "The page on which customers choose for themselves.",
    "service": "What a service desk looks at.",
    "insights": "What offers bring, why customers leave and of what they complain.",
    "products": "What the shop sells: feeds in, and what customers make of it.",
    "catalogue": "Offers, campaigns and policy.",
    "web": "For pages.",
    "operating": "For supervisors and dashboards.",
}

SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a web, write or secret key"},
    "basic": {"type": "http", "scheme": "basic", "description": "the key as user name, without a password"},
    "address": {"type": "apiKey", "in": "query", "name": "key", "description": "a web key, where a page can send no header"},
}
_ADDRESSED: Final = ("/v1/events", "/v1/decisions", "/v1/offers")
_OPEN: Final = ("/livez", "/readyz", "/metrics", "/preferences/", "/v1/tag.js")


class Exchange(Struct, frozen=True, omit_defaults=True):
    """One call and its answer. `{name}` in the path, the query or the body stands for what an earlier answer kept."""

    operation: str
    name: str
    says: str
    status: int
    key: str = "secret"
    path: dict[str, str] = {}
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    content_type: str = "application/json"
    body: object | UnsetType = UNSET
    text: str | UnsetType = UNSET
    keeps: dict[str, str] = {}
    waits: bool = False
    """The answer follows from events that the engine still folds."""
    answer: object | UnsetType = UNSET
    answer_type: str = "application/json"


def exchanges() -> list[Exchange]:
    """All of them, in the order in which they were had."""
    return msgspec.json.decode(files("api").joinpath("examples.json").read_bytes(), type=list[Exchange])


def completed(document: Document) -> Document:
    """The document with examples, keys and words of introduction; what it says of paths and schemas stays."""
    document["info"]["description"] = WHAT_IT_IS
    document.setdefault("components", {})["securitySchemes"] = SECURITY
    tags = {tag for _, operation in _operations(document) for tag in operation.get("tags", ())}
    document["tags"] = [{"name": tag, "description": TAGS[tag]} for tag in TAGS if tag in tags]
    wrong = _problems()
    for name, operation in _operations(document):
        path = name.partition(" ")[2]
        taken = [scheme for scheme in SECURITY if scheme != "address" or path in _ADDRESSED]
        operation["security"] = [] if path.startswith(_OPEN) else [{scheme: []} for scheme in taken]
        for status, answer in operation["responses"].items():
            problem = answer.get("content", {}).get(MEDIA_TYPE)
            if problem is not None and status in wrong:
                answer["content"] = {MEDIA_TYPE: {**problem, "examples": dict(wrong[status])}}
    operations = dict(_operations(document))
    for exchange in exchanges():
        if exchange.operation in operations:
            _show(operations[exchange.operation], exchange)
    return document


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _show(operation: Document, exchange: Exchange) -> None:
    for parameter in operation.get("parameters", ()):
        given = {**exchange.path, **exchange.query, **exchange.headers}.get(parameter["name"])
        if given is not None:
            parameter.setdefault("example", given)
    sent = exchange.body if exchange.body is not UNSET else exchange.text
    if sent is not UNSET and exchange.status < 400:
        content = operation.get("requestBody", {}).get("content", {})
        if exchange.content_type in content:
            _example(content[exchange.content_type], exchange, sent)
    answer = operation["responses"].setdefault(str(exchange.status), {"description": exchange.says})
    if exchange.answer is UNSET:
        answer.pop("content", None)
    else:
        _example(answer.setdefault("content", {}).setdefault(exchange.answer_type, {}), exchange, exchange.answer)


def _example(content: Document, exchange: Exchange, value: object) -> None:
    content.setdefault("examples", {})[exchange.name] = {"summary": exchange.says, "value": value}


def _problems() -> dict[str, dict[str, Document]]:
    """By status, what every route answers alike, made by what answers it."""
    keyed = Access((), (), ("k",), rate_per_s=1, clock=lambda: 0.0)
    causes = [_raised(keyed, None), _raised(keyed, "Bearer wrong"), too_large(1_000_000), store_away()]
    keyed.caller("Bearer k")
    causes.append(_raised(keyed, "Bearer k"))
    found: dict[str, dict[str, Document]] = {}
    for problem in causes:
        body = msgspec.json.decode(problem.response().body)
        found.setdefault(str(problem.status), {})[problem.code] = {"summary": problem.detail, "value": body}
    return found


def _raised(access: Access, authorization: str | None) -> Problem:
    try:
        access.caller(authorization)
    except Problem as problem:
        return problem
    raise AssertionError("a key that is not there was let in")
