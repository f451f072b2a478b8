"""Households that nobody keeps data of, for `flows.offer_world`: the same truths on a small log, and offers that come later.

Run as a program it launches offers in the middle of a run and tells what the decisions after the launch bring beside the
best there is, by decisions and by showings of the new offers themselves: `python -m load_tests.offer_world`.
"""

from collections.abc import Iterator
from random import Random

import msgspec
import numpy as np
import orjson
from rich.progress import Progress

from engine.decisioning.policy import Arbitration
from engine.models.snapshot import Numbers
from engine.moments import DAY, HOUR, WEEK, rfc3339
from flows.evaluate_events import opened
from flows.evaluate_offers import Played, Player, learner, oracle
from flows.evaluate_terms import Terms
from flows.offer_world import Scene, World, scene_of
from flows.replay_source import Sendable

START = 1_704_067_200_000
"""The first of January 2024, a Monday."""

NEW_OFFERS = 3
NEW_EFFECTS = (0.8, 0.0, -0.5)
"""Logits by which new offers are better or worse than what they promote says."""


class Households:
    """A log of weekly receipts; everybody likes a few kinds of goods well and the others hardly.

    With `groups`, each household leads one of so many kinds of life; it tells which, and shares two of the goods that it likes.
    """

    def __init__(self, seed: int, households: int = 120, weeks: int = 40, categories: int = 20, groups: int = 0) -> None:
        chance = Random(seed)
        self.name = f"households-{seed}"
        names = [f"c{place:02}" for place in range(categories)]
        self._sent: list[Sendable] = []
        for number in range(households):
            group = number % groups if groups else -1
            shared = names[2 * group : 2 * group + 2] if groups else []
            own = chance.sample([name for name in names if name not in shared], 5 - len(shared))
            liked = dict(zip([*own[:1], *shared, *own[1:]], (0.75, 0.6, 0.45, 0.3, 0.2), strict=True))
            day = chance.randrange(7)
            for week in range(weeks):
                at = START + week * WEEK + day * DAY + chance.randrange(8, 20) * HOUR + chance.randrange(HOUR)
                bought = [name for name in names if chance.random() < liked.get(name, 0.03)]
                if week == 0:
                    self._sent.append(_sent(number, at, "consent_updated", {"purpose": "marketing", "status": "granted"}))
                    if groups:
                        self._sent.append(_sent(number, at, "customer_identified", {"extra": {"life": f"kind {group}"}}))
                if bought:
                    lines = [{"product_id": f"{name}-1", "category": name, "price": 200, "quantity": 1} for name in bought]
                    order = {"order_id": f"o-{number}-{week}", "currency": "EUR", "total": 200 * len(lines), "products": lines}
                    self._sent.append(_sent(number, at + 1, "order_completed", order))
        self._sent.sort(key=lambda one: one.at)
        self.total = len(self._sent)

    def events(self) -> Iterator[Sendable]:
        """Every event in order of time."""
        yield from self._sent


def _sent(number: int, at: int, kind: str, data: dict[str, object]) -> Sendable:
    event = {
        "type": kind,
        "id": f"{kind}-{number}-{at}",
        "source": "web://households",
        "time": rfc3339(at),
        "user_id": f"h-{number}",
        "data": data,
    }
    return Sendable(orjson.dumps(event), f"u:h-{number}", at)


def small_scene(seed: int, decisions: int, arms: int = 20, households: int = 120, groups: int = 0) -> Scene:
    """Moments of such households."""
    with Progress(disable=True) as progress:
        log = opened(Households(seed, households, groups=groups), Terms(since=START + 8 * WEEK), progress)
        return scene_of(log, seed, progress, decisions, arms)


class Launch(msgspec.Struct, frozen=True):
    """What a run with new offers brought after their launch, and what it showed of them until a moment."""

    played: Played
    best: Played
    shown: list[str]
    new: tuple[str, ...]
    at: int

    def share(self, first: int, after: int) -> float:
        """What the decisions from one to another after the launch brought, as a share of what was possible."""
        span = slice(self.at + first, self.at + after)
        return float(self.played.expected[span].sum() / self.best.expected[span].sum())

    def reached(self, impressions: int) -> int | None:
        """After how many decisions since the launch the new offers had been shown so often, all together; None if never."""
        counts = np.cumsum([name in self.new for name in self.shown[self.at :]])
        return int(np.searchsorted(counts, impressions)) + 1 if counts[-1] >= impressions else None

    def impressions(self, after: int) -> dict[str, int]:
        """How often each new offer was shown in so many decisions after the launch."""
        span = self.shown[self.at : self.at + after]
        return {name: span.count(name) for name in self.new}


def launched(scene: Scene, seed: int, at: int, arbitration: Arbitration | None = None) -> Launch:
    """A run in which the last offers begin after `at` decisions."""
    size = len(scene.categories)
    first = World(scene, seed)
    own: Numbers = first.own.copy()
    own[size - NEW_OFFERS :] = NEW_EFFECTS
    world = World(scene, seed, {size - NEW_OFFERS + place: at for place in range(NEW_OFFERS)}, own)
    player = Player(world, "learned", arbitration or Arbitration(), learner())
    with Progress(disable=True) as progress:
        played = player.play(progress, "learned")
    return Launch(played, oracle(world), player.shown, world.offers[size - NEW_OFFERS :], at)


def main() -> None:
    """Prints shares of the oracle's reward before and after the launch, for a few seeds."""
    for seed in range(3):
        scene = small_scene(seed, 5_000, households=200)
        launch = launched(scene, seed, 2_500)
        shares = {span: round(launch.share(*span), 4) for span in ((-1_000, 0), (0, 500), (500, 1_000), (1_000, 2_500))}
        lost = float(launch.played.lost.sum() / launch.played.best.sum())
        print(f"seed {seed}: share of the oracle {shares}; shown in 1,000: {launch.impressions(1_000)}; expected loss {lost:.4f}")
        for impressions in (50, 100, 200, 400):
            after = launch.reached(impressions)
            if after is not None and after < 2_400:
                share = launch.share(after, 2_500)
                print(f"  shown {impressions} times in all after {after} decisions; share of the oracle from then on {share:.4f}")
        most = float((launch.played.lost / launch.played.best).max())
        print(f"budget {Arbitration().loss_budget}; the most that one decision was expected to lose: {most:.4f}")


if __name__ == "__main__":
    main()
