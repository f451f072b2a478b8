"""Rules that ask what models say of a customer, through the API as a marketer writes them."""

from pathlib import Path

from tests.integration.api_client import api_client, consent, fold, shown, write_catalogue

OFFERS = """\
offers:
  - {id: win-back, kind: sell, placements: [home_hero], promotes: {categories: [coffee]}, margin: 1.80 EUR,
     eligible_when: [{feature: churn.probability, above: 0.5}], content: {default: {title: Come back}}}
  - {id: for-regulars, kind: sell, placements: [home_hero], promotes: {categories: [wine]}, margin: 2.40 EUR,
     eligible_when: [{feature: purchase.probability_7d, above: 0.5}], content: {default: {title: See you soon}}}
"""


def test_an_offer_goes_to_those_who_are_likely_enough(redis_url: str, tmp_path: Path) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path / "catalogue", offers=OFFERS)) as client:
        often = [
            {
                "id": f"o-{day}", "type": "order_completed", "user_id": "u-1", "time": f"2026-03-{day:02d}T10:00:00Z",
                "data": {"order_id": f"o-{day}", "currency": "EUR", "total": "9.90", "products": []},
            }
            for day in range(1, 29)
        ]  # fmt: skip
        client.post("/v1/events", json=[*often, consent()])
        fold(redis_url)

        def offered(at: str) -> list[str]:
            body = {"user_id": "u-1", "placements": [{"name": "home_hero", "count": 2}], "at": at, "dry_run": True}
            return shown(client.post("/v1/decisions", json=body))

        soon, later = offered("2026-03-29T10:00:00Z"), offered("2026-09-29T10:00:00Z")

    assert soon == ["for-regulars"]
    assert later == ["win-back"]
