"""What a registration comes to, where the contract of the stores does not look that closely."""

from dataclasses import replace

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import VersionTaken
from coordinator.domain.language.registration import (
    Key,
    Registered,
    Registration,
    RegistrationOutcome,
    register,
    retire,
    take_up_files,
)
from saga.v1 import coordinator_pb2 as pb
from tests.unit.machine.tale import define

A, B = define("a", version="1"), define("b", version="1")
KEY: Key = ("Order", "1")


def registered(definition: SagaDefinition = A) -> Registration:
    return register(None, definition, at=1.0, number=1).registration


def in_file(held: Registration, definition: SagaDefinition = A) -> Registration:
    return replace(held, through_api=False, file_digest=definition.digest)


def test_new_contents_are_numbered_one_after_the_other() -> None:
    definitions = [define("a", version=version) for version in ("3", "1", "2")]
    outcomes, _ = take_up_files({}, definitions, at=2.0, number=5)
    numbers = [one.registration.number for one in outcomes if isinstance(one, Registered)]
    assert numbers == [7, 5, 6]


def test_what_never_had_a_file_is_not_changed_by_having_none() -> None:
    assert take_up_files({KEY: registered()}, [], at=2.0, number=2) == ([], [])


def test_a_file_that_is_gone_is_forgotten() -> None:
    held = in_file(registered())
    assert take_up_files({KEY: held}, [], at=2.0, number=2) == ([], [replace(held, file_digest=None)])


def test_a_version_in_use_changes_by_a_file_only_if_it_had_none() -> None:
    used = replace(registered(), used_at=1.5, through_api=False)
    for held, changes in ((in_file(used), []), (used, [in_file(used, B)])):
        (outcome,), changed = take_up_files({KEY: held}, [B], at=2.0, number=2)
        assert isinstance(outcome, VersionTaken)
        assert changed == changes


def test_a_file_restores_nothing_that_was_retired() -> None:
    gone = replace(in_file(registered()), file_digest=None)
    for held, outcome in (
        (gone, RegistrationOutcome.RESTORED),
        (retire(gone, at=1.5), RegistrationOutcome.UNCHANGED),
    ):
        (taken_up,), _ = take_up_files({KEY: held}, [A], at=2.0, number=2)
        assert isinstance(taken_up, Registered)
        assert (taken_up.outcome, taken_up.registration) == (outcome, replace(held, file_digest=A.digest))


def test_what_a_registration_came_to_has_a_name_in_the_api() -> None:
    _, *known = pb.RegistrationOutcome.keys()
    assert [f"REGISTRATION_OUTCOME_{outcome}" for outcome in RegistrationOutcome] == known
