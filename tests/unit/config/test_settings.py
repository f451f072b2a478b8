"""What the environment may say, and what is refused."""

import logging

import orjson
import pytest
from pydantic import ValidationError

from config.logging import JsonLines
from config.settings import ApiSettings, EngineSettings, ExposedWithoutKeys


def test_keys_are_separated_by_commas_and_blanks_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_WEB_KEYS", "one, two,,")

    settings = ApiSettings()

    assert settings.web_keys == ("one", "two")
    assert not settings.keyless


def test_keys_never_show_in_the_settings_as_text() -> None:
    settings = ApiSettings(secret_keys=("very-secret",))

    assert "very-secret" not in repr(settings)


def test_without_keys_an_address_beyond_this_machine_is_refused() -> None:
    with pytest.raises(ExposedWithoutKeys, match="loopback only"):
        ApiSettings(host="0.0.0.0").refuse_exposure()


def test_with_a_key_any_address_is_allowed() -> None:
    ApiSettings(host="0.0.0.0", secret_keys=("k",)).refuse_exposure()


def test_without_keys_loopback_is_allowed() -> None:
    ApiSettings(host="127.0.0.1").refuse_exposure()


def test_an_argument_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_PORT", "9000")

    assert ApiSettings().port == 9000
    assert ApiSettings(port=9001).port == 9001


def test_settings_cannot_be_changed_after_the_start() -> None:
    settings = ApiSettings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize("engines", [1, 2, 3, 7])
def test_every_shard_has_exactly_one_owner(engines: int) -> None:
    shares = [EngineSettings(engines=engines, engine_index=index).owned_shards() for index in range(engines)]

    assert sorted(shard for share in shares for shard in share) == list(range(64))


def test_a_log_line_is_one_json_object_with_its_extras() -> None:
    record = logging.makeLogRecord({"name": "flows.learn", "levelname": "INFO", "msg": "learned %d", "args": (3,)})
    record.__dict__["decision_id"] = "d-1"

    line = orjson.loads(JsonLines("learn").format(record))

    assert line["message"] == "learned 3"
    assert line["decision_id"] == "d-1"
    assert line["part"] == "learn"
    assert "msg" not in line
