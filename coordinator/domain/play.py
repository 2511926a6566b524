"""A saga played to its end as if every call succeeded, by the machine's own rules: what plans are made of.

What a step will answer nobody knows. An expression that names such an answer is taken to hold, or to yield
something; every other one is evaluated.
"""

from collections.abc import Iterable
from functools import reduce

from coordinator.domain.commands import Command, Invoke
from coordinator.domain.events import (
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OutputShaped,
    StepCompensated,
    StepSucceeded,
)
from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expression_reading import reading
from coordinator.domain.language.expressions import Evaluate, expressions_in
from coordinator.domain.machine import begin, evolve, outstanding
from coordinator.domain.saga import Saga, Status
from coordinator.domain.shaping import first_call, omitted, shaped_output


def play(saga: Saga, evaluate: Evaluate) -> tuple[Saga, list[Command]]:
    """*saga* when no automatic work is left, and the calls that brought it there, in an order in which they
    may come. All happens at the moment of the newest record: how long it will take is not what is asked."""
    return _Play(saga, evaluate).to_the_end()


class _Play:
    def __init__(self, saga: Saga, evaluate: Evaluate) -> None:
        self._saga = saga
        self._evaluate = evaluate
        self._sent: list[Command] = []
        self._imagined: set[str] = set()
        """The steps whose answer nobody knows."""
        self._holding: set[StepName] = set()
        """Those whose condition holds, or is taken to."""

    def to_the_end(self) -> tuple[Saga, list[Command]]:
        if _is_out_of_time(self._saga):
            self._fold(DeadlinePassed(self._saga.updated_at))
        while True:
            if (event := self._follows()) is not None:
                self._fold(event)
            elif commands := outstanding(self._saga):
                self._send(commands)
            else:
                return self._saga, self._sent

    def _fold(self, *events: Event) -> None:
        self._saga = reduce(evolve, events, self._saga)

    def _follows(self) -> Event | None:
        """What follows without a call: a step that is omitted, an output that is made."""
        saga, at = self._saga, self._saga.updated_at
        if saga.awaits_output:
            if self._is_imagined(saga.definition.output):
                return OutputShaped(at, "null")
            return shaped_output(saga, self._evaluate, at)
        if saga.status is not Status.RUNNING:
            return None
        for step in saga.at_work:
            if step.begun or step.name in self._holding:
                continue
            if not self._is_imagined(step.definition.when):
                event = omitted(saga, step, self._evaluate, at)
                if event is not None:
                    return event
            self._holding.add(step.name)
        return None

    def _send(self, commands: Iterable[Command]) -> None:
        """Side by side they take nothing from each other, until an expression fails."""
        for command in commands:
            event = self._first_call(command)
            if event is not None:
                self._fold(event)
            if isinstance(event, ExpressionFailed):
                return
            self._sent.append(command)
            self._fold(_success(self._saga, command))
            if isinstance(command, Invoke):
                self._imagined.add(command.step)

    def _first_call(self, command: Command) -> Event | None:
        step = self._saga.steps[command.place]
        if isinstance(command, Invoke) and not step.begun and self._is_imagined(step.definition.input_shape):
            return begin(self._saga.updated_at, step)
        return first_call(self._saga, command, self._evaluate, self._saga.updated_at)

    def _is_imagined(self, mapping: JsonValue) -> bool:
        """Whether what *mapping* yields hangs on an answer that nobody knows."""
        return any(
            mention.name in self._imagined
            for _, source in expressions_in(mapping)
            for mention in reading(source).steps
        )


def _is_out_of_time(saga: Saga) -> bool:
    is_late = saga.deadline_at is not None and saga.updated_at >= saga.deadline_at
    return is_late and saga.status is Status.RUNNING and not saga.is_overdue


def _success(saga: Saga, command: Command) -> Event:
    step = saga.steps[command.place]
    if isinstance(command, Invoke):
        return StepSucceeded(saga.updated_at, step.name, step.attempt, "null")
    return StepCompensated(saga.updated_at, step.name, step.undo.attempt if step.undo is not None else 1)
