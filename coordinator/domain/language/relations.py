"""What must hold between the steps of a definition: names of their own, a graph without cycles, one pivot
between what can be undone and what is repeated until it succeeds.

It reads a sketch of each step, right or wrong, so that one pass over a bad file shows every fault.
The pivot is that of H. Garcia-Molina and K. Salem, Sagas (1987), as C. Richardson, Microservices Patterns
(2018), names and places it: compensatable steps, then the pivot, then retriable ones.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from coordinator.domain.errors import Loc
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.graph import Graph, a_cycle, graph, places
from coordinator.domain.language.sentences import Fault, found, listed
from coordinator.domain.values import frozen

NAME: Final = r"[A-Za-z][A-Za-z0-9_.-]{0,99}"
"""Names of sagas, steps, services, transactions and compensations."""
OUTPUTS: Final = "outputs"
"""The reserved field of a step's input that holds what earlier steps answered."""
OUTPUT_OF: Final = OUTPUTS + "."
"""In front of a step's name in `input`: only that step's output."""


COMPENSATABLE: Final = "compensatable"
PIVOT: Final = "pivot"
RETRIABLE: Final = "retriable"


@frozen
class Sketch:
    """What is readable of a step. `name_key` is the JSON key that its name comes from; `depends_on` is None
    where it says nothing, and so depends on the step before it; `kind` is None where it names no kind."""

    name: str | None
    name_key: str
    service: str | None
    input: Sequence[object]
    depends_on: Sequence[object] | None = None
    kind: str | None = COMPENSATABLE
    has_when: bool = False


def is_output(entry: str) -> bool:
    """Whether an entry of `input` asks for outputs, not for a field of the saga's input."""
    return entry == OUTPUTS or entry.startswith(OUTPUT_OF)


def sketch(step: JsonValue) -> Sketch:
    """Read what can be read of a step that nobody has checked."""
    if not isinstance(step, dict):
        return Sketch(None, "name", None, ())
    name_key = "name" if "name" in step else "transaction"
    entries, depends_on, kind = step.get("input"), step.get("dependsOn"), step.get("kind", COMPENSATABLE)
    return Sketch(
        name=_name_or_none(step.get(name_key)),
        name_key=name_key,
        service=_name_or_none(step.get("service")),
        input=entries if isinstance(entries, list) else (),
        depends_on=depends_on if isinstance(depends_on, list) else None,
        kind=kind if kind in (COMPENSATABLE, PIVOT, RETRIABLE) else None,
        has_when=step.get("when") is not None,
    )


def relation_faults(steps: Sequence[Sketch], services: Collection[str] | None) -> Iterator[Fault]:
    """Where steps do not fit together or to the configured *services* (None: any service does)."""
    place_of: dict[str, int] = {}
    for place, step in enumerate(steps):
        if services is not None and step.service is not None and step.service not in services:
            expected = f"expected a service of SAGA_SERVICES ({listed(sorted(services))})"
            yield Fault(("steps", place, "service"), f"{expected}, found {found(step.service)}")
        if step.name is not None:
            first = place_of.setdefault(step.name, place)
            if first != place:
                yield Fault(("steps", place, step.name_key), _same_name_sentence(step, first))
    # A step whose name can not be read may be the one that another step means.
    names_certain = all(step.name is not None for step in steps)
    faults = list(_dependency_faults(steps, place_of, names_certain=names_certain))
    yield from faults
    drawn = None
    if len(place_of) == len(steps):
        # A step that waits for itself, or for none that there is, was told; it hides no circle of others.
        depends_on = [
            [parent for parent in parents if parent != place]
            for place, parents in enumerate(dependencies(steps))
        ]
        of_others = graph(depends_on)
        if of_others is None:
            yield _cycle_fault(steps, a_cycle(depends_on))
        elif not faults:
            drawn = of_others
            yield from _pivot_faults(steps, drawn)
    in_a_row = all(step.depends_on is None for step in steps)
    for place, step in enumerate(steps):
        if not step.input:
            continue
        earlier: list[str] | None = None
        if drawn is not None:
            earlier = [steps[ancestor].name or "" for ancestor in places(drawn.ancestors[place])]
        elif in_a_row and all(before.name is not None for before in steps[:place]):
            earlier = list(dict.fromkeys(before.name or "" for before in steps[:place]))
        for index, sentence in _input_faults(step, earlier):
            yield Fault(("steps", place, "input", index), sentence)


def dependencies(steps: Sequence[Sketch]) -> list[list[int]]:
    """For each of *steps*, which have names of their own, the places of those that it depends on directly."""
    place_of = {step.name: place for place, step in enumerate(steps)}
    return [
        [place - 1] * (place > 0)
        if step.depends_on is None
        else [place_of[name] for name in step.depends_on if isinstance(name, str) and name in place_of]
        for place, step in enumerate(steps)
    ]


