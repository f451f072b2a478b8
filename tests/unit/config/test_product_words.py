"""What a marketer writes about products that are found when it is decided, and about what serving costs."""

from pathlib import Path

import pytest

from config.catalogue_files import load_catalogue, schema
from config.mistakes import CatalogueError
from engine.decisioning.offers import Money

POLICY = "placements: {hero: {channel: web}}\n"
OFFER = """\
offers:
  - {id: along, kind: sell, placements: [hero], redeemed_when: {buys: promoted}, content: {default: {title: Along}},
     promotes: PROMOTES}
"""


def folder(tmp_path: Path, promotes: str = "{products: bought_together}", policy: str = "") -> Path:
    (tmp_path / "offers").mkdir()
    (tmp_path / "policy.yaml").write_text(POLICY + policy)
    (tmp_path / "offers" / "all.yaml").write_text(OFFER.replace("PROMOTES", promotes))
    return tmp_path


def mistakes(where: Path) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(where)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("promotes", "named", "expands"),
    [
        ("{products: bought_together}", (), "bought_together"),
        ("{products: replenishment, most: 1, categories: [coffee]}", (), "replenishment"),
        ("{products: [p-1, p-2]}", ("p-1", "p-2"), ""),
        ("{products: p-1}", ("p-1",), ""),
    ],
)
def test_products_are_named_or_found(tmp_path: Path, promotes: str, named: tuple[str, ...], expands: str) -> None:
    (offer,) = load_catalogue(folder(tmp_path, promotes)).catalogue.offers

    assert (offer.promotes.named, offer.promotes.expands) == (named, expands)


@pytest.mark.parametrize(
    ("promotes", "path", "words"),
    [
        ("{products: bougth_together}", "promotes.products", "(did you mean 'bought_together'?)"),
        ("{products: replenish}", "promotes.products", "(did you mean 'replenishment'?)"),
        ("{products: [bought_together]}", "promotes.products", "stand alone: write products: bought_together"),
        ("{products: 7}", "promotes.products", "expected a list, found the number 7"),
        ("{products: [p-1], most: 2}", "promotes.most", "write products: bought_together or replenishment"),
        ("{products: bought_together, most: 0}", "promotes.most", "expected a number at least 1"),
        ("{product: bought_together}", "promotes.product", "(did you mean 'products'?)"),
    ],
)
def test_a_mistake_is_told_with_its_path_and_a_guess(tmp_path: Path, promotes: str, path: str, words: str) -> None:
    told = mistakes(folder(tmp_path, promotes))

    assert any(one.startswith(f"offers/all.yaml: offers[0].{path}: ") and words in one for one in told), told


def test_what_serving_costs_is_written_by_event(tmp_path: Path) -> None:
    policy = load_catalogue(folder(tmp_path, policy="cost_to_serve: {order_refunded: 4.50 EUR, complaint_filed: 8 EUR}\n")).policy

    assert policy.cost_to_serve == {"order_refunded": Money(450, "EUR"), "complaint_filed": Money(800, "EUR")}


@pytest.mark.parametrize(
    ("costs", "path", "words"),
    [
        ("{order_refund: 4.50 EUR}", "cost_to_serve.order_refund", "(did you mean 'order_refunded'?)"),
        ("{order_refunded: 4.50}", "cost_to_serve.order_refunded", "such as 1.80 EUR"),
        (
            "{order_refunded: 4.50 EUR, complaint_filed: 1 USD}",
            "cost_to_serve.complaint_filed",
            "is in USD, but the others are in EUR",
        ),
    ],
)
def test_a_cost_of_nothing_we_count_is_named(tmp_path: Path, costs: str, path: str, words: str) -> None:
    told = mistakes(folder(tmp_path, policy=f"cost_to_serve: {costs}\n"))

    assert any(one.startswith(f"policy.yaml: {path}: ") and words in one for one in told), told


def test_the_schema_offers_both_words_and_the_costs() -> None:
    defs = schema()["$defs"]

    assert {"enum": ["bought_together", "replenishment"], "description": "found when it is decided"} in (
        defs["Promotes"]["properties"]["products"]["anyOf"]
    )
    assert "cost_to_serve" in defs["Policy"]["properties"]
