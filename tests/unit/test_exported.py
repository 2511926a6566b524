"""What of a history leaves in a file: enough to play the saga again, and nothing that is called sensitive."""

from dataclasses import replace
from typing import Final

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    DeadlinePassed,
    Event,
    OperatorActed,
    OutputShaped,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepFaulted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoRefused,
    Verb,
)
from coordinator.domain.ids import ActionId, Digest, RequestId, SagaId, StepName
from coordinator.domain.jsontext import canonical
from coordinator.domain.machine import resume
from coordinator.domain.outcomes import Refused
from coordinator.domain.saga import Saga
from coordinator.domain.shown.exported import exported
from tests.unit.machine.tale import Tale, define, step

TOKEN: Final = "tok-canary-5e1d"
A: Final = StepName("a")
SAID: Final = f"Charged {TOKEN}."
ANSWER: Final = f'{{"card":[1],"said":"{SAID}","seat":4}}'
MASKED: Final = '{"card":[0],"said":"***","seat":4}'
INPUT: Final = canonical({"card": {"token": TOKEN, "pin": 4711}, "n": 1})
SHOP: Final = define(step("a", input={"t": "input.card.token"}), sensitive=("card",))


def saga_of(definition: SagaDefinition = SHOP) -> Saga:
    return Tale(definition, INPUT).saga


def left(event: Event, definition: SagaDefinition = SHOP) -> Event:
    (only,) = exported(saga_of(definition), [event])
    return only


def started(definition: SagaDefinition = SHOP) -> SagaStarted:
    first = Tale(definition, INPUT).history[0]
    assert isinstance(first, SagaStarted)
    return replace(first, trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def test_the_input_keeps_its_shape_and_loses_what_is_sensitive() -> None:
    assert left(started()) == replace(started(), input='{"card":{"token":"***"},"n":1}', trace="")


def test_a_request_id_that_tells_what_is_sensitive_is_masked() -> None:
    assert left(replace(started(), request_id=RequestId(f"of {TOKEN}"))) == replace(
        started(), input='{"card":{"token":"***"},"n":1}', request_id=RequestId("***"), trace=""
    )


def test_what_is_answered_and_said_is_masked_where_it_tells_what_is_sensitive() -> None:
    told: list[tuple[Event, Event]] = [
        (StepSucceeded(2.0, A, 1, ANSWER), StepSucceeded(2.0, A, 1, MASKED)),
        (OutputShaped(2.0, ANSWER), OutputShaped(2.0, MASKED)),
        (StepRefused(2.0, A, 1, "NO", SAID), StepRefused(2.0, A, 1, "NO", "***")),
        (UndoRefused(2.0, A, 1, TOKEN, "no"), UndoRefused(2.0, A, 1, "***", "no")),
        (
            StepFaulted(2.0, A, 1, Cause.FAULTED, "BUSY", SAID, None),
            StepFaulted(2.0, A, 1, Cause.FAULTED, "BUSY", "***", None),
        ),
        (
            UndoFaulted(2.0, A, 1, Cause.UNKNOWN, TOKEN, "", 3.0),
            UndoFaulted(2.0, A, 1, Cause.UNKNOWN, "***", "", 3.0),
        ),
        (CancelRequested(2.0, SAID), CancelRequested(2.0, "***")),
        (
            OperatorActed(2.0, Verb.COMPLETE, ActionId("1"), TOKEN, SAID, A, ANSWER),
            OperatorActed(2.0, Verb.COMPLETE, ActionId("1"), "***", "***", A, MASKED),
        ),
        (
            OperatorActed(2.0, Verb.SKIP, ActionId("1"), "ada", "she knows", A),
            OperatorActed(2.0, Verb.SKIP, ActionId("1"), "ada", "she knows", A),
        ),
    ]
    for event, expected in told:
        assert left(event) == expected


def test_what_a_mapping_made_is_left_out_and_a_receipt_stays_what_its_step_answered() -> None:
    assert left(StepBegun(2.0, A, f'{{"t":"{TOKEN}"}}')) == StepBegun(2.0, A)
    assert left(UndoBegun(2.0, A, ANSWER, f'{{"t":"{TOKEN}"}}')) == UndoBegun(2.0, A, MASKED)
    assert left(UndoBegun(2.0, A, None)) == UndoBegun(2.0, A, None)


def test_what_has_no_data_stays_as_it_is() -> None:
    for event in (SagaResumed(2.0), DeadlinePassed(2.0), StepPending(2.0, A, 1, 3.0)):
        assert left(event) == event


def test_nothing_is_masked_where_nothing_is_sensitive() -> None:
    open_shop = define(step("a"))
    assert left(started(open_shop), open_shop) == replace(started(open_shop), trace="")
    for event in (StepSucceeded(2.0, A, 1, ANSWER), StepRefused(2.0, A, 1, "NO", SAID)):
        assert left(event, open_shop) == event


def test_the_history_that_leaves_is_a_history() -> None:
    definition = define(step("a"), step("b"), sensitive=("card",))
    tale = Tale(definition, INPUT).does(ANSWER).fails(Refused("NO", SAID))
    tale.undoes_what_is_left()
    saga = resume(definition, exported(tale.saga, tale.history)).saga
    assert saga.status is tale.status
    assert [s.output for s in saga.steps] == [MASKED, None]
    assert TOKEN not in str(saga)


def test_the_ids_of_the_saga_and_its_definition_stay() -> None:
    event = replace(started(), saga_id=SagaId("s-7"), definition_digest=Digest("d-1"))
    kept = left(event)
    assert isinstance(kept, SagaStarted)
    assert (kept.saga_id, kept.definition_digest, kept.front_door) == ("s-7", "d-1", event.front_door)
