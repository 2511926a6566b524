"""Every error we raise on purpose, grouped by what its reader can do about it.

The texts are read by people: what happened, to which saga and step, what the system did about it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from coordinator.domain.ids import ActionId, Digest, RequestId, SagaId
from coordinator.domain.values import frozen

Loc: TypeAlias = tuple[str | int, ...]
"""Where something is in a document: the keys and places that lead to it."""


class SagaError(Exception):
    """Base of every error we raise on purpose."""


class CallerError(SagaError):
    """The request is wrong; sending it again cannot help."""


class Conflict(SagaError):
    """Another writer moved first; re-read, then decide again."""


class Unavailable(SagaError):
    """Something that is needed is down; the same call may succeed later."""


@frozen
class Violation:
    """One thing that is wrong: where (a field or a JSON path), and what was expected.

    `rule` is the id of the rule of definitions that it breaks. `line` and `column` count from 1; 0 where the
    text is not known.
    """

    path: str
    sentence: str
    rule: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return f"{place}{self.path}: {self.sentence}"


class InvalidRequest(CallerError):
    """A request breaks its contract; nothing was written."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(map(str, self.violations)))


class InvalidText(CallerError):
    """A text is not one that is taken here.

    `loc` leads to the fault in what the text says, where it could be followed that far. `violation` has the
    line and the column in its sentence, for readers who are shown that alone.
    """

    def __init__(
        self,
        path: str,
        sentence: str,
        *,
        loc: Loc | None = None,
        line: int = 0,
        column: int = 0,
    ) -> None:
        self.path = path
        self.sentence = sentence
        self.loc = loc
        self.line = line
        self.column = column
        at = f" at line {line}, column {column}" if line else ""
        self.violation = Violation(path, sentence + at)
        super().__init__(str(self.violation))


class InvalidJson(InvalidText):
    """A text is not the strict JSON that is taken here."""


class InvalidYaml(InvalidText):
    """A text is not the YAML that is taken here: what JSON can say, and no more."""


class InvalidDefinition(CallerError):
    """A definition is refused whole, with every fault found."""

    def __init__(self, source: str, violations: Sequence[Violation]) -> None:
        self.source = source
        self.violations = tuple(violations)
        lines = "".join(f"\n  {violation}" for violation in self.violations)
        super().__init__(f"{source} is not a saga definition and is not loaded:{lines}")


class SagaNotFound(CallerError):
    """No saga has this id."""

    def __init__(self, saga_id: SagaId) -> None:
        self.saga_id = saga_id
        super().__init__(f"there is no saga {saga_id!r}")


class DefinitionNotFound(CallerError):
    """No definition that can be started has this name, or not in this version; *known* lists those that can.

    `retired_at`: there is one, and since then it starts no sagas.
    """

    def __init__(
        self, name: str, version: str | None, known: str, *, retired_at: float | None = None
    ) -> None:
        definition = _definition(name, version)
        says = (
            f"there is no definition {definition}"
            if retired_at is None
            else f"definition {definition} is retired since {_moment(retired_at)}, and registering it again "
            "brings it back"
        )
        super().__init__(f"{says}; loaded are: {known}")


class VersionTaken(CallerError):
    """Sagas were started with other content of this version of a definition; nothing was changed."""

    def __init__(self, name: str, version: str, digest: Digest, used_at: float) -> None:
        self.name = name
        self.version = version
        self.digest = digest
        self.used_at = used_at
        super().__init__(
            f"definition {_definition(name, version)} cannot get other content: sagas were started with it "
            f"since {_moment(used_at)}. Give the new content a version of its own"
        )


class DefinitionMoved(Conflict):
    """The definition was retired, or its version got other content, while a saga was being started with it;
    nothing was written."""

    def __init__(self, name: str, version: str | None) -> None:
        super().__init__(
            f"definition {_definition(name, version)} has just been changed or retired; nothing was written. "
            "Look at it again, then decide"
        )


class DefinitionInUse(SagaError):
    """Sagas are open on the version of a definition that was only to be retired without any."""

    def __init__(self, name: str, version: str | None, sagas: int) -> None:
        self.name = name
        self.version = version
        self.sagas = sagas
        super().__init__(
            f"{sagas} saga{'s are' if sagas > 1 else ' is'} open on definition {_definition(name, version)}, "
            "so it was not retired. Wait for them, or retire it while they go on"
        )


