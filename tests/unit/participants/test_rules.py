"""The barrier's rules, pure: what a call may do by what is stored for its key and its step."""

from __future__ import annotations

from participants.calls import Call, Operation, Refused, Succeeded
from participants.errors import Barred, KeyReused
from participants.ledger import Outcome
from participants.rules import NothingToUndo, Perform, Reject, Replay, Ruling, Stored, rule
from tests.unit.participants.kit import a_compensate, an_execute


def stored(call: Call, outcome: Outcome) -> Stored:
    return Stored(
        idempotency_key=call.idempotency_key,
        saga_id=call.saga_id,
        step=call.step,
        operation=call.operation,
        request_hash=call.request_hash,
        outcome=outcome,
        output_json='{"put":5}',
        code="TILL_LOCKED",
        message="The till is locked.",
    )


APPLIED = stored(an_execute(), Outcome.APPLIED)
REFUSED = stored(an_execute(), Outcome.REFUSED)
UNDONE = stored(a_compensate(), Outcome.APPLIED)
UNNEEDED = stored(a_compensate(), Outcome.NULL)


def reason(ruling: Ruling) -> type[Exception]:
    assert isinstance(ruling, Reject)
    return type(ruling.why)


def test_what_was_never_seen_is_performed() -> None:
    assert rule(an_execute(), []) == Perform()


def test_a_known_execute_is_answered_from_what_was_stored() -> None:
    assert rule(an_execute(), [APPLIED]) == Replay(APPLIED)
    assert isinstance(APPLIED.answer, Succeeded)


def test_a_stored_refusal_is_answered_as_the_refusal_it_was() -> None:
    assert rule(an_execute(), [REFUSED]) == Replay(REFUSED)
    assert isinstance(REFUSED.answer, Refused)
    assert REFUSED.answer.code == "TILL_LOCKED"


def test_attempt_and_token_are_not_part_of_a_requests_identity() -> None:
    assert rule(an_execute(token=9), [APPLIED]) == Replay(APPLIED)


def test_a_known_key_with_another_input_is_rejected() -> None:
    assert reason(rule(an_execute(given={"amount": 6}), [APPLIED])) is KeyReused


def test_a_known_key_with_another_transaction_is_rejected() -> None:
    assert reason(rule(an_execute(name="other"), [APPLIED])) is KeyReused


def test_a_known_key_of_another_saga_is_rejected() -> None:
    assert reason(rule(an_execute("saga-2", key=APPLIED.idempotency_key), [APPLIED])) is KeyReused


def test_a_known_key_of_the_other_direction_is_rejected() -> None:
    assert reason(rule(a_compensate(key=APPLIED.idempotency_key), [APPLIED])) is KeyReused


def test_a_compensation_of_an_effect_is_performed_and_sees_it() -> None:
    assert rule(a_compensate(), [APPLIED]) == Perform(APPLIED)


def test_a_compensation_of_nothing_has_nothing_to_undo() -> None:
    assert rule(a_compensate(), []) == NothingToUndo()


def test_a_compensation_of_a_refusal_has_nothing_to_undo() -> None:
    assert rule(a_compensate(), [REFUSED]) == NothingToUndo()


def test_a_compensation_without_a_name_leaves_the_effect() -> None:
    assert rule(a_compensate(name=""), [APPLIED]) == NothingToUndo()


def test_a_known_compensation_is_answered_from_what_was_stored() -> None:
    assert rule(a_compensate(), [APPLIED, UNDONE]) == Replay(UNDONE)


def test_an_execute_after_its_null_compensation_is_barred() -> None:
    assert reason(rule(an_execute(), [UNNEEDED])) is Barred


def test_a_known_execute_whose_effect_was_undone_is_barred() -> None:
    assert reason(rule(an_execute(), [APPLIED, UNDONE])) is Barred


def test_an_effect_that_a_nameless_compensation_left_is_still_answered() -> None:
    nameless = stored(a_compensate(name=""), Outcome.NULL)
    assert rule(an_execute(), [APPLIED, nameless]) == Replay(APPLIED)


def test_a_refusal_stays_true_after_its_compensation() -> None:
    assert rule(an_execute(), [REFUSED, UNNEEDED]) == Replay(REFUSED)


def test_a_new_key_supersedes_a_stored_refusal() -> None:
    assert rule(an_execute(key="round-2"), [REFUSED]) == Perform()


def test_a_new_key_does_not_pass_the_bar() -> None:
    assert reason(rule(an_execute(key="round-2"), [REFUSED, UNNEEDED])) is Barred


def test_a_new_key_never_applies_a_step_twice() -> None:
    assert rule(an_execute(key="round-2"), [APPLIED]) == Replay(APPLIED)


def test_a_new_key_never_undoes_a_step_twice() -> None:
    assert rule(a_compensate(key="round-2"), [APPLIED, UNDONE]) == Replay(UNDONE)


def test_a_new_key_with_other_content_cannot_claim_the_effect() -> None:
    assert reason(rule(an_execute(key="round-2", given={"amount": 6}), [APPLIED])) is KeyReused


def test_steps_of_one_saga_are_strangers_to_each_other() -> None:
    assert rule(an_execute(step="ship"), [APPLIED, UNDONE]) == Perform()


def test_what_is_stored_belongs_to_its_direction() -> None:
    assert APPLIED.operation is Operation.EXECUTE
    assert not APPLIED.is_same_request(a_compensate())
