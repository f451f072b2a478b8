"""Products through the API: taken in line by line, read back, counted."""

from collections.abc import Sequence
from zlib import crc32

from msgspec import Struct

from api.container import Container
from api.door import Refusal
from api.product_feed import Feed, Told
from api.shelf import Goods
from engine.decisioning.shelf import Shelf
from engine.errors import Rejected
from engine.events.routing import Admitted, admit
from engine.ids import shard_of
from engine.moments import rfc3339
from engine.money import to_major
from engine.store.redis_archive import letter_id
from engine.store.redis_products import Held, decode_product, product_command
from engine.store.redis_reader import append_command, dead_letter_command, refusal

AT_ONCE = 250
"""Products that are written together."""


class ProductsReceipt(Struct, frozen=True, omit_defaults=True):
    """The answer to a request with products. `ignored` are columns or fields that say nothing to us."""

    accepted: int
    rejected: list[Refusal]
    ignored: tuple[str, ...] = ()


class Companion(Struct, frozen=True):
    """A product that is bought along with another: in `together` of `baskets` that hold the other."""

    product_id: str
    title: str | None
    together: int
    baskets: int


class ProductAnswer(Struct, frozen=True):
    """The body of `GET /v1/products/{id}`. Prices are of one unit; what nobody told is null."""

    product_id: str
    title: str
    category: str | None
    price: str
    price_minor: int
    currency: str
    unit_cost_minor: int | None
    margin_minor: int | None
    availability: str
    available: bool
    image: str | None
    url: str | None
    replenish_days: float | None
    usual_days: float | None
    """How long one lasts as customers buy it; null before enough of them bought it again."""
    bought_together: tuple[Companion, ...]
    updated_at: str


class ProductsAnswer(Struct, frozen=True):
    """The body of `GET /v1/products`: how many there are, and what is known of how they are bought."""

    count: int
    available: int
    costed: int
    """Of how many it is known what a unit costs the shop."""
    baskets: int
    """Baskets of several products that co-occurrence is counted in."""


async def take(container: Container, feed: Feed) -> ProductsReceipt:
    """Takes in what is right, and keeps what is wrong as dead letters. Raises `StoreUnavailable`: then send it again.

    A long feed goes out piece by piece, so that what others write finds its way in between.
    """
    taken, refused = 0, list[Refusal]()
    for start in range(0, len(feed.products), AT_ONCE):
        accepted, wrong = await _piece(container, feed.products[start : start + AT_ONCE], start)
        taken += accepted
        refused += wrong
    return ProductsReceipt(taken, refused, feed.ignored)


async def _piece(container: Container, products: Sequence[Told], first: int) -> tuple[int, list[Refusal]]:
    arrival, shards = container.now(), container.rules.shards
    taken: list[Admitted] = []
    wrong: list[tuple[int, Told, Rejected]] = []
    for index, told in enumerate(products, first):
        found = told.body if isinstance(told.body, Rejected) else admit(told.body, arrival, container.stores)
        if isinstance(found, Rejected):
            wrong.append((index, told, found))
        else:
            taken.append(found)
    commands = [append_command(shard_of(one.key, shards), one) for one in taken]
    letters = [
        dead_letter_command(crc32(told.raw) % shards, told.raw, why.code, why.field, why.detail, why.id) for _, told, why in wrong
    ]
    answers = await container.writes.ask([*commands, *letters])
    unsaved = refusal(answers)
    if unsaved is not None:
        raise unsaved
    container.metrics.products(len(taken))
    refused = []
    for (index, told, why), name in zip(wrong, answers[len(commands) :], strict=True):
        container.metrics.rejected(why.code)
        letter = letter_id(crc32(told.raw) % shards, name.decode())
        refused.append(Refusal(index, why.code, why.detail, _named(told), why.field.removeprefix("data."), letter))
    return len(taken), refused


def _named(told: Told) -> str:
    """The product that a line is about, where it says so."""
    data = told.body.get("data") if isinstance(told.body, dict) else None
    name = data.get("product_id", data.get("id")) if isinstance(data, dict) else None
    return str(name)[:100] if isinstance(name, str | int) else ""


async def product(container: Container, product_id: str) -> ProductAnswer | None:
    """A product as it stands, read from the store; None where nobody told of it."""
    raw = await container.redis.value(*product_command(product_id))
    return product_answer(decode_product(raw), container.goods.shelf) if isinstance(raw, bytes) else None


def product_answer(held: Held, shelf: Shelf) -> ProductAnswer:
    """What is known of a product, with what customers make of it."""
    facts, cost = held.facts, held.facts.cost
    together = shelf.together.along_with(facts.product_id)
    return ProductAnswer(
        product_id=facts.product_id,
        title=facts.title,
        category=facts.category or None,
        price=to_major(facts.price, facts.currency),
        price_minor=facts.price,
        currency=facts.currency,
        unit_cost_minor=cost,
        margin_minor=facts.price - cost if cost is not None else None,
        availability=facts.availability,
        available=facts.is_sold,
        image=facts.image or None,
        url=facts.url or None,
        replenish_days=facts.replenish_days,
        usual_days=shelf.together.usual_days(facts.product_id),
        bought_together=tuple(
            Companion(name, shelf.title(name), count, together.baskets) for name, count in together.most(MOST_COMPANIONS)
        ),
        updated_at=rfc3339(held.at),
    )


MOST_COMPANIONS = 5


def products_answer(count: int, goods: Goods) -> ProductsAnswer:
    """How many products there are."""
    shelf = goods.shelf
    return ProductsAnswer(count, shelf.available, len(shelf.costs), shelf.together.baskets)
