"""What an operator sees of a store that has taken, folded and refused events."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from engine.errors import Rejected
from engine.events.routing import Admitted, admit
from engine.ids import shard_of
from engine.moments import Millis
from engine.shards.commit import DeadLetter, Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.shards.shard import Shard
from engine.store.redis_archive import Archive
from engine.store.redis_writer import RedisStore
from flows import dead_letters, export, tail
from flows.children import ChildrenReport
from flows.running import NotFound, WrongUse, open_archive

NOW = Millis(1_780_000_000_000)
NOWHERE = Path("nowhere")


def viewed(user: str, number: int) -> Admitted:
    body = {"type": "page_viewed", "id": f"e-{user}-{number}", "user_id": user, "time": "2026-05-28T10:00:00Z"}
    event = admit(body, NOW)
    assert isinstance(event, Admitted)
    return event


def append(store: RedisStore, *events: Admitted) -> None:
    store.append([(shard_of(each.key), Entry("", each.entry, each.fingerprint, each.key)) for each in events])


def fold(store: RedisStore, *refused: DeadLetter) -> None:
    """Commits all that was appended, and these dead letters with it."""
    processor = ShardProcessor(Labels(ChurnRule()), lateness_ms=0, shards=64)
    for number in range(64):
        shard = Shard(store.open(number))
        for batch in store.read({number: shard.offset}, 500, 0):
            prepared = processor.prepare(shard, batch)
            commit = processor.process(shard, prepared, store.load([prepared.needs])[0])
            commit.dead.extend(refused)
            assert store.commit([commit]) == ["written"]


def lines(capfd: pytest.CaptureFixture[str]) -> list[Any]:
    return [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_an_export_of_events_holds_all_of_them_each_customers_in_order(
    redis_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store = RedisStore(redis_url)
    for number in range(30):
        append(store, viewed(f"u{number % 7}", number))

    code = export.main(redis_url=redis_url, data=NOWHERE, what="events", since="")

    assert code == 0
    ids = [event["id"] for event in lines(capfd)]
    assert len(ids) == 30
    assert [name for name in ids if name.startswith("e-u3")] == ["e-u3-3", "e-u3-10", "e-u3-17", "e-u3-24"]


def test_pages_do_not_lose_or_repeat_an_event(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.redis_archive._PAGE", 3)
    store = RedisStore(redis_url)
    append(store, *(viewed("one", number) for number in range(10)))

    found = [orjson.loads(each.event)["id"] for each in Archive(redis_url, 64).events()]

    assert found == [f"e-one-{number}" for number in range(10)]


def test_an_export_since_the_future_is_empty(redis_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    append(RedisStore(redis_url), viewed("one", 1))

    export.main(redis_url=redis_url, data=NOWHERE, what="events", since="2999-01-01T00:00:00Z")

    assert lines(capfd) == []


def test_an_export_of_customers_names_every_field(redis_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    store = RedisStore(redis_url)
    append(store, viewed("one", 1), viewed("two*", 1), viewed("two*", 2))
    fold(store)

    export.main(redis_url=redis_url, data=NOWHERE, what="customers", since="")

    customers = {each["key"]: each for each in lines(capfd)}
    assert set(customers) == {"u:one", "u:two*"}
    assert customers["u:two*"]["events"] == 2
    assert "browsing" in customers["u:one"]["parts"]["u:one"]


def test_an_unknown_export_is_refused(redis_url: str) -> None:
    with pytest.raises(WrongUse, match="events, decisions or customers"):
        export.main(redis_url=redis_url, data=NOWHERE, what="everything", since="")


def test_dead_letters_are_listed_newest_first_and_shown_with_their_bytes(
    redis_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store = RedisStore(redis_url)
    append(store, viewed("one", 1))
    fold(
        store,
        DeadLetter("1-0", b'{"type":"x"}', Rejected("schema.missing", "a time is needed", "time", "e-1"), "u:one"),
        DeadLetter("2-0", b"\xff broken", Rejected("json.invalid", "not JSON")),
    )

    dead_letters.list_letters(redis_url=redis_url, data=NOWHERE, limit=10, reason="")
    listed = lines(capfd)
    dead_letters.show(redis_url=redis_url, data=NOWHERE, dead_letter_id=listed[0]["id"])
    shown = lines(capfd)[0]

    assert [each["code"] for each in listed] == ["json.invalid", "schema.missing"]
    assert listed[1]["field"] == "time"
    assert listed[1]["customer"] == "u:one"
    assert shown["raw"] == "\\xff broken"


def test_dead_letters_can_be_listed_by_reason(redis_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    store = RedisStore(redis_url)
    append(store, viewed("one", 1))
    fold(store, DeadLetter("1-0", b"", Rejected("one", "")), DeadLetter("2-0", b"", Rejected("two", "")))

    dead_letters.list_letters(redis_url=redis_url, data=NOWHERE, limit=10, reason="one")

    assert [each["code"] for each in lines(capfd)] == ["one"]


def test_a_letter_that_is_not_there_is_one_sentence(redis_url: str) -> None:
    with pytest.raises(NotFound, match="no dead letter '3-9-9'"):
        dead_letters.show(redis_url=redis_url, data=NOWHERE, dead_letter_id="3-9-9")


def test_tail_tells_what_was_folded_and_what_waits(
    redis_url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.tail._UNFOLDED_AFTER_MS", 100)
    store = RedisStore(redis_url)

    def happen() -> None:
        append(store, viewed("one", 1))
        fold(store)
        append(store, viewed("two", 1))

    told = once_waiting(monkeypatch, happen)

    tail.main(redis_url=redis_url, data=NOWHERE, user="", seconds=0.6)

    assert told == [True]
    shown = capfd.readouterr().out.splitlines()
    assert len(shown) == 2
    assert "u:one" in shown[0]
    assert "folded" in shown[0]
    assert "u:two" in shown[1]
    assert "has not come to it" in shown[1]


def test_tail_of_one_user_leaves_out_the_others(
    redis_url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisStore(redis_url)

    def happen() -> None:
        append(store, viewed("one", 1), viewed("two", 1))
        fold(store)

    once_waiting(monkeypatch, happen)

    tail.main(redis_url=redis_url, data=NOWHERE, user="two", seconds=0.4)

    assert [line.split()[2] for line in capfd.readouterr().out.splitlines()] == ["u:two"]


def test_without_a_url_the_redis_of_the_running_up_is_found(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "children.json").write_bytes(msgspec.json.encode(ChildrenReport(redis_url=redis_url)))

    assert list(open_archive("", tmp_path).events()) == []


def test_without_a_running_up_the_sentence_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="--data"):
        open_archive("", tmp_path)


def once_waiting(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> list[bool]:
    """Does `act` right after the tail has noted where the streams end."""
    noted: list[bool] = []
    ends = Archive.ends

    def ends_then_act(self: Archive) -> dict[str, str]:
        found = ends(self)
        act()
        noted.append(True)
        return found

    monkeypatch.setattr(Archive, "ends", ends_then_act)
    return noted
