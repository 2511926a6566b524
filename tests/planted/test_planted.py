"""The catalogue fits the product as it stands, and a few of its bugs are found; `make planted` seeks all."""

from pathlib import Path
from typing import Final

import pytest

from tests.planted import __main__ as seeking
from tests.planted.bugs import Bug, Stale, Swap
from tests.planted.catalogue import BUGS, LISTED
from tests.planted.looking import Found, shown_without
from tests.planted.planting import ROOT, Looked, plant_and_look

BUGS_MIN: Final = 40
QUICK: Final = ("undo-order-swapped", "refusal-not-repeated", "group-torn", "status-read-as-success")
CPU_S: Final = 30.0


@pytest.mark.parametrize("bug", LISTED, ids=lambda bug: bug.name)
def test_a_bug_fits_the_product(bug: Bug) -> None:
    for swap in bug.swaps:
        text = (ROOT / swap.file).read_text()
        assert swap.planted(text) != text


def test_there_are_many_and_no_two_of_one_name() -> None:
    assert len(LISTED) >= BUGS_MIN
    assert len(BUGS) == len(LISTED)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name: str) -> None:
    looked = plant_and_look(BUGS[name], CPU_S)
    assert looked.is_found, looked
    # And not by what is there without it.
    assert looked.found is not None
    assert shown_without(looked.found.where) == ""


@pytest.mark.parametrize(("without", "is_found"), [("", True), ("I1: it is the same", False)])
def test_what_is_wrong_without_the_bug_is_no_find(
    without: str, is_found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeking, "shown_without", {"seed 7": without}.__getitem__)
    looked = Looked(LISTED[0], Found("seed 7", "I1: it is wrong", 7, 1.0))
    assert seeking.held_against_the_product(looked).is_found is is_found


def test_what_does_not_fit_is_said_and_not_planted(tmp_path: Path) -> None:
    swap = Swap("a.py", "gone", "here")
    with pytest.raises(Stale, match=r"a\.py holds this 0 times"):
        swap.planted("nothing of the kind")
    with pytest.raises(Stale, match="2 times"):
        swap.planted("gone and gone")


def test_lines_are_found_however_deep_they_are() -> None:
    swap = Swap(
        "a.py",
        """
        if a:
            b()
        """,
        """
        if not a:
            b()
        """,
    )
    text = "def f():\n    if a:\n        b()\n    return\n"
    assert swap.planted(text) == "def f():\n    if not a:\n        b()\n    return\n"
