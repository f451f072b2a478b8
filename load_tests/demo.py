"""`regulars demo`: the whole system, fed with real baskets and simulated shoppers, in view.

Half a year of receipts is loaded in bulk; from then on each till asks for an offer before it takes the money. What the
offers were worth is counted from the data alone and compared with what the engine counted. The seconds decide how many
households take part and how far the year goes; they never decide whether it ends.
"""

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import orjson
from rich.console import Console

import config
from config.catalogue_files import Loaded, load_catalogue
from config.settings import ApiSettings
from engine.errors import RegularsError
from engine.moments import DAY, WEEK, localised, millis, moment
from flows.complete_journey import ZONE, CompleteJourney
from flows.door import NDJSON, Door, DoorClosed, DoorRefused
from flows.exposition import Samples, read_samples
from flows.replay import interruptible
from load_tests.demo_arms import windows_of
from load_tests.demo_board import Board, watched_of
from load_tests.demo_bulk import CATCH_UP_S, Bulk, wait_until_folded
from load_tests.demo_incident import Incidents
from load_tests.demo_keys import keyboard
from load_tests.demo_plan import DEFAULT_SECONDS, WEEKS_IN_BULK, Habit, Rates, in_turn, median_rate, plan, richest, shopper_names
from load_tests.demo_screen import OPEN, screen
from load_tests.demo_shop import DemoShop
from load_tests.demo_stage import Cast, Stage
from load_tests.demo_story import Story
from load_tests.demo_summary import Outcome, figures, print_summary, write_json
from load_tests.demo_system import System
from load_tests.shop_counter import ShopClock, ShopCounter
from load_tests.shop_members import members_of
from load_tests.shop_shelf import shelf_of
from load_tests.shoppers.driver import promotions_of
from load_tests.shoppers.truth import Truth
from load_tests.shoppers.world import Promotion, World

SEED: Final = 2017
CATALOGUE: Final = Path(config.__file__).parent / "catalogue_demo"
FIRST_DAY: Final = millis(localised(datetime(2017, 1, 1), ZoneInfo(ZONE)))  # noqa: DTZ001 (a till's wall clock)
YEAR_END: Final = FIRST_DAY + 365 * DAY + DAY
LOOK_EVERY_S: Final = 0.1
PLAIN_WIDTH: Final = 120
WATCH_EVERY_S: Final = 1.0
OVERRUN: Final = 1.5
BULK_SHARE: Final = 0.5
"""Of the speed at which the door checks receipts, what is left when they are also stored and folded."""
PAIR_SHARE: Final = 0.3
"""Of one till's speed with idle processes, what all tills together reach with all processes at work."""
_CHECKED, _ASKED = 120, 25


