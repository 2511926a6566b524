"""Every bad day of a definition, played by the real engine in virtual time."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.definition_files import DefinitionFileReader
from coordinator.cli.commands.lint import refusals
from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.options import text_of
from coordinator.cli.output import Form, print_one, put
from coordinator.cli.simulation import report
from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import InvalidDefinition, InvalidJson
from coordinator.domain.ids import StepName
from coordinator.domain.inputs import OUTPUT_DEPTH_MAX, check_input
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.sentences import found, kind, listed
from coordinator.simulation.exploring import Explored, explore
from coordinator.simulation.made_up import Data, NothingFits, made_up

PROGRESS_EVERY: Final = 50
PLACES_SHOWN_MAX: Final = 20


def run(path: Path, input: str | None, outputs: str | None, runs_max: int | None, form: Form) -> int:
    """Explore the definition at *path*, and print what was found."""
    if path.is_dir() or not path.exists():
        raise CommandFailed(
            Exit.USAGE, f"DEFINITION: there is no file {str(path)!r}: name one definition file"
        )
    expressions = CelExpressions()
    try:
        definition = DefinitionFileReader(None, expressions.check).read(path, str(path)).definition
    except InvalidDefinition as refused:
        put("\n".join(map(str, refusals(path, refused))))
        return Exit.ERROR
    given_input = None if input is None else _input(definition, text_of(input, "--input"))
    given_outputs = {} if outputs is None else _outputs(definition, text_of(outputs, "--outputs"))
    try:
        data, one_way = made_up(definition, expressions.evaluate, given_input, given_outputs)
    except NothingFits as error:
        raise CommandFailed(Exit.USAGE, _give(error)) from None
    with _quiet():
        explored = explore(definition, data, runs_max=runs_max, progress=_progress())
    for why in dict.fromkeys(one_way.values()):
        steps = listed(name for name, reason in one_way.items() if reason == why)
        explored.left_out.append(f"the condition the other way of {steps}: {why}")
    if form is Form.TABLE:
        put("\n".join([*_heading(definition, data), *report(explored)]))
    else:
        print_one(_as_json(definition, data, explored), form)
    return Exit.ERROR if explored.findings.broken_runs else Exit.OK


def _input(definition: SagaDefinition, text: str) -> JsonValue:
    value = _json(text, "--input")
    if wrong := check_input(definition, value):
        raise CommandFailed(Exit.USAGE, "; ".join(f"--input {each.path}: {each.sentence}" for each in wrong))
    return value


def _outputs(definition: SagaDefinition, text: str) -> Mapping[StepName, JsonValue]:
    value = _json(text, "--outputs")
    if not isinstance(value, dict):
        sentence = f"expected an object that holds what each step answers, found {kind(value)}"
        raise CommandFailed(Exit.USAGE, f"--outputs $: {sentence}")
    for name in value:
        if name not in definition.positions:
            expected = f"expected the name of a step ({listed(definition.positions)})"
            place = jsontext.child("$", name)
            raise CommandFailed(Exit.USAGE, f"--outputs {place}: {expected}, found {found(name)}")
    return {StepName(name): output for name, output in value.items()}


def _json(text: str, option: str) -> JsonValue:
    try:
        return jsontext.loads(text, depth_max=OUTPUT_DEPTH_MAX)
    except InvalidJson as error:
        raise CommandFailed(Exit.USAGE, f"{option} {error.violation}") from None


def _give(error: NothingFits) -> str:
    sentence = f"{error.place} yields nothing whatever is made up for {listed(error.named)} ({error.reason})"
    option = "--input" if error.named[0].startswith("input") else "--outputs"
    return f"{sentence}: give it with {option}"


@contextmanager
def _quiet() -> Iterator[None]:
    """What a coordinator would log is no news of one that is simulated."""
    logger = logging.getLogger("coordinator")
    was_disabled, logger.propagate = logger.propagate, False
    silence = logging.NullHandler()
    logger.addHandler(silence)
    try:
        yield
    finally:
        logger.removeHandler(silence)
        logger.propagate = was_disabled


def _progress() -> Callable[[int, int], None]:
    """Tells a person how far it has come; nobody else."""
    is_watched = sys.stderr.isatty()

    def told(played: int, planned: int) -> None:
        if is_watched and (played % PROGRESS_EVERY == 0 or played == planned):
            print(f"\r{played:,} of {planned:,} runs", end="\r", file=sys.stderr, flush=True)

    return told


def _heading(definition: SagaDefinition, data: Sequence[Data]) -> Iterator[str]:
    version = f" (version {definition.version})" if definition.version else ""
    yield f"{definition.name}{version}, definition {definition.digest[:12]}: {len(definition.steps)} steps"
    if data[0].made_up:
        yield f"made up: {listed(data[0].made_up, shown_max=PLACES_SHOWN_MAX)}"
    yield ""


def _as_json(definition: SagaDefinition, data: Sequence[Data], explored: Explored) -> dict[str, object]:
    findings = explored.findings
    return {
        "saga_name": definition.name,
        "version": definition.version or "",
        "digest": definition.digest,
        "made_up": [
            {"words": one.words, "input": one.input, "outputs": one.outputs} for one in data if one.made_up
        ],
        "explored": {
            "all_goes_well": len(explored.straight),
            "one_answer": explored.one_answer,
            "two_answers": explored.two_answers,
            "slowest": explored.slowest,
            "crashes": explored.crashes,
            "runs": explored.runs,
            "crash_points": explored.crash_points,
            "calls": findings.calls,
            "simulated_s": findings.simulated_s,
            "left_out": explored.left_out,
        },
        "ends": findings.ends,
        "broken_runs": findings.broken_runs,
        "broken": [{"run": run, "laws": laws} for run, laws in findings.broken_shown],
        "most_calls": findings.most_calls,
        "longest": findings.longest,
        "undo_plans": [{"words": words, "points": points} for words, points in findings.plans],
        "needs_person": findings.needs_person,
    }
