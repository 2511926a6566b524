"""What a person does to sagas: shown before it is done, and done to a step only as the saga was shown.

A saga that is to be stopped as a whole may move in between: a busy one always does.
"""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import typer

from coordinator.cli.commands.sagas import heading
from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.options import acting, can_ask, seconds, text_of
from coordinator.cli.output import Column, Form, print_many, print_one, put, tell
from coordinator.cli.steps import kind_of
from coordinator.cli.text import one_line
from coordinator.cli.timeline import said, steps_by_name
from coordinator.client import Operator
from coordinator.client.model import (
    ActionEffect,
    ActionResult,
    EventType,
    OperatorVerb,
    PossibleAction,
    Saga,
    StepStatus,
)
from coordinator.client.operator import AS_IT_STANDS, Acting

_COLUMNS: Final = (
    Column("SAGA", "saga_id", is_whole=True),
    Column("STATUS", "status", is_whole=True),
    Column("NAME", "saga_name"),
    Column("REQUEST", "request_id"),
    Column("SINCE (UTC)", "update_time"),
    Column("ERROR", "error_message"),
)
_OF_SAGAS: Final = frozenset({OperatorVerb.CANCEL, OperatorVerb.TERMINATE})
_SETTLED: Final = frozenset(
    {StepStatus.NOT_BEGUN, StepStatus.SUCCEEDED, StepStatus.OMITTED, StepStatus.COMPENSATED}
)
_TROUBLE: Final = frozenset(
    {
        EventType.STEP_REFUSED,
        EventType.STEP_FAULTED,
        EventType.UNDO_REFUSED,
        EventType.UNDO_FAULTED,
        EventType.EXPRESSION_FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody asked for on the command line."""

    verb: str
    actor: str | None
    reason: str
    expect: int | None
    action_id: str | None
    dry_run: bool
    yes: bool
    step_output: str | None = None


def list_all(address: str, timeout: str, limit: int, form: Form) -> int:
    """Print the sagas that need a person."""
    with Operator(address, timeout_s=seconds(timeout)) as operator:
        count = print_many(operator.dead_letters(limit=limit), _COLUMNS, form)
    if count == 0:
        tell("no saga needs a person")
    elif form is Form.TABLE:
        tell("'saga dead-letters show SAGA' tells what can be done")
    return Exit.OK


def show(address: str, timeout: str, saga_id: str, form: Form) -> int:
    """Print what failed, and what can be done about it."""
    with Operator(address, timeout_s=seconds(timeout)) as operator:
        saga, actions = operator.possible_actions(saga_id)
    if form is Form.TABLE:
        for line in _shown(saga, actions):
            put(line)
    else:
        print_one({"saga": saga, "possible_actions": actions}, form)
    return Exit.OK


def run(address: str, timeout: str, saga_id: str, step: str | None, act: Act, form: Form) -> int:
    """Show what *act* would lead to, ask, and do it."""
    if not (act.yes or act.dry_run or can_ask()):
        sentence = "there is nobody to ask: give --yes to act, or --dry-run to be told what it would lead to"
        raise CommandFailed(Exit.USAGE, sentence)
    actor = acting(act.actor)
    output = "" if act.step_output is None else text_of(act.step_output, "--step-output")
    with Operator(address, timeout_s=seconds(timeout)) as operator:
        step, seq = _what_of(operator, saga_id, step, act)

        def perform(*, validate_only: bool) -> ActionResult:
            acting: Acting = {
                "actor": actor,
                "reason": act.reason,
                "expected_seq": seq,
                "action_id": act.action_id,
                "validate_only": validate_only,
            }
            return _perform(operator, saga_id, step, act.verb, output, acting)

        if act.dry_run or not act.yes:
            foreseen = perform(validate_only=True)
            if act.dry_run:
                return _print_result(foreseen, act, form, "would lead to")
            if foreseen.repeated:
                return _print_result(foreseen, act, form, "led to")
            for line in _effect_lines(foreseen.effect):
                print(line, file=sys.stderr)
            at = "" if seq == AS_IT_STANDS else f" at seq {seq}"
            if not _agreed(f"{_named(act, step)} of saga {saga_id}{at}?"):
                raise CommandFailed(Exit.ERROR, "nothing was done")
        return _print_result(perform(validate_only=False), act, form, "led to")


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort as abort:
        if not isinstance(abort.__context__, EOFError):
            raise
        # Ctrl-D: there will be no answer, and the cursor stands behind the question.
        print(file=sys.stderr)
        return False


def _perform(
    operator: Operator, saga_id: str, step: str, verb: str, output: str, acting: Acting
) -> ActionResult:
    match verb:
        case "cancel":
            return operator.cancel(saga_id, **acting)
        case "terminate":
            return operator.terminate(saga_id, **acting)
        case "retry":
            return operator.retry(saga_id, step, **acting)
        case "skip":
            return operator.skip(saga_id, step, **acting)
        case "complete":
            return operator.complete(saga_id, step, output_json=output, **acting)
        case _:
            return operator.fail(saga_id, step, **acting)


def _what_of(operator: Operator, saga_id: str, step: str | None, act: Act) -> tuple[str, int]:
    """The step that is meant, and the seq that the saga is to stand at."""
    if OperatorVerb(act.verb.upper()) in _OF_SAGAS:
        return "", AS_IT_STANDS if act.expect is None else act.expect
    saga, actions = operator.possible_actions(saga_id)
    # What is shown, and what is done, are of the same seq: if the saga moves between, nothing is done.
    return _step(saga, actions, step, act), saga.seq if act.expect is None else act.expect


def _step(saga: Saga, actions: Sequence[PossibleAction], step: str | None, act: Act) -> str:
    """The step that is meant.

    Raises:
        CommandFailed: none is named, and none or several can be meant.
    """
    if step is not None:
        return step
    # The same action again finds its step in the journal: as the saga stands now, it may not be possible.
    for entry in saga.timeline:
        if entry.operator_action is not None and entry.operator_action.action_id == act.action_id:
            return entry.step
    steps = [action.step for action in actions if action.verb is OperatorVerb(act.verb.upper())]
    if len(steps) == 1:
        return steps[0]
    if not steps:
        can = sorted({action.verb.lower() for action in actions})
        instead = f"possible is {', '.join(can)}" if can else "nothing can be done any more"
        raise CommandFailed(
            Exit.REFUSED, f"saga {saga.saga_id} is {saga.status} and has no step to {act.verb}: {instead}"
        )
    raise CommandFailed(Exit.USAGE, f"say which step to {act.verb}: {', '.join(steps)}")


def _print_result(result: ActionResult, act: Act, form: Form, led: str) -> int:
    if form is not Form.TABLE:
        print_one(result, form)
        return Exit.OK
    if result.repeated:
        tell(f"this action was done before: nothing was done again by action id {act.action_id}")
    for line in _effect_lines(result.effect):
        put(line)
    saga = result.saga
    if act.dry_run:
        tell(f"nothing was done: saga {saga.saga_id} stays {saga.status} at seq {saga.seq}")
    else:
        put(f"saga {saga.saga_id} is {saga.status} at seq {saga.seq}")
    return Exit.OK


def _effect_lines(effect: ActionEffect | None) -> Iterator[str]:
    if effect is None:
        return
    forced = ", as decided by a person" if effect.forced else ""
    yield one_line(effect.sentence)
    for call in effect.planned_calls:
        what = call.transaction or "(bars a late call)"
        yield f"  then  {call.service}.{what}, {'undoing' if call.undo else 'for'} {call.step}"
    condition = " if every call succeeds" if effect.planned_calls else ""
    yield f"  ends  {effect.status_in_the_end}{condition}{forced}"


def _shown(saga: Saga, actions: Sequence[PossibleAction]) -> Iterator[str]:
    yield from heading(saga)
    trouble = list(_trouble(saga))
    if trouble:
        yield ""
        yield "what failed"
        yield from trouble
    yield ""
    if not actions:
        yield "nothing can be done any more"
        return
    yield "what can be done"
    for action in actions:
        yield ""
        words = ["saga", *_command(action.verb), saga.saga_id, *([action.step] if action.step else [])]
        yield f"  {shlex.join(words)} --reason …"
        for line in _effect_lines(action.effect):
            yield f"    {line}"


def _trouble(saga: Saga) -> Iterator[str]:
    """The last bad answer of each step that is not well."""
    step_of = steps_by_name(saga)
    for step in saga.steps:
        if step.status in _SETTLED:
            continue
        entries = [entry for entry in saga.timeline if entry.step == step.name and entry.type in _TROUBLE]
        last = f": {one_line(said(entries[-1], step_of))}" if entries else ""
        kind = f", {kind_of(step)}" if kind_of(step) else ""
        yield f"  {step.name} ({step.service}{kind}) {step.status}{last}"


def _command(verb: OperatorVerb) -> list[str]:
    return [verb.lower()] if verb in _OF_SAGAS else ["dead-letters", verb.lower()]


def _named(act: Act, step: str) -> str:
    return f"{act.verb.capitalize()} {step}" if step else act.verb.capitalize()
