"""A marketer's mistake, said so that it can be put right: where, what was expected, and what was perhaps meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from msgspec import Struct

from engine.errors import RegularsError


class Mistake(Struct, frozen=True, order=True):
    """One mistake: the file, the path inside it (`offers[3].caps[0].window_days`) and a sentence."""

    file: str
    path: str
    what: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, self.what) if part)


class CatalogueError(RegularsError):
    """The catalogue is not usable; `mistakes` holds every one that was found, not only the first."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'till'?)`, or nothing where no known name is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def one_of(names: Iterable[str]) -> str:
    """The names in a sentence, in order, the first sixteen of them."""
    ordered = sorted(names)
    return ", ".join(ordered[:16]) + (", …" if len(ordered) > 16 else "")
