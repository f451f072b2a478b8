"""One word changes and nothing else: pausing an offer in a file that a marketer laid out."""

from pathlib import Path

import pytest

from config.catalogue_files import load_catalogue
from config.catalogue_folder import ChangedMeanwhile, read_files, tag_of, write_files
from config.catalogue_status import NotPossible, NotThere, main_pause, main_resume
from config.mistakes import CatalogueError
from config.settings import DEFAULT_CATALOGUE
from tests.integration.api_client import POLICY

LAID_OUT = """\
# Coffee, as agreed.

offers:
  - id: espresso     # the small one
    kind: sell
    placements: [home_hero]

    content: {default: {title: 'Ten percent: off'}}   # odd "quotes"

  - kind: sell
    id: "latte"
    status: live     # since March
    placements: [home_hero]
    content:
      default: {title: "Latte"}
  - {id: mocha, kind: sell, placements: [home_hero], content: {default: {title: Mocha}}}
  - {status: draft, id: decaf, kind: sell, placements: [home_hero], content: {default: {title: Decaf}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    (folder / "offers").mkdir(parents=True)
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "offers" / "coffee.yaml").write_text(LAID_OUT)
    (folder / "notes.txt").write_text("not ours")
    return folder


def text(folder: Path) -> str:
    return (folder / "offers" / "coffee.yaml").read_bytes().decode()


def statuses(folder: Path) -> dict[str, str]:
    return {offer.id: offer.status for offer in load_catalogue(folder).catalogue.offers}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("espresso", "the small one\n", "the small one\n    status: paused\n"),
        ("latte", "status: live     # since", "status: paused     # since"),
        ("mocha", "{id: mocha, kind", "{id: mocha, status: paused, kind"),
    ],
)
def test_pausing_changes_one_word_and_resuming_makes_it_live(folder: Path, name: str, before: str, after: str) -> None:
    assert main_pause(folder, name) == 0

    assert text(folder) == LAID_OUT.replace(before, after)
    assert statuses(folder) == {"espresso": "live", "latte": "live", "mocha": "live", "decaf": "draft", name: "paused"}

    assert main_resume(folder, name) == 0

    assert text(folder) == LAID_OUT.replace(before, after.replace("paused", "live"))
    assert (folder / "notes.txt").read_text() == "not ours"
    assert [path.name for path in folder.parent.iterdir()] == ["catalogue"]


def test_pausing_twice_changes_nothing_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_pause(folder, "latte")
    once = text(folder)

    assert main_pause(folder, "latte") == 0

    assert text(folder) == once
    assert capsys.readouterr().out.endswith("the offer latte is paused already, in offers/coffee.yaml\n")


def test_lines_that_end_as_on_windows_stay_so(folder: Path) -> None:
    (folder / "offers" / "coffee.yaml").write_bytes(LAID_OUT.replace("\n", "\r\n").encode())

    main_pause(folder, "espresso")

    assert text(folder) == LAID_OUT.replace("the small one\n", "the small one\n    status: paused\n").replace("\n", "\r\n")


def test_a_file_that_ends_without_a_line_break_is_edited_too(folder: Path) -> None:
    short = "offers:\n  - kind: sell\n    placements: [home_hero]\n    content: {default: {title: A}}\n    id: a"
    (folder / "offers" / "coffee.yaml").write_text(short)

    main_pause(folder, "a")

    assert text(folder) == short + "\n    status: paused\n"


def test_a_campaign_can_be_paused(folder: Path) -> None:
    (folder / "campaigns").mkdir()
    (folder / "campaigns" / "all.yaml").write_text("campaigns:\n  - id: spring\n")

    main_pause(folder, "spring")

    assert load_catalogue(folder).catalogue.campaigns["spring"].status == "paused"


def test_a_misspelt_name_is_told_and_a_draft_stays_one(folder: Path) -> None:
    with pytest.raises(NotThere, match=r"no offer and no campaign 'late' \(did you mean 'latte'\?\)"):
        main_pause(folder, "late")
    with pytest.raises(NotPossible, match="decaf is a draft and not made to anybody"):
        main_pause(folder, "decaf")
    assert text(folder) == LAID_OUT


def test_an_anchor_that_would_pause_two_offers_is_refused(folder: Path) -> None:
    shared = LAID_OUT.replace("- kind: sell\n    id", "- &base\n    kind: sell\n    id").replace(
        "{id: mocha, kind: sell", "{<<: *base, id: mocha"
    )
    (folder / "offers" / "coffee.yaml").write_text(shared)

    with pytest.raises(NotPossible, match="changes more than latte"):
        main_pause(folder, "latte")

    assert text(folder) == shared


def test_a_folder_with_a_mistake_is_not_touched(folder: Path) -> None:
    wrong = LAID_OUT.replace("kind: sell", "kind: sel", 1)
    (folder / "offers" / "coffee.yaml").write_text(wrong)

    with pytest.raises(CatalogueError, match="did you mean 'sell'"):
        main_pause(folder, "latte")

    assert text(folder) == wrong


@pytest.mark.slow
def test_every_shipped_offer_can_be_paused_and_resumed(tmp_path: Path) -> None:
    files = read_files(DEFAULT_CATALOGUE)
    folder = tmp_path / "c"
    folder.mkdir()
    write_files(folder, files)
    names = [offer.id for offer in load_catalogue(folder).catalogue.offers if offer.status == "live"][::7]

    for name in names:
        main_pause(folder, name)

    assert {name for name, status in statuses(folder).items() if status == "paused"} >= set(names)


def test_a_writer_who_read_something_else_is_refused_and_names_never_lead_out(folder: Path) -> None:
    files = read_files(folder)
    tag = tag_of(files)
    main_pause(folder, "latte")

    with pytest.raises(ChangedMeanwhile):
        write_files(folder, files, tag)
    for name in (
        "../x.yaml",
        "offers/../../x.yaml",
        "/etc/x.yaml",
        "offers/.x.yaml",
        "offers/a/b.yaml",
        "offers/x.txt",
        "offers/",
    ):
        with pytest.raises(CatalogueError, match="is not a file of a catalogue"):
            write_files(folder, {**files, name: "offers: []\n"})
    assert "paused" in text(folder)


def test_several_files_change_in_one_step_and_a_bad_one_changes_none(folder: Path) -> None:
    files = read_files(folder)
    new = {"policy.yaml": files["policy.yaml"] + "# said\n", "offers/tea.yaml": LAID_OUT.replace("espresso", "tea")}

    loaded = write_files(folder, new, tag_of(files))

    assert read_files(folder) == new
    assert "tea" in loaded.catalogue.columns.ids
    assert (folder / "notes.txt").read_text() == "not ours"
    with pytest.raises(CatalogueError):
        write_files(folder, {"policy.yaml": new["policy.yaml"], "offers/tea.yaml": "offers: [{}]\n"})
    assert read_files(folder) == new
    assert [path.name for path in folder.parent.iterdir()] == ["catalogue"]
