"""How values of the domain stand in the tables, and the chain of digests over a saga's records."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import orjson

from coordinator.adapters.event_codec import encode
from coordinator.domain.events import Event
from coordinator.domain.ids import FencingToken, SagaId, StepName
from coordinator.domain.saga import Status
from coordinator.domain.summary import DeadLetterCause, SagaSummary, Signature

_SUMMARY_FIELDS: Final = tuple(field.name for field in fields(SagaSummary))
SUMMARY_COLUMNS: Final = ", ".join(_SUMMARY_FIELDS)
"""Columns of the table `sagas` have the names of the fields that they hold."""
SUMMARY_MARKS: Final = ", ".join("?" for _ in _SUMMARY_FIELDS)
DIGEST_BYTES: Final = 16
CHAIN_START: Final = bytes(DIGEST_BYTES)

Parameters = tuple[str | int | float | bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A record before its place in the chain is known."""

    at: float
    type: str
    payload: str


def lines(events: Sequence[Event]) -> tuple[Line, ...]:
    """*events* as they will stand in the journal.

    Raises:
        ValueError: one of them cannot be kept.
    """
    return tuple(Line(event.at, *encode(event)) for event in events)


def chained(previous: bytes, saga_id: SagaId, seq: int, token: FencingToken, line: Line) -> bytes:
    """The digest of a record whose predecessor in the saga has the digest *previous*.

    It guards against a damaged disk, not against a forger, who could make all of them anew.
    """
    text = orjson.dumps((saga_id, seq, token, line.at, line.type, line.payload))
    return hashlib.blake2b(previous + text, digest_size=DIGEST_BYTES).digest()


def summary_row(summary: SagaSummary) -> Parameters:
    """The values of SUMMARY_COLUMNS.

    Raises:
        ValueError: one of them cannot be kept.
    """
    row: Parameters = (
        summary.id,
        summary.saga_name,
        summary.definition_version,
        summary.definition_digest,
        summary.front_door,
        summary.request_id,
        summary.status.value,
        summary.turned_back_at,
        int(summary.needs_person),
        summary.error_message,
        summary.started_at,
        summary.updated_at,
        summary.deadline_at,
        summary.due_at,
        summary.seq,
        orjson.dumps(summary.flags).decode(),
        int(summary.forced),
        None if summary.signature is None else signature_text(summary.signature),
        summary.trace,
    )
    check_text(*(value for value in row if isinstance(value, str)))
    return row


def check_text(*texts: str) -> None:
    """Refuse half characters here, at the caller: SQLite's refusal would fail the whole group."""
    for text in texts:
        text.encode()


def summary_of(row: Sequence[object]) -> SagaSummary:
    """The summary whose SUMMARY_COLUMNS are *row*.

    Raises:
        ValueError: the row is damaged.
    """
    given: dict[str, Any] = dict(zip(_SUMMARY_FIELDS, row, strict=True))
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
