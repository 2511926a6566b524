"""Keeps the port `Expressions` (ports/expressions.py) with cel-expr-python."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from cel_expr_python import cel

from coordinator.adapters.cel.bounds import size, take_cost
from coordinator.adapters.cel.failures import compile_faults, failure_sentence, in_words, no_list
from coordinator.adapters.cel.language import (
    Traits,
    language_faults,
    ordered_macros,
    over_lists,
    patterns,
    traits,
)
from coordinator.adapters.cel.values import NO_JSON, to_json
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expression_reading import INPUT, OUTPUTS, position, reading
from coordinator.domain.language.expressions import (
    EXPRESSION_CHARS_MAX,
    SYNTAX,
    TOO_LARGE,
    TYPE,
    Effort,
    Scope,
    Wanted,
    Wrong,
    holds,
    shape,
)

EXPRESSIONS_KEPT: Final = 512
"""Compiled; each takes about 13 KiB."""
_NOT_COMPILED: Final = (RuntimeError, TypeError)
"""What the library raises for a text that is no expression, and for one that holds half a character."""
_ENVIRONMENTS_KEPT: Final = 128
"""One for each set of steps that expressions name; each takes about 100 KiB."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    expression: cel.Expression
    traits: Traits


class CelExpressions:
    """CEL without extensions. Not for several threads at once: the library says nothing of them."""

    def __init__(self) -> None:
        self._compiled = lru_cache(EXPRESSIONS_KEPT)(_compile)

    def check(self, source: str, wanted: Wanted) -> Sequence[Wrong]:
        if not 0 < len(source) <= EXPRESSION_CHARS_MAX:
            return [Wrong(1, 1, TOO_LARGE, f"expected 1 to {EXPRESSION_CHARS_MAX} characters")]
        # What is not taken is told first: the library would call it a name that it does not know.
        return (
            list(language_faults(source))
            or list(_library_faults(source, wanted))
            or list(_constant_faults(source, wanted))
        )

    def evaluate(self, source: str, variables: Mapping[str, JsonValue], effort: Effort) -> JsonValue:
        try:
            compiled = self._compiled(source)
        except _NOT_COMPILED:
            # It was not checked, or by another version of the library.
            raise NotEvaluated("it is no expression that is understood here") from None
        return _evaluate(compiled, source, variables, effort)


def _evaluate(
    compiled: _Compiled, source: str, variables: Mapping[str, JsonValue], effort: Effort
) -> JsonValue:
    take_cost(compiled.traits, size(variables), effort)
    try:
        return to_json(compiled.expression.eval(data=variables), effort)
    except NotEvaluated:
        raise
    except MemoryError:
        sentence = "it takes more memory than there is"
    except Exception as error:
        # An error is either a value to the library or, as RuntimeError, raised; no other kind is ruled out.
        sentence = failure_sentence(source, str(error))
    raise NotEvaluated(sentence)


def _library_faults(source: str, wanted: Wanted) -> Iterator[Wrong]:
    try:
        yields = _environment(source).compile(source).return_type().name()
    except _NOT_COMPILED as error:
        yield from compile_faults(source, str(error))
        return
    if (sentence := _type_sentence(yields, wanted)) is not None:
        yield Wrong(1, 1, TYPE, sentence)
    yield from _order_faults(source)
    yield from _pattern_faults(source)


def _order_faults(source: str) -> Iterator[Wrong]:
    for macro in ordered_macros(source):
        guarded = over_lists(source, [macro])
        try:
            _environment(source).compile(guarded)
        except _NOT_COMPILED as error:
            faults = list(compile_faults(guarded, str(error)))
            yield no_list(source, macro) if faults[0].rule == TYPE else faults[0]


def _pattern_faults(source: str) -> Iterator[Wrong]:
    for start, literal in patterns(source):
        tried = _environment("").compile(f'"".matches({literal})').eval(data={})
        if tried.type() == cel.Type.ERROR:
            sentence = "expected a regular expression as RE2 knows them, of a moderate size"
            yield Wrong(*position(source, start), SYNTAX, sentence)


def _constant_faults(source: str, wanted: Wanted) -> Iterator[Wrong]:
    """What names nothing yields the same in every saga, so it is looked at once."""
    if reading(source).fields == frozenset() and not reading(source).steps:
        asked = holds if wanted is Wanted.CONDITION else shape
        try:
            asked(source, Scope({}, {}), partial(_evaluate, _compile(source)), place="")
        except NotEvaluated as error:
            yield Wrong(1, 1, TYPE, f"it is the same for every saga, and fails: {error.sentence}")


def _type_sentence(yields: str, wanted: Wanted) -> str | None:
    """What is wrong with an expression of the static type *yields*."""
    if wanted is Wanted.CONDITION:
        return None if yields in ("BOOL", "DYN") else f"expected true or false, found {in_words(yields)}"
    for name, words in NO_JSON.items():
        if name in yields:
            return f"expected a value that JSON has, found {words}"
    if any(f"MAP<{key}," in yields for key in ("INT", "UINT", "BOOL", "DOUBLE")):
        return f"expected texts as the keys of an object, found {in_words(yields)}; string(…) makes one"
    return None


def _compile(source: str) -> _Compiled:
    guarded = over_lists(source, ordered_macros(source))
    return _Compiled(_environment(source).compile(guarded), traits(source))


def _environment(source: str) -> cel.Env:
    """Knows the steps that *source* names, and no others: it takes long to make one that knows many."""
    return _environment_of(frozenset(step for step, _ in reading(source).steps))


@lru_cache(_ENVIRONMENTS_KEPT)
def _environment_of(steps: frozenset[str]) -> cel.Env:
    # No extension is loaded: optional values, inside a list or an object, end the process.
    variables = {f"{OUTPUTS}.{step}": cel.Type.DYN for step in sorted(steps)}
    return cel.NewEnv(variables={INPUT: cel.Type.Map(cel.Type.STRING, cel.Type.DYN), **variables})
