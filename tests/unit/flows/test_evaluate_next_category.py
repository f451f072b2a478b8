"""Next category: what is ranked is of the moment before, gains are what the textbook says, and habits are found."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pytest
from rich.progress import Progress

from engine.models.evaluation import mean_of
from engine.moments import DAY, WEEK, rfc3339
from flows.evaluate import main
from flows.evaluate_events import NothingToMeasure, opened
from flows.evaluate_next_category import (
    DEPTH,
    LIKELY,
    NEW,
    OTHERS,
    PUBLISHED_EVERY_MS,
    Basket,
    candidates,
    evaluate_next_category,
    gain,
    rank,
)
from flows.evaluate_terms import Terms
from flows.replay_source import EventFile

START = 1_483_228_800_000 + 9 * 3_600_000
CATEGORIES = [f"c-{number:02}" for number in range(30)]


def shop(weeks: int = 16) -> list[tuple[int, int, list[str]]]:
    """Baskets of twelve customers, each with four categories of their own and now and then another one."""
    chance = np.random.default_rng(5)
    baskets = []
    for customer in range(12):
        own = chance.choice(CATEGORIES, 4, replace=False).tolist()
        at = float(START + chance.integers(0, WEEK))
        while at < START + weeks * WEEK:
            taken = [name for name in own if chance.random() < 0.6] + [str(chance.choice(CATEGORIES))]
            baskets.append((int(at), customer, taken))
            at += chance.exponential(4.0) * DAY
    return sorted(baskets)


def written(path: Path, baskets: Sequence[tuple[int, int, list[str]]]) -> EventFile:
    with path.open("wb") as file:
        for number, (at, customer, categories) in enumerate(baskets):
            head = {"store": "1", "workstation": "1", "business_day": rfc3339(at)[:10], "sequence_number": number}
            data = {**head, "currency": "EUR", "lines": [{"category": name, "amount": 100} for name in categories]}
            event = {"id": f"r-{number}", "type": "pos_transaction_completed", "time": rfc3339(at), "data": data}
            file.write(orjson.dumps({**event, "loyalty_id": f"c-{customer}"}) + b"\n")
    return EventFile(path)


def ranked(source: EventFile) -> list[Basket]:
    with Progress(disable=True) as progress:
        return rank(opened(source, Terms(since=0), progress), progress).baskets


@pytest.mark.slow
def test_shuffling_what_happens_later_changes_no_ranking_so_far(tmp_path: Path) -> None:
    baskets, cut = shop(), START // DAY * DAY + 10 * WEEK
    later = [(at, customer, names) for at, customer, names in baskets if at >= cut]
    order = np.random.default_rng(1).permutation(len(later))
    shuffled = [(at, *later[place][1:]) for (at, _, _), place in zip(later, order, strict=True)]
    earlier = [basket for basket in baskets if basket[0] < cut]

    whole = ranked(written(tmp_path / "whole.ndjson", baskets))
    changed = ranked(written(tmp_path / "changed.ndjson", earlier + shuffled))

    before = [basket for basket in whole if basket.at < cut]
    assert len(before) > 100
    assert before == [basket for basket in changed if basket.at < cut]
    assert whole != changed


def test_a_basket_is_ranked_by_a_model_that_learned_before_its_six_hours_only(tmp_path: Path) -> None:
    found = ranked(written(tmp_path / "shop.ndjson", shop(weeks=3)))

    for earlier, later in pairwise(found):
        together = earlier.at // PUBLISHED_EVERY_MS == later.at // PUBLISHED_EVERY_MS
        assert later.version == earlier.version if together else later.version > earlier.version


def test_habits_are_found_and_figures_have_intervals(tmp_path: Path) -> None:
    with Progress(disable=True) as progress:
        result = evaluate_next_category(written(tmp_path / "shop.ndjson", shop()), Terms(replicates=50), progress).result

    assert result.rejected == 0
    assert result.categories == len(CATEGORIES)
    assert result.all.ndcg["rule"].low > result.all.ndcg["popularity"].high
    assert result.all.ndcg["online"].low > result.all.ndcg["popularity"].high
    assert result.new.baskets < result.all.baskets
    assert all(0.0 <= one.low <= one.value <= one.high <= 1.0 for one in (*result.all.ndcg.values(), *result.new.ndcg.values()))


def test_the_first_ranking_of_a_day_answers_for_all_of_its_baskets(tmp_path: Path) -> None:
    weeks = [(START + week * WEEK, 0, ["c-01", "c-02"]) for week in range(4)]
    last = START + 4 * WEEK
    day = [(last, 0, ["c-01"]), (last + 1000, 0, ["c-02"]), (last + DAY, 0, ["c-01"])]

    with Progress(disable=True) as progress:
        found = rank(opened(written(tmp_path / "shop.ndjson", weeks + day), Terms(since=0), progress), progress)

    assert [one.at for one in found.days] == [one.at for one in found.baskets if one.at != last + 1000]
    together = next(one for one in found.days if one.at == last)
    assert list(together.all) == pytest.approx([1.0, 1.0, 1.0])
    assert [gains for one in found.baskets if one.at in (last, last + 1000) for gains in (one.all[1], one.new)] == [
        pytest.approx(1.0),
        None,
        pytest.approx(1.0 / np.log2(3)),
        None,
    ]


def test_gain_is_the_share_of_what_was_possible() -> None:
    assert gain(("a", "b"), {"a", "b"}) == 1.0
    assert gain(("x", "b"), {"b"}) == pytest.approx(1.0 / np.log2(3))
    assert gain(("x", "y"), {"b"}) == 0.0
    assert gain(tuple("abcdefghij"), set("abcdefghijklmn")) == pytest.approx(1.0)


def test_what_the_model_learns_of_is_chosen_without_a_look_at_the_basket() -> None:
    names = np.arange(40)
    new = names >= 20

    chosen = [candidates(names, names[::-1], new, turn) for turn in range(40)]

    sure = {*range(LIKELY), *range(40 - NEW, 40)}
    assert all(sure <= set(one.tolist()) for one in chosen)
    assert all(len(set(one.tolist())) == len(one) == LIKELY + NEW + OTHERS for one in chosen)
    assert set().union(*(one.tolist() for one in chosen)) == set(range(40))


def test_a_few_categories_are_all_learned_of() -> None:
    assert sorted(candidates(np.array([1, 0]), np.array([0, 1]), np.array([True, False]), 3).tolist()) == [0, 1]
    assert len(candidates(np.arange(0), np.arange(0), np.zeros(0, dtype=bool), 0)) == 0


def test_a_mean_has_the_interval_of_its_customers() -> None:
    customers = np.repeat(np.arange(40), 5)
    values = np.repeat(np.random.default_rng(2).random(40), 5)

    found = mean_of(values, customers, replicates=400)

    assert found == mean_of(values, customers, replicates=400)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(3.92 * values.std() / 40**0.5, rel=0.2)


def test_the_command_writes_the_figures_of_all_rankers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "shop.ndjson", tmp_path / "out.json"
    written(source, shop(weeks=14))

    code = main(what="next-category", data=str(source), horizon_days=28, json_file=out)

    figures = orjson.loads(out.read_bytes())
    assert code == 0
    assert f"NDCG@{DEPTH}" in capsys.readouterr().out
    assert set(figures["all"]["ndcg"]) == {"popularity", "rule", "online"}


def test_too_little_data_is_said_plainly(tmp_path: Path) -> None:
    source = written(tmp_path / "shop.ndjson", shop(weeks=3))

    with pytest.raises(NothingToMeasure), Progress(disable=True) as progress:
        evaluate_next_category(source, Terms(replicates=2), progress)
