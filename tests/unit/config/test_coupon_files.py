"""Coupon codes come from the offer, from a list beside it, or are made of a prefix."""

from pathlib import Path

import pytest

from config.catalogue_codes import NoCoupons, main_codes
from config.catalogue_files import folder_stamp, load_catalogue
from config.mistakes import CatalogueError

OFFER = """\
offers:
  - {id: ten, kind: sell, placements: [hero], COUPONS, content: {default: {title: Ten percent}}}
"""


def shop(folder: Path, coupons: str, codes: str = "A-1\nA-2\n\n") -> Path:
    for name in ("offers", "coupons"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "policy.yaml").write_text("placements: {hero: {channel: web}}\n")
    (folder / "offers" / "all.yaml").write_text(OFFER.replace("COUPONS", coupons))
    (folder / "coupons" / "autumn.txt").write_text(codes)
    return folder


@pytest.mark.parametrize(
    ("written", "codes"),
    [
        ("coupons: {codes: [X, Y]}", ("X", "Y")),
        ("coupons: {file: autumn.txt}", ("A-1", "A-2")),
        ("coupons: {file: autumn.txt, codes: [A-0]}", ("A-0", "A-1", "A-2")),
    ],
)
def test_codes_are_those_that_are_written(tmp_path: Path, written: str, codes: tuple[str, ...]) -> None:
    assert load_catalogue(shop(tmp_path, written)).catalogue.codes == {"ten": codes}


def test_codes_with_a_prefix_are_all_different_and_equal_on_every_machine(tmp_path: Path) -> None:
    first, second = (
        load_catalogue(shop(tmp_path, "coupons: {prefix: TEN-, count: 5000}")).catalogue.codes["ten"] for _ in range(2)
    )

    assert first == second
    assert len(set(first)) == 5000
    assert all(code.startswith("TEN-") and len(code) == 12 for code in first)


@pytest.mark.parametrize(
    ("written", "codes", "mistake"),
    [
        (
            "coupons: {file: autum.txt}",
            "A\n",
            "offers/all.yaml: offers[0].coupons.file: there is no list 'autum.txt' in the folder coupons/"
            " (did you mean 'autumn.txt'?)",
        ),
        ("coupons: {file: autumn.txt}", "A\nB\nA\n", "coupons/autumn.txt: code 3, 'A', stands there twice"),
        ("coupons: {file: autumn.txt}", "\n", "coupons/autumn.txt: holds no code: write one a line"),
        ("coupons: {prefix: T-}", "A\n", "offers/all.yaml: offers[0].coupons.count: is missing"),
        ("coupons: {codes: [A]}, stock: 4", "A\n", "offers/all.yaml: offers[0].coupons: there are as many contacts as codes"),
        ("coupons: {codes: [A]}, redeemed_when: {coupon: B}", "A\n", "offers/all.yaml: offers[0].redeemed_when: an offer with"),
    ],
)
def test_a_mistake_in_coupons_is_named(tmp_path: Path, written: str, codes: str, mistake: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(shop(tmp_path, written, codes))

    assert any(str(one).startswith(mistake) for one in caught.value.mistakes), str(caught.value)


def test_a_list_that_changes_is_noticed(tmp_path: Path) -> None:
    folder = shop(tmp_path, "coupons: {file: autumn.txt}")
    before = folder_stamp(folder)

    (folder / "coupons" / "autumn.txt").write_text("A-1\nA-2\nA-3\n")

    assert folder_stamp(folder) != before


def test_the_codes_of_an_offer_are_printed_for_the_till(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shop(tmp_path, "coupons: {prefix: TEN-, count: 3}")

    assert main_codes(folder, "ten") == 0

    assert tuple(capsys.readouterr().out.split()) == load_catalogue(folder).catalogue.codes["ten"]


@pytest.mark.parametrize(
    ("written", "asked", "told"),
    [
        ("coupons: {codes: [X]}", "tenn", "there is no offer 'tenn' (did you mean 'ten'?)"),
        ("stock: 3", "ten", "ten gives no coupon codes; no offer does"),
    ],
)
def test_what_has_no_codes_is_told(tmp_path: Path, written: str, asked: str, told: str) -> None:
    with pytest.raises(NoCoupons) as raised:
        main_codes(shop(tmp_path, written), asked)

    assert told in str(raised.value)
