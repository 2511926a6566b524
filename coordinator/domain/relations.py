"""What must hold between the steps of a definition: names of their own, outputs of earlier steps.

It reads a sketch of each step, right or wrong, so that one pass over a bad file shows every fault.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.domain.jsontext import JsonValue
from coordinator.domain.sentences import Loc, found, listed

NAME: Final = r"[A-Za-z][A-Za-z0-9_.-]{0,99}"
"""Names of sagas, steps, services, transactions and compensations."""
OUTPUTS: Final = "outputs"
"""The reserved field of a step's input that holds what earlier steps answered."""
OUTPUT_OF: Final = OUTPUTS + "."
"""In front of a step's name in `input`: only that step's output."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is readable of a step. `name_key` is the JSON key that its name comes from."""

    name: str | None
    name_key: str
    service: str | None
    input: Sequence[object]


def is_output(entry: str) -> bool:
    """Whether an entry of `input` asks for outputs, not for a field of the saga's input."""
    return entry == OUTPUTS or entry.startswith(OUTPUT_OF)


def sketch(step: JsonValue) -> Sketch:
    """Read what can be read of a step that nobody has checked."""
    if not isinstance(step, dict):
        return Sketch(None, "name", None, ())
    name_key = "name" if "name" in step else "transaction"
    entries = step.get("input")
    return Sketch(
        name=_name_or_none(step.get(name_key)),
        name_key=name_key,
        service=_name_or_none(step.get("service")),
        input=entries if isinstance(entries, list) else (),
    )


def relation_faults(steps: Sequence[Sketch], services: Collection[str] | None) -> Iterator[tuple[Loc, str]]:
    """Where steps do not fit together or to the configured *services* (None: any service does)."""
    position_of: dict[str, int] = {}
    names_certain = True
    for position, step in enumerate(steps):
        here: Loc = ("steps", position)
        if services is not None and step.service is not None and step.service not in services:
            expected = f"expected a configured service ({listed(sorted(services))})"
            yield (*here, "service"), f"{expected}, found {found(step.service)}"
        for index, sentence in _input_faults(step, position_of, names_certain=names_certain):
            yield (*here, "input", index), sentence
        if step.name is None:
            # Its name can not be read, so it may be the one that a later step's entry means.
            names_certain = False
            continue
        first = position_of.setdefault(step.name, position)
        if first != position:
            yield (*here, step.name_key), _same_name_sentence(step, first)


def _same_name_sentence(step: Sketch, first: int) -> str:
    sentence = f"expected a step name of its own, found {found(step.name)} as in $.steps[{first}]"
    if step.name_key == "name":
        return sentence
    return f"{sentence}; a step is named after its transaction unless it has a `name`"


def _input_faults(
    step: Sketch, earlier: Mapping[str, int], *, names_certain: bool
) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for index, entry in enumerate(step.input):
        if not isinstance(entry, str):
            continue
        if entry in seen:
            yield index, f"expected each entry once, found {found(entry)} again"
        elif entry.startswith(OUTPUT_OF):
            if OUTPUTS in step.input:
                yield index, f"expected nothing that 'outputs' holds already, found {found(entry)}"
            if names_certain and entry.removeprefix(OUTPUT_OF) not in earlier:
                expected = f"expected 'outputs.' and the name of an earlier step ({listed(earlier)})"
                yield index, f"{expected}, found {found(entry)}"
        seen.add(entry)


def _name_or_none(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


_NAME: Final = re.compile(NAME)
