"""How values of the domain stand in the tables, and the chain of digests over a saga's records."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any, Final, NamedTuple

import orjson

from coordinator.adapters.event_codec import encode, encode_several
from coordinator.adapters.sqlite.words import Words, packed, unpacked
from coordinator.domain.events import Event
from coordinator.domain.ids import Digest, FencingToken, RequestId, SagaId, StepName
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, DeadLetterCause, SagaSummary, Signature

_SUMMARY_FIELDS: Final = tuple(field.name for field in fields(SagaSummary))
SUMMARY_COLUMNS: Final = ", ".join(_SUMMARY_FIELDS)
"""Columns of the tables `sagas` and `heads` have the names of the fields that they hold."""
_ID_PLACE: Final = _SUMMARY_FIELDS.index("id")
_WORD_PLACES: Final = tuple(map(_SUMMARY_FIELDS.index, ("saga_name", "definition_digest", "front_door")))
FIXED_COLUMNS: Final = (
    "id, saga_name, definition_version, definition_digest, front_door, request_id, trace, started_at"
)
STANDING_COLUMNS: Final = (
    "status, turned_back_at, needs_person, error_message, deadline_at, flags, forced, signature"
)
SAGAS: Final = "sagas LEFT JOIN heads ON heads.saga = sagas.number"
"""Each row whole. One without its head is damaged, but it is there."""
ID_CHARS_MAX: Final = 128
MOMENT_MIN: Final = -60_000_000_000.0
MOMENT_MAX: Final = 250_000_000_000.0
"""Seconds since the epoch: nothing is written beyond, and the calendars of those who read it go as far."""
DIGEST_BYTES: Final = 8
"""Of a record. Releases before the ninth schema wrote OLD_DIGEST_BYTES."""
OLD_DIGEST_BYTES: Final = 16
CHAIN_START: Final = bytes(OLD_DIGEST_BYTES)

Parameters = tuple[str | int | float | bytes | None, ...]


Line = tuple[float, str, str]
"""A row of `records` before its place in the chain is known: when, the type's name, the payload."""
Lines = tuple[tuple[int, Line], ...]
"""Rows to be written, each with the number of its events."""


def lines(events: Sequence[Event], words: Words) -> Lines:
    """*events* as they will stand in the journal: those of one moment in one row.

    Raises:
        ValueError: one of them cannot be kept.
    """
    if len(events) == 1:
        return ((1, (events[0].at, *encode(events[0], words))),)
    moments = [event.at for event in events]
    if moments.count(moments[0]) == len(events):
        return ((len(events), (moments[0], *encode_several(events, words))),)
    return tuple(row for _, same in groupby(events, _moment) for row in lines([*same], words))


def _moment(event: Event) -> float:
    return event.at


def chained(
    previous: bytes,
    saga_id: SagaId,
    seq: int,
    token: FencingToken,
    line: Line,
    digest_bytes: int = DIGEST_BYTES,
) -> bytes:
    """The digest of a row of `records`, whose last event is number *seq*, behind one that has the digest
    *previous*.

    It guards against a damaged disk, not against a forger, who could make all of them anew.
    """
    text = orjson.dumps((saga_id, seq, token, *line))
    return hashlib.blake2b(previous + text, digest_size=digest_bytes).digest()


class Row(NamedTuple):
    """A saga's row as it is to stand, without what is fixed when it starts."""

    standing: Parameters
    """What changes in it now and then, as STANDING_COLUMNS, the status first."""
    updated_at: float
    due_at: float | None
    seq: int


def summary_row(summary: SagaSummary) -> Row:
    """*summary* as it will stand in the journal, without what is fixed.

    Raises:
        ValueError: one of its values cannot be kept.
    """
    error_message, flags, signature = summary.error_message, "[]", None
    if summary.flags:
        flags = orjson.dumps(summary.flags).decode()
    if summary.signature is not None:
        signature = signature_text(summary.signature)
        check_text(signature)
    if error_message:
        check_text(error_message)
    standing = (
        summary.status._value_,
        summary.turned_back_at,
        int(summary.needs_person),
        error_message,
        summary.deadline_at,
        flags,
        int(summary.forced),
        signature,
    )
    return Row(standing, summary.updated_at, summary.due_at, summary.seq)


def fixed_row(summary: SagaSummary, words: Words) -> Parameters:
    """What of *summary* is fixed when its saga starts, as it will stand in the journal: FIXED_COLUMNS.

    Raises:
        ValueError: one of its values cannot be kept.
    """
    check_text(summary.id, summary.definition_version or "", summary.request_id, summary.trace)
    return (
        packed(summary.id),
        words.number(summary.saga_name),
        summary.definition_version,
        words.number(summary.definition_digest),
        words.number(summary.front_door),
        summary.request_id,
        summary.trace,
        summary.started_at,
    )


def check_text(*texts: str) -> None:
    """Refuse half characters here, at the caller: SQLite's refusal would fail the whole group."""
    "".join(texts).encode()


