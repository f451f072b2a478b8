"""The web tag in a real browser, on a page of another origin under a strict Content-Security-Policy."""

import hmac

import pytest

from tests.browser.conftest import OFFERS, POLICY, SECRET_KEY, WEB_KEY, Shop, Visit, settings_for
from tests.e2e.running import up
from tests.integration.api_client import write_catalogue

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HERO = '<div data-regulars-placement="home_hero">Our own welcome</div>'
BELOW = f'<p id="top">Top</p>{"<p>.</p>" * 200}{HERO}'


def test_nothing_is_sent_or_kept_before_consent(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/quiet", f'{HERO}<button data-regulars-click="product_added">Add</button>'))
    visit.page.get_by_text("Add").click()
    visit.page.evaluate("() => { regulars.track('product_viewed', {product_id: 'p-1'}); return regulars.refresh() }")
    visit.page.evaluate("() => regulars.identify('u-1', 'hash')")
    visit.page.goto(shop.page("/elsewhere", "Another page"))

    assert visit.paths() == []
    assert visit.context.cookies() == []
    assert visit.page.evaluate("() => [localStorage.length, sessionStorage.length]") == [0, 0]


def test_a_slot_says_why_it_is_empty_and_keeps_what_the_page_put_there(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/empty", HERO))

    visit.page.wait_for_function("() => window.told.length >= 2")

    assert [(each["name"], each.get("reason")) for each in visit.told("empty")] == [("empty", "consent")]
    assert visit.page.inner_text("[data-regulars-placement]") == "Our own welcome"


def test_consent_fills_the_slot_and_the_page_under_its_policy_has_no_violation(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/hero", '<div data-regulars-placement="home_hero" data-regulars-count="2">Ours</div>'))

    visit.grant()
    filled = visit.filled()

    assert filled["reason"] == "ok"
    assert sorted(visit.page.locator("[data-regulars-offer] .regulars-title").all_inner_texts()) == ["Coffee", "Wine"]
    assert [event["type"] for event in visit.events()][:2] == ["consent_updated", "page_viewed"]
    assert visit.page.evaluate("() => window.violations") == []
    assert {request.headers.get("authorization") for request in visit.sent} == {None}
    assert [request.method for request in visit.sent if request.method == "OPTIONS"] == []
    assert "propensity" not in str(filled)


def test_an_offer_counts_as_seen_once_and_only_when_half_of_it_is_in_view(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/below", BELOW))
    visit.grant()
    filled = visit.filled()
    visit.page.evaluate("() => regulars.flush()")

    assert visit.events("offer_viewed") == []

    for _ in range(3):
        visit.page.locator("[data-regulars-offer]").scroll_into_view_if_needed()
        visit.page.wait_for_timeout(100)
        visit.page.locator("#top").scroll_into_view_if_needed()
        visit.page.wait_for_timeout(100)
    visit.until(lambda: bool(visit.events("offer_viewed")), "the view")
    visit.page.evaluate("() => regulars.flush()")

    seen = visit.events("offer_viewed")
    assert [(one["decision_id"], one["placement"]) for one in seen] == [(filled["decision_id"], "home_hero")]
    visit.until(lambda: bool(shop.outcome(filled["decision_id"])["shown"]), "the view in the decision")


def test_a_click_joins_the_decision(shop: Shop, visit: Visit) -> None:
    shop.page("/p/coffee", "Coffee")
    visit.page.goto(shop.page("/click", '<div data-regulars-placement="banner"></div>'))
    visit.grant()
    decision_id = visit.filled()["decision_id"]

    visit.page.locator("a.regulars-title").click()
    visit.page.wait_for_url("**/p/coffee")

    visit.until(lambda: bool(shop.outcome(decision_id)["clicked"]), "the click in the decision")
    assert shop.outcome(decision_id)["shown"]


def test_what_a_page_has_not_sent_when_it_closes_goes_out_by_beacon(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/leaving", HERO))
    visit.grant()
    visit.page.evaluate("() => regulars.flush()")
    name = visit.page.evaluate("() => regulars.anonymousId()")
    before = shop.customer(name)["features"]["engagement.views_7d"]
    visit.page.evaluate("() => { regulars.track('product_viewed', {product_id: 'p-9', category: 'wine'}) }")

    visit.page.close(run_before_unload=True)

    other = visit.context.new_page()
    visit.page = other
    visit.until(lambda: shop.customer(name)["features"]["engagement.views_7d"] > before, "the event of the closed page")
    assert visit.events("product_viewed") == []


def test_a_withdrawal_empties_the_slot_and_leaves_nothing_behind(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/withdrawn", HERO))
    visit.grant()
    visit.filled()
    name = visit.page.evaluate("() => regulars.anonymousId()")

    visit.page.evaluate("() => { regulars.track('product_viewed', {product_id: 'p-1'}); regulars.consent.revoke() }")

    assert visit.page.locator("[data-regulars-offer]").count() == 0
    assert visit.page.inner_text("[data-regulars-placement]") == "Our own welcome"
    visit.until(lambda: shop.customer(name)["consent"]["marketing"]["status"] == "revoked", "the withdrawal")
    visit.page.evaluate("() => regulars.flush()")
    assert visit.events("product_viewed") == []
    assert visit.page.evaluate("() => [localStorage.length, regulars.anonymousId()]") == [0, None]
    told = len(visit.sent)
    visit.page.evaluate("() => { regulars.track('page_viewed'); return regulars.page() }")
    assert len(visit.sent) == told


def test_consent_is_remembered_by_the_next_page_and_is_told_once(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/first", HERO))
    visit.grant()
    visit.filled()

    visit.page.goto(shop.page("/second", HERO))
    visit.filled()
    visit.grant()

    assert len(visit.events("consent_updated")) == 1
    assert len({event["anonymous_id"] for event in visit.events()}) == 1
    assert len({event["session_id"] for event in visit.events()}) == 1


def test_where_storage_is_forbidden_everything_lives_as_long_as_the_page(shop: Shop, visit: Visit) -> None:
    forbidden = "{get() { throw new DOMException('', 'SecurityError') }}"
    visit.page.add_init_script(f"Object.defineProperty(window, 'localStorage', {forbidden})")
    visit.page.goto(shop.page("/forbidden", HERO))
    visit.grant()
    visit.filled()
    visit.page.evaluate("() => { regulars.track('product_viewed', {product_id: 'p-1'}); return regulars.flush() }")

    assert {event["type"] for event in visit.events()} >= {"consent_updated", "page_viewed", "product_viewed"}
    assert len({(event["anonymous_id"], event["session_id"]) for event in visit.events()}) == 1


def test_a_withdrawal_in_one_tab_holds_in_the_other(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/tab", HERO))
    visit.grant()
    visit.filled()
    other = visit.context.new_page()
    other.goto(f"{shop.pages.origin}/tab")
    other.locator("[data-regulars-offer]").wait_for()

    visit.page.evaluate("() => regulars.consent.revoke()")

    other.locator("[data-regulars-offer]").wait_for(state="detached")


def test_a_script_of_an_allowed_page_reaches_the_web_doors_and_no_other(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/fetch", "A page with a client of its own"))
    ask = (
        "([url, body]) => fetch(url, {method: body ? 'POST' : 'GET', body,"
        " headers: {authorization: 'Bearer " + WEB_KEY + "', 'content-type': 'application/json'}})"
        ".then((answer) => answer.status, (error) => error.name)"
    )
    question = '{"anonymous_id": "a-1", "placements": [{"name": "home_hero"}]}'

    assert visit.page.evaluate(ask, [f"{shop.system.url}/v1/decisions", question]) == 200
    assert visit.page.evaluate(ask, [f"{shop.system.url}/v1/customers/u-1", None]) == "TypeError"


def test_what_an_offer_says_stays_text(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/hostile", '<div data-regulars-placement="hostile"></div>'))
    visit.grant()
    visit.filled()
    card = visit.page.locator("[data-regulars-offer=hostile]")

    assert "<script>window.hit=1</script>" in card.inner_text()
    assert card.locator("img, script, b, a").count() == 0
    assert visit.page.evaluate("() => window.hit") is None
    assert visit.page.evaluate("() => window.violations") == []


def test_a_template_of_the_page_is_filled_in(shop: Shop, visit: Visit) -> None:
    template = (
        '<template><a class="mine" data-regulars-field="url"><span data-regulars-field="title"></span></a>'
        '<em data-regulars-field="nothing_there"></em><button type="button" data-regulars-dismiss>No</button></template>'
    )
    visit.page.goto(shop.page("/template", f'<div data-regulars-placement="banner">{template}</div>'))
    visit.grant()
    visit.filled()

    assert visit.page.locator("a.mine").inner_text() == "Coffee"
    assert visit.page.locator("a.mine").get_attribute("href") == f"{shop.pages.origin}/p/coffee"
    assert visit.page.locator("[data-regulars-offer] em, .regulars-dismiss").count() == 0


def test_an_offer_works_by_keyboard_and_can_be_sent_away(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/keyboard", f"{HERO}<a href='/after'>After</a>"))
    visit.grant()
    filled = visit.filled()

    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("() => document.activeElement.className") == "regulars-title"
    visit.page.keyboard.press("Tab")
    label = visit.page.evaluate("() => document.activeElement.getAttribute('aria-label')")
    assert label == f"Not interested: {filled['offers'][0]['content']['title']}"
    visit.page.keyboard.press("Enter")

    assert [each["offer_id"] for each in visit.told("dismissed")] == [filled["offers"][0]["offer_id"]]
    assert visit.page.inner_text("[data-regulars-placement]") == "Our own welcome"
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("() => document.activeElement.textContent") == "After"
    visit.page.evaluate("() => regulars.flush()")
    assert [one["decision_id"] for one in visit.events("offer_dismissed")] == [filled["decision_id"]]


def test_products_are_told_by_attributes_alone(shop: Shop, visit: Visit) -> None:
    product = """{"product_id": "p-7", "category": "coffee", "price": "4.90", "currency": "EUR"}"""
    content = (
        f"<main data-regulars-data='{product}' data-regulars-view='product_viewed'><h1>Coffee</h1>"
        "<button data-regulars-click='product_added'>Into the cart</button></main>"
    )
    visit.page.goto(shop.page("/product", content))
    visit.grant()
    visit.page.get_by_text("Into the cart").click()
    visit.until(lambda: len(visit.events()) >= 4, "the events")

    told = {event["type"]: event["data"] for event in visit.events()}
    assert told["product_viewed"] == told["product_added"] == {
        "product_id": "p-7", "category": "coffee", "price": "4.90", "currency": "EUR",
    }  # fmt: skip
    visit.page.evaluate("() => regulars.flush()")
    assert visit.told("rejected") == []


def test_a_change_of_view_without_a_new_page_fills_new_slots(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/single", "<main></main>"))
    visit.grant()
    visit.page.evaluate(
        "() => { const slot = document.createElement('div'); slot.dataset.regularsPlacement = 'banner';"
        " document.querySelector('main').append(slot); history.pushState({}, '', '/single/2'); return regulars.page() }"
    )

    assert visit.page.locator("[data-regulars-offer=coffee]").count() == 1
    visit.page.evaluate("() => regulars.flush()")
    assert [event["context"]["page"]["path"] for event in visit.events("page_viewed")] == ["/single", "/single/2"]


def test_a_placement_nobody_declared_is_told_to_whoever_builds_the_page(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/typo", '<div data-regulars-placement="home_heroe">Ours</div>'))
    visit.grant()

    empty = visit.told("empty")[-1]
    assert (empty["reason"], "home_hero" in empty["hint"]) == ("refused", True)
    assert visit.page.inner_text("[data-regulars-placement]") == "Ours"


def test_after_a_log_in_the_visitor_and_the_customer_are_one_and_after_the_log_out_two(shop: Shop, visit: Visit) -> None:
    signed = hmac.new(SECRET_KEY.encode(), b"u-7", "sha256").hexdigest()
    visit.page.goto(shop.page("/login", HERO))
    visit.grant()
    visit.filled()
    name = visit.page.evaluate("() => regulars.anonymousId()")

    visit.page.evaluate("(hash) => regulars.identify('u-7', hash)", signed)

    visit.until(lambda: name in shop.user("u-7").get("identities", {}).get("anonymous", []), "the visitor in the customer")
    assert shop.user("u-7")["consent"]["marketing"]["status"] == "granted"
    assert visit.told("rejected") == []
    said = visit.events("consent_updated")
    assert [event.get("user_id") for event in said] == [None, "u-7"]
    assert len({event["time"] for event in said}) == 1

    visit.page.evaluate("() => regulars.reset()")
    assert visit.page.locator("[data-regulars-offer]").count() == 0
    assert visit.page.evaluate("() => localStorage.length") == 0
    visit.grant()
    visit.page.evaluate("() => regulars.flush()")
    after = visit.events()[-1]
    assert (after.get("user_id"), after["anonymous_id"] != name) == (None, True)


def test_a_forged_customer_changes_nothing(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page("/forged", HERO))
    visit.grant()
    visit.filled()

    visit.page.evaluate("() => regulars.identify('u-8', 'forged')")

    visit.until(lambda: bool(visit.told("rejected")), "the refusal")
    assert {each["code"] for each in visit.told("rejected")[-1]["rejected"]} == {"key.user_hash"}
    assert visit.page.locator("[data-regulars-offer]").count() == 0
    assert shop.user("u-8") == {}


def test_what_happened_while_the_server_was_away_arrives_later_and_counts_once(
    shop: Shop, visit: Visit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("away")
    options = ("--catalogue", str(write_catalogue(folder / "catalogue", POLICY, OFFERS)))
    with up(folder / "up", *options, environment=settings_for(shop.pages)) as first:
        away = Shop(first, shop.pages)
        port = first.url.rpartition(":")[2]
        visit.page.goto(away.page("/away", HERO))
        visit.grant()
        visit.filled()
        name = visit.page.evaluate("() => regulars.anonymousId()")
        visit.page.evaluate("() => regulars.flush()")
        first.stop()

    visit.page.evaluate("() => { for (const id of ['p-1', 'p-2', 'p-3']) regulars.track('product_added', {product_id: id}) }")
    visit.page.evaluate("() => regulars.flush()")
    visit.page.reload()
    visit.until(lambda: bool(visit.told("empty")), "the page without the server")

    with up(folder / "up", *options, "--port", port, environment=settings_for(shop.pages)):
        visit.until(lambda: away.customer(name).get("features", {}).get("engagement.cart_items") == 3.0, "all three products")
        visit.page.evaluate("() => regulars.flush()")
        visit.page.locator("[data-regulars-offer]").wait_for()
        assert away.customer(name)["features"]["engagement.cart_items"] == 3.0
