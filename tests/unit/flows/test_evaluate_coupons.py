"""Coupons: a contact's label is that of its own campaign, at its end, and no score knows what came later."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from rich.progress import Progress

from engine.moments import DAY, WEEK, millis, rfc3339
from flows.complete_journey import CompleteJourney
from flows.evaluate import main
from flows.evaluate_coupons import Collected, Predictions, collect, evaluate_coupons, predict
from flows.evaluate_events import NothingToMeasure, opened
from flows.evaluate_terms import Terms
from flows.replay_source import EventFile

START = 1_483_228_800_000 + 9 * 3_600_000
WEEKS = 30
CUSTOMERS = 24


def shop() -> list[tuple[int, dict[str, Any]]]:
    """Weekly receipts; a campaign every three weeks for two weeks to everybody, which a third of the customers mostly use."""
    chance = np.random.default_rng(3)
    log = [
        receipt(START + int(week * WEEK + chance.integers(0, WEEK)), customer)
        for week in range(WEEKS)
        for customer in range(CUSTOMERS)
    ]
    for number, week in enumerate(range(1, WEEKS - 2, 3)):
        for customer in range(CUSTOMERS):
            at = START + week * WEEK
            log.append(contact(at, customer, number, at + 2 * WEEK))
            if chance.random() < (0.8 if customer % 3 == 0 else 0.1):
                log += [coupon(at + day * DAY, customer, number) for day in (3, 5)]
    return sorted(log, key=lambda one: one[0])


def told(kind: str, at: int, customer: int, name: str, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    event = {"id": f"{name}-{at}-{customer}", "type": kind, "time": rfc3339(at), "loyalty_id": f"c-{customer}"}
    return at, {**event, "source": "crm://test", "data": data}


def receipt(at: int, customer: int) -> tuple[int, dict[str, Any]]:
    head = {"store": "1", "workstation": "1", "business_day": rfc3339(at)[:10], "sequence_number": at % 99_991}
    lines = [{"category": f"c-{customer % 4}", "amount": 300}]
    return told("pos_transaction_completed", at, customer, "r", {**head, "currency": "EUR", "lines": lines})


def contact(at: int, customer: int, campaign: int, ends: int) -> tuple[int, dict[str, Any]]:
    data = {"campaign_id": str(campaign), "campaign_type": "leaflet", "ends_at": rfc3339(ends), "categories": ["c-1", "c-2"]}
    return told("message_sent", at, customer, f"m{campaign}", data)


def coupon(at: int, customer: int, campaign: int) -> tuple[int, dict[str, Any]]:
    return told("coupon_applied", at, customer, f"k{campaign}", {"coupon": "1", "coupon_name": f"campaign {campaign}"})


def written(path: Path, log: Sequence[tuple[int, dict[str, Any]]]) -> EventFile:
    path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for _, event in log))
    return EventFile(path)


def predictions(source: EventFile) -> tuple[Collected, Predictions]:
    with Progress(disable=True) as progress:
        collected = collect(opened(source, Terms(since=0), progress), progress)
        return collected, predict(collected, progress)


def scores_of(found: Predictions, until: int) -> dict[str, list[float]]:
    pairs = zip(found.examples, found.scores.tolist(), strict=True)
    return {example.id: scores for example, scores in pairs if example.opened_at <= until}


def test_shuffling_what_happens_later_changes_no_score_so_far(tmp_path: Path) -> None:
    log, cut = shop(), START + 16 * WEEK
    chance = np.random.default_rng(4)
    changed = [
        told(event["type"], at, int(chance.integers(CUSTOMERS)), f"s{number}", event["data"])
        if at >= cut and "ends_at" not in event["data"]
        else (at, event)
        for number, (at, event) in enumerate(log)
    ]

    _, whole = predictions(written(tmp_path / "whole.ndjson", log))
    _, other = predictions(written(tmp_path / "changed.ndjson", changed))

    assert len(scores_of(whole, cut)) == 6 * CUSTOMERS
    assert scores_of(whole, cut) == scores_of(other, cut)
    assert scores_of(whole, START + WEEKS * WEEK) != scores_of(other, START + WEEKS * WEEK)


def test_a_contact_is_scored_by_a_model_that_learned_ended_campaigns_only(tmp_path: Path) -> None:
    collected, found = predictions(written(tmp_path / "shop.ndjson", shop()))

    for example, version in zip(found.examples, found.versions, strict=True):
        assert version == sum(other.closed_at <= example.opened_at for other in collected.examples)
        assert example.closed_at == example.opened_at + 2 * WEEK


def test_the_label_is_a_coupon_of_that_campaign_within_its_time(tmp_path: Path) -> None:
    log = [receipt(START + week * WEEK, customer) for week in range(8) for customer in range(4)]
    at = START + 2 * WEEK + DAY
    log += [contact(at, customer, 7, at + 2 * WEEK) for customer in range(4)]
    log += [coupon(at + DAY, 0, 7), coupon(at + 2 * DAY, 0, 7), coupon(at + 15 * DAY, 1, 7), coupon(at + DAY, 2, 8)]

    collected, _ = predictions(written(tmp_path / "shop.ndjson", sorted(log, key=lambda one: one[0])))

    assert {one.customer: one.label for one in collected.examples} == {"l:c-0": 1.0, "l:c-1": 0.0, "l:c-2": 0.0, "l:c-3": 0.0}


def test_a_campaign_that_outlasts_the_data_is_not_measured(tmp_path: Path) -> None:
    at = START + 2 * WEEK + DAY
    log = [receipt(START + week * WEEK, 0) for week in range(4)] + [contact(at, 0, 7, at + 9 * WEEK)]

    collected, found = predictions(written(tmp_path / "shop.ndjson", sorted(log, key=lambda one: one[0])))

    assert collected.contacts == 1
    assert found.examples == []


def test_a_message_that_says_nothing_of_a_campaign_is_no_contact(tmp_path: Path) -> None:
    log = [receipt(START + week * WEEK, 0) for week in range(4)]
    said: list[dict[str, Any]] = [{}, {"campaign_id": "1"}, {"campaign_id": "1", "ends_at": "soon"}, {"campaign_id": 1}]
    for number, data in enumerate(said):
        log.append(told("message_sent", START + DAY + number, 0, f"m{number}", data))

    collected, _ = predictions(written(tmp_path / "shop.ndjson", sorted(log, key=lambda one: one[0])))

    assert (collected.contacts, collected.rejected) == (0, 0)


@pytest.mark.slow
def test_those_who_redeem_are_found_and_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "shop.ndjson", tmp_path / "out.json"
    written(source, shop())

    code = main(what="coupons", data=str(source), horizon_days=28, json_file=out)

    later = orjson.loads(out.read_bytes())["later"]
    assert code == 0
    assert "past redemptions" in capsys.readouterr().out
    assert later["past"]["figures"]["auc"]["value"] > 0.7
    assert later["response"]["figures"]["auc"]["value"] > 0.7


def test_without_contacts_that_is_said_plainly(tmp_path: Path) -> None:
    source = written(tmp_path / "shop.ndjson", [receipt(START + week * WEEK, 0) for week in range(3)])

    with pytest.raises(NothingToMeasure), Progress(disable=True) as progress:
        evaluate_coupons(source, Terms(replicates=2), progress)


@pytest.mark.slow
def test_real_labels_are_those_that_the_data_records(tmp_path: Path) -> None:
    journey = CompleteJourney()
    log = list(journey.timed_events(set(journey.households[::60])))
    end = log[-1][0]

    collected, _ = predictions(written(tmp_path / "households.ndjson", log))

    used = {(event["loyalty_id"], event["data"]["coupon_name"]) for _, event in log if event["type"] == "coupon_applied"}
    sent = [event for _, event in log if event["type"] == "message_sent"]
    ended = [event for event in sent if millis(datetime.fromisoformat(event["data"]["ends_at"])) <= end]
    expected = Counter((e["loyalty_id"], f"campaign {e['data']['campaign_id']}") in used for e in ended)
    assert (collected.events, collected.contacts) == (len(log), len(sent))
    assert Counter(bool(example.label) for example in collected.examples) == expected
    assert expected[True] > 0
