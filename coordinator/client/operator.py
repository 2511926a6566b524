"""What a person may do to sagas, for scripts and the command line. Blocking: people act one at a time.

Every action says who, why, and on what they looked at; its id makes it happen once, however often it is
sent.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Final

from coordinator.client import wire
from coordinator.client.blocking import BlockingConnection
from coordinator.client.model import (
    ActionResult,
    BackupPiece,
    Participant,
    PossibleAction,
    Saga,
    VerifyProgress,
)
from coordinator.client.patience import CALL_TIMEOUT_S
from saga.v1 import operator_pb2 as pb
from saga.v1 import operator_pb2_grpc

JOURNAL_TIMEOUT_S: Final = 3_600.0


class Operator(BlockingConnection):
    """A coordinator's OperatorService. Errors and *target* are those of `BlockingClient`.

    Each action takes *actor* and *reason*, which the journal keeps; *expected_seq*, the saga's seq that
    its actor looked at; *action_id*, which makes it happen once (None: one is made up for this call); and
    *validate_only*, to be told what it would lead to while nothing is done. Each may raise:

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

    def retry(
        self,
        saga_id: str,
        step: str = "",
        *,
        actor: str,
        reason: str,
        expected_seq: int,
        action_id: str | None = None,
        validate_only: bool = False,
    ) -> ActionResult:
        """Ask a step's participant again. Without a step: drive on a saga that was set aside."""
        request = wire.request_of(
            pb.RetryStepRequest,
            saga_id=saga_id,
            step=step,
            action=wire.action(actor, reason, expected_seq, action_id),
            validate_only=validate_only,
        )
        answer = self._ask("RetryStep", self._operator.RetryStep, request, saga_id=saga_id)
        return wire.to_action_result(answer.result, has_own_id=action_id is not None)

    def skip(
        self,
        saga_id: str,
        step: str,
        *,
        actor: str,
        reason: str,
        expected_seq: int,
        action_id: str | None = None,
        validate_only: bool = False,
    ) -> ActionResult:
        """Go on without a step; its effect, if there is one, is left in place."""
        request = wire.request_of(
            pb.SkipStepRequest,
            saga_id=saga_id,
            step=step,
            action=wire.action(actor, reason, expected_seq, action_id),
            validate_only=validate_only,
        )
        answer = self._ask("SkipStep", self._operator.SkipStep, request, saga_id=saga_id)
        return wire.to_action_result(answer.result, has_own_id=action_id is not None)

    def complete(
        self,
        saga_id: str,
        step: str,
        *,
        output_json: str = "",
        actor: str,
        reason: str,
        expected_seq: int,
        action_id: str | None = None,
        validate_only: bool = False,
    ) -> ActionResult:
        """Vouch for a step: going forward that its effect stands, with this output; undoing that its
        effect is undone."""
        request = wire.request_of(
            pb.CompleteStepRequest,
            saga_id=saga_id,
            step=step,
            output_json=output_json,
            action=wire.action(actor, reason, expected_seq, action_id),
            validate_only=validate_only,
        )
        answer = self._ask("CompleteStep", self._operator.CompleteStep, request, saga_id=saga_id)
        return wire.to_action_result(answer.result, has_own_id=action_id is not None)

    def fail(
        self,
        saga_id: str,
        step: str,
        *,
        actor: str,
        reason: str,
        expected_seq: int,
        action_id: str | None = None,
        validate_only: bool = False,
    ) -> ActionResult:
        """Give a step up now: going forward the saga turns back, undoing the step is a dead letter."""
        request = wire.request_of(
            pb.FailStepRequest,
            saga_id=saga_id,
            step=step,
            action=wire.action(actor, reason, expected_seq, action_id),
            validate_only=validate_only,
        )
        answer = self._ask("FailStep", self._operator.FailStep, request, saga_id=saga_id)
        return wire.to_action_result(answer.result, has_own_id=action_id is not None)

    def cancel(
        self,
        saga_id: str,
        *,
        actor: str,
        reason: str,
        expected_seq: int,
        action_id: str | None = None,
        validate_only: bool = False,
    ) -> ActionResult:
        """Turn a running saga back."""
        request = wire.request_of(
            pb.OperatorServiceCancelSagaRequest,
            saga_id=saga_id,
            action=wire.action(actor, reason, expected_seq, action_id),
            validate_only=validate_only,
        )
        answer = self._ask("CancelSaga", self._operator.CancelSaga, request, saga_id=saga_id)
        return wire.to_action_result(answer.result, has_own_id=action_id is not None)

    def terminate(
        self,
        saga_id: str,
        *,
        actor: str,
        reason: str,
        expected_seq: int,
        action_id: str | None = None,
        validate_only: bool = False,
    ) -> ActionResult:
        """Stop a saga for good, without undoing anything."""
        request = wire.request_of(
            pb.TerminateSagaRequest,
            saga_id=saga_id,
            action=wire.action(actor, reason, expected_seq, action_id),
            validate_only=validate_only,
        )
        answer = self._ask("TerminateSaga", self._operator.TerminateSaga, request, saga_id=saga_id)
        return wire.to_action_result(answer.result, has_own_id=action_id is not None)

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
