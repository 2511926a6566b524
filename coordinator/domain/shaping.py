"""What a saga's expressions come to: whether a step is omitted, what it is sent, what the saga answers.

Each is decided once, from what the journal holds at that moment, and journaled before anything is sent: a
restart sends the same bytes, whatever release evaluates them.
"""

from collections.abc import Iterable

from coordinator.domain import jsontext
from coordinator.domain.commands import Command, Invoke
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.events import Event, ExpressionFailed, OutputShaped, StepOmitted, UndoBegun
from coordinator.domain.ids import StepName
from coordinator.domain.inputs import input_fields, step_input
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import Evaluate, Scope, holds, shape
from coordinator.domain.machine import begin
from coordinator.domain.saga import CALL_BYTES_MAX, SHAPED_BYTES_MAX, SHAPED_INPUTS_BYTES_MAX, Saga, StepState


def omitted(saga: Saga, step: StepState, evaluate: Evaluate, at: float) -> Event | None:
    """What follows from the condition of *step* if it does not begin: it is omitted, or that failed."""
    if step.definition.when is None:
        return None
    try:
        if holds(step.definition.when, _scope(saga, step), evaluate, place="when"):
            return None
    except NotEvaluated as wrong:
        return ExpressionFailed(at, step.name, wrong.place, wrong.sentence)
    return StepOmitted(at, step.name)


def first_call(saga: Saga, command: Command, evaluate: Evaluate, at: float) -> Event | None:
    """What is to be journaled before *command* is sent: that its step, or its undo, begins with this input,
    or that the input cannot be made. None: it was begun before."""
    step = saga.steps[command.place]
    try:
        if isinstance(command, Invoke):
            if step.begun:
                return None
            mapping = step.definition.input_shape
            if mapping is None:
                return begin(at, step)
            shaped = _shaped("input", mapping, _scope(saga, step), evaluate)
            _check_sum("input", shaped, (other.input for other in saga.steps))
            return begin(at, step, shaped)
        if step.undo is not None and not step.undo.unsendable:
            return None
        return UndoBegun(at, step.name, step.output, _undo_input(saga, step, evaluate))
    except NotEvaluated as wrong:
        return ExpressionFailed(at, step.name, wrong.place, wrong.sentence)


def shaped_output(saga: Saga, evaluate: Evaluate, at: float) -> Event:
    """The result of a saga whose steps are all passed, or that it cannot be made."""
    scope = Scope(input_fields(saga.input), _Outputs(saga, (1 << len(saga.steps)) - 1))
    try:
        return OutputShaped(at, _shaped("output", saga.definition.output, scope, evaluate))
    except NotEvaluated as wrong:
        return ExpressionFailed(at, None, wrong.place, wrong.sentence)


def sent_input(saga: Saga, step: StepState, *, undo: bool) -> str:
    """The canonical JSON text that goes out with the Execute of *step*, or with its *undo*; it is begun."""
    shaped = made_for_undo(step) if undo else step.input
    if shaped is not None:
        return shaped
    return step_input(saga.definition, saga.input, lambda name: saga.step(name).output, step.place)


def made_for_undo(step: StepState) -> str | None:
    """What a mapping made for the undo of *step*, or for its Execute if the undo gets the same; None where no
    mapping did."""
    return step.input if step.undo is None or step.undo.input is None else step.undo.input


def undo_mapping(step: StepState) -> tuple[str, JsonValue]:
    """The mapping that makes what the undo of *step* gets, null where there is none, and where it stands."""
    own = step.definition.compensation_input
    return ("input", step.definition.input_shape) if own is None else ("compensationInput", own)


def _undo_input(saga: Saga, step: StepState, evaluate: Evaluate) -> str | None:
    """None where the undo gets what its Execute got."""
    place, mapping = undo_mapping(step)
    is_own = place == "compensationInput"
    if not is_own and step.input is not None:
        return None
    if mapping is None:
        return None
    # An input that is still to be made is that of a step that was never begun: a person vouched for it.
    shaped = _shaped(place, mapping, _scope(saga, step, itself=is_own), evaluate)
    if jsontext.size_bytes(shaped) + jsontext.size_bytes(step.output or "") > CALL_BYTES_MAX:
        raise NotEvaluated(f"this and the step's output take more than {CALL_BYTES_MAX} bytes", place=place)
    others = (other.undo.input for other in saga.steps if other.undo is not None)
    _check_sum(place, shaped, others)
    return shaped


def _check_sum(place: str, shaped: str, others: Iterable[str | None]) -> None:
    """Refuse what was *shaped* if it is too much together with the *others*."""
    total = sum(jsontext.size_bytes(text) for text in (shaped, *others) if text is not None)
    if total > SHAPED_INPUTS_BYTES_MAX:
        sentence = f"what mappings yield for this saga takes more than {SHAPED_INPUTS_BYTES_MAX} bytes in all"
        raise NotEvaluated(sentence, place=place)


def _shaped(place: str, mapping: JsonValue, scope: Scope, evaluate: Evaluate) -> str:
    text = shape(mapping, scope, evaluate, place=place)
    if jsontext.size_bytes(text) > SHAPED_BYTES_MAX:
        raise NotEvaluated(f"what it yields takes more than {SHAPED_BYTES_MAX} bytes", place=place)
    return text


def _scope(saga: Saga, step: StepState, *, itself: bool = False) -> Scope:
    """What the expressions of *step* see; with *itself* also its own output."""
    seen = saga.definition.graph.ancestors[step.place] | itself << step.place
    return Scope(input_fields(saga.input), _Outputs(saga, seen))


class _Outputs:
    """The outputs of the steps in the set *seen*, as far as one is known or stands in for it; read when they
    are asked for, since an expression names few of many."""

    def __init__(self, saga: Saga, seen: int) -> None:
        self._saga = saga
        self._seen = seen

    def __getitem__(self, name: str) -> JsonValue:
        place = self._saga.definition.positions.get(StepName(name))
        if place is None or not self._seen >> place & 1:
            raise KeyError(name)
        step = self._saga.steps[place]
        if step.output is not None:
            return jsontext.reload(step.output)
        if not step.definition.has_default_output:
            raise KeyError(name)
        default: JsonValue = step.definition.default_output
        return default
