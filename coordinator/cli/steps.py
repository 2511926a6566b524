"""A saga's steps in lines, where they are more than a row of steps each of which can be undone.

Pure, as the timeline is: of a plain row that tells all that there is to say.
"""

from collections.abc import Iterator
from typing import Final

from coordinator.cli.text import one_line
from coordinator.client.model import Saga, Step, StepKind, StepStatus

_PLAIN_KINDS: Final = frozenset({StepKind.UNSPECIFIED, StepKind.COMPENSATABLE})
_TELLING: Final = frozenset({StepStatus.OMITTED, StepStatus.FAILED})


def step_lines(saga: Saga) -> Iterator[str]:
    """Each step with where it stands, what it is to the decision, and what it comes after."""
    if _is_plain_row(saga):
        return
    yield "steps"
    names = max(len(step.name) for step in saga.steps)
    statuses = max(len(step.status) for step in saga.steps)
    kinds = max(len(kind_of(step)) for step in saga.steps)
    for step in saga.steps:
        cells = [one_line(step.name).ljust(names), step.status.ljust(statuses)]
        if kinds:
            cells.append(kind_of(step).ljust(kinds))
        if step.depends_on:
            cells.append(one_line(f"after {', '.join(step.depends_on)}"))
        yield ("  " + "  ".join(cells)).rstrip()


def kind_of(step: Step) -> str:
    """What a step is to the decision; empty for one that comes before it."""
    return "" if step.kind in _PLAIN_KINDS else step.kind.lower()


def _is_plain_row(saga: Saga) -> bool:
    if any(step.kind not in _PLAIN_KINDS or step.status in _TELLING for step in saga.steps):
        return False
    if all(step.kind is StepKind.UNSPECIFIED for step in saga.steps):
        return True  # an older coordinator, which knows nothing else
    expected = [(), *((step.name,) for step in saga.steps)]
    return all(step.depends_on == before for step, before in zip(saga.steps, expected, strict=False))
