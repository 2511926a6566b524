"""The library counts references to Python's own values by hand: what it miscounts ends the process."""

import sys
from contextlib import suppress
from typing import Final

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.expressions import Effort
from coordinator.domain.jsontext import JsonValue

TIMES: Final = 500
INPUT: Final[JsonValue] = {
    "none": None,
    "yes": True,
    "no": False,
    "one": 1,
    "list": [None, True, 1, "", {}],
    "object": {"none": None, "yes": True, "": 1},
}


@pytest.mark.parametrize(
    "source",
    [
        "[input.none]",
        "[input.yes, input.no, input.one]",
        "[input.list, input.object]",
        '[null, true, false, 1, ""]',
        "input.none == null && input.yes",
        "input.list.map(x, x)",
        "input.nowhere + 1",
        "1 / (input.one - 1)",
    ],
)
def test_no_reference_is_lost_and_none_is_kept(source: str) -> None:
    expressions = CelExpressions()
    kept = (None, True, False, 1, "", ())
    counts = []
    for times in (10, TIMES):  # at first what is compiled and loaded holds some
        for _ in range(times):
            with suppress(NotEvaluated):
                expressions.evaluate(source, {"input": INPUT}, Effort())
        counts.append([sys.getrefcount(value) for value in kept])
    assert all(abs(later - earlier) < TIMES / 2 for earlier, later in zip(*counts, strict=True))