def spelt_out(row: Sequence[object], words: Words) -> Sequence[object]:
    """*row*, of SUMMARY_COLUMNS, with what stands in short in it; None for what that is not."""
    values = [*row]
    values[_ID_PLACE] = unpacked(values[_ID_PLACE])
    for place in _WORD_PLACES:
        values[place] = words.text(values[place])
    return values


def summary_of(row: Sequence[object]) -> SagaSummary:
    """The summary whose SUMMARY_COLUMNS, spelt out, are *row*.

    Raises:
        ValueError: the row is damaged.
    """
    given: dict[str, Any] = dict(zip(_SUMMARY_FIELDS, row, strict=True))
    if given["seq"] is None:
        raise ValueError("what tells its newest record is missing")
    return SagaSummary(**{name: _READ[name](value) for name, value in given.items()})


def set_aside(number: int, row: Sequence[object], damage: str) -> SagaSummary:
    """Row *number*, of which `summary_of` says *damage*, as that of a saga that was set aside: nothing can be
    done with it before a person has looked. It has what can be read of it, and its place in the list."""
    given: dict[str, Any] = dict(zip(_SUMMARY_FIELDS, row, strict=True))

    def read(name: str, otherwise: Any) -> Any:
        try:
            return _READ[name](given[name])
        except ValueError:
            return otherwise

    started_at = read("started_at", _place(given["started_at"]))
    return SagaSummary(
        id=read("id", nameless(number)),
        saga_name=read("saga_name", ""),
        definition_version=read("definition_version", None),
        definition_digest=read("definition_digest", Digest("")),
        front_door=read("front_door", ""),
        request_id=read("request_id", RequestId("")),
        status=Status.DEAD_LETTERED,
        turned_back_at=read("turned_back_at", None),
        needs_person=True,
        error_message=f"Row {number} of the journal's table sagas is damaged ({damage}): what can be read of "
        "it is shown. Put back a copy of the journal; `saga journal verify` tells what else is damaged.",
        started_at=started_at,
        updated_at=read("updated_at", started_at),
        deadline_at=read("deadline_at", None),
        due_at=None,
        seq=read("seq", 0),
        flags=read("flags", ()),
        forced=read("forced", False),
        signature=SET_ASIDE,
        trace=read("trace", ""),
    )


def nameless(number: int) -> SagaId:
    """What stands for the id of row *number*, which cannot be read. No saga has such a one."""
    return SagaId(f"?{number}")


def number_of(saga_id: SagaId) -> int | None:
    """The number that `nameless` made *saga_id* of; None for any other id."""
    match = _NAMELESS.fullmatch(saga_id)
    return None if match is None else int(match[1])


def signature_text(signature: Signature) -> str:
    """*signature* as it stands in a row: the step, if there is one, a space, and the cause."""
    return f"{signature.step or ''} {signature.cause}"


def signature_of(text: str) -> Signature:
    """What `signature_text` wrote.

    Raises:
        ValueError: the row is damaged.
    """
    step, _, cause = text.rpartition(" ")
    return Signature(StepName(step) if step else None, DeadLetterCause(cause))


def _place(started_at: object) -> float:
    """A moment for one that makes no sense, at the same place of a list: SQLite has texts behind numbers."""
    if isinstance(started_at, float):
        return min(max(started_at, MOMENT_MIN), MOMENT_MAX)
    return MOMENT_MIN if started_at is None else MOMENT_MAX


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it has another value where a text belongs")
    try:
        check_text(value)
    except UnicodeEncodeError:
        raise ValueError("a text in it is not UTF-8") from None
    return value


def _id(value: object) -> str:
    text = _text(value)
    if not 1 <= len(text) <= ID_CHARS_MAX:
        raise ValueError("its id is none")
    return text


def _number(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("it has another value where a number belongs")
    return value


def _truth(value: object) -> bool:
    if _number(value) > 1:
        raise ValueError("it has another value where yes or no belongs")
    return bool(value)


def _at(value: object) -> float:
    if not isinstance(value, float) or not MOMENT_MIN < value < MOMENT_MAX:
        raise ValueError("it has another value where a time belongs")
    return value


def _flags(value: object) -> tuple[str, ...]:
    flags = orjson.loads(_text(value))
    if not isinstance(flags, list):
        raise ValueError("its flags are no list")
    return tuple(map(_text, flags))


def _if_any(read: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else read(value)


_NAMELESS: Final = re.compile(r"\?([0-9]{1,18})")
_READ: Final[Mapping[str, Callable[[object], Any]]] = {
    "id": _id,
    "saga_name": _text,
    "definition_version": _if_any(_text),
    "definition_digest": _text,
    "front_door": _text,
    "request_id": _text,
    "status": lambda value: Status(_text(value)),
    "turned_back_at": _if_any(_at),
    "needs_person": _truth,
    "error_message": _text,
    "started_at": _at,
    "updated_at": _at,
    "deadline_at": _if_any(_at),
    "due_at": _if_any(_at),
    "seq": _number,
    "flags": _flags,
    "forced": _truth,
    "signature": _if_any(lambda value: signature_of(_text(value))),
    "trace": _text,
}
"""What each column says; ValueError where that makes no sense."""
