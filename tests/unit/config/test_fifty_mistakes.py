"""Fifty mistakes that are easily made in YAML. Each is told with its file, the path inside it, what was expected, and a guess."""

from pathlib import Path
from typing import NamedTuple

import pytest

from config.catalogue_files import load_catalogue
from config.mistakes import CatalogueError

POLICY = """\
placements:
  home_hero: {channel: web, stage: pre_transaction, max: 1, shown_when: viewed, sticky_seconds: 600}
  till: {channel: pos, shown_when: decided}
holdout: {share: 0.05, salt: spring}
quiet_hours: {span: {start: "21:00", end: "08:00"}}
timezone: Europe/Vienna
"""
OFFERS = """\
offers:
  - id: espresso-10
    kind: sell
    campaign: coffee-weeks
    placements: [home_hero, till]
    stock: 200
    caps: [{count: 3, window_days: 7}]
    eligible_when: [{feature: rfm.recency, below: 60}]
    promotes: {categories: [coffee]}
    redeemed_when: {buys: promoted}
    margin: 1.80 EUR
    cost: 0.05 EUR
    content:
      default: {title: "Ten percent off espresso"}
  - id: house
    kind: fallback
    placements: [home_hero]
    content: {default: {title: Welcome}}
"""
CAMPAIGNS = """\
campaigns:
  - id: coffee-weeks
    starts: 2026-03-01
    ends: 2026-03-31
    budget: 400.00 EUR
    channels: [web, pos]
    target: [{segment: heavy}]
"""
STORES = "stores:\n  linz: {zone: Europe/Vienna, currency: EUR}\n"
FILES = {"policy.yaml": POLICY, "offers/coffee.yaml": OFFERS, "campaigns/spring.yaml": CAMPAIGNS, "stores.yaml": STORES}


class Slip(NamedTuple):
    """What stands in place of what should, and how it is told: path, expectation, and what was perhaps meant."""

    file: str
    right: str
    wrong: str
    path: str
    expected: str
    guess: str = ""


