"""A call that starts one saga: which definition it can serve, and what is said where it cannot."""

from collections.abc import Sequence

import pytest

from coordinator.domain.language.front_door import FrontDoor
from tests.unit.machine.tale import define, step

DOOR = FrontDoor("BookTrip", "SAGA_TRIPS", "Trip", ("from", "to"))


def fault(fields: Sequence[str], version: str | None = None) -> str | None:
    return DOOR.fault(define(step("a", input=tuple(fields)), version=version))


def test_a_definition_that_takes_no_more_than_the_call_has_can_be_served() -> None:
    assert fault(["from", "to"]) is None
    assert fault([]) is None


def test_a_fault_names_the_version_if_there_is_one() -> None:
    missing = "asks for more than this call has: $.x: is missing; step a needs it"
    assert fault(["x"]) == f"the newest Order {missing}"
    assert fault(["x"], "7") == f"the newest Order (version 7) {missing}"


@pytest.mark.parametrize(
    ("asked", "shown", "more"), [("x", "x", ""), ("xyz", "xyz", ""), ("wxyz", "wxy", "; and 1 more")]
)
def test_of_many_fields_that_are_missing_three_are_named_and_the_others_counted(
    asked: str, shown: str, more: str
) -> None:
    told = "; ".join(f"$.{field}: is missing; step a needs it" for field in shown)
    assert fault(asked) == f"the newest Order asks for more than this call has: {told}{more}"


def test_what_is_said_aloud_names_the_call_the_setting_and_the_way_out() -> None:
    assert DOOR.shut("it asks too much") == (
        "BookTrip cannot be served (SAGA_TRIPS): it asks too much. Register a version of Trip that takes "
        "from, to"
    )
