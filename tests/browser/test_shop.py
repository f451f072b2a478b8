"""The demo's shop as somebody visits it: what they do changes what they are offered, and the page says why."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from flows.supervise import regulars_command
from load_tests.demo_screen import OPEN

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPEN_WITHIN_S = 120.0
PATIENCE_MS = 20_000
HERO = "[data-regulars-placement=home_hero] [data-regulars-offer]"


class Demo:
    """`regulars demo` that stays. `shop` is its page, once the replay is over and no engine is killed any more."""

    def __init__(self, folder: Path) -> None:
        self.figures = folder / "figures.json"
        options = ("--port", "0", "--seconds", "15", "--stay", "--data", str(folder / "data"), "--json", str(self.figures))
        self.log = folder / "demo.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                regulars_command("demo", *options), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        self.shop = self._opened()

    def _opened(self) -> str:
        end = time.monotonic() + OPEN_WITHIN_S
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"The web shop is at (http://\S+)", self.log.read_text())
            if found and httpx.get(f"{found[1]}/state.json", timeout=20).json()["phase"] == OPEN:
                return found[1]
            time.sleep(0.2)
        raise AssertionError(self.log.read_text())

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


@pytest.fixture(scope="module")
def demo(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:  # noqa: ARG001 (no demo without one)
    running = Demo(tmp_path_factory.mktemp("shop"))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    wrong: list[str] = []
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(demo.shop)
        page.locator("#goods .good").first.wait_for()
        yield page
    assert wrong == []


def titles(page: Page) -> list[str]:
    return page.locator(f"{HERO} .regulars-title").all_inner_texts()


def test_browsing_buying_and_complaining_change_the_offers(page: Page) -> None:
    page.get_by_role("button", name="Yes, choose for me").click()
    page.locator(HERO).first.wait_for()
    assert not any(title.startswith("Pasta") for title in titles(page))

    page.get_by_role("button", name="All aisles").click()
    page.get_by_role("link", name="Pasta", exact=True).click()
    for button in page.get_by_role("button", name=re.compile("^Add .* to the cart$")).all():
        button.click()
    expect(page.locator("#sent")).to_contain_text("product_added Spaghetti", timeout=PATIENCE_MS)
    expect(page.locator("#sent")).to_contain_text("product_list_viewed DRY NOODLES/PASTA", timeout=PATIENCE_MS)
    expect(page.locator("#cart-count")).to_have_text("3")

    page.get_by_role("button", name="Buy").click()
    expect(page.locator("#said")).to_contain_text("paid", timeout=PATIENCE_MS)
    expect(page.locator(f"{HERO} .regulars-title").first).to_have_text("Pasta, 10 percent off", timeout=PATIENCE_MS)
    expect(page.locator("#reasons li").first).to_contain_text("Pasta, 10 percent off", timeout=PATIENCE_MS)
    expect(page.locator("#facts")).to_contain_text("once", timeout=PATIENCE_MS)
    expect(page.locator("#lines")).to_contain_text("Nothing yet")

    page.get_by_role("button", name="Something was wrong").click()
    expect(page.get_by_text("We are sorry, and we are on it")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#facts")).to_contain_text("complaint_open", timeout=PATIENCE_MS)
    assert not any("percent off" in title for title in titles(page))

    page.get_by_role("button", name="It is settled").click()
    expect(page.locator(f"{HERO} .regulars-title", has_text="percent off").first).to_be_visible(timeout=PATIENCE_MS)


def test_withdrawn_consent_takes_the_offers_away_and_given_again_brings_them_back(page: Page) -> None:
    page.get_by_role("button", name="Yes, choose for me").click()
    page.locator(HERO).first.wait_for()

    page.get_by_role("button", name="Stop choosing for me").click()
    expect(page.locator(HERO)).to_have_count(0)
    expect(page.locator("#facts")).to_contain_text("asks and tells nothing", timeout=PATIENCE_MS)
    assert page.evaluate("() => localStorage.length") == 0

    page.get_by_role("button", name="Choose offers for me").click()
    expect(page.locator(HERO).first).to_be_visible(timeout=PATIENCE_MS)


def test_a_household_that_logs_in_is_met_with_its_own_history(page: Page) -> None:
    page.get_by_role("button", name="Yes, choose for me").click()
    page.locator(HERO).first.wait_for()

    page.select_option("#account", index=1)

    expect(page.locator("#facts")).to_contain_text("Household", timeout=PATIENCE_MS)
    expect(page.locator("#facts")).to_contain_text(re.compile(r"Bought\s*\d\d+ times"), timeout=PATIENCE_MS)
    page.select_option("#account", index=0)
    expect(page.locator("#facts")).to_contain_text("visitor", timeout=PATIENCE_MS)


def test_the_shop_answers_its_own_pages_only(demo: Demo) -> None:
    evil = {"origin": "https://evil.example"}
    order = {"lines": [{"product_id": "1", "quantity": 1}], "anonymous_id": "a-1"}
    forged = [{"id": "x", "type": "order_completed", "time": "2026-01-01T00:00:00Z", "anonymous_id": "a-1"}]

    assert httpx.get(demo.shop, headers={"host": "elsewhere.example"}, timeout=20).status_code == 403
    assert httpx.post(f"{demo.shop}/orders", json=order, headers=evil, timeout=20).status_code == 403
    assert httpx.post(f"{demo.shop}/v1/events", json=forged, timeout=20).status_code == 422
    assert httpx.post(f"{demo.shop}/why", json={"user_id": "somebody"}, timeout=20).status_code == 422
    assert httpx.post(f"{demo.shop}/orders", json=order, timeout=20).status_code == 422


def test_the_demo_ends_with_spend_that_agrees_to_the_cent(demo: Demo) -> None:
    code = demo.stop()

    told = orjson.loads(demo.figures.read_bytes())
    assert code == 0
    assert told["spend"]["difference_minor"] == 0
    assert told["spend"]["shop_orders"] == 1
    assert (told["events"]["rejected"], told["events"]["dead_letters"]) == (0, 0)