F, C, P, S = "offers/coffee.yaml", "campaigns/spring.yaml", "policy.yaml", "stores.yaml"
FIRST = "offers[0]"
SLIPS = (
    # Words that are nearly right.
    Slip(F, "kind: sell", "kind: sel", f"{FIRST}.kind", "expected one of sell, mandatory", "sell"),
    Slip(F, "kind: fallback", "kind: Fallback", "offers[1].kind", "expected one of", "fallback"),
    Slip(F, "placements: [home_hero, till]", "placement: [home_hero]", f"{FIRST}.placement", "is not known here", "placements"),
    Slip(F, "[home_hero, till]", "[home_hreo, till]", f"{FIRST}.placements[0]", "there is no placement 'home_hreo'", "home_hero"),
    Slip(F, "[home_hero, till]", "[home_hero, Till]", f"{FIRST}.placements[1]", "there is no placement 'Till'", "till"),
    Slip(F, "campaign: coffee-weeks", "campaign: coffee-week", f"{FIRST}.campaign", "no campaign", "coffee-weeks"),
    Slip(F, "feature: rfm.recency", "feature: recency", f"{FIRST}.eligible_when[0].feature", "not a feature", "rfm.recency"),
    Slip(F, "feature: rfm.recency", "feature: rfm.recensy", f"{FIRST}.eligible_when[0].feature", "not a feature", "rfm.recency"),
    Slip(F, "below: 60", "bellow: 60", f"{FIRST}.eligible_when[0].bellow", "is not known here", "below"),
    Slip(F, "window_days: 7", "window: 7", f"{FIRST}.caps[0].window", "is not known here", "window_days"),
    Slip(F, "{buys: promoted}", "{buy: promoted}", f"{FIRST}.redeemed_when.buy", "is not known here", "buys"),
    Slip(F, "{buys: promoted}", "{event: offer_accept}", f"{FIRST}.redeemed_when.event", "expected one of", "offer_accepted"),
    Slip(F, "categories: [coffee]", "category: [coffee]", f"{FIRST}.promotes.category", "is not known here", "categories"),
    Slip(F, "    stock: 200", "    status: activ", f"{FIRST}.status", "expected one of draft, live, paused"),
    Slip(F, "offers:\n", "offer:\n", "offer", "is not known here", "offers"),
    Slip(F, 'title: "Ten', 'titel: "Ten', f"{FIRST}.content.default.title", "is missing"),
    Slip(C, "segment: heavy", "segment: heavvy", "campaigns[0].target[0].segment", "expected one of heavy", "heavy"),
    Slip(C, "segment: heavy", "segement: heavy", "campaigns[0].target[0]", "expected exactly one of the keys", "segment"),
    Slip(C, "segment: heavy", "lifecycle: atrisk", "campaigns[0].target[0].lifecycle", "expected one of", "at_risk"),
    Slip(C, "channels: [web, pos]", "channels: [web, mail]", "campaigns[0].channels[1]", "expected one of web, app", "email"),
    Slip(C, "budget: 400", "buget: 400", "campaigns[0].buget", "is not known here", "budget"),
    Slip(P, "stage: pre_transaction", "stage: pre", "placements.home_hero.stage", "expected one of pre_transaction"),
    Slip(P, "shown_when: viewed", "shown_when: view", "placements.home_hero.shown_when", "expected one of", "viewed"),
    Slip(P, "holdout: {share", "holdout: {shares", "holdout.shares", "is not known here", "share"),
    Slip(P, "quiet_hours:", "quite_hours:", "quite_hours", "is not known here", "quiet_hours"),
    # Amounts, numbers, dates.
    Slip(F, "margin: 1.80 EUR", "margin: 1.80", f"{FIRST}.margin", "such as 1.80 EUR, found the number 1.8"),
    Slip(F, "margin: 1.80 EUR", "margin: 1,80 EUR", f"{FIRST}.margin", "an amount with its currency, such as 1.80 EUR"),
    Slip(F, "margin: 1.80 EUR", "margin: € 1.80", f"{FIRST}.margin", "an amount with its currency, such as 1.80 EUR"),
    Slip(F, "margin: 1.80 EUR", "margin: 1.80 EURO", f"{FIRST}.margin", "'EURO' is no ISO-4217 currency code"),
    Slip(F, "margin: 1.80 EUR", "margin: -1.80 EUR", f"{FIRST}.margin", "not below zero"),
    Slip(F, "cost: 0.05 EUR", "cost: 0.05 USD", f"{FIRST}.cost", "is in USD, but offers/coffee.yaml: offers[0].margin is in EUR"),
    Slip(F, "cost: 0.05 EUR", "boost: 1.0", "campaigns[0].budget", "no cost is written for espresso-10"),
    Slip(F, "stock: 200", "stock: two hundred", f"{FIRST}.stock", "expected a whole number, found 'two hundred'"),
    Slip(F, "stock: 200", "stock: 12.5", f"{FIRST}.stock", "expected a whole number, found the number 12.5"),
    Slip(F, "count: 3", "count: 0", f"{FIRST}.caps[0].count", "expected a number at least 1"),
    Slip(F, "stock: 200", "boost: 5", f"{FIRST}.boost", "expected a number at least 0.5 and at most 2"),
    Slip(F, "below: 60", "between: [60, 30]", f"{FIRST}.eligible_when[0].between", "expected the lower bound first"),
    Slip(F, ", below: 60", "", f"{FIRST}.eligible_when[0]", "expected above, below, at_least, at_most or between"),
    Slip(C, "starts: 2026-03-01", "starts: 1.3.2026", "campaigns[0].starts", "expected a date such as 2026-01-31"),
    Slip(C, "ends: 2026-03-31", "ends: 2026-02-31", "campaigns[0].ends", "expected a date such as 2026-01-31"),
    Slip(C, "ends: 2026-03-31", "ends: 2026-02-01", "campaigns[0].ends", "ends before it starts"),
    Slip(P, "share: 0.05", "share: 5", "holdout.share", "expected a number at least 0 and at most 1"),
    Slip(P, '"21:00"', '"9 pm"', "quiet_hours.span.start", 'expected a time of day such as "21:30"'),
    Slip(P, "Europe/Vienna", "Europe/Wien", "timezone", "expected a time zone such as Europe/Vienna"),
    Slip(S, "currency: EUR", "currency: EU", "stores.linz.currency", "is no ISO-4217 currency code"),
    # YAML itself.
    Slip(F, "    kind: sell", "\tkind: sell", "line 3, column 1", "indent with spaces, not with a tab"),
    Slip(F, 'title: "Ten percent off espresso"', "title: Coffee: ten off", "line 14, column 30", "a colon in quotes"),
    Slip(F, "[home_hero, till]", "[home_hero, till", "line 6, column 10", "a bracket [ is not closed"),
    Slip(F, "    stock: 200", "    stock: 200\n    stock: 100", "line 7", "the key 'stock' stands here a second time"),
    Slip(F, "id: house", "id: espresso-10", "offers[1].id", "stands already at offers/coffee.yaml: offers[0]"),
)  # fmt: skip


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_catalogue_without_them_has_no_mistake(tmp_path: Path) -> None:
    assert len(load_catalogue(written(tmp_path, FILES)).catalogue.offers) == 2
    assert len(SLIPS) == len(set(SLIPS)) == 50


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: f"{slip.path} {slip.wrong[:24]!r}")
def test_a_mistake_is_told_with_file_path_expectation_and_guess(slip: Slip, tmp_path: Path) -> None:
    assert slip.right in FILES[slip.file]
    text = FILES[slip.file].replace(slip.right, slip.wrong, 1)

    with pytest.raises(CatalogueError) as caught:
        load_catalogue(written(tmp_path, {**FILES, slip.file: text}))

    told = [one for one in caught.value.mistakes if one.path == slip.path and slip.expected in one.what]
    assert told, f"{slip.path}: {slip.expected!r} is not in\n{caught.value}"
    assert told[0].file == (C if slip.path.startswith("campaigns") else slip.file)
    assert str(told[0]).startswith(f"{told[0].file}: {slip.path}: ")
    assert not slip.guess or f"(did you mean {slip.guess!r}?)" in told[0].what
    assert len(caught.value.mistakes) <= 2
