"""A marketer's files: what they mean, and what is said of each mistake."""

import json
from pathlib import Path

import pytest

from config.catalogue_files import folder_stamp, load_catalogue, main_check, main_schema
from config.mistakes import CatalogueError, one_of
from engine.decisioning.conditions import COMBINATIONS, KINDS, AnyOf, Bought, Feature, Not, Things
from engine.decisioning.offers import Cap, Money, Price, Promotes, Redemption
from engine.decisioning.policy import Placement
from engine.moments import rfc3339

POLICY = """
placements:
  home_hero: {channel: web, stage: pre_transaction, max: 1, shown_when: viewed, sticky_seconds: 600}
  till: {channel: pos, shown_when: decided}
timezone: Europe/Vienna
"""
OFFERS = """
offers:
  - id: espresso-10
    kind: sell                  # sell | mandatory | transactional | service | thank_you | fallback
    campaign: coffee-weeks
    placements: [home_hero, till]
    purpose: marketing          # the consent it needs
    stock: 200                  # units, or a coupon pool
    caps: [{count: 3, window_days: 7}]
    eligible_when: [{feature: rfm.recency, below: 60}]
    promotes: {categories: [coffee]}
    redeemed_when: {buys: promoted}
    status: live
    tags: [drinks]
    boost: 1.0
    price: {discount_percent: 10, currency: EUR}
    margin: 1.80 EUR
    attribution_window_days: 14
    content: {default: {title: "Ten percent off espresso", url: /p/espresso}, de: {title: "Zehn Prozent"}}
"""
AMOUNT = "expected an amount with its currency, such as 1.80 EUR"
DATE = "expected a date such as 2026-01-31, or a time with an offset such as 2026-01-31T09:00:00+01:00"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of one offer without a mistake."""
    (tmp_path / "offers").mkdir()
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "offers" / "coffee.yaml").write_text(OFFERS)
    return tmp_path


def offers(folder: Path, text: str) -> None:
    (folder / "offers" / "coffee.yaml").write_text(text)


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(folder)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_an_offer_is_read_as_it_is_written(folder: Path) -> None:
    loaded = load_catalogue(folder)

    (offer,) = loaded.catalogue.offers
    assert (offer.id, offer.stock, offer.caps) == ("espresso-10", 200, (Cap(count=3, window_days=7.0),))
    assert (offer.margin, offer.price) == (Money(180, "EUR"), Price(discount_percent=10.0, currency="EUR"))
    assert offer.eligible_when == (Feature(feature="rfm.recency", below=60.0),)
    assert (offer.promotes, offer.redeemed_when) == (Promotes(categories=("coffee",)), Redemption(buys="promoted"))
    assert loaded.policy.placements["home_hero"] == Placement(channel="web", max=1, sticky_seconds=600)


def test_versions_follow_the_content_and_nothing_else(folder: Path) -> None:
    before = load_catalogue(folder).catalogue
    offers(folder, "# a comment\n" + OFFERS)
    commented = load_catalogue(folder).catalogue
    offers(folder, OFFERS.replace("boost: 1.0", "boost: 1.1"))
    boosted = load_catalogue(folder).catalogue

    assert before.version == commented.version != boosted.version
    assert before.policy_version == boosted.policy_version
    assert before.version.startswith("c-")


def test_every_mistake_is_named_at_once_with_file_path_and_a_guess(folder: Path) -> None:
    offers(
        folder,
        """
offers:
  - id: espresso-10
    kind: sel
    placements: [home_heroo]
    margin: 1.80
    caps: [{count: 0, window_day: 7}]
    eligible_when:
      - {feature: rfm.recencyy, below: 60}
      - {feture: rfm.recency}
    content: {default: {titel: "Ten percent off"}}
  - id: tea
    kind: sell
    placements: [til]
    boost: 3
    status: on
    content: {default: {title: 17}}
