"""Customers who change their minds, and a judge who remembers nothing but the order of their words.

The judge is written apart from the product: an offer that needs consent may be made on a channel only where the last word that
covers the channel, in the order in which words were acknowledged, is a grant. Words arrive with clocks that are wrong by up to an
hour, under any identity of the customer, as statements, unsubscriptions and withdrawals through preferences.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from engine.moments import DAY, HOUR, MINUTE, rfc3339

PURPOSE = {"web": "onsite", "pos": "onsite", "app": "onsite", "kiosk": "onsite", "email": "email", "sms": "sms", "push": "push"}
CHANNELS = ("web", "pos", "email", "sms", "push")
PLACEMENTS = {"home_hero": "web", "till": "pos", "mail": "email", "text": "sms", "note": "push"}
SHOPPERS = 6


class Shop(Protocol):
    """A product that takes events and answers decisions."""

    def accept(self, body: dict[str, Any], now: int) -> None:
        """Returns when the event is acknowledged."""
        ...

    def offers(self, who: dict[str, str], placement: str, now: int) -> list[str]:
        """Kinds of the offers that somebody gets."""
        ...

    def fold(self, passed_on: bool = True) -> None:
        """Lets the engine catch up; or only so far that what one shard has for another stays where it is."""
        ...


class Word:
    """A statement as the judge remembers it."""

    def __init__(self, granted: bool, purpose: str, channels: Sequence[str]) -> None:
        self.granted, self._purpose, self._channels = granted, purpose, channels

    def covers(self, channel: str) -> bool:
        about = self._purpose == "marketing" or self._purpose == PURPOSE[channel]
        return about and (not self._channels or channel in self._channels)


class Shopper:
    """One customer; the browser is theirs from the first login on."""

    def __init__(self, number: int) -> None:
        self.user, self.browser = {"user_id": f"u-{number}"}, {"anonymous_id": f"a-{number}"}
        self.logged_in = False
        self.words: list[Word] = []
        self.unwanted: set[str] = set()

    def may(self, channel: str) -> bool:
        """Whether an offer can be lawful at all."""
        heard = [word for word in self.words if word.covers(channel)]
        return bool(heard) and heard[-1].granted and channel not in self.unwanted

    def name(self, chance: random.Random) -> dict[str, str]:
        return chance.choice([self.user, self.browser]) if self.logged_in else self.user


class World:
    """Runs operations against a shop, and counts offers that were made although they were not allowed.

    Time passes by itself, or is that of a `clock`.
    """

    def __init__(self, shop: Shop, seed: int, now: int, clock: Callable[[], int] | None = None) -> None:
        self._shop, self._chance, self._now, self._serial = shop, random.Random(seed), now, 0
        self._clock = clock
        self._shoppers = [Shopper(number) for number in range(SHOPPERS)]
        self.decisions = self.offers = self.refusals = 0
        self.unlawful: list[str] = []

    def run(self, operations: int) -> None:
        for _ in range(operations):
            pause = self._chance.choice([1, 50, 2_000, MINUTE, HOUR])
            self._now = self._clock() if self._clock is not None else self._now + pause
            draw, shopper = self._chance.random(), self._chance.choice(self._shoppers)
            if draw < 0.40:
                self._decide(shopper)
            elif draw < 0.62:
                self._say(shopper, "granted")
            elif draw < 0.78:
                self._say(shopper, self._chance.choice(["denied", "revoked"]))
            elif draw < 0.83:
                self._unsubscribe(shopper)
            elif draw < 0.86:
                self._wish(shopper)
            elif draw < 0.90:
                self._accept(shopper, "product_viewed", {"product_id": "p-1", "category": "coffee"})
            elif draw < 0.93:
                self._log_in(shopper)
            else:
                self._shop.fold(passed_on=self._chance.random() < 0.5)

    def _say(self, shopper: Shopper, status: str) -> None:
        purpose = self._chance.choice(["marketing", "marketing", "onsite", "email", "sms", "push", "profiling"])
        channels = self._chance.choice([(), (), self._some_channels()])
        data: dict[str, Any] = {"purpose": purpose, "status": status, "channels": channels}
        if status == "granted" and self._chance.random() < 0.1:
            data["expires_at"] = rfc3339(self._now + self._chance.choice([MINUTE, DAY]))
        shopper.words.append(Word(status == "granted", purpose, channels))
        self._accept(shopper, "consent_updated", data)

    def _unsubscribe(self, shopper: Shopper) -> None:
        channel = self._chance.choice(["email", "sms", "push", None])
        shopper.words.append(Word(False, "marketing", (channel,) if channel else ("email", "sms", "push")))
        self._accept(shopper, "message_unsubscribed", {"channel": channel} if channel else {})

    def _wish(self, shopper: Shopper) -> None:
        channel, wanted = self._chance.choice(CHANNELS), self._chance.random() < 0.7
        (shopper.unwanted.discard if wanted else shopper.unwanted.add)(channel)
        self._accept(shopper, "preference_updated", {"channels": {channel: wanted}}, exact=True)

    def _log_in(self, shopper: Shopper) -> None:
        if not shopper.logged_in:
            self._accept(shopper, "identity_linked", {}, {**shopper.user, **shopper.browser})
            self._shop.fold()
            shopper.logged_in = True

    def _decide(self, shopper: Shopper) -> None:
        placement, channel = self._chance.choice(list(PLACEMENTS.items()))
        lawful = shopper.may(channel)
        kinds = self._shop.offers(shopper.name(self._chance), placement, self._now)
        asking = sum(kind in ("sell", "thank_you") for kind in kinds)
        self.decisions += 1
        self.offers += asking
        self.refusals += not lawful
        if asking and not lawful:
            self.unlawful.append(f"{asking} offers on {channel} for {shopper.user} at {self._now}")

    def told(self) -> str:
        """What happened, in a line."""
        allowed = f"{self.decisions} decisions, {self.refusals} of them where nothing was allowed, {self.offers} offers"
        return f"{self._serial} events, {allowed}, {len(self.unlawful)} of them unlawful"

    def _accept(
        self, shopper: Shopper, kind: str, data: dict[str, Any], who: dict[str, str] | None = None, exact: bool = False
    ) -> None:
        self._serial += 1
        skew = 0 if exact else self._chance.choice([0, 0, -HOUR + MINUTE, -MINUTE, 4 * MINUTE])
        body = {
            "id": f"e-{self._serial}",
            "type": kind,
            "source": "web://shop",
            "time": rfc3339(self._now + skew),
            "data": data,
            **(who or shopper.name(self._chance)),
        }
        self._shop.accept(body, self._now)

    def _some_channels(self) -> tuple[str, ...]:
        return tuple(self._chance.sample(CHANNELS, self._chance.randint(1, 3)))
