"""What the shard of a workstation keeps of each receipt: whose it is, and what it came to.

A void or a return often names a receipt and no customer, and a card may be shown after the till has closed the receipt. The
workstation's shard therefore remembers whose each receipt is. What is nobody's counts here, and what it was made of is kept, so
that it can move to a customer. All of it commutes: a void that comes before its sale finds it later.
"""

from msgspec import Struct
from msgspec.structs import replace

KEPT_SECONDS = 120 * 86_400
"""After its last change a receipt is remembered for so long; a void or a return that names no customer finds it until then."""


class Receipt(Struct, frozen=True, array_like=True):
    """One receipt by its name. `amount` and `returned` are minor units; `gives` is what the receipt itself paid back, by the
    receipt that the goods were bought on, empty where that is not named. `events` are (canonical event, fingerprint) of what is
    nobody's."""

    holder: str = ""
    known: bool = False
    amount: int = 0
    currency: str = ""
    returned: int = 0
    gives: dict[str, int] = {}
    voided: bool = False
    at: int = 0
    events: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def counted(self) -> tuple[int, int]:
        """(purchases, spend) that count for nobody in particular."""
        if self.holder:
            return 0, 0
        if self.voided:
            return 0, 0
        given = self.gives.get("", 0)
        if not self.known:
            return 0, -self.returned - given
        whole = self.returned > 0 and self.returned >= self.amount
        return int(not whole), self.amount - self.returned - given

    @property
    def on_the_roll(self) -> tuple[int, int, int]:
        """(receipts, sum, voided of it) as the till's day counts them."""
        total = (self.amount if self.known else 0) - sum(self.gives.values())
        there = self.known or bool(self.gives)
        return int(there and not self.voided), total, total if self.voided else 0

    @property
    def is_no_return(self) -> bool:
        """Whether it was one of goods taken back, and is void."""
        return bool(self.gives) and self.voided

    def sold(self, amount: int, currency: str, at: int) -> "Receipt":
        """After the sale itself; a second one changes nothing."""
        return self if self.known else replace(self, known=True, amount=amount, currency=currency, at=at)

    def took_back(self, amount: int, currency: str, of: str, at: int) -> "Receipt":
        """After the receipt turned out to be one of goods taken back."""
        return self if of in self.gives else replace(self, gives={**self.gives, of: amount}, currency=currency, at=at)

    def kept(self, event: bytes, fingerprint: bytes) -> "Receipt":
        """With an event that is nobody's."""
        return replace(self, events=(*self.events, (event, fingerprint)))
