"""What is wrong is told in sentences of ours. Of many names few are shown, and the others only counted."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, Field, ValidationError

from coordinator.domain.language.sentences import found, listed, sentences


class Inner(BaseModel, extra="forbid"):
    count: int = Field(description="a whole number")
    other: int = 0


class Outer(BaseModel):
    inner: Inner
    inners: list[Inner] = []


def told(document: object, *, quoting: bool = True) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(document)
    return list(sentences(Outer, caught.value, quoting=quoting))


def test_a_field_says_what_is_expected_and_the_value_is_quoted_if_it_may_be() -> None:
    wrong = {"inner": {"count": "x"}}
    assert told(wrong) == [(("inner", "count"), "expected a whole number, found 'x'")]
    assert told(wrong, quoting=False) == [(("inner", "count"), "expected a whole number")]


def test_what_says_nothing_of_itself_is_expected_to_be_another_value() -> None:
    assert told({"inner": {"count": 1, "other": "x"}}) == [
        (("inner", "other"), "expected another value, found 'x'")
    ]


def test_the_document_itself_is_expected_to_be_an_object() -> None:
    assert told(3) == [((), "expected an object, found 3")]


def test_a_key_that_is_not_known_is_told_with_those_that_are() -> None:
    assert told({"inner": {"count": 1}, "inners": [{"count": 1, "x": 2}]}) == [
        (("inners", 0, "x"), "is not a key that is known here; known are count, other")
    ]


def test_a_number_is_told_with_its_digits_unless_they_are_too_many() -> None:
    assert found(10**39) == "1" + "0" * 39
    assert found(10**40) == "a number of 41 digits"


def test_a_list_of_code_is_told_as_one_of_json() -> None:
    for some, none in (([1, 2], []), ((1, 2), ())):
        assert (found(some), found(none)) == ("a list of 2", "an empty list")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        (["a" * 40], "a" * 40),
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
