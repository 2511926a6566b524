"""The library counts references to Python's own values by hand: what it miscounts ends the process."""

import gc
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import Effort

TIMES: Final = 500
INPUT: Final[JsonValue] = {
    "none": None,
    "yes": True,
    "no": False,
    "one": 1,
    "list": [None, True, 1, "", {}],
    "object": {"none": None, "yes": True, "": 1},
    "text": "as long as no small text is",
    "number": 1_000_000_007,
    "largest": 2**64 - 1,
    "half": 0.5,
}


def values_in(value: JsonValue) -> Iterator[JsonValue]:
    """*value* and all that it holds, keys too."""
    yield value
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from values_in(entry)


@pytest.mark.parametrize(
    "source",
    [
        "[input.none]",
        "[input.yes, input.no, input.one]",
        "[input.list, input.object]",
        '[null, true, false, 1, ""]',
        "input.none == null && input.yes",
        "input.list.map(x, x)",
        "[input.text, input.number, input.largest, input.half]",
        "{input.text: input.text + input.text, 'half': input.half * 2.0}",
        "input",
        "input.list.filter(x, x == null)",
        "input.text < input.number",
        "int(input.text)",
        "[input.half, 0.0 / 0.0]",
        "[dyn(b'bytes'), dyn(timestamp(0)), dyn(type(1))]",
        "{1: input.text}",
        "input.nowhere + 1",
        "1 / (input.one - 1)",
    ],
)
def test_no_reference_is_lost_and_none_is_kept(source: str) -> None:
    expressions = CelExpressions()
    kept = (None, True, False, 1, "", (), *values_in(INPUT))
    counts = []
    for times in (10, TIMES):  # at first what is compiled and loaded holds some
        for _ in range(times):
            with suppress(NotEvaluated):
                expressions.evaluate(source, {"input": INPUT}, Effort())
        gc.collect()  # what other tests left behind holds some too, and would be given back at any moment
        counts.append([sys.getrefcount(value) for value in kept])
    assert all(abs(later - earlier) < TIMES / 2 for earlier, later in zip(*counts, strict=True))
