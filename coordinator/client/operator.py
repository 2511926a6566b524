"""What a person may do to sagas, for scripts and the command line. Blocking: people act one at a time.

Every action says who, why, and on what they looked at; its id makes it happen once, however often it is
sent. Only to stop a saga as a whole nobody need have looked.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, NotRequired, TypedDict, Unpack

import grpc
from google.protobuf.message import Message

from coordinator.client import wire
from coordinator.client.blocking import BlockingConnection
from coordinator.client.model import (
    ActionResult,
    BackupPiece,
    ExportedSaga,
    Participant,
    PossibleAction,
    Saga,
    VerifyProgress,
)
from coordinator.client.patience import CALL_TIMEOUT_S
from saga.v1 import operator_pb2 as pb
from saga.v1 import operator_pb2_grpc

JOURNAL_TIMEOUT_S: Final = 3_600.0
AS_IT_STANDS: Final = 0
"""The seq that is expected by whoever wants a saga stopped whatever it has done by then."""


class _Acting(TypedDict):
    actor: str
    reason: str
    """The journal keeps both."""
    action_id: NotRequired[str | None]
    """Makes it happen once. None: one is made up for this call."""
    validate_only: NotRequired[bool]
    """To be told what it would lead to, while nothing is done."""


class Acting(_Acting):
    """What every action on a step takes: who, why, and on what they looked at."""

    expected_seq: int
    """The saga's seq that its actor looked at."""


class Stopping(_Acting):
    """What is taken to stop a saga as a whole: who and why, and on what they looked at if that matters."""

    expected_seq: NotRequired[int]
    """The saga's seq that its actor looked at. Left out: the saga as it stands."""


class Operator(BlockingConnection):
    """A coordinator's OperatorService. Errors and *target* are those of `BlockingClient`.

    Each action takes what `Acting` or `Stopping` names, by keyword, and may raise:

        Conflict: the saga has moved since (reason SAGA_MOVED), or the action id is another action's.
        Refused: it cannot be done to a saga that stands as it does.
    """

    def __init__(self, target: str, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        super().__init__(target, timeout_s=timeout_s)
        self._operator = operator_pb2_grpc.OperatorServiceStub(self._channel)

    def dead_letters(self, *, limit: int | None = None) -> Generator[Saga, None, None]:
        """Sagas that need a person, newest first, page after page."""
        token = ""
        while (size := wire.page_size(limit)) > 0:
            request = wire.request_of(pb.ListDeadLettersRequest, page_size=size, page_token=token)
            page = self._ask("ListDeadLetters", self._operator.ListDeadLetters, request)
            yield from map(wire.to_saga, page.dead_letters)
            token = page.next_page_token
            if not token:
                return
            limit = None if limit is None else limit - len(page.dead_letters)

    def possible_actions(self, saga_id: str) -> tuple[Saga, Sequence[PossibleAction]]:
        """The saga with steps and timeline, and what can be done to it as it stands."""
        request = wire.request_of(pb.ListPossibleActionsRequest, saga_id=saga_id)
        answer = self._ask(
            "ListPossibleActions", self._operator.ListPossibleActions, request, saga_id=saga_id
        )
        return wire.to_saga(answer.saga), tuple(map(wire.to_possible_action, answer.possible_actions))

    def retry(self, saga_id: str, step: str = "", **acting: Unpack[Acting]) -> ActionResult:
        """Ask a step's participant again. Without a step: drive on a saga that was set aside."""
        return self._act(
            "RetryStep", self._operator.RetryStep, pb.RetryStepRequest, saga_id, {"step": step}, **acting
        )

    def skip(self, saga_id: str, step: str, **acting: Unpack[Acting]) -> ActionResult:
        """Go on without a step; its effect, if there is one, is left in place."""
        return self._act(
            "SkipStep", self._operator.SkipStep, pb.SkipStepRequest, saga_id, {"step": step}, **acting
        )

    def complete(
        self, saga_id: str, step: str, *, output_json: str = "", **acting: Unpack[Acting]
    ) -> ActionResult:
        """Vouch for a step: going forward that its effect stands, with this output; undoing that its
        effect is undone."""
        said = {"step": step, "output_json": output_json}
        return self._act(
            "CompleteStep", self._operator.CompleteStep, pb.CompleteStepRequest, saga_id, said, **acting
        )

    def fail(self, saga_id: str, step: str, **acting: Unpack[Acting]) -> ActionResult:
        """Give a step up now: going forward the saga turns back, undoing the step is a dead letter."""
        return self._act(
            "FailStep", self._operator.FailStep, pb.FailStepRequest, saga_id, {"step": step}, **acting
        )

    def cancel(self, saga_id: str, **acting: Unpack[Stopping]) -> ActionResult:
        """Turn a running saga back."""
        kind = pb.OperatorServiceCancelSagaRequest
        return self._act("CancelSaga", self._operator.CancelSaga, kind, saga_id, {}, **acting)

    def terminate(self, saga_id: str, **acting: Unpack[Stopping]) -> ActionResult:
        """Stop a saga for good, without undoing anything."""
        kind = pb.TerminateSagaRequest
        return self._act("TerminateSaga", self._operator.TerminateSaga, kind, saga_id, {}, **acting)

    def export(self, saga_id: str) -> ExportedSaga:
        """A saga that rests, so that it can be played again; what its definition calls sensitive is left out.

        Raises:
            Refused: automatic work is left, or it was set aside.
        """
        request = wire.request_of(pb.ExportSagaRequest, saga_id=saga_id)
        answer = self._ask("ExportSaga", self._operator.ExportSaga, request, saga_id=saga_id)
        return wire.to_exported(answer)

    def participants(self) -> tuple[Participant, ...]:
        """The services that sagas call: where they are, whether they answer, which steps need them."""
        request = pb.ListParticipantsRequest()
        answer = self._ask("ListParticipants", self._operator.ListParticipants, request)
        return tuple(map(wire.to_participant, answer.participants))

    def backup(self, *, timeout_s: float = JOURNAL_TIMEOUT_S) -> Generator[BackupPiece, None, None]:
        """A consistent copy of the journal, piece by piece. One that breaks off is no copy: begin again."""
        pieces = self._stream(
            "BackupJournal", self._operator.BackupJournal, pb.BackupJournalRequest(), timeout_s=timeout_s
        )
        with closing(pieces):
            for piece in pieces:
                yield BackupPiece(piece.data, piece.total_bytes)

    def verify(self, *, timeout_s: float = JOURNAL_TIMEOUT_S) -> Generator[VerifyProgress, None, None]:
        """Let every record of the journal be read again, and every saga replayed; the last one is done."""
        progress = self._stream(
            "VerifyJournal", self._operator.VerifyJournal, pb.VerifyJournalRequest(), timeout_s=timeout_s
        )
        with closing(progress):
            yield from map(wire.to_progress, progress)

    def _act(
        self,
        name: str,
        method: "grpc.UnaryUnaryMultiCallable[Any, Any]",
        kind: Callable[..., Message],
        saga_id: str,
        said: Mapping[str, str],
        *,
        actor: str,
        reason: str,
        expected_seq: int = AS_IT_STANDS,
        action_id: str | None = None,
        validate_only: bool = False,
    ) -> ActionResult:
        request = wire.request_of(
            kind,
            saga_id=saga_id,
            **said,
            action=wire.action(actor, reason, expected_seq, action_id),
            validate_only=validate_only,
        )
        answer = self._ask(name, method, request, saga_id=saga_id)
        return wire.to_action_result(answer.result, has_own_id=action_id is not None)
