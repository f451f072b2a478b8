"""Everything that the dashboard and the alerts ask for is in a live exposition, after a day in the life of a system."""

import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.running import Up, up, wait_until
from tests.house.test_observability import alerts, expressions, named

BEGAN = datetime(2025, 1, 6, 10, tzinfo=UTC)
CUSTOMERS = 120
WEEKS = 16


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up"), "--api-workers", "2") as system:
        yield system


def history() -> list[dict[str, Any]]:
    """Weekly purchases; every other customer leaves after six weeks, so that labels of both kinds mature."""
    return [
        {
            "type": "order_completed", "id": f"{user}-{week}", "user_id": f"u{user}",
            "time": (BEGAN + timedelta(weeks=week, minutes=user)).isoformat(),
            "data": {"order_id": f"{user}-{week}", "currency": "EUR", "total": 1000 + user},
        }
        for week in range(WEEKS)
        for user in range(CUSTOMERS)
        if user % 2 or week < 6
    ]  # fmt: skip


def scrape(system: Up) -> str:
    return httpx.get(f"{system.url}/metrics", timeout=10).text


def value(text: str, name: str) -> float:
    """The sum over all lines of one metric."""
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}(\{{|\s)", line))


def test_what_dashboard_and_alerts_ask_for_is_in_a_live_exposition(busy: Up) -> None:
    headers = {"regulars-mode": "backfill"}
    assert httpx.post(f"{busy.url}/v1/events", json=history(), headers=headers, timeout=30).status_code == 202
    assert httpx.post(f"{busy.url}/v1/events", json={"type": "order_completed", "user_id": "u"}).json()["rejected"]
    wait_until(lambda: "regulars_model_auc{" in scrape(busy), what="labels of both kinds to mature and be learned")
    wait_until(lambda: "regulars_loyalty_customers{" in scrape(busy), what="the tiers of the programme")

    redis = busy.pid_of("redis")
    os.kill(redis, signal.SIGSTOP)
    try:
        degraded = httpx.get(f"{busy.url}/v1/offers?user_id=u1&placement=home_hero", timeout=10).json()["degraded"]
    finally:
        os.kill(redis, signal.SIGCONT)
    wait_until(lambda: httpx.get(f"{busy.url}/readyz", timeout=10).status_code == 200)
    decision = {"user_id": "u1", "placements": [{"name": "till"}], "exclude": ["fallback-till"]}
    assert httpx.post(f"{busy.url}/v1/decisions", json=decision).json()["placements"][0]["offers"] == []

    shown = set(re.findall(r"^# TYPE (\w+)", scrape(busy), re.MULTILINE))
    asked = named("\n".join((*expressions(), *(rule["expr"] for rule in alerts()))))
    assert degraded
    assert asked - shown == set()


def test_no_family_is_exposed_twice(busy: Up) -> None:
    families = re.findall(r"^# TYPE (\w+)", scrape(busy), re.MULTILINE)

    assert sorted(families) == sorted(set(families))


def test_both_api_processes_show_the_same_counts(busy: Up) -> None:
    user = {"type": "page_viewed", "id": "p", "user_id": "counted", "time": BEGAN.isoformat()}
    assert httpx.post(f"{busy.url}/v1/events", json=user).status_code == 202

    counts = {value(scrape(busy), "regulars_events_accepted_total") for _ in range(8)}

    assert len(counts) == 1
    assert counts.pop() >= len(history())


def test_a_dead_process_leaves_its_counts_and_takes_its_gauges_along(busy: Up) -> None:
    user = {"type": "page_viewed", "id": "gauge", "user_id": "gauged", "time": BEGAN.isoformat()}
    assert httpx.post(f"{busy.url}/v1/events", json=user).status_code == 202
    # The engine measures once a second.
    time.sleep(2.0)
    before, customers = (value(scrape(busy), name) for name in ("regulars_events_committed_total", "regulars_customers"))
    first = busy.pid_of("engine-0")

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: busy.children()["engine-0"].pid not in (None, first), what="a new engine")
    wait_until(lambda: value(scrape(busy), "regulars_customers") == customers, what="the same number of customers")

    assert value(scrape(busy), "regulars_events_committed_total") == before
