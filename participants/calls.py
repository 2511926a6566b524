"""What a participant is asked and what it can answer, as values.

Nothing here knows gRPC or SQLite.  Payloads are kept out of every repr, so that no log can show them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, TypeAlias

WAIT_S_MAX = 7 * 24 * 3600
CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_encode = json.JSONEncoder().encode


class Operation(IntEnum):
    """Which way a call goes; the numbers are those of ledger.proto."""

    EXECUTE = 1
    COMPENSATE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One delivery of one request.  `name` is the transaction or the compensation."""

    idempotency_key: str
    saga_id: str
    saga_name: str
    service: str
    step: str
    name: str
    attempt: int
    fencing_token: int
    input: Mapping[str, object] = field(repr=False)
    # Digest of what must be equal under one key: service, step, transaction and input.
    request_hash: str
    # When the call arrived, by the machine's monotonic clock.
    arrived_ns: int

    operation: ClassVar[Operation]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteCall(Call):
    """Perform a step's forward transaction."""

    operation = Operation.EXECUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensateCall(Call):
    """Undo a step.  An empty `name` undoes nothing and only bars the late Execute.

    `execute_output` is what the request carries, None where no answer is known.  By the time a
    compensation runs, the barrier has put this service's own stored output in its place.
    """

    execute_output: object = field(default=None, repr=False)

    operation = Operation.COMPENSATE


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The effect stands; the output is JSON text."""

    output_json: str = field(repr=False)


class NotDone(Exception):
    """Base of what business code raises when it does not succeed; its changes are rolled back."""

    def __init__(self, code: str, message: str) -> None:
        if not CODE.fullmatch(code):
            raise ValueError("a code is an upper-case name of at most 64 characters, as OUT_OF_STOCK")
        super().__init__(code)
        self.code = code
        self.message = message


class Refused(NotDone):
    """The business says no, for good.  The message reaches the saga's caller: nothing secret in it."""


class Faulted(NotDone):
    """It could not be done now; asked again by the step's policy, not before *retry_after_s*."""

    def __init__(self, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(code, message)
        self.retry_after_s = _wait(retry_after_s)


class Pending(NotDone):
    """Taken on, not done: asked again under the same key after *ask_again_after_s*."""

    def __init__(self, ask_again_after_s: float | None = None) -> None:
        super().__init__("PENDING", "taken on, not done")
        self.ask_again_after_s = _wait(ask_again_after_s)


Answer: TypeAlias = Succeeded | Refused | Faulted | Pending


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer under its key.  No answer and another key are broken contracts: only faults make them."""

    idempotency_key: str
    answer: Answer | None


def request_hash(service: str, step: str, name: str, input_json: str) -> str:
    """Digest what must be equal under one key.  The input counts byte for byte."""
    # As a JSON array, but for its parts: an encoder of lists would be made anew each time.
    return sha256(f"[{', '.join(map(_encode, (service, step, name, input_json)))}]")


def _wait(seconds: float | None) -> float | None:
    if seconds is not None and not 0 <= seconds <= WAIT_S_MAX:
        raise ValueError(f"a wait is from 0 to {WAIT_S_MAX} seconds")
    return seconds


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
