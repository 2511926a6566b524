"""Filters of lists (AIP-160, its simple forms) and the tokens of their pages (AIP-158).

A token is opaque, and holds a digest of the filter that it was made for: with another one it is refused.
"""

import base64
import binascii
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.api.convert import from_timestamp
from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidJson, InvalidRequest, Violation
from coordinator.domain.ids import REQUEST_ID_CHARS_MAX, Digest, RequestId, SagaId
from coordinator.domain.saga import Status
from coordinator.domain.summary import SagaSummary
from coordinator.ports.journal import Cursor, SagaFilter

FILTER_CHARS_MAX: Final = 2_000
TOKEN_CHARS_MAX: Final = 500
SAGA_ID_CHARS_MAX: Final = 128
ALLOWED: Final = (
    'allowed are comparisons joined by AND: status = RUNNING, saga_name = "…", request_id = "…", '
    'needs_person = true, create_time >= "2026-11-22T10:00:00Z" (also >, <, <=)'
)

# A quote that closes nothing is no value: it would be looked for, and nothing be found.
_COMPARISON: Final = re.compile(
    r"""\s*([A-Za-z_]+)\s*(!=|<=|>=|=|<|>|:)\s*"""
    r"""(?:(["'])((?:(?!\3)[^\\]|\\.)*)\3|([^\s"'()<>=!:][^\s"()<>=!:]*))\s*"""
)
_AND: Final = re.compile(r"AND(?=\s|\Z)")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_TOKEN_VERSION: Final = 1


def parse_filter(text: str) -> SagaFilter:
    """Which sagas a list is to show.

    Raises:
        InvalidRequest: *text* is no such filter; the sentence says what is allowed.
    """
    if len(text) > FILTER_CHARS_MAX:
        raise _wrong(f"expected at most {FILTER_CHARS_MAX} characters, found {len(text)}")
    if "\0" in text:
        raise _wrong("holds a NUL character")
    condition = SagaFilter()
    for field, operator, value in _comparisons(text):
        condition = _narrowed(condition, field, operator, value)
    return condition


def next_page_token(rows: Sequence[SagaSummary], shown: int, condition: SagaFilter) -> str:
    """What leads to the page behind the first *shown* of *rows*; empty where there is none.

    *rows* holds at least one more where there is another page.
    """
    if len(rows) <= shown:
        return ""
    last = rows[shown - 1]
    text = jsontext.canonical([_TOKEN_VERSION, _digest(condition), last.started_at, last.id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_page_token(token: str, condition: SagaFilter) -> Cursor | None:
    """Where the page begins; None for the first one.

    Raises:
        InvalidRequest: *token* is none of ours, or of a list with another filter.
    """
    if not token:
        return None
    match decoded_token(token):
        case [int(version), str(filtered), float(started_at), str(saga_id)] if (
            version == _TOKEN_VERSION and len(saga_id) <= SAGA_ID_CHARS_MAX
        ):
            if filtered != _digest(condition):
                sentence = "belongs to a list with another filter; send the filter it was made with"
                raise InvalidRequest([Violation("page_token", sentence)])
            return Cursor(started_at, SagaId(saga_id))
        case _:
            sentence = "expected the next_page_token of the page before, or nothing for the first"
            raise InvalidRequest([Violation("page_token", sentence)])


def _comparisons(text: str) -> Iterator[tuple[str, str, str]]:
    position = 0
    while text[position:].strip():
        if position and (joined := _AND.match(text, position)) is None:
            raise _wrong(f"expected AND at character {position + 1}; {ALLOWED}")
        elif position and joined is not None:
            position = joined.end()
        found = _COMPARISON.match(text, position)
        if found is None:
            raise _wrong(f"expected a comparison at character {position + 1}; {ALLOWED}")
        field, operator, _, quoted, bare = found.groups()
        yield field, operator, bare if quoted is None else _ESCAPE.sub(r"\1", quoted)
        position = found.end()


def _narrowed(condition: SagaFilter, field: str, operator: str, value: str) -> SagaFilter:
    if field == "create_time":
        return _narrowed_in_time(condition, operator, _moment(value))
    if field not in ("status", "saga_name", "request_id", "needs_person"):
        raise _wrong(f"{field[:40]!r} is no field of a filter; {ALLOWED}")
    if operator != "=":
        raise _wrong(f"{field} is compared with '=' only; {ALLOWED}")
    if getattr(condition, field) is not None:
        raise _wrong(f"{field} stands twice")
    match field:
        case "status":
            return replace(condition, status=_status(value))
        case "saga_name":
            return replace(condition, saga_name=_bounded(field, value))
        case "needs_person":
            return replace(condition, needs_person=_truth(field, value))
        case _:
            return replace(condition, request_id=RequestId(_bounded(field, value)))


def _narrowed_in_time(condition: SagaFilter, operator: str, moment: float) -> SagaFilter:
    """`started_from` is inclusive and `started_before` is not, so two of the forms mean the next moment."""
    if operator not in ("<", "<=", ">", ">="):
        raise _wrong(f"create_time is compared with <, <=, > or >= only; {ALLOWED}")
    if operator.startswith("<"):
        if condition.started_before is not None:
            raise _wrong("create_time has two upper bounds")
        before = moment if operator == "<" else math.nextafter(moment, math.inf)
        return replace(condition, started_before=before)
    if condition.started_from is not None:
        raise _wrong("create_time has two lower bounds")
    start = moment if operator == ">=" else math.nextafter(moment, math.inf)
    return replace(condition, started_from=start)


def _truth(field: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise _wrong(f"{field} is true or false; {ALLOWED}")
    return value == "true"


def _status(value: str) -> Status:
    try:
        return Status(value.removeprefix("SAGA_STATUS_"))
    except ValueError:
        raise _wrong(f"status is expected to be one of {', '.join(Status)}") from None


def _bounded(field: str, value: str) -> str:
    if not 1 <= len(value) <= REQUEST_ID_CHARS_MAX:
        raise _wrong(f"{field} is expected to have 1 to {REQUEST_ID_CHARS_MAX} characters")
    return value


def _moment(value: str) -> float:
    timestamp = Timestamp()
    try:
        timestamp.FromJsonString(value)
    except ValueError:
        raise _wrong('create_time is expected to be RFC 3339, as in "2026-11-22T10:00:00Z"') from None
    return from_timestamp(timestamp)


def _digest(condition: SagaFilter) -> Digest:
    # Every field, so that none can be forgotten: a token of one list must not fit another.
    return jsontext.digest(jsontext.canonical(list(astuple(condition))))


def decoded_token(token: str) -> jsontext.JsonValue:
    """What a token holds; None for one that is none of ours."""
    if len(token) > TOKEN_CHARS_MAX:
        return None
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        return jsontext.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, InvalidJson):
        return None


def _wrong(sentence: str) -> InvalidRequest:
    return InvalidRequest([Violation("filter", sentence)])
