"""`POST /v1/pos/transactions` and `GET /v1/pos/gaps`: for tills."""

from fastapi import FastAPI
from starlette.requests import Request

from api import schemas
from api.access import Caller
from api.container import Container
from api.door import Receipt
from api.items import told_in
from api.lean_route import JsonAnswer
from api.pos import GAPS_EXAMPLE, GapsAnswer, gaps_answer, read_days, since_of, told
from api.problems import Problem, store_away
from api.requests import body_of, header
from engine.errors import StoreUnavailable
from engine.events.dialects import poslog

_TRANSACTION: schemas.Described = {
    "RetailStoreID": "store-12", "WorkstationID": "ws-3", "SequenceNumber": 73, "BusinessDayDate": "2026-03-02",
    "BeginDateTime": "2026-03-02T17:59:14", "EndDateTime": "2026-03-02T18:01:20", "CurrencyCode": "EUR",
    "RetailTransaction": {
        "LineItem": [
            {"Sale": {"ItemID": "p-1", "Description": "Espresso, 1 kg", "MerchandiseHierarchy": "coffee", "Quantity": 1,
                      "RegularSalesUnitPrice": "17.40", "ExtendedAmount": "17.40"}},
            {"Discount": {"Amount": "1.50"}},
            {"Tender": {"TenderType": "Cash", "Amount": "15.90"}},
        ],
        "Total": [{"TotalType": "TransactionGrandAmount", "Amount": "15.90"}],
        "LoyaltyAccount": [{"LoyaltyAccountID": "c-9"}],
    },
}  # fmt: skip
_SEND: schemas.Described = {
    "summary": "Send what a till writes down, as ARTS POSLog",
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": ["object", "array"]},
                    "examples": {
                        "poslog": {"summary": "A POSLog", "value": {"POSLog": {"Transaction": [_TRANSACTION]}}},
                        "transaction": {"summary": "One transaction by itself", "value": _TRANSACTION},
                    },
                }
            },
        }
    },
    "responses": {
        **schemas.problems(400, 401, 403, 413, 415, 429, 503),
        202: {
            "description": "Durable; an answer for each transaction",
            "content": {"application/json": {"schema": schemas.schema_of(Receipt), "example": {"accepted": 1, "rejected": []}}},
        },
    },
}
_GAPS: schemas.Described = {
    "summary": "Receipt numbers that are missing, and days whose sums do not agree",
    "openapi_extra": {
        "parameters": [
            {"name": "store", "in": "query", "schema": {"type": "string"}, "description": "one store only"},
            {"name": "since", "in": "query", "schema": {"type": "string"}, "description": "from this business day on"},
        ]
    },
    "responses": {
        **schemas.problems(401, 403, 422, 429, 503),
        200: {
            "description": "By workstation and business day",
            "content": {"application/json": {"schema": schemas.schema_of(GapsAnswer), "example": GAPS_EXAMPLE}},
        },
    },
}


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the routes of tills on the application."""

    async def transactions(request: Request) -> JsonAnswer:
        """Sales, returns, voids and what else a till numbers. 202 means durable; each transaction is answered for by itself.

        A transaction is known by store, workstation, business day and sequence number: sent again, it counts once.
        """
        caller = container.access.caller(header(request.scope, b"authorization"))
        _not_from_a_page(caller)
        backfill = header(request.scope, b"regulars-mode").lower() == "backfill"
        body = await body_of(request, container.settings.max_body_bytes)
        items = told_in(poslog.DIALECT, body, container.rules.most_items)
        sent = container.door.sorted(items, container.now(), container.stores, backfill, caller)
        receipt = await container.door.take(sent)
        return JsonAnswer(schemas.encode(told(receipt, [item.place for item in items])), 202)

    async def gaps(request: Request) -> JsonAnswer:
        """What should have come and did not, as of what is folded; a number that comes late fills its gap."""
        _not_from_a_page(container.access.caller(header(request.scope, b"authorization")))
        store, since = (request.query_params.get(name, "") for name in ("store", "since"))
        try:
            days = await read_days(container.redis.ask, container.rules.shards)
        except StoreUnavailable:
            raise store_away() from None
        return JsonAnswer(schemas.encode(gaps_answer(days, store, since_of(since), container.now())), no_store=True)

    app.add_api_route("/v1/pos/transactions", transactions, methods=["POST"], status_code=202, tags=["pos"], **_SEND)
    app.add_api_route("/v1/pos/gaps", gaps, methods=["GET"], tags=["pos"], **_GAPS)


def _not_from_a_page(caller: Caller) -> None:
    if caller.is_web:
        raise Problem(403, "key.not_allowed", "this takes a write key")
