"""Keys: who is who, what a page may say, and how often."""

import base64
import hmac
from hashlib import sha256
from typing import Any

import pytest

from api.access import Access, Caller, as_signed, refused_to_page
from api.problems import Problem


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def refused(access: Access, authorization: str | None) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        access.caller(authorization)
    return caught.value.status, caught.value.code


def basic(name: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_without_keys_every_caller_has_all_rights() -> None:
    assert Access((), (), ()).caller(None).is_secret


def test_a_key_is_known_as_bearer_and_as_basic_user_name() -> None:
    access = Access(("w",), ("t",), ("s",))

    kinds = [access.caller(header).kind for header in ("Bearer w", "bearer t", basic("s"), basic("s", "ignored"))]

    assert kinds == ["web", "write", "secret", "secret"]


@pytest.mark.parametrize("header", ["Bearer x", "Bearer", "Digest w", basic(""), "Basic !!!", "w", "Bearer \xe9"])
def test_anything_else_is_refused(header: str) -> None:
    status, code = refused(Access(("w",), (), ()), header)

    assert status == 401
    assert code in ("key.unknown", "key.missing")


def test_a_key_of_two_kinds_has_the_stronger() -> None:
    assert Access(("k",), ("k",), ("k",)).caller("Bearer k").is_secret


def test_each_key_has_its_own_rate_and_gets_it_back_with_time() -> None:
    clock = Clock()
    access = Access((), ("a", "b"), (), rate_per_s=2, clock=clock)

    for _ in range(2):
        access.caller("Bearer a")
    assert refused(access, "Bearer a") == (429, "rate.limited")
    assert access.caller("Bearer b").kind == "write"
    clock.at = 0.5
    assert access.caller("Bearer a").kind == "write"
    assert refused(access, "Bearer a") == (429, "rate.limited")


def test_no_name_of_a_caller_holds_their_key() -> None:
    assert "hunter2hunter2" not in Access((), (), ("hunter2hunter2",)).caller("Bearer hunter2hunter2").name


SIGNED = hmac.new(b"s", b"u", sha256).hexdigest()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"type": "page_viewed", "anonymous_id": "a"}, None),
        ({"type": "offer_clicked", "anonymous_id": "a"}, None),
        ({"type": "order_completed", "anonymous_id": "a"}, "key.event_type"),
        ({"type": "offer_redeemed", "anonymous_id": "a"}, "key.event_type"),
        ({"type": "erasure_requested", "anonymous_id": "a"}, "key.event_type"),
        ({"type": "cart_abandoned", "anonymous_id": "a"}, "key.event_type"),
        ({"type": ["page_viewed"]}, "key.event_type"),
        ({"type": "page_viewed", "user_id": "u"}, "key.user_hash"),
        ({"type": "page_viewed", "user_id": "", "anonymous_id": "a"}, "key.user_hash"),
        ({"type": "page_viewed", "loyalty_id": "l"}, "key.not_allowed"),
        ({"type": "page_viewed", "user_id": "u", "user_hash": SIGNED}, None),
        ({"type": "page_viewed", "user_id": "u", "user_hash": SIGNED, "anonymous_id": "a"}, None),
        ({"type": "page_viewed", "user_id": "u", "user_hash": SIGNED, "loyalty_id": "of-another"}, "key.not_allowed"),
        ({"type": "page_viewed", "user_id": "u", "user_hash": SIGNED, "anonymous_id": "lead:9"}, "key.not_allowed"),
        ({"type": "page_viewed", "anonymous_id": "lead:9"}, "key.not_allowed"),
        ({"type": "page_viewed", "anonymous_id": "a", "mode": "backfill"}, "key.not_allowed"),
        ({"type": "consent_updated", "user_id": "u", "data": {"status": "revoked"}}, None),
        ({"type": "consent_updated", "user_id": "u", "data": {"status": "granted"}}, "key.user_hash"),
        ("no object", None),
    ],
)
def test_what_a_page_may_say(body: Any, code: str | None) -> None:
    no = refused_to_page(Caller("web"), body, Access((), (), ("s",)).vouches)

    assert (no[0] if no else None) == code


def test_a_signed_user_may_be_named_by_a_page() -> None:
    access = Access(("w",), (), ("old", "new"))
    signed = hmac.new(b"new", b"u", sha256).hexdigest()

    assert access.vouches("u", signed)
    assert access.vouches("u", signed.upper())
    assert not access.vouches("v", signed)
    assert not access.vouches("u", None)
    assert not Access(("w",), (), ()).vouches("u", signed)


def test_other_keys_may_say_everything() -> None:
    assert refused_to_page(Caller("write"), {"type": "order_completed"}, lambda *_: False) is None


def test_a_refusal_that_nobody_signed_brings_nothing_else_along() -> None:
    vouches = Access((), (), ("s",)).vouches
    body = {
        "type": "consent_updated", "id": "e-1", "user_id": "u", "source": "web://shop", "time": "1990-01-01T00:00:00Z",
        "anonymous_id": "mine", "loyalty_id": "l", "session_id": "s", "context": {"locale": "de"}, "decision_id": "d",
        "data": {"purpose": "marketing", "status": "revoked", "channels": ["web"], "text_version": "x", "more": {}},
    }  # fmt: skip

    left = as_signed(Caller("web"), body, vouches)

    assert left == {
        "type": "consent_updated", "id": "e-1", "user_id": "u", "source": "web://unsigned",
        "data": {"purpose": "marketing", "status": "revoked", "channels": ["web"]},
    }  # fmt: skip
    assert as_signed(Caller("web"), body | {"user_hash": SIGNED}, vouches) == body | {"user_hash": SIGNED}
    assert as_signed(Caller("write"), body, vouches) == body
    assert refused_to_page(Caller("web"), body, vouches) is None
