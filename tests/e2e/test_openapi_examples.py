"""What the OpenAPI document shows is what a running system answers."""

from collections.abc import Iterator

import httpx
import pytest

from api.openapi import exchanges
from tests.e2e.exchanges import missing, settled, shop
from tests.e2e.running import Up

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with shop(tmp_path_factory.mktemp("examples")) as system:
        yield system


def test_every_exchange_is_had_as_it_is_shown(running: Up) -> None:
    kept: dict[str, str] = {}
    wrong: list[str] = []

    for exchange in exchanges():
        status, media_type, answer = settled(running.url, exchange, kept)
        place = f"{exchange.operation}, {exchange.name}"
        if (status, media_type) != (exchange.status, exchange.answer_type):
            wrong.append(f"{place}: {status} {media_type} instead of {exchange.status} {exchange.answer_type}: {answer}")
        wrong += [f"{place}: {each}" for each in missing(exchange.answer, answer)]

    assert not wrong, "\n".join(["record them anew with python -m tests.e2e.exchanges:", *wrong])


def test_the_document_itself_is_served(running: Up) -> None:
    document = httpx.get(f"{running.url}/openapi.json", timeout=20).json()

    assert document["paths"]["/v1/decisions"]["post"]["responses"]["200"]["content"]["application/json"]["examples"]
