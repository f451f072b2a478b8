"""Lists of coupon codes: text files in the folder `coupons/` of a catalogue, one code a line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from config.mistakes import Mistake, did_you_mean
from engine.decisioning.offers import Offer

FOLDER = "coupons"
MOST_CODES = 100_000
LONGEST_CODE = 100


def coupon_files(folder: Path) -> list[Path]:
    """The lists that a catalogue holds."""
    return sorted(file for file in (folder / FOLDER).glob("*.txt") if file.is_file())


def with_codes(folder: Path, file: str, path: str, offer: Offer, mistakes: list[Mistake]) -> Offer:
    """The offer with the codes of the list that it names; what is wrong with the list is added to the mistakes."""
    if offer.coupons is None or not offer.coupons.file:
        return offer
    lists = {one.name: one for one in coupon_files(folder)}
    named = offer.coupons.file
    if named not in lists:
        guess = did_you_mean(named, lists)
        mistakes.append(Mistake(file, f"{path}.coupons.file", f"there is no list {named!r} in the folder {FOLDER}/{guess}"))
        return offer
    codes = [line.strip() for line in lists[named].read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    mistakes += [Mistake(f"{FOLDER}/{named}", "", what) for what in _wrong(codes)]
    return replace(offer, coupons=replace(offer.coupons, codes=(*offer.coupons.codes, *codes), file=""))


def _wrong(codes: Sequence[str]) -> Iterator[str]:
    if not codes:
        yield "holds no code: write one a line"
    if len(codes) > MOST_CODES:
        yield f"holds {len(codes)} codes, more than {MOST_CODES}"
    seen: set[str] = set()
    for number, code in enumerate(codes, 1):
        if len(code) > LONGEST_CODE:
            yield f"code {number} is longer than {LONGEST_CODE} letters"
        if code in seen:
            yield f"code {number}, {code!r}, stands there twice"
        seen.add(code)
