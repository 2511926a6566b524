"""Names in a sentence: few are shown, and the others are only counted."""

from collections.abc import Iterator

import pytest

from coordinator.domain.sentences import listed


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        (["a" * 41], "a" * 39 + "…"),
    ],
)
def test_at_most_so_many_are_shown(names: list[str], told: str) -> None:
    assert listed(names, shown_max=3) == told
    assert listed(iter(names), shown_max=3) == told
    assert listed(names, shown_max=3, count=len(names)) == told


def test_names_that_are_counted_already_are_made_only_to_be_shown() -> None:
    made = []

    def names() -> Iterator[str]:
        for number in range(1_000):
            made.append(number)
            yield str(number)

    assert listed(names(), shown_max=3, count=1_000) == "0, 1, 2 and 997 more"
    assert len(made) == 3
