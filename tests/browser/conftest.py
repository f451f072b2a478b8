"""A running system with keys, a shop's pages on another origin, and somebody who visits them."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest
from playwright.sync_api import Browser, BrowserContext, Request

from tests.browser.pages import Pages, serving
from tests.e2e.running import Up, up, wait_until
from tests.integration.api_client import write_catalogue

WEB_KEY, SECRET_KEY = "web-key-of-the-page", "secret-key-of-the-shop"
POLICY = """\
timezone: UTC
placements:
  home_hero: {channel: web, max: 3, shown_when: viewed}
  banner: {channel: web, max: 1, shown_when: viewed}
  hostile: {channel: web, max: 1, shown_when: viewed}
holdout: {share: 0.0, salt: none}
reservation_seconds: 1800
"""
OFFERS = """\
offers:
  - {id: coffee, kind: sell, placements: [home_hero, banner], promotes: {categories: [coffee]}, margin: 1.80 EUR,
     content: {default: {title: Coffee, text: "Ten percent off", url: /p/coffee, image_url: /coffee.png}}}
  - {id: wine, kind: sell, placements: [home_hero], promotes: {categories: [wine]}, margin: 2.40 EUR,
     content: {default: {title: Wine, url: /p/wine}}}
  - {id: hostile, kind: sell, placements: [hostile], promotes: {categories: [bread]}, margin: 0.90 EUR,
     content: {default: {title: "<img src=x onerror=window.hit=1><script>window.hit=1</script>",
       text: "<b>bold</b>", url: "javascript:window.hit=1", image_url: "data:image/svg+xml,<svg onload=window.hit=1>"}}}
"""


def settings_for(pages: Pages) -> dict[str, str]:
    """Keys, the origin of the pages, and time enough to decide beside a browser on a busy machine."""
    return {
        "REGULARS_WEB_KEYS": WEB_KEY,
        "REGULARS_SECRET_KEYS": SECRET_KEY,
        "REGULARS_CORS_ORIGINS": pages.origin,
        "REGULARS_DECISION_DEADLINE_MS": "5000",
    }


class Shop:
    """The shop's pages and what its servers may ask of Regulars."""

    def __init__(self, system: Up, pages: Pages) -> None:
        self.system, self.pages = system, pages
        pages.regulars = system.url

    def page(self, path: str, content: str, attributes: str = "") -> str:
        """Puts a page up; its address."""
        tag = f'<script src="{self.system.url}/v1/tag.js" data-regulars-key="{WEB_KEY}" {attributes} defer></script>'
        return self.pages.put(path, content, tag)

    def outcome(self, decision_id: str) -> dict[str, Any]:
        """What came of the first offer of a decision so far."""
        found = self._asked(f"/v1/decisions/{decision_id}")
        assert found.status_code == 200, found.text
        told: dict[str, Any] = found.json()["placements"][0]["offers"][0]["outcome"]
        return told

    def customer(self, anonymous_id: str) -> dict[str, Any]:
        """What is held of a visitor; nothing where they are unknown."""
        return self._held(f"/v1/customers?anonymous_id={anonymous_id}")

    def user(self, user_id: str) -> dict[str, Any]:
        """What is held of a customer; nothing where they are unknown."""
        return self._held(f"/v1/customers/{user_id}")

    def _held(self, path: str) -> dict[str, Any]:
        found = self._asked(path)
        told: dict[str, Any] = found.json() if found.status_code == 200 else {}
        return told

    def _asked(self, path: str) -> httpx.Response:
        return httpx.get(self.system.url + path, headers={"authorization": f"Bearer {SECRET_KEY}"}, timeout=20)


class Visit:
    """One browser with one page open, and every request it sends to Regulars after the tag itself."""

    def __init__(self, context: BrowserContext, regulars: str) -> None:
        self.context = context
        self.sent: list[Request] = []
        self._regulars = regulars
        context.on("request", self._note)
        self.page = context.new_page()

    def _note(self, request: Request) -> None:
        if request.url.startswith(self._regulars) and not request.url.endswith("/tag.js"):
            self.sent.append(request)

    def paths(self) -> list[str]:
        """Which doors were knocked at."""
        return [request.url.removeprefix(self._regulars).partition("?")[0] for request in self.sent]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """The events sent so far, each once, of one type or of all."""
        found: dict[str, dict[str, Any]] = {}
        for request in self.sent:
            if "/v1/events" in request.url and request.method == "POST":
                found |= {event["id"]: event for event in orjson.loads(request.post_data or "[]")}
        return [event for event in found.values() if kind in ("", event["type"])]

    def told(self, name: str) -> list[dict[str, Any]]:
        """The page's events of one name, in order."""
        heard: list[dict[str, Any]] = self.page.evaluate("() => window.told")
        return [each for each in heard if each["name"] == name]

    def grant(self, *purposes: str) -> None:
        """The visitor says yes; returns when Regulars knows."""
        self.page.evaluate("(purposes) => regulars.consent.grant(purposes)", list(purposes or ("marketing",)))

    def filled(self) -> dict[str, Any]:
        """The last slot that was filled, once one is."""
        self.page.wait_for_function("() => window.told.some((each) => each.name === 'filled')")
        return self.told("filled")[-1]

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Waits while the page goes on living."""

        def look() -> bool:
            self.page.wait_for_timeout(20)
            return true()

        wait_until(look, what=what)


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def shop(browser: Browser, pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:  # noqa: ARG001 (first)
    folder = tmp_path_factory.mktemp("web")
    catalogue = write_catalogue(folder / "catalogue", POLICY, OFFERS)
    with up(folder / "up", "--catalogue", str(catalogue), environment=settings_for(pages)) as system:
        yield Shop(system, pages)


@pytest.fixture
def visit(browser: Browser, shop: Shop) -> Iterator[Visit]:
    with browser.new_context() as context:
        yield Visit(context, shop.system.url)