def main(
    *,
    seconds: float | None,
    json_file: Path | None,
    host: str,
    port: int,
    data: Path | None,
    shop_port: int = 0,
    stay: bool = False,
) -> int:
    """Runs it all and prints the summary. Ctrl-C ends it early, with the summary of what was done, and code 0.

    With `stay` the system and its web shop go on after the replay until Ctrl-C.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    with _folder(data) as folder, interruptible():
        demo = Demo(folder, seconds or DEFAULT_SECONDS, console, stay)
        try:
            demo.start(host, port, shop_port)
            demo.run()
        except KeyboardInterrupt:
            console.print("stopping", highlight=False)
        finally:
            demo.close()
        return demo.end(json_file)


class Demo:
    """One run, from the first process to the last figure."""

    def __init__(self, folder: Path, seconds: float, console: Console, stay: bool) -> None:
        self._seconds, self._console, self._stay = seconds, console, stay
        self._system = System(folder)
        self._board = Board()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="demo")
        self._before = Samples()
        self._killed = False
        self._outcome: Outcome | None = None
        self._ready = False
        self._shop: DemoShop | None = None

    def start(self, host: str, port: int, shop_port: int) -> None:
        """Brings the system up while the data is read, measures both, and casts the parts."""
        self._console.print("reading the receipts and starting Redis, engine, learner and API", highlight=False)
        reading = self._pool.submit(CompleteJourney)
        self._key = next(iter(ApiSettings().secret_keys), "")
        self._url = self._system.start(host, port, CATALOGUE)
        self._console.print(f"Regulars is ready at {self._url}", highlight=False)
        self._journey = reading.result()
        loaded = load_catalogue(CATALOGUE)
        self._door = Door(self._url, self._key, patience_s=20.0, stopping=self._stopping)
        self._open_page(loaded, shop_port)
        self._began_s = time.monotonic()
        self._switch_at = FIRST_DAY + WEEKS_IN_BULK * WEEK
        self._cast(loaded)
        self._ready = True

    def run(self) -> None:
        """Shows the board until the players are through."""
        watching = self._pool.submit(self._watch)
        acting = self._pool.submit(self._act)
        with keyboard() as keys, screen(self._board, self._truth, self._console) as view:
            while self._stay or not acting.done():
                for key in keys.pressed():
                    self._press(key)
                self._kill_half_way()
                if acting.done() and self._board.phase != OPEN:
                    acting.result()
                    self._board.phase = OPEN
                    self._board.note(f"the replay has ended; the shop stays open at {self._shop_url} until Ctrl-C or s")
                view.show()
                time.sleep(LOOK_EVERY_S)
            view.show()
        self._stopping.set()
        for part in (acting, watching):
            part.result()

    def _press(self, key: str) -> None:
        if key != "s":
            self._incidents.press(key)
            return
        self._stay = not self._stay
        self._board.note("the shop stays open when the replay has ended" if self._stay else "the demo ends with the replay")

    def close(self) -> None:
        """Stops the players and, when the last figures are read, the system. Nothing is left running."""
        self._stopping.set()
        if self._shop is not None:
            self._shop.stop()
        if self._ready:
            self._stage.stop()
            self._stage.close()
            self._incidents.close()
        self._pool.shutdown(cancel_futures=True)
        try:
            if self._ready and self._system.alive:
                self._outcome = self._last_look()
        finally:
            self._system.stop()

    def end(self, json_file: Path | None) -> int:
        """Prints the summary and writes the figures; nothing where it was stopped before anything happened."""
        if self._outcome is None:
            return 0
        print_summary(self._console, self._board, self._truth, self._outcome)
        told = figures(self._board, self._truth, self._outcome)
        if json_file is not None:
            write_json(json_file, told)
        return 0

    def _cast(self, loaded: Loaded) -> None:
        policy = loaded.policy
        promotions = promotions_of(CATALOGUE)
        offers = [(one.id, one.promotes.categories, one.attribution_window_days) for one in loaded.catalogue.offers]
        habits, late = self._habits(promotions)
        self._loaded, self._habit_of = loaded, habits
        aside, *order = in_turn(habits, policy, SEED)
        order = order[len(policy.experiment.variations) - 1 :]
        rates = self._measured()
        early = [habits[one].receipts for one in order]
        self._plan = plan(self._seconds, rates, [habits[one].receipts + late[one] for one in order], early)
        arms = len(policy.experiment.variations)
        chosen = order[: self._plan.households - self._plan.households % arms]
        self._parts = Cast(frozenset(chosen), richest(chosen, late, "learned", policy), aside)
        people = max(self._plan.shoppers // arms, 1)
        world = World(SEED, promotions, people * arms, twins=arms, names=shopper_names(people, policy))
        self._truth = Truth(world)
        story = Story(self._board, self._system.profile)
        self._stage = Stage(self._url, self._key, self._journey, world, windows_of(offers, DAY), self._parts, self._board, story)
        self._bulk = Bulk(self._url, self._key, self._journey, self._parts.households | {aside}, self._board)
        self._incidents = Incidents(self._url, self._key, self._system, self._stage, aside, self._board)
        self._board.note(
            f"this machine is taken for {rates.receipts:,.0f} receipts/s in bulk, {rates.pairs:,.0f} tills/s with offers"
        )
        self._board.note(
            f"{len(chosen):,} households in four matched arms, {people} simulated people once in each arm,"
            f" household {self._parts.followed} is followed"
        )

    def _habits(self, promotions: Sequence[Promotion]) -> tuple[dict[str, Habit], dict[str, int]]:
        """What each household did before the offers begin, and how many receipts it has after that."""
        promoted = {category for offer in promotions for category in offer.categories}
        seen: dict[str, Counter[str]] = {household: Counter() for household in self._journey.households}
        early, late = Counter[str](), Counter[str]()
        for receipt in self._journey.receipts:
            if receipt.at >= self._switch_at:
                late[receipt.household] += 1
                continue
            early[receipt.household] += 1
            seen[receipt.household].update(self._journey.categories(receipt) & promoted)
        habits = {
            household: Habit(early[household], max(counts.values(), default=0) / max(early[household], 1))
            for household, counts in seen.items()
        }
        return habits, late

    def _measured(self) -> Rates:
        """What this machine manages, from calls that write nothing."""
        receipts = [self._journey.basket(receipt) for receipt in self._journey.receipts[:_CHECKED]]
        lines = b"\n".join(orjson.dumps(event) for event in receipts)
        bulk = [self._door.post("/v1/events/check", lines, NDJSON).seconds for _ in range(3)]
        single = [self._door.post("/v1/events/check", orjson.dumps(event)).seconds for event in receipts[:_ASKED]]
        request = {"loyalty_id": "0", "channel": "pos", "placements": [{"name": "till"}], "dry_run": True}
        asked = [self._door.post("/v1/decisions", orjson.dumps(request)).seconds for _ in range(_ASKED)]
        pair_s = 1.0 / median_rate(asked) + 1.0 / median_rate(single)
        return Rates(receipts=BULK_SHARE * _CHECKED * median_rate(bulk), pairs=PAIR_SHARE / pair_s)

    def _act(self) -> None:
        """The whole play: bulk, then day after day. Being told to stop is a way to end it."""
        try:
            self._load()
            if self._stopping.is_set():
                return
            self._before = self._samples()
            self._replay_began_s = time.monotonic()
            self._ends_s = max(self._began_s + self._plan.load_s + self._plan.replay_s, self._replay_began_s + 1.0)
            self._board.phase = "replaying"
            self._stage.play(self._switch_at, YEAR_END, self._ends_s)
            self._board.phase = "closing"
        except DoorClosed:
            if not self._stopping.is_set():
                raise

    def _open_page(self, loaded: Loaded, port: int) -> None:
        """The web shop's page; its shelf is filled when the history is loaded."""
        clock = ShopClock(lambda: self._board.sim_at, lambda: self._board.phase in ("closing", OPEN))
        door = Door(self._url, self._key, patience_s=5.0, stopping=self._stopping)
        self._counter = ShopCounter(door, self._board, loaded.policy, clock)
        self._shop = DemoShop(self._counter, self._url)
        self._shop_url = self._shop.start(port)
        self._console.print(f"The web shop is at {self._shop_url} and opens when the history is loaded", highlight=False)

    def _open_shop(self) -> None:
        shelf = shelf_of(self._journey, self._loaded)
        taken = self._parts.households | {self._parts.aside}
        members = members_of(self._journey, shelf, self._habit_of, taken, self._switch_at, self._loaded.policy)
        self._counter.open(shelf, members)
        self._board.note(f"the web shop is open at {self._shop_url}")

    def _load(self) -> None:
        self._board.phase = "loading history"
        planned = self._switch_at
        hurry_s = self._began_s + OVERRUN * self._plan.load_s
        self._switch_at = self._bulk.load(planned, hurry_s, self._stopping)
        if self._switch_at < planned:
            self._board.note(f"loading took long: offers begin on {moment(self._switch_at):%Y-%m-%d} already")
        if not self._stopping.is_set():
            self._open_shop()
        wait_until_folded(self._samples, self._board.counts.accepted)

    def _kill_half_way(self) -> None:
        if self._board.phase != "replaying":
            return
        in_time = (time.monotonic() - self._replay_began_s) / max(self._ends_s - self._replay_began_s, 1e-3)
        in_year = (self._board.sim_at - self._switch_at) / (YEAR_END - self._switch_at)
        done = min(max(in_time, in_year), 1.0)
        self._board.progress = f" ({done:.0%})"
        if done > 0.5 and not self._killed:
            self._killed = True
            self._incidents.kill_engine("half-way")

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_EVERY_S):
            self._look()

    def _look(self) -> None:
        with suppress(RegularsError):
            self._board.watched = watched_of(self._samples(), self._before)
        self._board.count_arms()

    def _samples(self) -> Samples:
        door = Door(self._url, self._key, patience_s=5.0)
        try:
            return read_samples(door.get("/metrics").body.decode())
        except (DoorClosed, DoorRefused):
            return Samples()
        finally:
            door.close()

    def _last_look(self) -> Outcome:
        end = time.monotonic() + CATCH_UP_S
        totals = self._system.totals()
        while time.monotonic() < end:
            time.sleep(0.5)
            before, totals = totals, self._system.totals()
            if totals == before and not self._samples().total("regulars_stream_lag_events"):
                break
        self._look()
        return Outcome(
            plan=self._plan,
            bulk_baskets=self._bulk.baskets,
            replayed_to=f"{moment(self._board.sim_at):%Y-%m-%d}",
            seconds=self._board.seconds,
            recovery=self._incidents.recovery,
            totals=totals,
        )


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    """The folder named, which stays, or one of our own, which goes."""
    if data is not None:
        yield data
        return
    own = Path(tempfile.mkdtemp(prefix="regulars-"))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
