"""`/v1/products`: what the shop sells, told in feeds and read back."""

import asyncio

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.access import Caller
from api.container import Container
from api.lean_route import JsonAnswer
from api.problems import Problem
from api.product_feed import feed_of
from api.products import ProductAnswer, ProductsAnswer, ProductsReceipt, product, products_answer, take
from api.requests import body_of, header
from engine.events.products import ProductFacts
from engine.moments import rfc3339
from engine.store.redis_products import count_command

_NO_STORE = {"cache-control": "no-store"}
_FACTS = {
    "product_id": "p-7", "title": "Espresso beans, 500 g", "category": "coffee", "price": "7.90", "currency": "EUR",
    "unit_cost": "4.10", "availability": "in_stock", "image": "/img/p-7.jpg", "url": "/p/7", "replenish_days": 30,
}  # fmt: skip
_CSV = (
    "product_id,title,category,price,currency,unit_cost,availability,image,url,replenish_days\n"
    'p-7,"Espresso beans, 500 g",coffee,7.90,EUR,4.10,in_stock,/img/p-7.jpg,/p/7,30\n'
    "p-8,Paper filters,coffee,2.49,EUR,0.80,in_stock,/img/p-8.jpg,/p/8,\n"
)
_ANSWER = {
    "product_id": "p-7", "title": "Espresso beans, 500 g", "category": "coffee", "price": "7.90", "price_minor": 790,
    "currency": "EUR", "unit_cost_minor": 410, "margin_minor": 380, "availability": "in_stock", "available": True,
    "image": "/img/p-7.jpg", "url": "/p/7", "replenish_days": 30.0, "usual_days": 27.0,
    "bought_together": [{"product_id": "p-8", "title": "Paper filters", "together": 41, "baskets": 120}],
    "updated_at": "2026-03-02T12:00:00.000Z",
}  # fmt: skip


def _answered(status: int, words: str, kind: type, example: object, *wrong: int) -> schemas.Described:
    content = {"application/json": {"schema": schemas.schema_of(kind) | {"examples": [example]}}}
    return {"responses": {**schemas.problems(401, 403, *wrong, 429, 503), status: {"description": words, "content": content}}}


_SEND: schemas.Described = {
    "summary": "Tell what the shop sells",
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schemas.schema_of(ProductFacts) | {"examples": [[_FACTS]]}},
                "application/x-ndjson": {"schema": {"type": "string", "description": "one product a line"}},
                "text/csv": {"schema": {"type": "string", "examples": [_CSV]}},
            },
        }
    },
    **_answered(202, "What was taken in, and what was not", ProductsReceipt, {"accepted": 2, "rejected": []}, 400, 413),
}
_COUNT: schemas.Described = {
    "summary": "How many products are known",
    **_answered(200, "Counts", ProductsAnswer, {"count": 812, "available": 790, "costed": 640, "baskets": 64000}),
}
_GET: schemas.Described = {
    "summary": "A product, with what customers make of it",
    **_answered(200, "The product", ProductAnswer, _ANSWER, 404),
}


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the product routes on the application."""

    async def send(request: Request) -> JsonAnswer:
        """Tell what the shop sells, as JSON, NDJSON or CSV. Each product is told whole and answered for by itself."""
        _need_write(container.access.caller(header(request.scope, b"authorization")))
        body = await body_of(request, container.settings.max_body_bytes)
        kind, arrival = header(request.scope, b"content-type"), rfc3339(container.now())
        feed = await asyncio.to_thread(feed_of, body, kind, container.rules.most_items, arrival)
        return JsonAnswer(schemas.encode(await take(container, feed)), 202)

    async def count(request: Request) -> JsonAnswer:
        """How many products are known, and how many of them can be bought."""
        _need_write(container.access.caller(header(request.scope, b"authorization")))
        known = await container.redis.value(*count_command())
        return JsonAnswer(schemas.encode(products_answer(int(known), container.goods)), no_store=True)

    async def get(request: Request) -> Response:
        """A product as it was told last, what is bought along with it, and how long it lasts."""
        _need_write(container.access.caller(header(request.scope, b"authorization")))
        found = await product(container, request.path_params["id"])
        if found is None:
            raise Problem(404, "product.unknown", "nobody has told of this product", "id")
        return Response(schemas.encode(found), 200, _NO_STORE, "application/json")

    app.add_api_route("/v1/products", send, methods=["POST"], status_code=202, tags=["products"], **_SEND)
    app.add_api_route("/v1/products", count, methods=["GET"], tags=["products"], **_COUNT)
    app.add_api_route("/v1/products/{id:path}", get, methods=["GET"], tags=["products"], **_GET)


def _need_write(caller: Caller) -> None:
    """Raises 403 for a key that stands in a page."""
    if caller.is_web:
        raise Problem(403, "key.not_allowed", "this takes a write key")