def _dependency_faults(
    steps: Sequence[Sketch], place_of: Mapping[str, int], *, names_certain: bool
) -> Iterator[Fault]:
    for place, step in enumerate(steps):
        seen: set[str] = set()
        for index, name in enumerate(step.depends_on or ()):
            if not isinstance(name, str):
                continue  # its own fault says so
            loc: Loc = ("steps", place, "dependsOn", index)
            if name in seen:
                yield Fault(loc, f"expected each step once, found {found(name)} again", "unknown-dependency")
            elif name == step.name:
                yield Fault(loc, f"expected another step, found {found(name)} itself", "dependency-cycle")
            elif names_certain and name not in place_of:
                expected = f"expected the name of a step ({listed(place_of)})"
                yield Fault(loc, f"{expected}, found {found(name)}", "unknown-dependency")
            seen.add(name)


def _cycle_fault(steps: Sequence[Sketch], cycle: Sequence[int]) -> Fault:
    names = [steps[place].name or "" for place in (*cycle, cycle[0])]
    loop = " -> ".join(names if len(names) <= 8 else [*names[:4], "…", *names[-3:]])
    here: Loc = ("steps", cycle[0])
    loc = here if steps[cycle[0]].depends_on is None else (*here, "dependsOn")
    return Fault(loc, f"expected steps that do not wait for each other, found {loop}", "dependency-cycle")


def _pivot_faults(steps: Sequence[Sketch], drawn: Graph) -> Iterator[Fault]:
    pivots = [place for place, step in enumerate(steps) if step.kind == PIVOT]
    for other in pivots[1:]:
        sentence = f"expected at most one pivot, found another one than {steps[pivots[0]].name}"
        yield Fault(("steps", other, "kind"), sentence, "second-pivot")
    if len(pivots) != 1:
        # A step whose kind cannot be read may be the pivot that was meant.
        if not pivots and all(step.kind is not None for step in steps):
            yield from _no_pivot_faults(steps)
        return
    pivot, name = pivots[0], steps[pivots[0]].name
    if steps[pivot].has_when:
        sentence = "expected none: a pivot is the decision, and can not be omitted"
        yield Fault(("steps", pivot, "when"), sentence, "pivot-with-when")
    before, after = drawn.ancestors[pivot], drawn.descendants[pivot]
    for place, step in enumerate(steps):
        here: Loc = ("steps", place)
        bit = 1 << place
        if bit & after:
            if step.kind not in (RETRIABLE, None):
                sentence = (
                    f'expected "kind": "retriable": it comes after the pivot {name}, so it is never undone'
                )
                yield Fault(here, sentence, "fallible-after-pivot")
        elif bit & before:
            if step.kind == RETRIABLE:
                sentence = (
                    f'expected "compensatable": it comes before the pivot {name}, and may have to be undone'
                )
                yield Fault((*here, "kind"), sentence, "retriable-before-pivot")
        elif place != pivot:
            sentence = (
                f"expected a step that the pivot {name} depends on, or one that depends on it: of a step "
                "beside the pivot, nobody could say whether it can still be undone"
            )
            yield Fault(here, sentence, "beside-pivot")


def _no_pivot_faults(steps: Sequence[Sketch]) -> Iterator[Fault]:
    for place, step in enumerate(steps):
        if step.kind == RETRIABLE:
            sentence = 'expected "compensatable": there is no pivot that it could come after'
            yield Fault(("steps", place, "kind"), sentence, "retriable-without-pivot")


def _same_name_sentence(step: Sketch, first: int) -> str:
    sentence = f"expected a step name of its own, found {found(step.name)} as in $.steps[{first}]"
    if step.name_key == "name":
        return sentence
    return f"{sentence}; a step is named after its transaction unless it has a `name`"


def _input_faults(step: Sketch, earlier: Collection[str] | None) -> Iterator[tuple[int, str]]:
    """*earlier*: the steps that it depends on; None where that cannot be known."""
    seen: set[str] = set()
    for index, entry in enumerate(step.input):
        if not isinstance(entry, str):
            continue
        if entry in seen:
            yield index, f"expected each entry once, found {found(entry)} again"
        elif entry.startswith(OUTPUT_OF):
            if OUTPUTS in step.input:
                yield index, f"expected nothing that 'outputs' holds already, found {found(entry)}"
            if earlier is not None and entry.removeprefix(OUTPUT_OF) not in earlier:
                expected = f"expected 'outputs.' and the name of an earlier step ({listed(earlier)})"
                yield index, f"{expected}, found {found(entry)}"
        seen.add(entry)


def _name_or_none(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


_NAME: Final = re.compile(NAME)
