"""How much an expression may be given, and how much it may make of that.

The library bounds only the number of entries that comprehensions go through. So the worst that an expression
could do is told beforehand from its text and the size of its data, as cel-go's cost estimates do: the event
loop waits for the result.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from coordinator.adapters.cel.language import Traits
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import Effort

GIVEN_BYTES_MAX: Final = 64 << 10
GIVEN_VALUES_MAX: Final = 2_000
ITERATIONS_MAX: Final = 10_000
"""The library's own limit."""
VALUE_STEPS: Final = 500
"""To hand a value to the library, or to read one that it yields: about 5 µs."""

_INT64_MIN: Final = -(1 << 63)
_UINT64_MAX: Final = (1 << 64) - 1
_BY_PATH: Final = "pass large values on by a plain path such as input.items"
_TOO_LONG: Final = (
    "it could take too long with so much data, alone or with the rest of its mapping: "
    f"give it shorter lists or texts, or {_BY_PATH}"
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large the data of an expression are."""

    values: int
    longest: int
    """The bytes of the longest text."""
    entries: int
    """Those of the longest list or object."""


def size(variables: Mapping[str, JsonValue]) -> Size:
    """Measure what an expression is about to be given; a value that is too large is not read to its end.

    Raises:
        NotEvaluated: it is more than may be given, or CEL has no form for it.
    """
    values, given_bytes, longest, entries = 0, 0, 0, 0
    left: list[JsonValue] = list(variables.values())
    while left:
        value = left.pop()
        values += 1
        texts: Iterable[str] = ()
        match value:
            case str():
                texts = (value,)
            case list():
                entries = max(entries, len(value))
                left += value[:GIVEN_VALUES_MAX]
            case dict():
                entries = max(entries, len(value))
                texts = value
                left += value.values() if len(value) <= GIVEN_VALUES_MAX else ()
            case int() if not _INT64_MIN <= value <= _UINT64_MAX:
                sentence = "it reads a whole number of more than 64 bits: pass that on by a plain path"
                raise NotEvaluated(sentence)
        for text in texts:
            # A character has one to four bytes; what is too long by its characters is not encoded.
            length = len(text) if len(text) > GIVEN_BYTES_MAX else len(text.encode(errors="surrogatepass"))
            longest = max(longest, length)
            given_bytes += length
        if max(entries, values + len(left)) > GIVEN_VALUES_MAX:
            raise NotEvaluated(f"it reads more than {GIVEN_VALUES_MAX} values: name fewer, or {_BY_PATH}")
        if given_bytes > GIVEN_BYTES_MAX:
            raise NotEvaluated(f"it reads more than {GIVEN_BYTES_MAX >> 10} KiB: name less, or {_BY_PATH}")
    return Size(values, longest, entries)


def take_cost(traits: Traits, given: Size, effort: Effort) -> None:
    """Refuse an expression that could keep the process busy, or fill its memory.

    Raises:
        NotEvaluated: at its worst it takes more than is left of *effort*.
    """
    _take(effort, worst_steps(traits, given) + given.values * VALUE_STEPS)


def take_reading(values: int, effort: Effort) -> None:
    """Count that so many *values* were read of what an expression yields.

    Raises:
        NotEvaluated: that is more than is left of *effort*.
    """
    _take(effort, values * VALUE_STEPS)


def worst_steps(traits: Traits, given: Size) -> float:
    """No less than the steps that an expression of *traits* takes over data of the size *given*. One is about
    10 ns, or a byte of memory: measured with the dearest forms of each operation."""
    list_growth = _growth(traits, traits.list_joins)
    longest = max(given.longest, traits.chars) * _growth(traits, traits.joins)
    entries = max(given.entries, traits.entries)
    listed = entries * list_growth
    outside, inside, _ = (joins + 1 for joins in traits.list_joins)
    if traits.nested:
        turns = min(ITERATIONS_MAX, entries**2 * outside**2 * inside)
    elif traits.macros > 1:
        turns = min(ITERATIONS_MAX, entries * outside * inside * traits.macros)
    else:
        turns = entries * outside if traits.macros else 1
    one_turn = (
        (listed * 3 if traits.macros else 0)  # a list that is built is copied for each entry
        + sum(traits.joins) * longest
        + sum(traits.list_joins) * listed * 16
        + traits.comparisons * given.values * list_growth * 8
        + traits.operations * longest / 4
        + traits.searches * longest**2 / 256
        + traits.pattern_size * longest
    )
    return turns * one_turn


def _growth(traits: Traits, joins: tuple[int, int, int]) -> float:
    """How many times as large as what is given something may be after these *joins*: one may join what is the
    largest by then, and the variable of a macro lets that be used again."""
    outside, inside, innermost = (count + 1 for count in joins)
    if traits.nested:
        return outside * inside * innermost
    if traits.macros > 1:
        return outside * ((inside + 1) / 2) ** 2
    return outside * inside


def _take(effort: Effort, steps: float) -> None:
    if not effort.take(steps):
        raise NotEvaluated(_TOO_LONG)
