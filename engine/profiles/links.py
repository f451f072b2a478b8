"""Which identities were said to be one person, by whom and when: statements that hold in any order, and a trail of them.

An event that names two identities says in passing that they belong together; `identity_linked` and `identity_unlinked` say it
outright. Of what is said outright the newest holds, at one instant the parting, and it holds against anything said in
passing, before or after: a browser in which somebody is still logged in does not undo what an operator has put right.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

MOST_LINKS = 60
MOST_CHANGES = 64
MOST_AWAITED = 16
What = Literal["linked", "unlinked", "joined", "parted"]


class Link(Struct, frozen=True, gc=False, array_like=True):
    """What holds of one identity. `via` is the way by which its part came: the card that brought it, or the identity itself;
    empty while it is on its way."""

    at: int = 0
    linked: bool = True
    outright: bool = False
    event_id: str = ""
    source: str = ""
    via: str = ""

    @property
    def order(self) -> tuple[bool, int, bool, str, str]:
        """The greater one holds. Said in passing, the first mention is as good as any."""
        return self.outright, self.at if self.outright else -self.at, not self.linked, self.event_id, self.source


class Change(Struct, frozen=True, gc=False, array_like=True):
    """A line of the trail: `linked` and `unlinked` were said by this event, `joined` and `parted` followed from it."""

    at: int = 0
    what: What = "linked"
    key: str = ""
    event_id: str = ""
    source: str = ""


class Awaited(Struct, frozen=True, gc=False, array_like=True):
    """What was done with an offer that an identity on its way may have brought along; `what` is empty for a coupon used. `key` is
    the identity that did it."""

    at: int = 0
    what: Literal["shown", "clicked", "redeemed", ""] = ""
    decision_id: str = ""
    offer_id: str = ""
    coupon: str = ""
    key: str = ""


class Links(Struct, frozen=True, gc=False, array_like=True):
    """Statements of one customer by identity, the newest lines of the trail, and what waits for identities on their way.

    `returning`: the customer's own part is on its way home.
    """

    by_key: dict[str, Link] = {}
    trail: tuple[Change, ...] = ()
    awaited: tuple[Awaited, ...] = ()
    returning: bool = False

    def linked(self, key: str) -> bool:
        """Whether the identity is said to belong to this customer."""
        held = self.by_key.get(key)
        return held is not None and held.linked

    def parted(self, key: str) -> bool:
        """Whether it was said outright that it does not."""
        held = self.by_key.get(key)
        return held is not None and not held.linked

    def heard(self, key: str, said: Link) -> "Links":
        """After a statement; the same links where what holds already holds against it, or where there are too many."""
        held = self.by_key.get(key)
        if held is not None and held.order >= said.order:
            return self
        by_key = {**self.by_key, key: replace(said, via=held.via) if held is not None else said}
        if len(by_key) > MOST_LINKS:
            gone = [name for name, one in self.by_key.items() if not one.linked]
            if not gone:
                return self
            del by_key[min(gone, key=lambda name: (by_key[name].at, name))]
        told = replace(self, by_key=by_key)
        if held is not None and held.linked == said.linked:
            return told
        return told.noted(Change(said.at, "linked" if said.linked else "unlinked", key, said.event_id, said.source))

    def noted(self, change: Change) -> "Links":
        """With a line more on the trail."""
        return replace(self, trail=(*self.trail, change)[-MOST_CHANGES:])

    def through(self, key: str, via: str) -> "Links":
        """With the way by which the identity's part came."""
        held = self.by_key.get(key)
        if held is None or held.via == via:
            return self
        return replace(self, by_key={**self.by_key, key: replace(held, via=via)})

    def awaiting(self, one: Awaited) -> "Links":
        """With something that may concern an identity on its way."""
        return replace(self, awaited=(*self.awaited, one)[-MOST_AWAITED:])

    def without_awaited(self, key: str) -> tuple["Links", tuple[Awaited, ...]]:
        """Without what this identity did with offers on their way, and that."""
        gone = tuple(one for one in self.awaited if one.key == key)
        return (replace(self, awaited=tuple(one for one in self.awaited if one.key != key)) if gone else self), gone

    def without(self, key: str) -> "Links":
        """As if the identity had never been named."""
        by_key = {name: one for name, one in self.by_key.items() if name != key}
        return replace(self, by_key=by_key, trail=tuple(one for one in self.trail if one.key != key))


NO_LINKS = Links()