""",
    )

    assert mistakes(folder) == [
        "offers/coffee.yaml: offers[0].kind: expected one of sell, mandatory, transactional, service, thank_you,"
        " fallback, found 'sel' (did you mean 'sell'?)",
        "offers/coffee.yaml: offers[0].content.default.title: is missing",
        "offers/coffee.yaml: offers[0].caps[0].window_day: is not known here (did you mean 'window_days'?);"
        " known are channel, count, tag, window_days",
        "offers/coffee.yaml: offers[0].caps[0].count: expected a number at least 1 and at most 10000, found the number 0",
        "offers/coffee.yaml: offers[0].caps[0].window_days: is missing",
        "offers/coffee.yaml: offers[0].eligible_when[0].feature: 'rfm.recencyy' is not a feature (did you mean 'rfm.recency'?)",
        "offers/coffee.yaml: offers[0].eligible_when[1]: expected exactly one of the keys"
        f" {one_of({*KINDS, *COMBINATIONS})} (did you mean 'feature'?)",
        "offers/coffee.yaml: offers[0].margin: expected an amount with its currency, such as 1.80 EUR, found the number 1.8",
        "offers/coffee.yaml: offers[1].content.default.title: expected text, found the number 17: put it in quotes",
        "offers/coffee.yaml: offers[1].status: expected one of draft, live, paused, found 'on'",
        "offers/coffee.yaml: offers[1].boost: expected a number at least 0.5 and at most 2, found the number 3.0",
    ]


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        (
            "placements: [til]",
            "placements: [home_hero, till]",
            "offers[0].placements[0]: there is no placement 'til' in policy.yaml (did you mean 'till'?)",
        ),
        (
            "placements: [home_hero, till]\n    stages: [post_transaction]",
            "placements: [home_hero, till]",
            "offers[0].stages: none of its placements is post_transaction: they are pre_transaction",
        ),
        (
            "placements: [home_hero, till]\n    stages: [post_transactions]",
            "placements: [home_hero, till]",
            "offers[0].stages[0]: expected one of pre_transaction, in_transaction, post_transaction,"
            " found 'post_transactions' (did you mean 'post_transaction'?)",
        ),
        ("kind: fallback", "kind: sell", "offers[0].kind: a fallback always has to be there: it cannot have stock or caps"),
        (
            "promotes: {}",
            "promotes: {categories: [coffee]}",
            "offers[0].redeemed_when.buys: nothing is promoted: name categories or products under promotes",
        ),
        (
            "redeemed_when: {coupon: A, buys: promoted}",
            "redeemed_when: {buys: promoted}",
            "offers[0].redeemed_when: expected exactly one of buys, coupon and event",
        ),
        (
            "margin: 1.80 EURO",
            "margin: 1.80 EUR",
            f"offers[0].margin: {AMOUNT}: 'EURO' is no ISO-4217 currency code; use three letters such as EUR",
        ),
        (
            "margin: 1.805 EUR",
            "margin: 1.80 EUR",
            f"offers[0].margin: {AMOUNT}: '1.805' has more than the 2 decimal digits of EUR",
        ),
        (
            "margin: 1.80 EUR\n    cost: 0.10 USD",
            "margin: 1.80 EUR",
            "offers[0].cost: is in USD, but offers/coffee.yaml: offers[0].margin is in EUR",
        ),
        ("stock: many", "stock: 200", "offers[0].stock: expected a whole number, found 'many'"),
        (
            "starts: 2026-13-01\n    stock: 200",
            "stock: 200",
            f"offers[0].starts: {DATE}, found '2026-13-01'",
        ),
        ("starts: 2026-02-02\n    ends: 2026-02-01\n    stock: 200", "stock: 200", "offers[0].ends: ends before it starts"),
        ("id: espresso 10", "id: espresso-10", "offers[0].id: expected letters, digits and _ . : - only, found 'espresso 10'"),
    ],
)
def test_a_mistake_says_where_and_what_was_expected(folder: Path, wrong: str, right: str, told: str) -> None:
    offers(folder, OFFERS.replace(right, wrong))

    assert mistakes(folder) == [f"offers/coffee.yaml: {told}"]


def test_keys_that_stand_twice_are_found(folder: Path) -> None:
    offers(folder, OFFERS + "    stock: 100\n")

    assert mistakes(folder) == ["offers/coffee.yaml: line 20: the key 'stock' stands here a second time"]


def test_text_that_is_no_yaml_names_line_and_column(folder: Path) -> None:
    offers(folder, "offers:\n  - id: [1\n")

    assert [mistake.split(": ", 2)[:2] for mistake in mistakes(folder)] == [["offers/coffee.yaml", "line 3, column 1"]]


def test_the_same_id_twice_names_both_places(folder: Path) -> None:
    (folder / "offers" / "again.yaml").write_text(OFFERS)

    assert mistakes(folder) == [
        "offers/coffee.yaml: offers[0].id: the offer 'espresso-10' stands already at offers/again.yaml: offers[0]"
    ]


def test_a_campaign_is_a_label_until_campaigns_are_declared(folder: Path) -> None:
    assert load_catalogue(folder).catalogue.offers[0].campaign == "coffee-weeks"

    (folder / "campaigns").mkdir()
    (folder / "campaigns" / "all.yaml").write_text("campaigns:\n  - {id: coffee-week, budget: 100.00 EUR}\n")
    assert mistakes(folder) == [
        "offers/coffee.yaml: offers[0].campaign: there is no campaign 'coffee-weeks' (did you mean 'coffee-week'?)"
    ]


def test_a_misspelt_file_is_not_silently_ignored(folder: Path) -> None:
    (folder / "polcy.yaml").write_text("")

    assert mistakes(folder) == [
        "polcy.yaml: is not a file of a catalogue: expected policy.yaml, stores.yaml, triggers.yaml (did you mean 'policy.yaml'?)"
    ]


def test_a_folder_without_policy_is_no_catalogue(tmp_path: Path) -> None:
    assert mistakes(tmp_path) == ["policy.yaml: is missing"]
    assert mistakes(tmp_path / "nowhere") == [f"{tmp_path / 'nowhere'}: is no folder"]


def test_a_variation_cannot_be_named_like_a_group_of_the_lift(folder: Path) -> None:
    (folder / "policy.yaml").write_text(POLICY + "experiment: {variations: {holdout: {share: 1.0, ranker: rule}}}\n")

    assert mistakes(folder) == ["policy.yaml: experiment.variations.holdout: this name is taken: the lift tells groups by it"]


def test_shares_of_an_experiment_have_to_sum_to_one(folder: Path) -> None:
    (folder / "policy.yaml").write_text(POLICY + "experiment: {variations: {a: {share: 0.5, ranker: rule}}}\n")

    assert mistakes(folder) == ["policy.yaml: experiment.variations: the shares have to sum to 1, found 0.5"]


def test_yaml_has_no_surprises(folder: Path) -> None:
    offers(folder, OFFERS.replace("tags: [drinks]", "tags: [no, on, y]\n    locales: [no]"))
    (folder / "policy.yaml").write_text(POLICY + "quiet_hours: {span: {start: 21:00, end: 08:30}}\n")

    loaded = load_catalogue(folder)

    assert (loaded.catalogue.offers[0].tags, loaded.catalogue.offers[0].locales) == (("no", "on", "y"), ("no",))
    span = loaded.policy.quiet_hours.span
    assert span is not None
    assert (span.start, span.end) == (21 * 60, 8 * 60 + 30)


def test_days_begin_and_end_in_the_policys_zone(folder: Path) -> None:
    offers(folder, OFFERS.replace("stock: 200", "starts: 2026-03-28\n    ends: 2026-03-29"))

    (offer,) = load_catalogue(folder).catalogue.offers

    assert offer.starts is not None
    assert offer.ends is not None
    assert (rfc3339(offer.starts), rfc3339(offer.ends)) == ("2026-03-27T23:00:00.000Z", "2026-03-29T22:00:00.000Z")


def test_conditions_nest(folder: Path) -> None:
    nested = "eligible_when: [{any: [{not: {feature: rfm.recency, above: 60}}, {bought: {categories: [tea]}}]}]"
    offers(folder, OFFERS.replace("eligible_when: [{feature: rfm.recency, below: 60}]", nested))

    (offer,) = load_catalogue(folder).catalogue.offers

    assert offer.eligible_when == (
        AnyOf(any_of=(Not(negated=Feature(feature="rfm.recency", above=60.0)), Bought(bought=Things(categories=("tea",))))),
    )


def test_stores_have_zone_currency_and_name(folder: Path) -> None:
    (folder / "stores.yaml").write_text("stores:\n  12: {zone: Europe/Vienna, currency: EUR, name: Linz}\n")
    assert load_catalogue(folder).stores["12"].name == "Linz"

    (folder / "stores.yaml").write_text("stores:\n  12: {zone: Europe/Wien, currency: EURO}\n")
    assert mistakes(folder) == [
        "stores.yaml: stores.12.zone: expected a time zone such as Europe/Vienna, found 'Europe/Wien'",
        "stores.yaml: stores.12.currency: 'EURO' is no ISO-4217 currency code; use three letters such as EUR",
    ]


def test_a_poll_sees_that_a_file_changed(folder: Path) -> None:
    before = folder_stamp(folder)
    offers(folder, OFFERS + "\n")

    assert folder_stamp(folder) != before


def test_check_prints_what_it_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_check(folder) == 0
    assert "1 offers (1 live)" in capsys.readouterr().out

    offers(folder, OFFERS.replace("kind: sell", "kind: sale"))
    assert main_check(folder) == 1
    assert "offers[0].kind" in capsys.readouterr().out


def test_the_schema_names_every_key_that_the_reader_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_schema() == 0

    definitions = json.loads(capsys.readouterr().out)["$defs"]
    assert {"offers_file", "policy_file", "condition", "Offer", "Cap"} <= set(definitions)
    assert set(definitions["Offer"]["required"]) == {"id", "kind", "placements", "content"}
    assert "rfm.recency" in definitions["feature_name"]["enum"]
    assert definitions["AnyOf"]["properties"]["any"]["items"] == {"$ref": "#/$defs/condition"}
