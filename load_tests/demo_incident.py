"""What happens to the system in view: the engine is killed and comes back, a customer complains or revokes consent."""

import threading
import time
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
from msgspec import Struct

from engine.errors import RegularsError
from engine.moments import rfc3339
from flows.door import Door
from flows.exposition import read_samples
from load_tests.demo_board import Board
from load_tests.demo_stage import Stage
from load_tests.demo_system import System

ENGINE: Final = "engine-0"
COMMITTED: Final = "regulars_events_committed_total"
_WATCH_S: Final = 20.0

Key = Literal["c", "r", "k"]


class Recovery(Struct, frozen=True):
    """A kill: the process that died, seconds until its successor ran and until that one's first commit (0: not seen),
    and what the decisions did in between."""

    pid: int = 0
    back_s: float = 0.0
    commit_s: float = 0.0
    decisions: int = 0
    degraded: int = 0
    slowest_ms: float = 0.0


class Incidents:
    """Makes them happen. `aside` is the household that the keys act on: it shops, but is in no arm."""

    def __init__(self, url: str, key: str, system: System, stage: Stage, aside: str, board: Board) -> None:
        self._system, self._stage, self._aside, self._board = system, stage, aside, board
        self._stopping = threading.Event()
        self._door = Door(url, key, patience_s=20.0, stopping=self._stopping)
        self._watch_door = Door(url, key, patience_s=20.0, stopping=self._stopping)
        self._watcher: threading.Thread | None = None
        self._asked = 0
        self._complained = self._revoked = False
        self.recovery = Recovery()

    def press(self, key: str) -> None:
        """What a key does; others do nothing. Told in the notes, with what the next decision did."""
        match key:
            case "c":
                self._complain()
            case "r":
                self._revoke()
            case "k":
                self.kill_engine("by key")
                self._next_decision("engine killed", time.monotonic())

    def kill_engine(self, why: str) -> None:
        """SIGKILL for the engine; a thread watches how it comes back. One at a time."""
        if self._watcher is not None and self._watcher.is_alive():
            return
        committed = self._committed()
        killed_s = time.monotonic()
        pid = self._system.kill(ENGINE)
        if not pid:
            self._board.note("the engine is not running just now")
            return
        self._board.note(f"{why}: engine process {pid} killed (SIGKILL)")
        self._watcher = threading.Thread(target=self._watch, args=(pid, killed_s, committed), name="watcher", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stops watching."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join(5.0)
        self._door.close()
        self._watch_door.close()

    def _watch(self, pid: int, killed_s: float, committed: float) -> None:
        back_s = commit_s = 0.0
        while not self._stopping.wait(0.05) and time.monotonic() - killed_s < _WATCH_S and not commit_s:
            if not back_s:
                now = self._system.children().get(ENGINE)
                if now is not None and now.pid not in (None, pid):
                    back_s = time.monotonic() - killed_s
            elif self._committed() > committed:
                commit_s = time.monotonic() - killed_s
        meanwhile = [one for one in self._board.answers(killed_s) if not commit_s or one.at_s <= killed_s + commit_s]
        self.recovery = Recovery(
            pid, back_s, commit_s, len(meanwhile), sum(one.degraded for one in meanwhile),
            max((one.ms for one in meanwhile), default=0.0),
        )  # fmt: skip
        self._board.note(recovery_words(self.recovery))

    def _committed(self) -> float:
        try:
            return read_samples(self._watch_door.get("/metrics").body.decode()).total(COMMITTED)
        except RegularsError:
            return 0.0

    def _complain(self) -> None:
        self._complained = not self._complained
        kind = "complaint_filed" if self._complained else "complaint_resolved"
        self._tell(kind, {"complaint_id": "demo"}, "complaint filed" if self._complained else "complaint resolved")

    def _revoke(self) -> None:
        self._revoked = not self._revoked
        status = "revoked" if self._revoked else "granted"
        self._tell("consent_updated", {"purpose": "marketing", "status": status}, f"consent {status}")

    def _tell(self, kind: str, data: dict[str, Any], words: str) -> None:
        self._asked += 1
        event = {
            "type": kind,
            "id": f"demo-key-{self._asked}-{datetime.now(UTC):%H%M%S%f}",
            "source": "app://demo",
            "time": rfc3339(self._board.sim_at),
            "loyalty_id": self._aside,
            "data": data,
        }
        try:
            self._door.post("/v1/events", orjson.dumps(event))
        except RegularsError as error:
            self._board.note(f"{words}: {error}")
            return
        self._next_decision(words, time.monotonic())

    def _next_decision(self, words: str, since_s: float) -> None:
        self._asked += 1
        name = f"demo-key-{self._asked}-{datetime.now(UTC):%H%M%S%f}"
        try:
            answered = self._stage.ask(self._door, self._aside, self._board.sim_at, name)
        except RegularsError as error:
            self._board.note(f"{words}; no decision: {error}")
            return
        what = f"offer {answered.shown.offer_id}" if answered.shown else "nothing"
        if answered.reason != "ok":
            what = f"no personal offer ({answered.reason}), {what} instead"
        missing = f", degraded: {', '.join(answered.degraded)}" if answered.degraded else ""
        waited = 1000.0 * (time.monotonic() - since_s)
        self._board.note(f"{words} (household {self._aside}); the next decision, {waited:.0f} ms later: {what}{missing}")


def recovery_words(recovery: Recovery) -> str:
    """A recovery in a sentence."""
    back = f"running again after {recovery.back_s:.1f} s" if recovery.back_s else "not seen again yet"
    commit = f", first commit after {recovery.commit_s:.1f} s" if recovery.commit_s else ""
    return (
        f"engine {back}{commit}; meanwhile {recovery.decisions} decisions were answered,"
        f" {recovery.degraded} of them degraded, the slowest in {recovery.slowest_ms:.0f} ms"
    )
