"""By what right an offer is made: what the customer said, or the basis that its kind has of its own.

An offer cannot be put in its place without one of the two, and only `Consents.permission` and this file make them.
"""

from typing import Final, final

from engine.decisioning.offers import ASKS_CONSENT, Kind
from engine.errors import InvariantBroken
from engine.profiles.consent import Granted

_SEAL: Final = object()


@final
class OwnBasis:
    """The right to make an offer of a kind that asks no consent: a duty, help, or what anybody is shown.

    `own_basis` makes it. Raises `InvariantBroken` for anybody else.
    """

    __slots__ = ("kind",)

    def __init__(self, seal: object, kind: Kind) -> None:
        if seal is not _SEAL:
            raise InvariantBroken("a basis of its own comes with the kind of an offer, and with nothing else")
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnBasis) and self.kind == other.kind

    def __hash__(self) -> int:
        return hash(self.kind)

    def __repr__(self) -> str:
        return f"OwnBasis({self.kind})"


Proof = Granted | OwnBasis


def own_basis(kind: Kind) -> OwnBasis | None:
    """None for a kind that needs consent."""
    return None if kind in ASKS_CONSENT else OwnBasis(_SEAL, kind)


def bears(proof: Proof, kind: str) -> bool:
    """Whether a proof is of the sort that an offer of this kind needs."""
    return isinstance(proof, Granted) if kind in ASKS_CONSENT else isinstance(proof, OwnBasis)
