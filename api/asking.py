"""A request for a decision: from bytes to a checked question, with the field at fault where it is wrong."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from api.access import Caller, not_of_a_page
from api.problems import Problem
from config.mistakes import did_you_mean
from engine.decisioning.situation import CartLine, PlacementRequest
from engine.events.base import Aware, Identifier
from engine.ids import CustomerKey
from engine.moments import Millis, millis

MOST_PLACEMENTS = 20
MOST_EVENTS = 100
_ERROR = re.compile(r"^(?P<detail>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)

AskedChannel = Literal["web", "app", "pos", "call_center", "email", "sms", "push", "kiosk"]


class AskedPlacement(Struct, frozen=True):
    """A place to fill."""

    name: Identifier
    count: Annotated[int, Meta(ge=1, le=50)] = 1


class AskedLine(Struct, frozen=True):
    """A line of the cart."""

    product_id: Annotated[str, Meta(max_length=100)] = ""
    category: Annotated[str, Meta(max_length=100)] = ""
    quantity: float = 1.0
    price: Any = None


class AskedContext(Struct, frozen=True):
    """Where the customer is at this moment. More fields may come; conditions of offers may read them."""

    page: dict[str, Any] | None = None
    locale: Annotated[str, Meta(max_length=35)] | None = None
    timezone: Annotated[str, Meta(max_length=64)] | None = None
    cart: Annotated[tuple[AskedLine, ...], Meta(max_length=500)] | None = None


class DecisionRequest(Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/decisions`. One of user, loyalty card and anonymous id names the customer, in that order."""

    placements: Annotated[tuple[AskedPlacement, ...], Meta(min_length=1, max_length=MOST_PLACEMENTS)]
    request_id: Identifier | None = None
    user_id: Identifier | None = None
    user_hash: Annotated[str, Meta(max_length=128)] | None = None
    anonymous_id: Identifier | None = None
    loyalty_id: Identifier | None = None
    session_id: Identifier | None = None
    channel: AskedChannel | None = None
    context: AskedContext | None = None
    exclude: Annotated[tuple[str, ...], Meta(max_length=1000)] | None = None
    deadline_ms: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    explain: bool = False
    dry_run: bool = False
    at: Aware | None = None
    trigger: Identifier | None = None
    """Of an action: the trigger's own rules have to hold as well. Takes a secret key."""
    events: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=MOST_EVENTS)] | None = None

    @property
    def writes(self) -> bool:
        """Whether the decision is meant: a dry run or an explanation leaves no trace."""
        return not (self.dry_run or self.explain)

    @property
    def key(self) -> CustomerKey:
        """The customer, by the same rule that routes events; empty where nobody is named."""
        if self.user_id:
            return CustomerKey(f"u:{self.user_id}")
        if self.loyalty_id:
            return CustomerKey(f"l:{self.loyalty_id}")
        return CustomerKey(f"a:{self.anonymous_id}" if self.anonymous_id else "")


_DECODER = msgspec.json.Decoder(DecisionRequest)


def asked_of(body: bytes) -> DecisionRequest:
    """The request in a body. Raises 400 where that is no JSON, 422 where it is not a request."""
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None


def asked_in(query: Mapping[str, str]) -> DecisionRequest:
    """The request in the parameters of `GET /v1/offers`: one placement. Raises 422."""
    wanted: dict[str, Any] = {
        name: query[name]
        for name in ("request_id", "user_id", "user_hash", "anonymous_id", "loyalty_id", "session_id", "channel", "at")
        if query.get(name)
    }
    wanted["placements"] = [{"name": query.get("placement", ""), "count": query.get("limit") or 1}]
    wanted["context"] = {name: query[name] for name in ("locale", "timezone") if query.get(name)}
    if query.get("exclude"):
        wanted["exclude"] = [name for name in query["exclude"].split(",") if name]
    for name in ("deadline_ms", "explain", "dry_run"):
        if query.get(name):
            wanted[name] = query[name]
    if not query.get("placement"):
        raise Problem(422, "schema.missing", "name the placement, for example placement=home_hero", "placement")
    try:
        return msgspec.convert(wanted, DecisionRequest, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def invalid(error: msgspec.ValidationError) -> Problem:
    """422 with the field at fault."""
    match = _ERROR.match(str(error))
    detail, path = (match["detail"], match["path"] or "") if match else (str(error), "")
    missing = re.search(r"missing required field `([^`]+)`", detail)
    if missing:
        path = f"{path}.{missing[1]}".lstrip(".")
    return Problem(422, "schema.missing" if missing else "schema.type", detail[:300], path)


def check(asked: DecisionRequest, caller: Caller, placements: Iterable[str], vouches: Callable[[str, object], bool]) -> None:
    """Raises 422 for what cannot be answered, 403 for what this caller may not ask."""
    declared = placements if isinstance(placements, Mapping) else set(placements)
    names = [wanted.name for wanted in asked.placements]
    for index, name in enumerate(names):
        field = f"placements[{index}].name"
        if name not in declared:
            near = did_you_mean(name, declared)
            raise Problem(422, "placement.unknown", f"the policy declares no placement {name!r}{near}", field)
        if name in names[:index]:
            raise Problem(422, "placement.repeated", f"{name} is asked for twice: use count", field)
    if not asked.key:
        raise Problem(422, "schema.missing", "name the customer: user_id, loyalty_id or anonymous_id", "user_id")
    if not caller.is_secret and asked.at is not None:
        raise Problem(403, "key.not_allowed", "`at` takes a secret key", "at")
    if not caller.is_secret and asked.trigger is not None:
        raise Problem(403, "key.not_allowed", "`trigger` takes a secret key", "trigger")
    if caller.is_web:
        _check_page(asked, vouches)


def _check_page(asked: DecisionRequest, vouches: Callable[[str, object], bool]) -> None:
    for name in ("explain", "dry_run"):
        if getattr(asked, name):
            raise Problem(403, "key.not_allowed", f"`{name}` takes a write key", name)
    if asked.user_id and not vouches(asked.user_id, asked.user_hash):
        detail = "a page asks for a user only with user_hash, made where the secret key is"
        raise Problem(403, "key.user_hash", detail, "user_hash")
    field = not_of_a_page(asked.loyalty_id, asked.anonymous_id)
    if field:
        raise Problem(403, "key.not_allowed", "web keys ask for the page's own anonymous_id", field)


def wanted_of(asked: DecisionRequest) -> tuple[PlacementRequest, ...]:
    """The placements, as the engine takes them."""
    return tuple([PlacementRequest(one.name, one.count) for one in asked.placements])


def cart_of(asked: DecisionRequest) -> tuple[CartLine, ...]:
    """The cart, as the engine takes it; a price that is no integer of minor units is left out."""
    lines = asked.context.cart if asked.context is not None else None
    if not lines:
        return ()
    return tuple(
        CartLine(line.product_id, line.category, line.quantity, line.price if type(line.price) is int else 0) for line in lines
    )


def moment_of(asked: DecisionRequest, clock: Millis) -> Millis:
    """The decision's now: `at` where it is given, else the server's clock."""
    return clock if asked.at is None else millis(asked.at)
