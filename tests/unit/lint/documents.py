"""Definitions as any author might write them: every one loads, few are sound."""

import json
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st

from coordinator.domain.language.documents import Document, read_json
from coordinator.domain.language.rules import RULES

_DURATIONS: Final = st.sampled_from(["1ms", "500ms", "10s", "45s", "2m", "3h", "30d"])
_CONDITIONS: Final = (
    "true",
    "false",
    "1 == 2",
    "has(input.a)",
    "input.b > 0 || true",
    "input.c ? true : false",
)
_SOURCES: Final = (
    "input",
    "input.a",
    "input['b-c']",
    "'x'",
    "[input]",
    "true ? input.a : 1",
    "input.a ? 1 : 2",
)
_SHOWN_SOURCES: Final = ("'x'", "input.d", "[input.d]", "input.d ? 1 : 2")
"""They name no field that may be sensitive, as the saga's output must not."""
_FIELDS: Final = ("a", "b", "c", "b-c")
_ALLOWED: Final = st.sampled_from([*RULES, "no-such-rule"])
_JSON: Final = st.sampled_from([None, 0, "", {"x": True}, {"x": {"y": [1]}}])


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A definition that loads."""
    count = draw(st.integers(1, 6))
    pivot = draw(st.none() | st.integers(0, count - 1))
    steps = [draw(_steps(place, pivot)) for place in range(count)]
    document = _some(
        draw,
        {
            "version": st.just("1"),
            "ttl": _DURATIONS,
            "maxParallel": st.integers(1, 3),
            "sensitive": st.lists(st.sampled_from(_FIELDS), unique=True),
            "output": _mappings([f"outputs.s{place}" for place in range(count)], _SHOWN_SOURCES),
        },
    )
    return read_json(json.dumps({"sagaName": "Any", **document, "steps": steps}))


@st.composite
def _steps(draw: st.DrawFn, place: int, pivot: int | None) -> dict[str, Any]:
    is_pivot, is_after = place == pivot, pivot is not None and place > pivot
    before = [f"s{earlier}" for earlier in range(place)]
    if is_pivot:
        depends_on = before
    elif is_after:
        depends_on = [f"s{pivot}", *draw(st.lists(st.sampled_from(before[(pivot or 0) + 1 :] or ["s0"])))]
        depends_on = list(dict.fromkeys(depends_on))
    else:
        depends_on = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
    # Only what it depends on directly: those are certainly among its ancestors.
    outputs = [f"outputs.{name}.x" for name in depends_on]
    lists = st.lists(st.sampled_from([*_FIELDS, *(f"outputs.{name}" for name in depends_on)]), unique=True)
    backoff = {"initialBackoff": st.just("1ms"), "multiplier": st.floats(1, 100), "maxBackoff": _DURATIONS}
    said = _some(
        draw,
        {
            "timeout": _DURATIONS,
            "retry": st.builds(
                dict, **backoff, maxAttempts=st.integers(1, 1000), budget=st.none() | _DURATIONS
            ),
            "compensationRetry": st.builds(dict, **backoff, budget=_DURATIONS),
            "onCompensationFailure": st.sampled_from(["halt", "continue"]),
            "input": lists | _mappings(outputs),
            "compensationInput": _mappings([*outputs, f"outputs.s{place}.x"]),
            "allow": st.lists(_ALLOWED, max_size=3, unique=True),
            **({} if is_pivot else {"when": st.sampled_from([*_CONDITIONS, *outputs])}),
        },
    )
    return {
        "service": "S",
        "transaction": f"s{place}",
        "compensation": draw(st.sampled_from(["undo", None])),
        "kind": "pivot" if is_pivot else "retriable" if is_after else "compensatable",
        "dependsOn": depends_on,
        "defaultOutput": draw(_JSON),
        **said,
    }


def _mappings(more: list[str], sources: Sequence[str] = _SOURCES) -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.sampled_from([*sources, *more]) | st.sampled_from([None, True, 7])
    nested = st.recursive(
        leaves, lambda below: st.lists(below, max_size=2) | st.dictionaries(st.just("k"), below), max_leaves=3
    )
    return st.dictionaries(st.sampled_from(["f", "g", "h i"]), nested, max_size=3)


def _some(draw: st.DrawFn, keys: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    return {key: draw(values) for key, values in keys.items() if draw(st.booleans())}
