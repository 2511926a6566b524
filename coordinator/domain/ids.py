"""Names of things. A NewType each, so that a step can not be passed where a saga is meant."""

from typing import Final, NewType

SagaId = NewType("SagaId", str)
RequestId = NewType("RequestId", str)
StepName = NewType("StepName", str)
IdempotencyKey = NewType("IdempotencyKey", str)
FencingToken = NewType("FencingToken", int)
Digest = NewType("Digest", str)
"""SHA-256 in hexadecimal."""

REQUEST_ID_CHARS_MAX: Final = 128


def execute_key(saga_id: SagaId, step: StepName) -> IdempotencyKey:
    """The key of a step's forward transaction: fixed per saga, step and direction, never per attempt."""
    return IdempotencyKey(f"{saga_id}/{step}/execute")


def compensate_key(saga_id: SagaId, step: StepName) -> IdempotencyKey:
    """The key of a step's compensation."""
    return IdempotencyKey(f"{saga_id}/{step}/compensate")
