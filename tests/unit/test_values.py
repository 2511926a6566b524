"""Copies that are made at every event do what those of the standard library do."""

from dataclasses import dataclass, field

import pytest

from coordinator.domain.values import copied, frozen, hand_on, remembered, replace


@frozen
class Basket:
    apples: int
    pears: int = 0
    notes: tuple[str, ...] = field(default=())

    @remembered
    def fruits(self) -> int:
        """How many there are."""
        counted.append(self)
        return self.apples + self.pears


@frozen
class Gift(Basket):
    ribbon: str = "red"


counted: list[Basket] = []


def test_a_copy_has_the_changes_and_all_else() -> None:
    basket = Gift(1, 2, ("ripe",), "blue")
    assert replace(basket, pears=5) == Gift(1, 5, ("ripe",), "blue")
    assert basket == Gift(1, 2, ("ripe",), "blue")
    assert type(replace(basket)) is Gift


def test_what_is_remembered_is_worked_out_once_and_anew_for_a_copy() -> None:
    counted.clear()
    basket = Gift(1, 2)
    assert (basket.fruits, basket.fruits) == (3, 3)
    assert len(counted) == 1
    assert replace(basket, apples=10).fruits == 12
    assert basket.fruits == 3
    assert Basket.fruits.__doc__ == "How many there are."


def test_what_is_remembered_is_handed_on_if_it_was_ever_worked_out() -> None:
    counted.clear()
    basket = Gift(1, 2)
    unasked = replace(basket, ribbon="green")
    hand_on("fruits", basket, unasked)
    assert counted == []
    assert basket.fruits == 3
    asked = replace(basket, ribbon="green")
    hand_on("fruits", basket, asked)
    assert (asked.fruits, len(counted)) == (3, 1)
    assert replace(asked, apples=10).fruits == 12


def test_a_copy_to_begin_with_is_the_same_once_more() -> None:
    counted.clear()
    basket = Gift(1, 2, ("ripe",), "blue")
    assert basket.fruits == 3
    first = copied(basket)
    assert first is not basket
    assert first == basket
    assert first.fruits == 3
    assert len(counted) == 1, "what is remembered of one is so of the other"
    assert replace(first, apples=10).fruits == 12
    assert (first, type(first)) == (basket, Gift)


def test_values_are_equal_by_type_and_content_and_have_the_hash_of_it() -> None:
    assert Basket(1, 2) == Basket(1, 2) != Basket(1, 3)
    assert Basket(1, 2) != Gift(1, 2)
    assert hash(Basket(1, 2)) == hash(Basket(1, 2))
    assert repr(Basket(1, 2)) == "Basket(apples=1, pears=2, notes=())"
    match Basket(1, 2):
        case Basket(apples, pears):
            assert (apples, pears) == (1, 2)


def test_a_copy_takes_no_field_that_is_not_there() -> None:
    with pytest.raises(TypeError, match="Basket has no field plums"):
        replace(Basket(1), plums=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="fruits"):
        replace(Basket(1), fruits=3)  # type: ignore[call-arg]


def test_a_class_whose_copies_would_lack_something_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Slotted:
        one: int

    @dataclass(frozen=True)
    class Checked:
        one: int

        def __post_init__(self) -> None:
            raise AssertionError

    with pytest.raises(TypeError, match="Slotted"):
        replace(Slotted(1), one=2)
    checked = object.__new__(Checked)
    with pytest.raises(TypeError, match="Checked"):
        replace(checked, one=2)
