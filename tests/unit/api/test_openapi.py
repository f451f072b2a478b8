"""The OpenAPI document: every operation shows what to send and what comes back, and every error what it looks like."""

from typing import Any

import pytest

from api.app import create_app
from api.openapi import exchanges
from config.settings import ApiSettings, RedisSettings


@pytest.fixture(scope="module")
def operations() -> dict[str, dict[str, Any]]:
    document = create_app(ApiSettings(), RedisSettings(redis_url="redis://localhost:1"), 4).openapi()
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def shown(content: dict[str, Any]) -> bool:
    return bool(content.get("examples") or content.get("example") or content.get("schema", {}).get("examples"))


def test_every_operation_shows_what_comes_back(operations: dict[str, dict[str, Any]]) -> None:
    silent = [
        name
        for name, operation in operations.items()
        if not any(
            shown(content)
            for status, answer in operation["responses"].items()
            if status < "400"
            for content in answer.get("content", {}).values() or [{"example": answer.get("description")}]
        )
    ]

    assert silent == []


def test_every_body_to_send_is_shown_in_at_least_one_form(operations: dict[str, dict[str, Any]]) -> None:
    silent = [
        name
        for name, operation in operations.items()
        if "requestBody" in operation and not any(map(shown, operation["requestBody"]["content"].values()))
    ]

    assert silent == []


def test_every_operation_says_what_it_is_for_and_which_keys_it_takes(operations: dict[str, dict[str, Any]]) -> None:
    assert [name for name, each in operations.items() if not (each.get("summary") and each.get("tags"))] == []
    assert [name for name, each in operations.items() if "security" not in each] == []


def test_problems_that_all_share_are_shown(operations: dict[str, dict[str, Any]]) -> None:
    answers = [
        (name, status, answer["content"]["application/problem+json"])
        for name, operation in operations.items()
        for status, answer in operation["responses"].items()
        if status in ("401", "413", "429", "503") and "content" in answer
    ]

    assert answers
    assert [(name, status) for name, status, content in answers if not shown(content)] == []


def test_no_exchange_is_of_an_operation_that_is_gone(operations: dict[str, dict[str, Any]]) -> None:
    assert {each.operation for each in exchanges()} <= set(operations)
