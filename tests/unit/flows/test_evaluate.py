"""Evaluation: the honest order of late labels, and what it says when there is nothing to measure."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from rich.progress import Progress

from engine.features.vector import FINGERPRINT, NAMES
from engine.models.churn import ChurnLearner
from engine.moments import DAY, WEEK, rfc3339
from flows.evaluate import main
from flows.evaluate_churn import Predictions, collect, evaluate_churn, evaluate_purchase, predict
from flows.evaluate_events import NothingToMeasure, opened
from flows.evaluate_terms import Terms
from flows.replay_source import EventFile
from flows.running import WrongUse

START = 1_483_228_800_000 + 9 * 3_600_000
WriteShop = Callable[..., Path]


@pytest.fixture
def write_shop(tmp_path: Path) -> WriteShop:
    """Receipts of forty customers over some weeks: some come weekly for ever, some leave on the way."""

    def write(weeks: int = 26, until: int | None = None) -> Path:
        chance = np.random.default_rng(7)
        receipts = []
        for customer in range(40):
            leaves = weeks if customer % 3 else int(chance.integers(4, weeks))
            at = float(START + chance.integers(0, WEEK))
            while at < START + leaves * WEEK:
                receipts.append((int(at), customer))
                at += chance.exponential(5.0 + customer % 9) * DAY
        path = tmp_path / f"shop-{weeks}-{until}.ndjson"
        with path.open("wb") as file:
            for number, (at, customer) in enumerate(sorted(receipts)):
                if until is None or at < until:
                    file.write(orjson.dumps(receipt(number, at, customer)) + b"\n")
        return path

    return write


def receipt(number: int, at: int, customer: int) -> dict[str, object]:
    line = {"product_id": f"p-{number % 9}", "category": f"c-{number % 4}", "amount": 250 + number % 700}
    head = {"store": "1", "workstation": "1", "business_day": rfc3339(at)[:10], "sequence_number": number}
    data = {**head, "currency": "EUR", "lines": [line]}
    return {
        "id": f"r-{number}",
        "type": "pos_transaction_completed",
        "time": rfc3339(at),
        "loyalty_id": f"c-{customer}",
        "data": data,
    }


def predictions(path: Path) -> Predictions:
    with Progress(disable=True) as progress:
        collected = collect(opened(EventFile(path), Terms(since=0), progress), 14, progress)
        return predict(collected, ChurnLearner(NAMES, FINGERPRINT, 14.0), 14, progress)


def test_scores_are_the_same_when_everything_later_is_deleted(write_shop: WriteShop) -> None:
    cut = START // DAY * DAY + 20 * WEEK

    whole = predictions(write_shop())
    shortened = predictions(write_shop(until=cut))

    scores = {example.id: score for example, score in zip(whole.examples, whole.scores, strict=True)}
    assert len(shortened.examples) > 400
    assert all(scores[example.id] == score for example, score in zip(shortened.examples, shortened.scores, strict=True))


def test_a_score_never_comes_from_a_model_that_learned_labels_still_open(write_shop: WriteShop) -> None:
    found = predictions(write_shop())

    for example, version in zip(found.examples, found.versions, strict=True):
        assert version == sum(other.closed_at <= example.opened_at for other in found.examples)


def test_all_figures_come_with_intervals(write_shop: WriteShop) -> None:
    with Progress(disable=True) as progress:
        result = evaluate_churn(EventFile(write_shop()), Terms(horizon_days=14, replicates=20), progress).result

    assert result.rejected == 0
    assert result.learned <= result.examples
    assert result.active.rows <= result.everybody.rows
    assert all(figure.low <= figure.high for figure in result.everybody.figures.values())
    assert result.everybody.figures["auc"].value > 0.6


def test_purchases_are_measured_over_a_horizon_of_their_own(write_shop: WriteShop) -> None:
    with Progress(disable=True) as progress:
        found = evaluate_purchase(EventFile(write_shop()), Terms(horizon_days=14, replicates=5), progress)

    assert (found.result.model, found.result.horizon_days) == ("purchase", 7)
    assert found.result.everybody.figures["auc"].value > 0.6
    assert "bought" in list(found.table.columns[0].cells)


def test_the_command_writes_its_figures(write_shop: WriteShop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(what="churn", data=str(write_shop()), horizon_days=14, json_file=tmp_path / "out.json")

    written = orjson.loads((tmp_path / "out.json").read_bytes())
    assert code == 0
    assert "AUC" in capsys.readouterr().out
    assert set(written["active"]["figures"]["auc"]) == {"value", "low", "high"}


def test_what_it_does_not_measure_is_said_plainly() -> None:
    with pytest.raises(WrongUse, match="nothing called 'sales' is known; what can be measured is: churn, next-category, coupons"):
        main(what="sales")


def test_too_little_data_is_said_plainly(write_shop: WriteShop, tmp_path: Path) -> None:
    nobody = tmp_path / "views.ndjson"
    nobody.write_bytes(orjson.dumps({"id": "v", "type": "page_viewed", "time": rfc3339(START), "user_id": "u"}) + b"\n")

    for path in (write_shop(weeks=8), nobody):
        with pytest.raises(NothingToMeasure), Progress(disable=True) as progress:
            evaluate_churn(EventFile(path), Terms(horizon_days=14, replicates=2), progress)
