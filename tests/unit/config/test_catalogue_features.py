"""What a rule may ask for is listed as the rules know it."""

import json

import pytest

from config.catalogue_features import main_features
from engine.decisioning.conditions import COMBINATIONS, KINDS
from engine.features.derived import RULE_NAMES


def test_every_reading_is_listed_with_unit_bounds_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_features(as_json=True) == 0

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    readings = [one for one in told if "feature" in one]
    assert [one["feature"] for one in readings] == list(RULE_NAMES)
    assert all(one["unit"] and one["words"] and one["low"] < one["high"] for one in readings)
    assert {one["condition"] for one in told if "condition" in one} == (KINDS.keys() | COMBINATIONS.keys()) - {"feature"}


def test_the_list_for_readers_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_features(as_json=False) == 0

    text = capsys.readouterr().out
    assert all(name in text for name in RULE_NAMES)
    assert "{segment: …}" in text
    assert "{trait: …}" in text
