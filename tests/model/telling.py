"""Tells a run in words, a line for each move."""

from collections.abc import Sequence

from tests.model.facts import Event, Shape
from tests.model.participants import Request
from tests.model.protocol import Move, What


def told(run: Sequence[Move], shape: Shape) -> list[str]:
    """*run*, move by move."""
    names = [rule.name for rule in shape]
    return [f"{number:2}. {_told(move, names)}" for number, move in enumerate(run, start=1)]


def _told(move: Move, names: list[str]) -> str:
    run, answer = f"run {move.token}", move.answer or "none in time"
    event = _event(move.event, names) if move.event is not None else ""
    call = _call(move.request, names[move.step]) if move.request is not None else ""
    after = f", by the answer to {call}: {answer}" if call else ""
    match move.what:
        case What.SENDS:
            return f"{run} sends {call}"
        case What.PERFORMS:
            return f"{call} comes in; the answer is on its way: {answer}"
        case What.STRAYS:
            return f"{call} comes in, and nobody waits for the answer: {answer}"
        case What.STARTS | What.TAKES_OVER:
            return f"{run} {move.what} and reads the journal"
        case What.STOPS | What.LETS_GO if call:
            return f"{run} {move.what}{after}"
        case What.STOPS | What.TRIES_ON:
            return f"{run} {move.what}: the journal refuses “{event}”"
        case What.ACTS:
            return f"{move.what}: {event}"
        case What.DEADLINE_COMES:
            return str(move.what)
        case _:
            return f"{run} {move.what}{': ' * bool(event)}{event}{after}"


def _call(request: Request, step: str) -> str:
    about = [f"run {request.token}"]
    about += [f"key {request.key}"] if request.key != 1 else []
    about += [f"output {request.receipt}"] if request.receipt else []
    return f"{request.operation} of {step} ({', '.join(about)})"


def _event(event: Event, names: list[str]) -> str:
    if event.step < 0:
        return event.what
    name, turns = names[event.step], ", and the saga turns back" if event.aborts else ""
    if event.what.startswith("undo "):
        return f"undo of {name} {event.what.removeprefix('undo ')}"
    return f"{name} {event.what}{turns}"
