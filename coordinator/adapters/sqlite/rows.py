"""How values of the domain stand in the tables, and the chain of digests over a saga's records."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any, Final, NamedTuple

import orjson

from coordinator.adapters.event_codec import encode, encode_several
from coordinator.domain.events import Event
from coordinator.domain.ids import FencingToken, SagaId, StepName
from coordinator.domain.saga import Status
from coordinator.domain.summary import DeadLetterCause, SagaSummary, Signature

_SUMMARY_FIELDS: Final = tuple(field.name for field in fields(SagaSummary))
SUMMARY_COLUMNS: Final = ", ".join(_SUMMARY_FIELDS)
"""Columns of the tables `sagas` and `heads` have the names of the fields that they hold."""
FIXED_COLUMNS: Final = (
    "id, saga_name, definition_version, definition_digest, front_door, request_id, trace, started_at"
)
STANDING_COLUMNS: Final = (
    "status, turned_back_at, needs_person, error_message, deadline_at, flags, forced, signature"
)
SAGAS: Final = "sagas LEFT JOIN heads ON heads.saga = sagas.number"
"""Each row whole. One without its head is damaged, but it is there."""
DIGEST_BYTES: Final = 16
CHAIN_START: Final = bytes(DIGEST_BYTES)

Parameters = tuple[str | int | float | bytes | None, ...]


Line = tuple[float, str, str]
"""A row of `records` before its place in the chain is known: when, the type's name, the payload."""
Lines = tuple[tuple[int, Line], ...]
"""Rows to be written, each with the number of its events."""


def lines(events: Sequence[Event]) -> Lines:
    """*events* as they will stand in the journal: those of one moment in one row.

    Raises:
        ValueError: one of them cannot be kept.
    """
    if len(events) == 1:
        return ((1, (events[0].at, *encode(events[0]))),)
    moments = [event.at for event in events]
    if moments.count(moments[0]) == len(events):
        return ((len(events), (moments[0], *encode_several(events))),)
    return tuple(row for _, same in groupby(events, _moment) for row in lines([*same]))


def _moment(event: Event) -> float:
    return event.at


def chained(previous: bytes, saga_id: SagaId, seq: int, token: FencingToken, line: Line) -> bytes:
    """The digest of a row of `records`, whose last event is number *seq*, behind one that has the digest
    *previous*.

    It guards against a damaged disk, not against a forger, who could make all of them anew.
    """
    text = orjson.dumps((saga_id, seq, token, *line))
    return hashlib.blake2b(previous + text, digest_size=DIGEST_BYTES).digest()


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


def fixed_row(summary: SagaSummary) -> Parameters:
    """What of *summary* is fixed when its saga starts, as it will stand in the journal: FIXED_COLUMNS.

    Raises:
        ValueError: one of its values cannot be kept.
    """
    texts = (
        summary.id,
        summary.saga_name,
        summary.definition_version,
        summary.definition_digest,
        summary.front_door,
        summary.request_id,
        summary.trace,
    )
    check_text(*(text or "" for text in texts))
    return (*texts, summary.started_at)


def check_text(*texts: str) -> None:
    """Refuse half characters here, at the caller: SQLite's refusal would fail the whole group."""
    "".join(texts).encode()


def summary_of(row: Sequence[object]) -> SagaSummary:
    """The summary whose SUMMARY_COLUMNS are *row*.

    Raises:
        ValueError: the row is damaged.
    """
    try:
        check_text(*(value for value in row if isinstance(value, str)))
    except UnicodeEncodeError:
        raise ValueError("a text in it is not UTF-8") from None
    given: dict[str, Any] = dict(zip(_SUMMARY_FIELDS, row, strict=True))
    if given["seq"] is None:
        raise ValueError("what tells its newest record is missing")
    given["status"] = Status(given["status"])
    for name in ("needs_person", "forced"):
        given[name] = bool(given[name])
    given["flags"] = tuple(orjson.loads(given["flags"]))
    if given["signature"] is not None:
        given["signature"] = signature_of(given["signature"])
    return SagaSummary(**given)


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
