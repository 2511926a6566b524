"""What errors say, where that is all there is to them."""

from typing import Any

import pytest

from coordinator.domain.errors import (
    ActionIdTaken,
    DefinitionInUse,
    DefinitionMoved,
    DefinitionNotFound,
    InvalidRequest,
    InvalidText,
    JournalConflict,
    JournalCorrupt,
    JournalDamaged,
    JournalTakenOver,
    NotEvaluated,
    RequestIdTaken,
    SagaError,
    SagaMoved,
    SagaNotFound,
    Undecided,
    VersionTaken,
    Violation,
    WaitTimedOut,
)
from coordinator.domain.ids import ActionId, Digest, RequestId, SagaId

SAGA = SagaId("saga-1")
A_DAY = 1_700_000_000.0


@pytest.mark.parametrize(
    ("error", "text", "carried"),
    [
        (
            InvalidRequest([Violation("$.a", "is missing"), Violation("$.b", "is 1", "rule", 3, 7)]),
            "$.a: is missing; line 3, column 7: $.b: is 1",
            {"violations": (Violation("$.a", "is missing"), Violation("$.b", "is 1", "rule", 3, 7))},
        ),
        (
            InvalidText("$.a", "is wrong"),
            "$.a: is wrong",
            {"loc": None, "line": 0, "column": 0, "violation": Violation("$.a", "is wrong", "", 0, 0)},
        ),
        (
            InvalidText("$.a", "is wrong", loc=("a",), line=3, column=7),
            "$.a: is wrong at line 3, column 7",
            {"path": "$.a", "sentence": "is wrong", "loc": ("a",), "line": 3, "column": 7},
        ),
        (SagaNotFound(SAGA), "there is no saga 'saga-1'", {"saga_id": SAGA}),
        (
            DefinitionNotFound("Trip", None, "Order"),
            "there is no definition 'Trip'; loaded are: Order",
            {},
        ),
        (
            DefinitionNotFound("Trip", "2", "Order", retired_at=A_DAY),
            (
                "definition 'Trip' in version '2' is retired since 2023-11-14 22:13:20 UTC, and "
                "registering it again brings it back; loaded are: Order"
            ),
            {},
        ),
        (
            VersionTaken("Trip", "2", Digest("d"), A_DAY),
            (
                "definition 'Trip' in version '2' cannot get other content: sagas were started with it "
                "since 2023-11-14 22:13:20 UTC. Give the new content a version of its own"
            ),
            {"name": "Trip", "version": "2", "digest": "d", "used_at": A_DAY},
        ),
        (
            DefinitionMoved("Trip", None),
            (
                "definition 'Trip' has just been changed or retired; nothing was written. Look at it "
                "again, then decide"
            ),
            {},
        ),
        (
            DefinitionInUse("Trip", "2", 1),
            (
                "1 saga is open on definition 'Trip' in version '2', so it was not retired. Wait for "
                "them, or retire it while they go on"
            ),
            {"name": "Trip", "version": "2", "sagas": 1},
        ),
        (
            DefinitionInUse("Trip", None, 2),
            (
                "2 sagas are open on definition 'Trip', so it was not retired. Wait for them, or retire"
                " it while they go on"
            ),
            {"name": "Trip", "version": None, "sagas": 2},
        ),
        (
            RequestIdTaken(RequestId("r")),
            (
                "request id 'r' was used before with other content; nothing was changed. Send the same "
                "content to join that request, or use a new id"
            ),
            {"request_id": "r"},
        ),
        (
            ActionIdTaken(ActionId("x"), SAGA),
            (
                "action id 'x' was used before on saga saga-1 for another action; nothing was changed. "
                "Use a new id"
            ),
            {"saga_id": SAGA},
        ),
        (
            SagaMoved(SAGA, "RUNNING", seen=3, seq=5),
            (
                "saga saga-1 has moved from record 3 to 5 and is RUNNING; nothing was changed. Look at "
                "it again, then decide"
            ),
            {"saga_id": SAGA, "status": "RUNNING", "seq": 5},
        ),
        (
            SagaMoved(SAGA, "RUNNING", seen=6, seq=5),
            (
                "saga saga-1 has no record 6 but 5 and is RUNNING; nothing was changed. Look at it "
                "again, then decide"
            ),
            {},
        ),
        (NotEvaluated("it is no number"), "it is no number", {"sentence": "it is no number", "place": ""}),
        (NotEvaluated("it is no number", place="when"), "when: it is no number", {"place": "when"}),
        (
            WaitTimedOut(SAGA, "RUNNING"),
            "saga saga-1 is still RUNNING and goes on; ask again with the same call to join it",
            {"saga_id": SAGA, "status": "RUNNING"},
        ),
        (JournalConflict(SAGA, 5), "saga saga-1: the journal has moved past record 5", {}),
        (
            JournalTakenOver(3, 4),
            "it was opened under token 3, and by another process under token 4 since",
            {},
        ),
        (
            JournalCorrupt(SAGA, 5, "its digest"),
            "saga saga-1: journal record 5 is damaged (its digest)",
            {"saga_id": SAGA, "seq": 5},
        ),
        (JournalDamaged("no page 7"), "the journal is damaged: no page 7", {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SagaError) else "",
)
def test_an_error_says_what_is_the_case_and_carries_what_its_reader_needs(
    error: SagaError, text: str, carried: dict[str, Any]
) -> None:
    assert str(error) == text
    assert {name: getattr(error, name) for name in carried} == carried


def test_that_a_person_decides_is_told_in_place_of_that_the_saga_goes_on() -> None:
    error = Undecided(SagaId("saga-1"), "DEAD_LETTERED", "Its record 2 is damaged.")
    assert isinstance(error, WaitTimedOut)
    assert (error.saga_id, error.status) == ("saga-1", "DEAD_LETTERED")
    assert str(error) == (
        "saga saga-1 is undecided until a person has looked at it: Its record 2 is damaged."
    )
