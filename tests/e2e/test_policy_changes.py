"""A policy that is changed while the system runs reaches the engine, whose processes go on without a restart."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from engine.moments import HOUR, rfc3339
from engine.shards.judging import JUDGING
from engine.store import keys
from tests.e2e.running import up, wait_until
from tests.integration.api_client import OFFERS, POLICY, write_catalogue

pytestmark = pytest.mark.slow


def test_a_shorter_time_to_answer_complaints_holds_in_the_engine_without_a_restart(short_path: Path) -> None:
    folder = write_catalogue(short_path / "catalogue", POLICY + "service: {sla_hours: {complaint: 48}}\n", OFFERS)
    with up(short_path / "data", "--catalogue", str(folder), environment={"REGULARS_SHARDS": "4"}) as system:
        redis: Any = Redis(unix_socket_path=str(short_path / "data/redis/redis.sock"))
        engine = system.pid_of("engine-0")

        def versions() -> set[bytes | None]:
            return {redis.hget(keys.references(shard), JUDGING) for shard in range(4)}

        def file(user: str) -> None:
            now = redis.time()[0] * 1000
            data = {"complaint_id": f"k-{user}", "reason": "damaged"}
            filed = {"type": "complaint_filed", "id": f"c-{user}", "user_id": user, "time": rfc3339(now - 3 * HOUR), "data": data}
            looked = {"type": "page_viewed", "id": f"p-{user}", "user_id": user, "time": rfc3339(now)}
            assert httpx.post(f"{system.url}/v1/events", json=[filed, looked]).json()["accepted"] == 2

        def told_past_due(user: str) -> bool:
            timeline = httpx.get(f"{system.url}/v1/customers/{user}/timeline").json()
            return "case_past_due" in str(timeline)

        wait_until(lambda: None not in versions(), what="the rules of the start")
        before = versions()
        file("u-1")
        wait_until(lambda: "complaint_filed" in httpx.get(f"{system.url}/v1/customers/u-1/timeline").text, what="the complaint")

        write_catalogue(folder, POLICY + "service: {sla_hours: {complaint: 1}}\n", OFFERS)
        wait_until(lambda: not versions() & before, within_s=30, what="the rules of the changed policy in every shard")
        file("u-2")

        wait_until(lambda: told_past_due("u-2"), what="the complaint past due")
        assert not told_past_due("u-1")
        assert system.pid_of("engine-0") == engine
