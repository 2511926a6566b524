"""The table of outcomes, written out by hand once more, cell by cell."""

import pytest

from coordinator.domain.events import Cause
from coordinator.domain.outcomes import (
    Answer,
    Direction,
    Faulted,
    Meaning,
    NoProof,
    Pending,
    Refused,
    Succeeded,
    Unproved,
    cause,
    meaning,
    status_kind,
)


def no_proof(kind: Unproved) -> NoProof:
    return NoProof(kind, "CODE", "message")


TABLE: list[tuple[Answer, Meaning, Meaning]] = [
    # answer                                  forward               undo
    (Succeeded("{}"), Meaning.SETTLED, Meaning.SETTLED),
    (Refused("NO", ""), Meaning.REFUSED, Meaning.REFUSED),
    (Pending(None), Meaning.ASK_AGAIN, Meaning.ASK_AGAIN),
    (Faulted("BUSY", "", None), Meaning.RETRY, Meaning.RETRY),
    (no_proof(Unproved.TRANSIENT), Meaning.RETRY, Meaning.RETRY),
    (no_proof(Unproved.PERMANENT), Meaning.GIVE_UP, Meaning.RETRY),
    (no_proof(Unproved.BROKEN_CONTRACT), Meaning.GIVE_UP, Meaning.RETRY),
    (no_proof(Unproved.KEY_REUSED), Meaning.GIVE_UP, Meaning.RETRY),
    (no_proof(Unproved.BARRED), Meaning.GIVE_UP, Meaning.RETRY),
    (no_proof(Unproved.STALE_TOKEN), Meaning.STOP_DRIVING, Meaning.STOP_DRIVING),
]


@pytest.mark.parametrize(("answer", "forward", "undo"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_every_answer_means_what_the_table_says(answer: Answer, forward: Meaning, undo: Meaning) -> None:
    assert meaning(answer, Direction.FORWARD) is forward
    assert meaning(answer, Direction.UNDO) is undo


def test_every_way_of_proving_nothing_is_in_the_table() -> None:
    assert {answer.kind for answer, _, _ in TABLE if isinstance(answer, NoProof)} == set(Unproved)


STATUSES = {
    "CANCELLED": Unproved.TRANSIENT,
    "UNKNOWN": Unproved.TRANSIENT,
    "INVALID_ARGUMENT": Unproved.PERMANENT,
    "DEADLINE_EXCEEDED": Unproved.TRANSIENT,
    "NOT_FOUND": Unproved.PERMANENT,
    "ALREADY_EXISTS": Unproved.PERMANENT,
    "PERMISSION_DENIED": Unproved.PERMANENT,
    "RESOURCE_EXHAUSTED": Unproved.TRANSIENT,
    "FAILED_PRECONDITION": Unproved.PERMANENT,
    "ABORTED": Unproved.TRANSIENT,
    "OUT_OF_RANGE": Unproved.PERMANENT,
    "UNIMPLEMENTED": Unproved.PERMANENT,
    "INTERNAL": Unproved.TRANSIENT,
    "UNAVAILABLE": Unproved.TRANSIENT,
    "DATA_LOSS": Unproved.PERMANENT,
    "UNAUTHENTICATED": Unproved.PERMANENT,
    "A_STATUS_OF_THE_FUTURE": Unproved.TRANSIENT,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_every_grpc_status_may_pass_or_will_not(status: str, kind: Unproved) -> None:
    assert status_kind(status, None) is kind
    assert status_kind(status, "A_REASON_WE_DO_NOT_KNOW") is kind


@pytest.mark.parametrize("reason", ["KEY_REUSED", "BARRED", "STALE_TOKEN"])
@pytest.mark.parametrize("status", ["ABORTED", "FAILED_PRECONDITION", "UNAVAILABLE"])
def test_a_reason_of_our_protocol_says_more_than_its_status(status: str, reason: str) -> None:
    assert status_kind(status, reason) is Unproved[reason]


def test_every_failure_has_its_cause_in_the_words_of_the_journal() -> None:
    assert cause(Faulted("BUSY", "", None)) is Cause.FAULTED
    assert {kind: cause(no_proof(kind)) for kind in Unproved if kind is not Unproved.STALE_TOKEN} == {
        Unproved.TRANSIENT: Cause.UNKNOWN,
        Unproved.PERMANENT: Cause.PERMANENT,
        Unproved.BROKEN_CONTRACT: Cause.BROKEN_CONTRACT,
        Unproved.KEY_REUSED: Cause.KEY_REUSED,
        Unproved.BARRED: Cause.BARRED,
    }
