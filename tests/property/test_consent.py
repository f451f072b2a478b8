"""Laws of what customers allow and wish."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvariantBroken
from engine.events.consent import MESSAGE_CHANNELS
from engine.moments import DAY, HOUR, MINUTE, rfc3339
from engine.profiles.consent import COVERED, PURPOSE_OF, Granted, Statement
from engine.profiles.preferences import Preferences
from engine.profiles.profile import Profile
from engine.store.codec import decode_profile, encode_profile
from tests.builders import START, simple, taken

NOW = START + 30 * DAY
CHANNELS = ("web", "app", "pos", "call_center", "email", "sms", "push", "kiosk")


def said(purpose: str, status: str, at: int, arrival: int | None = None, **data: Any) -> Any:
    body = simple("consent_updated", f"{purpose}-{status}-{at}-{data}", "ann", at, purpose=purpose, status=status, **data)
    return taken(body, arrival).event


def after(*events: Any) -> Profile:
    profile = Profile("u:ann")
    for event in events:
        profile = profile.after(event)
    return profile


@given(st.sampled_from(["marketing", "profiling", *COVERED, "loyalty_news"]), st.lists(st.sampled_from(CHANNELS), max_size=2))
def test_what_nobody_said_is_not_allowed(purpose: str, channels: list[str]) -> None:
    assert Profile("u:ann").consent.permission(purpose, channels, NOW) is None
    assert Profile("u:ann").consent.refusal(purpose, channels, NOW) == "unknown"


@given(st.sampled_from(CHANNELS))
def test_marketing_covers_every_purpose_of_its_own(channel: str) -> None:
    granted = after(said("marketing", "granted", START)).consent
    taken_back = after(said("marketing", "granted", START), said("marketing", "revoked", START + 1)).consent

    own = PURPOSE_OF.get(channel, "marketing")
    for purpose in ("marketing", own):
        assert granted.permission(purpose, (channel,), NOW) is not None
        assert taken_back.permission(purpose, (channel,), NOW) is None


@given(st.sampled_from(sorted(PURPOSE_OF)), st.sampled_from(sorted(PURPOSE_OF)))
def test_one_purpose_opens_its_own_channels_and_closes_no_other(one: str, other: str) -> None:
    purpose = PURPOSE_OF[one]
    granted = after(said(purpose, "granted", START)).consent
    closed = after(said("marketing", "granted", START), said(purpose, "revoked", START + 1)).consent

    assert (granted.permission("marketing", (other,), NOW) is not None) == (PURPOSE_OF[other] == purpose)
    assert (closed.permission("marketing", (other,), NOW) is None) == (PURPOSE_OF[other] == purpose)
    assert closed.permission("marketing", (one, other), NOW) is None


def test_consent_ends_when_it_said_it_would() -> None:
    consents = after(said("marketing", "granted", START, expires_at=rfc3339(START + DAY))).consent

    assert consents.permission("marketing", ("web",), START + DAY - 1) is not None
    assert consents.permission("marketing", ("web",), START + DAY) is None


def test_a_proof_names_what_was_said() -> None:
    proof = after(said("marketing", "granted", START, text_version="2017-1")).consent.permission("marketing", ("web",), NOW)

    assert proof is not None
    assert (proof.purpose, proof.channels, proof.statements) == (
        "marketing",
        ("web",),
        (Statement("granted", START, 0, "2017-1"),),
    )


def test_nobody_else_can_make_a_proof() -> None:
    with pytest.raises(InvariantBroken):
        Granted(object(), "marketing", ("web",), ())


@given(st.sampled_from([*MESSAGE_CHANNELS, None]), st.sampled_from(MESSAGE_CHANNELS))
def test_who_unsubscribes_gets_no_more_there_and_where_nobody_said_nowhere(named: str | None, channel: str) -> None:
    body = simple("message_unsubscribed", "m", "ann", START + 1, **({"channel": named} if named else {}))
    consents = after(said("marketing", "granted", START), taken(body).event).consent

    assert (consents.permission("marketing", (channel,), NOW) is None) == (named in (None, channel))
    assert consents.permission("marketing", ("web",), NOW) is not None


@given(st.integers(-HOUR, 5 * MINUTE), st.integers(-HOUR, 5 * MINUTE), st.integers(0, HOUR))
def test_no_clock_that_is_wrong_outvotes_a_refusal_that_arrived_later(fast: int, slow: int, between: int) -> None:
    first, second = NOW, NOW + between

    consents = after(
        said("marketing", "granted", first + fast, arrival=first), said("marketing", "revoked", second + slow, arrival=second)
    ).consent

    assert consents.permission("marketing", ("web",), second) is None


def test_history_that_is_sent_again_is_told_in_its_own_time() -> None:
    consents = after(said("marketing", "revoked", START), said("marketing", "granted", START + DAY)).consent

    assert consents.permission("marketing", ("web",), NOW) is not None


def test_profiling_is_a_matter_of_the_shop_until_the_customer_says_something() -> None:
    unsaid, refused = Profile("u:ann").consent, after(said("profiling", "denied", START)).consent
    granted = after(said("profiling", "granted", START, expires_at=rfc3339(START + DAY))).consent

    assert [unsaid.may_profile(NOW, default) for default in (True, False)] == [True, False]
    assert [refused.may_profile(NOW, default) for default in (True, False)] == [False, False]
    assert granted.may_profile(START + 1, default=False)
    assert not granted.may_profile(NOW, default=False)


def test_purposes_that_a_shop_makes_up_never_crowd_out_a_refusal() -> None:
    consents = after(*[said(f"own-{number}", "granted", START + number) for number in range(150)]).consent

    assert len(consents.statements) == 100
    assert (
        after(
            *[said(f"own-{number}", "granted", START) for number in range(150)], said("email", "revoked", START)
        ).consent.refusal("email", ("email",), NOW)
        == "revoked"
    )


wishes = st.fixed_dictionaries(
    {},
    optional={
        "topics": st.none()
        | st.dictionaries(st.sampled_from("abc"), st.booleans(), max_size=3)
        | st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        "channels": st.none() | st.dictionaries(st.sampled_from(["email", "web"]), st.booleans(), max_size=2),
        "frequency": st.none() | st.fixed_dictionaries({"count": st.integers(0, 3)}),
        "quiet_hours": st.none() | st.sampled_from([{"start": "21:00", "end": "07:30"}, {"start": "00:00", "end": "23:59"}]),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(wishes, st.integers(0, 3)), max_size=4))
def test_wishes_say_the_same_in_whatever_order_they_arrive_and_under_whatever_identity(chosen: list[tuple[Any, int]]) -> None:
    events = [
        taken(simple("preference_updated", f"w{number}", "ann", START + at, **data)).event
        for number, (data, at) in enumerate(chosen)
    ]
    first = after(*events).whole.preferences
    merged = Preferences()
    for event in events:
        merged = merged.merge(after(event).whole.preferences)

    for order in itertools.permutations(events):
        assert after(*order).whole.preferences == first
    assert merged == first
    assert decode_profile("u:ann", encode_profile(after(*events))).whole.preferences == first


def test_what_is_not_named_stays_and_null_goes_back_to_what_the_shop_does() -> None:
    profile = after(
        taken(simple("preference_updated", "1", "ann", START, topics=["wine"], frequency={"count": 2})).event,
        taken(simple("preference_updated", "2", "ann", START + 1, quiet_hours={"start": "20:00", "end": "09:00"})).event,
    )
    wished = profile.whole.preferences
    reset = profile.after(taken(simple("preference_updated", "3", "ann", START + 2, topics=None, frequency=None)).event)

    assert (wished.topic("wine"), wished.topic("bread"), wished.limit.count, wished.quiet.span) == (True, False, 2, (1200, 540))
    assert not wished.declines(["bread", "wine"])
    assert wished.declines(["bread"])
    assert not wished.declines([])
    back = reset.whole.preferences
    assert (back.topic("bread"), back.limit.count, back.quiet.span) == (True, None, (1200, 540))


def test_a_profile_of_before_wishes_were_kept_still_decodes() -> None:
    profile = after(said("marketing", "granted", START))
    old = msgspec.msgpack.decode(encode_profile(profile)[1:])
    old[1]["u:ann"] = old[1]["u:ann"][:7]

    assert decode_profile("u:ann", b"\x01" + msgspec.msgpack.encode(old)) == profile
