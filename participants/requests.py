"""Turns requests into calls, strictly: what is wrong is named field by field, before anything is written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from participants.calls import CompensateCall, ExecuteCall, request_hash
from participants.errors import InvalidRequest, Violation
from participants.strict_json import BadJson, parse, parse_object
from saga.v1 import participant_pb2 as pb

NAME_LENGTH_MAX = 255
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
JSON_BYTES_MAX = 2 * 1024 * 1024
Parsed = TypeVar("Parsed")


def read_execute(request: pb.ExecuteRequest) -> ExecuteCall:
    arrived_ns = time.monotonic_ns()
    violations = _violations(request)
    _need_name(violations, "transaction", request.transaction)
    parsed = _read_json(violations, "input_json", request.input_json, parse_object)
    if violations or parsed is None:
        raise InvalidRequest(violations)
    return ExecuteCall(
        idempotency_key=request.idempotency_key,
        saga_id=request.saga_id,
        saga_name=request.saga_name,
        service=request.service,
        step=request.step,
        name=request.transaction,
        attempt=request.attempt,
        fencing_token=request.fencing_token,
        input=parsed,
        request_hash=request_hash(request.service, request.step, request.transaction, request.input_json),
        arrived_ns=arrived_ns,
    )


def read_compensate(request: pb.CompensateRequest) -> CompensateCall:
    arrived_ns = time.monotonic_ns()
    violations = _violations(request)
    _check_name(violations, "compensation", request.compensation)
    parsed = _read_json(violations, "input_json", request.input_json, parse_object)
    # Absent means that no answer is known; empty text means null.
    output: object = None
    if request.HasField("execute_output_json") and request.execute_output_json:
        output = _read_json(violations, "execute_output_json", request.execute_output_json, parse)
    if violations or parsed is None:
        raise InvalidRequest(violations)
    return CompensateCall(
        idempotency_key=request.idempotency_key,
        saga_id=request.saga_id,
        saga_name=request.saga_name,
        service=request.service,
        step=request.step,
        name=request.compensation,
        attempt=request.attempt,
        fencing_token=request.fencing_token,
        input=parsed,
        request_hash=request_hash(request.service, request.step, request.compensation, request.input_json),
        arrived_ns=arrived_ns,
        execute_output=output,
    )


def _violations(request: pb.ExecuteRequest | pb.CompensateRequest) -> list[Violation]:
    found: list[Violation] = []
    key = request.idempotency_key
    if not key or len(key) > NAME_LENGTH_MAX or not key.isascii() or not key.isprintable():
        sentence = f"must be 1 to {NAME_LENGTH_MAX} printable ASCII characters"
        found.append(Violation("idempotency_key", sentence))
    _need_name(found, "saga_id", request.saga_id)
    _check_name(found, "saga_name", request.saga_name)
    _need_name(found, "step", request.step)
    if request.fencing_token < 0:
        found.append(Violation("fencing_token", "must not be negative"))
    return found


def _need_name(found: list[Violation], field: str, name: str) -> None:
    if not name:
        found.append(Violation(field, "must not be empty"))
    _check_name(found, field, name)


def _check_name(found: list[Violation], field: str, name: str) -> None:
    if len(name) > NAME_LENGTH_MAX:
        found.append(Violation(field, f"must be at most {NAME_LENGTH_MAX} characters"))
    if not name.isprintable() and CONTROL.search(name):
        found.append(Violation(field, "must not contain control characters"))


def _read_json(
    found: list[Violation], field: str, text: str, reader: Callable[[str], Parsed]
) -> Parsed | None:
    # Code points are at least one byte each: the cheap test comes first.
    if len(text) > JSON_BYTES_MAX or len(text.encode()) > JSON_BYTES_MAX:
        found.append(Violation(field, f"must be at most {JSON_BYTES_MAX} bytes"))
        return None
    try:
        return reader(text)
    except BadJson as error:
        found.append(Violation(field, str(error)))
        return None