class RequestIdTaken(CallerError):
    """The request id belongs to a saga that was started with other content; nothing was changed."""

    def __init__(self, request_id: RequestId) -> None:
        self.request_id = request_id
        super().__init__(
            f"request id {request_id!r} was used before with other content; nothing was changed. "
            "Send the same content to join that request, or use a new id"
        )


class ActionIdTaken(CallerError):
    """The action id acted on this saga before, in another way; nothing was changed."""

    def __init__(self, action_id: ActionId, saga_id: SagaId) -> None:
        self.saga_id = saga_id
        super().__init__(
            f"action id {action_id!r} was used before on saga {saga_id} for another action; nothing was "
            "changed. Use a new id"
        )


class SagaMoved(Conflict):
    """The saga is not any more what its operator has seen; nothing was changed."""

    def __init__(self, saga_id: SagaId, status: str, *, seen: int, seq: int) -> None:
        self.saga_id = saga_id
        self.status = status
        self.seq = seq
        moved = f"has moved from record {seen} to {seq}" if seen < seq else f"has no record {seen} but {seq}"
        super().__init__(
            f"saga {saga_id} {moved} and is {status}; nothing was changed. Look at it again, then decide"
        )


class IllegalTransition(SagaError):
    """The event cannot happen to the saga as it stands."""


class SagaEnded(IllegalTransition):
    """What was asked is only possible before a saga has ended or turned back for good."""


class NotEvaluated(SagaError):
    """An expression yielded nothing that can be used. The sentence is ours and quotes no data.

    `place` says which one, as in `input.items[0].sku`; empty where only its caller knows.
    """

    def __init__(self, sentence: str, *, place: str = "") -> None:
        self.sentence = sentence
        self.place = place
        super().__init__(f"{place}: {sentence}" if place else sentence)


class Overloaded(Unavailable):
    """A declared limit is reached; nothing was written."""


class Draining(Unavailable):
    """This coordinator is shutting down and takes nothing new."""


class WaitTimedOut(Unavailable):
    """The saga is still undecided; it goes on."""

    def __init__(self, saga_id: SagaId, status: str) -> None:
        self.saga_id = saga_id
        self.status = status
        super().__init__(
            f"saga {saga_id} is still {status} and goes on; ask again with the same call to join it"
        )


class Undecided(WaitTimedOut):
    """The saga was set aside while it went forward: a person decides, and no wait will."""

    def __init__(self, saga_id: SagaId, status: str, reason: str) -> None:
        super().__init__(saga_id, status)
        self.args = (f"saga {saga_id} is undecided until a person has looked at it: {reason}",)


class JournalConflict(Conflict):
    """Another writer has moved past the expected sequence number."""

    def __init__(self, saga_id: SagaId, seq_expected: int) -> None:
        super().__init__(f"saga {saga_id}: the journal has moved past record {seq_expected}")


class JournalUnavailable(Unavailable):
    """The store failed; what was being written may or may not be durable."""


class JournalTakenOver(JournalUnavailable):
    """Another coordinator has opened it since, past the lock."""

    def __init__(self, token: int, newest: int) -> None:
        super().__init__(
            f"it was opened under token {token}, and by another process under token {newest} since"
        )


class JournalNotWhole(JournalUnavailable):
    """A copy or a check of the whole store was not made; an operator asked for it, and is told why."""


class JournalCorrupt(SagaError):
    """A record's digest does not match its content or the record before it."""

    def __init__(self, saga_id: SagaId, seq: int, what: str) -> None:
        self.saga_id = saga_id
        self.seq = seq
        super().__init__(f"saga {saga_id}: journal record {seq} is damaged ({what})")


class JournalDamaged(SagaError):
    """What stands in one place of the store makes no sense, and is out of reach; the rest is not."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the journal is damaged: {what}")


class StartupFailed(SagaError):
    """The coordinator can not start; the text is one sentence for the person who started it."""


def _definition(name: str, version: str | None) -> str:
    return repr(name) if version is None else f"{name!r} in version {version!r}"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
