"""Names of things. A NewType each, so that a step can not be passed where a saga is meant."""

from typing import Final, NewType

SagaId = NewType("SagaId", str)
RequestId = NewType("RequestId", str)
StepName = NewType("StepName", str)
ActionId = NewType("ActionId", str)
IdempotencyKey = NewType("IdempotencyKey", str)
FencingToken = NewType("FencingToken", int)
Digest = NewType("Digest", str)
"""SHA-256 in hexadecimal."""

REQUEST_ID_CHARS_MAX: Final = 128


def execute_key(saga_id: SagaId, step: StepName, round_number: int) -> IdempotencyKey:
    """The key of a step's forward transaction: fixed per saga, step and direction, never per attempt. Only an
    operator's retry of a refusal, which its participant has stored under the key, begins another round."""
    key = IdempotencyKey(f"{saga_id}/{step}/execute")
    return key if round_number == 1 else _in_round(key, round_number)


def compensate_key(saga_id: SagaId, step: StepName, round_number: int) -> IdempotencyKey:
    """The key of a step's compensation, in rounds as that of its forward transaction."""
    key = IdempotencyKey(f"{saga_id}/{step}/compensate")
    return key if round_number == 1 else _in_round(key, round_number)


def _in_round(key: IdempotencyKey, round_number: int) -> IdempotencyKey:
    return IdempotencyKey(f"{key}/{round_number}")
