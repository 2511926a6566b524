"""Who depends on whom is worked out right, and what a mapping yields is told only where it is certain."""

from typing import Any

import pytest

from tests.checker.dependence import Dependence
from tests.checker.evidence import StepRule
from tests.checker.made import ORDER
from tests.checker.made_trips import TRIP
from tests.checker.mapping import Fails, NotTold, evaluated, shaped

INPUT = {"name": "Ada", "car": {"days": 3, "extras": None}, "big": 2**70}
OUTPUTS = {"flight": {"price": 1.5}, "hotel": None}


def test_steps_that_say_nothing_depend_on_the_step_before_them() -> None:
    found = Dependence(ORDER.steps)
    assert found.parents == {
        "reserve": (),
        "charge": ("reserve",),
        "notify": ("charge",),
        "ship": ("notify",),
    }
    assert found.ancestors["ship"] == {"reserve", "charge", "notify"}
    assert found.descendants["reserve"] == {"charge", "notify", "ship"}


def test_steps_depend_on_those_that_they_name_and_on_what_those_depend_on() -> None:
    found = Dependence(TRIP.steps)
    assert found.ancestors["mail"] == {"pay", "hotel", "upgrade", "flight"}
    assert found.descendants["flight"] == {"upgrade", "pay", "ticket", "mail"}
    assert found.descendants["hotel"] == {"pay", "ticket", "mail"}
    places = [found.order.index(step) for step in ("flight", "upgrade", "pay", "mail")]
    assert places == sorted(places)


def test_behind_a_step_that_was_omitted_is_what_that_waited_for() -> None:
    found = Dependence(TRIP.steps)
    assert found.awaited("pay", ()) == ["hotel", "upgrade"]
    assert found.awaited("pay", {"upgrade"}) == ["hotel", "upgrade", "flight"]


def test_a_thousand_steps_in_a_row_are_no_trouble() -> None:
    steps = [
        StepRule(name=f"s{n}", service="S", transaction="t", compensation=None, attempts_max=1)
        for n in range(1000)
    ]
    assert len(Dependence(steps).descendants["s0"]) == 999


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("input", INPUT),
        ("input.name", "Ada"),
        (" input.car.days ", 3),
        ("input.big", 2**70),
        ("outputs.flight.price", 1.5),
        ("outputs.hotel", None),
        ("has(input.car)", True),
        ("has(input.car.extras)", True),
        ("has( input.car.seats )", False),
        ("'EUR'", "EUR"),
        ('"EUR"', "EUR"),
        ("''", ""),
        ("-7", -7),
        ("true", True),
        ("null", None),
    ],
)
def test_a_plain_expression_yields(expression: str, value: object) -> None:
    assert evaluated(expression, INPUT, OUTPUTS) == value


@pytest.mark.parametrize(
    "expression",
    ["input.nobody", "input.name.first", "outputs.hotel.room", "has(input.nobody.name)", "has(input.name.x)"],
)
def test_a_path_to_nothing_fails(expression: str) -> None:
    with pytest.raises(Fails):
        evaluated(expression, INPUT, OUTPUTS)


@pytest.mark.parametrize(
    "expression",
    [
        "1 + 2",
        "outputs",
        "outputs.mail",
        "has(outputs.flight)",
        "'a\\n'",
        "'a' + 'b'",
        "1.5",
        "0x1",
        "input['name']",
    ],
)
def test_what_is_not_plain_or_not_known_is_not_told(expression: str) -> None:
    with pytest.raises(NotTold):
        evaluated(expression, INPUT, OUTPUTS)


def test_a_mapping_yields_what_stands_in_its_places() -> None:
    shape = {"to": "input.name", "days": ["input.car.days", 2, None, {"fixed": False}]}
    assert shaped(shape, INPUT, OUTPUTS) == {"to": "Ada", "days": [3, 2, None, {"fixed": False}]}


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ({"a": "input.name", "b": ["1 + 2"]}, NotTold),
        ({"a": "1 + 2", "b": {"c": "input.nobody"}}, Fails),
        (["input.nobody", "1 + 2"], Fails),
    ],
)
def test_a_mapping_fails_if_any_of_its_parts_does_and_else_is_not_told_if_any_is_not(
    shape: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        shaped(shape, INPUT, OUTPUTS)
