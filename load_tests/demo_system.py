"""The whole system as a child of the demo: started as a user would, killed in parts, stopped with SIGTERM."""

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import RegularsError, StoreUnavailable
from engine.ids import SHARDS, shard_of
from engine.profiles.profile import Profile
from engine.shards.commit import Needs, Totals
from engine.store.embedded import bound_to_parent
from engine.store.redis_writer import RedisStore
from flows.children import ChildrenReport, ChildReport
from flows.supervise import regulars_command

READY_WITHIN_S: Final = 90.0
STOP_WITHIN_S: Final = 30.0
_LOG: Final = "up.log"
_NOT_INHERITED: Final = frozenset({"REGULARS_REDIS_URL", "REGULARS_SHARDS"})
"""What an operator has set for a real system: a demo fills no store but its own."""


class NotStarted(RegularsError):
    """The system did not come up; the message has its last words."""


class FolderUsed(RegularsError):
    """The folder holds an earlier run, which would mix with this one's figures."""


class System:
    """`regulars up` in a folder. Not started until `start`."""

    def __init__(self, folder: Path) -> None:
        if (folder / "redis").exists():
            raise FolderUsed(f"{folder} holds an earlier run: name a new folder with --data, or none for a temporary one")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._store: RedisStore | None = None

    def start(self, host: str, port: int, catalogue: Path) -> str:
        """Starts everything and answers the address when all is ready. Raises `NotStarted`.

        To be called from a thread that lives as long as the process: the child ends with it.
        """
        command = regulars_command(
            "up", "--data", str(self.folder), "--host", host, "--port", str(port), "--catalogue", str(catalogue)
        )
        with (self.folder / _LOG).open("ab") as log:
            self._process = subprocess.Popen(
                bound_to_parent(command),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={name: value for name, value in os.environ.items() if name not in _NOT_INHERITED},
                start_new_session=True,
            )
        line = self._first_line(self._process)
        address = next((word for word in line.split() if word.startswith("http://")), "")
        if not address:
            self.stop()
            raise NotStarted(f"the system did not come up: {self.last_words()}")
        return address

    def children(self) -> dict[str, ChildReport]:
        """What the supervisor says of its children; nothing while it writes no report."""
        return {child.name: child for child in self._report().children}

    def kill(self, name: str) -> int:
        """SIGKILL for a child; its process id, or 0 where it is not running."""
        pid = self.children().get(name, ChildReport()).pid
        if not pid:
            return 0
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    @property
    def alive(self) -> bool:
        """Whether the supervisor runs."""
        return self._process is not None and self._process.poll() is None

    def totals(self) -> Totals:
        """The exact counts of all shards, as their commits left them in the store."""
        store = RedisStore(self._report().redis_url)
        counts = [store.open(shard).record.totals for shard in range(SHARDS)]
        store.client.close()
        spend: dict[str, int] = {}
        for one in counts:
            for currency, amount in one.spend.items():
                spend[currency] = spend.get(currency, 0) + amount
        return Totals(
            events=sum(one.events for one in counts),
            duplicates=sum(one.duplicates for one in counts),
            rejected=sum(one.rejected for one in counts),
            late=sum(one.late for one in counts),
            customers=sum(one.customers for one in counts),
            purchases=sum(one.purchases for one in counts),
            spend=spend,
            offers_decided=sum(one.offers_decided for one in counts),
            offers_shown=sum(one.offers_shown for one in counts),
            offers_clicked=sum(one.offers_clicked for one in counts),
            offers_redeemed=sum(one.offers_redeemed for one in counts),
            labels=sum(one.labels for one in counts),
        )

    def profile(self, household: str) -> Profile | None:
        """A household's profile as its last commit left it; None where it cannot be had just now."""
        key = f"l:{household}"
        try:
            if self._store is None:
                self._store = RedisStore(self._report().redis_url)
            found = self._store.load([Needs(shard=shard_of(key, SHARDS), profiles=(key,))])
        except (StoreUnavailable, ValueError):
            return None
        return found[0].profiles.get(key)

    def stop(self) -> None:
        """SIGTERM, and harder when that takes too long. Repeating it does nothing."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if self._store is not None:
            self._store.client.close()
        self._process = self._store = None

    def last_words(self) -> str:
        """The end of its log."""
        try:
            lines = (self.folder / _LOG).read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return " / ".join(lines[-3:])[-800:] or "it said nothing"

    def _report(self) -> ChildrenReport:
        try:
            return msgspec.json.decode((self.folder / "children.json").read_bytes(), type=ChildrenReport)
        except (OSError, msgspec.MsgspecError):
            return ChildrenReport()

    def _first_line(self, process: "subprocess.Popen[str]") -> str:
        end = time.monotonic() + READY_WITHIN_S
        while process.stdout is not None and time.monotonic() < end:
            readable, _, _ = select.select([process.stdout], [], [], 0.2)
            if readable:
                return process.stdout.readline()
            if process.poll() is not None:
                break
        return ""
