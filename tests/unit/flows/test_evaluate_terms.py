"""The options of an evaluation: what is meant, and that every mistake says what, where and what to do."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress

from engine.errors import RegularsError
from engine.events.decode import time_of
from engine.events.routing import Admitted
from engine.moments import DAY, HOUR, WEEK, rfc3339
from flows.evaluate import main
from flows.evaluate_churn import Result, evaluate_churn
from flows.evaluate_events import Log, NothingToMeasure, opened, taken_at_the_door
from flows.evaluate_terms import Terms, keys_named, names_in, terms_of
from flows.replay_source import EventFile, SourceMissing
from flows.running import WrongUse

START = 1_483_228_800_000 + 9 * HOUR
KNOWN = {"u:1": "u:1", "l:1": "l:1", "l:c-9": "u:2", "u:2": "u:2", "a:x": "u:2"}


def shop(path: Path, weeks: int = 24, customers: int = 12, order: str = "sorted") -> EventFile:
    """Weekly orders; every third customer stays away from the middle on."""
    events = [
        bought(START + week * WEEK + customer * HOUR, customer)
        for week in range(weeks)
        for customer in range(customers)
        if customer % 3 or week < weeks // 2 or week % 5 == 0
    ]
    events.sort(key=lambda one: str(one["time"]), reverse=order == "reversed")
    path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in events))
    return EventFile(path)


def bought(at: int, customer: int) -> dict[str, str | dict[str, object]]:
    data: dict[str, object] = {"order_id": f"{at}-{customer}", "currency": "EUR", "total": 1500}
    return {"id": f"o-{at}-{customer}", "type": "order_completed", "time": rfc3339(at), "user_id": f"{customer}", "data": data}


def log_of(source: EventFile, terms: Terms) -> Log:
    with Progress(disable=True) as progress:
        return opened(source, terms, progress)


def churn_of(source: EventFile, terms: Terms) -> Result:
    with Progress(disable=True) as progress:
        return evaluate_churn(source, terms, progress).result


def test_a_day_and_a_time_are_instants() -> None:
    terms = terms_of(28, 28, None, "2017-04-01", "2017-06-01T12:00:00+02:00", 3)

    assert terms.since is not None
    assert terms.until is not None
    assert (rfc3339(terms.since), rfc3339(terms.until)) == ("2017-04-01T00:00:00.000Z", "2017-06-01T10:00:00.000Z")


@pytest.mark.parametrize(
    ("since", "until", "what"),
    [
        ("soon", "", "--from 'soon' is no day such as 2026-01-31"),
        ("", "2017-04-01T09:00:00", "--to '2017-04-01T09:00:00' has no offset"),
        ("2017-06-01", "2017-04-01", "--from 2017-06-01 is not before --to 2017-04-01"),
    ],
)
def test_a_span_that_cannot_be_meant_is_said(since: str, until: str, what: str) -> None:
    with pytest.raises(WrongUse, match=what):
        terms_of(28, 28, None, since, until, 0)


def test_a_file_of_customers_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeff1\r\n\n# the rest\nl:c-9\n1\n".encode())

    assert names_in(path) == ("1", "l:c-9")


@pytest.mark.parametrize("content", [None, b"", b"# nobody\n", b"\xff\xfe\x00"])
def test_a_file_that_names_nobody_is_said(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(WrongUse, match=r"names\.txt.*one customer id a line"):
        names_in(path)


def test_a_name_is_any_identity_of_that_name_and_leads_to_its_customer() -> None:
    assert keys_named(("1",), KNOWN) == {"u:1", "l:1"}
    assert keys_named(("u:1", "c-9", "x"), KNOWN) == {"u:1", "u:2"}


@given(st.sets(st.text("abc", min_size=1), min_size=1, max_size=6))
def test_unknown_names_are_counted_and_shown(names: set[str]) -> None:
    with pytest.raises(WrongUse, match=f"{len(names)} of the {len(names) + 1} customers of --customers are not in the log"):
        keys_named(("1", *(f"{name}?" for name in sorted(names))), KNOWN)


def test_a_subset_of_customers_changes_no_score_of_theirs(tmp_path: Path) -> None:
    source = shop(tmp_path / "shop.ndjson")

    everybody = churn_of(source, Terms(horizon_days=14, replicates=2))
    some = churn_of(source, Terms(horizon_days=14, replicates=2, customers=("0", "1", "2", "3")))

    assert some.everybody.customers == 4
    assert some.everybody.rows < everybody.everybody.rows
    assert (some.learned, some.examples) == (everybody.learned, everybody.examples)


def test_to_ends_the_log_and_from_only_what_counts(tmp_path: Path) -> None:
    source, weeks = shop(tmp_path / "shop.ndjson"), START // DAY * DAY

    whole = churn_of(source, Terms(horizon_days=14, replicates=2))
    later = churn_of(source, Terms(horizon_days=14, replicates=2, since=weeks + 16 * WEEK))
    shorter = churn_of(source, Terms(horizon_days=14, replicates=2, until=weeks + 20 * WEEK))

    assert (later.events, later.learned) == (whole.events, whole.learned)
    assert later.everybody.rows < whole.everybody.rows
    assert shorter.events < whole.events
    assert shorter.examples < whole.examples


def test_a_span_after_the_log_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(NothingToMeasure, match=r"runs from 2017-01-01.* give an earlier --from"):
        log_of(shop(tmp_path / "shop.ndjson"), Terms(since=START + 90 * WEEK))


def test_a_log_without_purchases_says_what_was_understood_and_what_was_refused(tmp_path: Path) -> None:
    path = tmp_path / "views.ndjson"
    view = {"id": "v", "type": "page_viewed", "time": rfc3339(START), "user_id": "u"}
    path.write_bytes(orjson.dumps(view) + b"\n[\n" + orjson.dumps({"type": "page_viewed", "id": "w"}) + b"\n")

    with pytest.raises(NothingToMeasure, match=r"nobody buys .* 1 events were understood, and 2 were refused \(event 2 .*json"):
        log_of(EventFile(path), Terms())


def test_a_log_in_no_order_is_refused_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(NothingToMeasure, match="come more than 1 days after later ones: sort the events by time"):
        log_of(shop(tmp_path / "shop.ndjson", order="reversed"), Terms())


def test_a_log_out_of_order_by_hours_gives_the_figures_of_the_sorted_one(tmp_path: Path) -> None:
    source = shop(tmp_path / "shop.ndjson")
    lines = (tmp_path / "shop.ndjson").read_bytes().splitlines()
    swapped = [line for pair in zip(lines[1::2], lines[::2], strict=True) for line in pair]
    (tmp_path / "swapped.ndjson").write_bytes(b"\n".join(swapped) + b"\n")

    plain = churn_of(source, Terms(horizon_days=14, replicates=2))
    mixed = churn_of(EventFile(tmp_path / "swapped.ndjson"), Terms(horizon_days=14, replicates=2))

    assert 0 < log_of(EventFile(tmp_path / "swapped.ndjson"), Terms()).lateness_ms <= DAY
    assert (mixed.examples, mixed.learned) == (plain.examples, plain.learned)
    assert mixed.everybody.figures["auc"].value == pytest.approx(plain.everybody.figures["auc"].value, abs=0.02)


def test_an_anonymous_visitor_who_logs_in_is_one_customer(tmp_path: Path) -> None:
    path = tmp_path / "shop.ndjson"
    views = [
        {"id": f"v-{week}", "type": "page_viewed", "time": rfc3339(START + week * WEEK), "anonymous_id": "a-1"}
        for week in range(4)
    ]
    joined = {**bought(START + 4 * WEEK, 1), "anonymous_id": "a-1"}
    after = [bought(START + week * WEEK, 1) for week in range(5, 9)]
    path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in [*views, joined, *after]))

    log = log_of(EventFile(path), Terms(since=0, customers=("a-1",)))

    assert log.chosen == frozenset({"u:1"})


def test_an_exported_log_gives_the_figures_of_the_events_that_were_sent(tmp_path: Path) -> None:
    source = shop(tmp_path / "shop.ndjson")
    exported = [taken.entry for one in source.events() if isinstance(taken := taken_at_the_door(one), Admitted)]
    (tmp_path / "exported.ndjson").write_bytes(b"\n".join(exported) + b"\n")

    plain = churn_of(source, Terms(horizon_days=14, replicates=2))
    again = churn_of(EventFile(tmp_path / "exported.ndjson"), Terms(horizon_days=14, replicates=2))

    assert b"received_at" in exported[0]
    assert (again.active, again.everybody, again.learned) == (plain.active, plain.everybody, plain.learned)


def test_a_clock_that_is_wrong_by_sent_at_is_not_corrected_twice(tmp_path: Path) -> None:
    path = tmp_path / "shop.ndjson"
    sent = {**bought(START, 1), "sent_at": rfc3339(START + DAY)}
    path.write_bytes(orjson.dumps(sent) + b"\n")

    taken = next(taken_at_the_door(one) for one in EventFile(path).events())

    assert isinstance(taken, Admitted)
    assert time_of(taken.event) == START


def test_a_missing_file_and_two_logs_are_said(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="nowhere is no file"):
        main(what="churn", events=tmp_path / "nowhere")
    with pytest.raises(WrongUse, match="both name a log: give one of them"):
        main(what="churn", events=tmp_path / "one", data="two")
    with pytest.raises(WrongUse, match="there is no folder"):
        main(what="churn", events=tmp_path / "one", json_file=tmp_path / "none" / "out.json")


def test_too_few_labels_say_what_would_give_more(tmp_path: Path) -> None:
    source = shop(tmp_path / "shop.ndjson", weeks=16)

    with pytest.raises(RegularsError, match=r"too little data: no labels .* an earlier --from"):
        churn_of(source, Terms(horizon_days=60))
