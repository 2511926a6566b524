"""What errors say, where that is all there is to them."""

from coordinator.domain.errors import Undecided, WaitTimedOut
from coordinator.domain.ids import SagaId


def test_that_a_person_decides_is_told_in_place_of_that_the_saga_goes_on() -> None:
    error = Undecided(SagaId("saga-1"), "DEAD_LETTERED", "Its record 2 is damaged.")
    assert isinstance(error, WaitTimedOut)
    assert (error.saga_id, error.status) == ("saga-1", "DEAD_LETTERED")
    assert str(error) == (
        "saga saga-1 is undecided until a person has looked at it: Its record 2 is damaged."
    )
