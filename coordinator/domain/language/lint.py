"""The linter: what a definition that loads may yet do that nobody meant.

Each finding is by a rule (rules.py). A rule is worth its place only if a sound definition is silent about it:
what is a matter of taste is not looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import BaseModel

from coordinator.domain import jsontext
from coordinator.domain.definition import (
    LASTING,
    CompensationRetryPolicy,
    OnCompensationFailure,
    RetryPolicy,
    SagaDefinition,
    StepDefinition,
    StepKind,
)
from coordinator.domain.errors import Loc, NotEvaluated
from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.durations import format_duration
from coordinator.domain.language.expression_reading import OUTPUTS, reading
from coordinator.domain.language.expressions import Effort, Evaluate, Scope, expressions_in, holds, shape
from coordinator.domain.language.front_door import FrontDoor
from coordinator.domain.language.graph import mask, places
from coordinator.domain.language.relations import is_output
from coordinator.domain.language.rules import RULES, Stage
from coordinator.domain.language.sentences import found, listed
from coordinator.domain.language.worst_case import Round, longest_stretch, one_round
from coordinator.domain.values import frozen


@frozen
class Finding:
    """One thing that is found in a definition: by which rule, where, and in a sentence."""

    rule: str
    loc: Loc
    sentence: str

    @property
    def path(self) -> str:
        """Where, as a JSON path into the definition as it is written."""
        return jsontext.path_of(self.loc)

    @property
    def cure(self) -> str:
        """What mends it."""
        return RULES[self.rule].cure


def lint(
    definition: SagaDefinition,
    evaluate: Evaluate | None = None,
    of_participants: Sequence[Finding] | None = None,
    door: FrontDoor | None = None,
) -> Sequence[Finding]:
    """What is found in *definition* and accepted by no `allow`, in the order of its steps.

    *evaluate* evaluates an expression; without it, what is about what they yield is left out.
    *of_participants* is what else was found, by asking the participants; None: they were not asked. *door* is
    the front door that its sagas may have; without it, what is about that is left out.
    """
    everything = [*_findings(definition, evaluate), *(of_participants or ())]
    not_looked_for = set[str]()
    if door is None:
        not_looked_for.add(_FRONT_DOOR)
    elif door.saga_name == definition.name:
        everything += _front_door(definition, door)
    if evaluate is None:
        not_looked_for |= {_DEAD_BRANCH, _UNREACHABLE, _LACKS}
    if of_participants is None:
        not_looked_for |= {id_ for id_, rule in RULES.items() if rule.stage is Stage.PARTICIPANTS}
    left = [finding for finding in everything if finding.rule not in _allowed(definition, finding)]
    left += _allow(definition, everything, not_looked_for)
    return sorted(left, key=lambda finding: _place(finding.loc))


class _Expression(NamedTuple):
    loc: Loc
    source: str

    @property
    def is_condition(self) -> bool:
        """Whether it only decides, so that nothing of what it looks at is passed on."""
        return self.loc[-1] == "when" and len(self.loc) == 3


def _findings(definition: SagaDefinition, evaluate: Evaluate | None) -> Iterator[Finding]:
    expressions = list(_expressions(definition))
    yield from _time(definition)
    yield from _undo(definition)
    yield from _lasting(definition)
    yield from _sensitive(definition, expressions)
    yield from _default_outputs(definition, expressions)
    if evaluate is not None:
        yield from _constants(definition, expressions, evaluate)
        yield from _stand_ins(definition, expressions, evaluate)


def _time(definition: SagaDefinition) -> Iterator[Finding]:
    ttl_s = definition.ttl_s
    if ttl_s is None:
        return
    stretch = longest_stretch(definition)
    if stretch.length_s > ttl_s:
        way = [f"{step.name} {_written(seconds)}" for step, seconds in stretch.steps]
        until = "to the end" if definition.pivot is None else "to the end of the pivot's first attempt"
        worst = f"the worst case {until} is {_written(stretch.length_s)} ({listed(way)})"
        yield Finding("ttl-too-short", ("ttl",), f"{worst}, but the ttl is {_written(ttl_s)}")
    for place, step in enumerate(definition.steps):
        if step.kind is not StepKind.RETRIABLE and step.timeout_s > ttl_s:
            sentence = (
                f"one attempt may take {_written(step.timeout_s)}, but the saga's ttl is {_written(ttl_s)}"
            )
            yield Finding("no-timeout-room", _at(place, step, "timeout_s"), sentence)


def _undo(definition: SagaDefinition) -> Iterator[Finding]:
    drawn = definition.graph
    turning_back = mask(
        [place for place, step in enumerate(definition.steps) if step.kind is not StepKind.RETRIABLE]
    )
    for place, step in enumerate(definition.steps):
        if step.kind is StepKind.RETRIABLE:
            yield from _dead_compensation(place, step)
            continue
        others = turning_back & ~drawn.ancestors[place] & ~(1 << place)
        if step.compensation is None and others:
            each = (definition.steps[other].name for other in places(others))
            names = listed(each, shown_max=3, count=others.bit_count())
            sentence = f"nothing undoes {step.name}, and the saga may still turn back at {names}"
            yield Finding("missing-undo", ("steps", place, "compensation"), sentence)
        if step.compensation is None and step.compensation_input is not None:
            sentence = "there is no compensation that it could be given to"
            yield Finding("dead-compensation", ("steps", place, "compensationInput"), sentence)
        one = one_round(step.timeout_s, step.compensation_retry)
        if step.compensation_retry.budget_s < one.length_s:
            loc = _at(place, step, "compensation_retry", "budget_s")
            sentence = _round_sentence(one, step.timeout_s, step.compensation_retry)
            yield Finding("undo-budget-too-short", loc, sentence)


def _dead_compensation(place: int, step: StepDefinition) -> Iterator[Finding]:
    said = {
        "compensation": step.compensation is not None,
        "compensationInput": step.compensation_input is not None,
        "compensationRetry": step.compensation_retry != CompensationRetryPolicy(),
        "onCompensationFailure": step.on_compensation_failure is not OnCompensationFailure.HALT,
    }
    for key, is_said in said.items():
        if is_said:
            sentence = f"{step.name} is retriable, and never undone"
            yield Finding("dead-compensation", ("steps", place, key), sentence)


def _lasting(definition: SagaDefinition) -> Iterator[Finding]:
    for place, step in enumerate(definition.steps):
        policy = step.retry
        if step.kind is StepKind.COMPENSATABLE:
            continue
        if policy.max_attempts is not None:
            failed = f"after {policy.max_attempts} failed attempts"
            sentence = f"{step.name} is {_KIND[step.kind]}: {failed} it would be left to a person"
            yield Finding("bounded-after-pivot", ("steps", place, "retry", "maxAttempts"), sentence)
            continue
        one = one_round(step.timeout_s, policy)
        if policy.budget_s is not None and policy.budget_s < one.length_s:
            # The default is filled in where `retry` says something else.
            keys = ("retry", "budget_s") if policy.budget_s != LASTING["budget_s"] else ("retry",)
            sentence = _round_sentence(one, step.timeout_s, policy)
            yield Finding("lasting-budget-too-short", _at(place, step, *keys), sentence)


def _round_sentence(one: Round, timeout_s: float, policy: RetryPolicy | CompensationRetryPolicy) -> str:
    assert policy.budget_s is not None
    attempts = f"{one.attempts} attempt{'s' * (one.attempts > 1)} of {_written(timeout_s)}"
    waits = f"the waits after them, up to {_written(policy.max_backoff_s)},"
    takes = f"take {_written(one.length_s)} at worst, but the budget is {_written(policy.budget_s)}"
    return f"{attempts} and {waits} {takes}"


def _sensitive(definition: SagaDefinition, expressions: Sequence[_Expression]) -> Iterator[Finding]:
    fields = definition.sensitive or ()
    if not fields:
        return
    given = set[str]()
    for place, step in enumerate(definition.steps):
        given.update(step.input_entries)
        if step.input is None:
            given.update(fields)
            sentence = f"without an `input` {step.name} is given all fields, {listed(fields)} among them"
            yield Finding("sensitive-unnamed", ("steps", place), sentence)
    for expression in expressions:
        named = reading(expression.source).fields
        given.update(fields if named is None else named)
        if named is None and not expression.is_condition:
            sentence = f"it takes the whole `input`, {listed(fields)} included"
            yield Finding("sensitive-unnamed", expression.loc, sentence)
    for index, field in enumerate(fields):
        if field not in given:
            yield Finding("unused-sensitive", ("sensitive", index), f"no step names {found(field)}")


def _default_outputs(definition: SagaDefinition, expressions: Sequence[_Expression]) -> Iterator[Finding]:
    named = {step.name for expression in expressions for step in reading(expression.source).steps}
    for place, step in enumerate(definition.steps):
        if step.has_default_output and step.name not in named:
            sentence = f"no expression names the output of {step.name}"
            yield Finding("default-output-unused", ("steps", place, "defaultOutput"), sentence)


def _constants(
    definition: SagaDefinition, expressions: Sequence[_Expression], evaluate: Evaluate
) -> Iterator[Finding]:
    # What stands for the outputs of steps that never run: it is known before any saga starts.
    never_run: dict[str, JsonValue] = {}
    for place in definition.graph.order:
        step = definition.steps[place]
        always = None if step.when is None else _constant(step.when, never_run, evaluate)
        loc: Loc = ("steps", place, "when")
        if always is False:
            if step.has_default_output:
                never_run[step.name] = step.default_output
            yield Finding(_UNREACHABLE, loc, f"it is always false: {step.name} never runs")
        elif always is True:
            yield Finding(_DEAD_BRANCH, loc, f"it is always true: {step.name} is never omitted")
    for expression in expressions:
        for condition in _conditions(expression.source):
            always = _constant(condition, never_run, evaluate)
            if always is not None:
                sentence = f"the condition {found(condition)} is always {found(always)}"
                yield Finding(_DEAD_BRANCH, expression.loc, sentence)


def _stand_ins(
    definition: SagaDefinition, expressions: Sequence[_Expression], evaluate: Evaluate
) -> Iterator[Finding]:
    for expression in expressions:
        read = reading(expression.source)
        # What else is named is not known before a saga runs.
        if read.fields or read.fields is None or len(read.steps) != 1:
            continue
        named = definition.step(StepName(read.steps[0].name))
        if not _may_stand_in(definition, expression, named, evaluate):
            continue
        over = Scope({}, {named.name: named.default_output})
        try:
            if expression.is_condition:
                holds(expression.source, over, evaluate, place="")
            else:
                shape(expression.source, over, evaluate, place="")
        except NotEvaluated as error:
            sentence = f"over the defaultOutput of {named.name} it yields nothing: {error.sentence}"
            yield Finding(_LACKS, expression.loc, sentence)


def _may_stand_in(
    definition: SagaDefinition, expression: _Expression, named: StepDefinition, evaluate: Evaluate
) -> bool:
    """Whether *expression* may be evaluated over the `defaultOutput` of *named*."""
    if not named.has_default_output:
        return False
    place = _place(expression.loc)
    if place < 0:
        return named.when is not None
    step = definition.steps[place]
    if expression.loc[2] == "compensationInput" and (
        step.compensation is None or step.kind is StepKind.RETRIABLE
    ):
        return False  # it is never evaluated, which has a rule of its own
    if step is named:
        return True
    if named.when is None:
        return False
    return expression.is_condition or not _is_omitted_with(step, named, evaluate)


def _is_omitted_with(step: StepDefinition, named: StepDefinition, evaluate: Evaluate) -> bool:
    """Whether *step* certainly does not run where *named* was omitted, by a `when` that says so."""
    if step.when is None or named.when is None:
        return False
    if _conjuncts(named.when) <= _conjuncts(step.when):
        return True
    return _constant(step.when, {named.name: named.default_output}, evaluate) is False


def _conjuncts(condition: str) -> set[tuple[str, ...]]:
    """What must hold for *condition* to hold, each as its words: the parts between the `&&` of an expression
    that is nothing but those, else the whole."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in reading(condition).tokens:
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if depth == 0 and token.text in ("||", "?"):
            return {tuple(each.text for each in reading(condition).tokens)}
        if depth == 0 and token.text == "&&":
            parts.append([])
        else:
            parts[-1].append(token.text)
    return set(map(tuple, parts))


def _constant(condition: str, known: Mapping[str, JsonValue], evaluate: Evaluate) -> bool | None:
    """What *condition* yields whatever the saga's input is; None where it depends on that."""
    steps = [step.name for step in reading(condition).steps]
    try:
        # With a variable unknown, only what does not hang on it yields a value.
        variables = {f"{OUTPUTS}.{name}": known[name] for name in steps if name in known}
        value = evaluate(condition, variables, Effort())
    except NotEvaluated:
        return None
    return value if isinstance(value, bool) else None


def _conditions(source: str) -> Iterator[str]:
    """The condition of each `… ? … : …` in an expression."""
    starts = [0]
    for token in reading(source).tokens:
        behind = token.start + len(token.text)
        match token.text:
            case "(" | "[" | "{":
                starts.append(behind)
            case ")" | "]" | "}" if len(starts) > 1:
                starts.pop()
            case "?":
                yield source[starts[-1] : token.start].strip()
                starts[-1] = behind
            case "," | ":":
                starts[-1] = behind


def _front_door(definition: SagaDefinition, door: FrontDoor) -> Iterator[Finding]:
    for place, step in enumerate(definition.steps):
        for index, entry in enumerate(step.input_entries):
            if not is_output(entry) and entry not in door.fields:
                sentence = f"{door.call} starts this saga ({door.setting}), and has no {found(entry)}"
                yield Finding(_FRONT_DOOR, ("steps", place, "input", index), sentence)


def _allowed(definition: SagaDefinition, finding: Finding) -> Sequence[str]:
    place = _place(finding.loc)
    return () if place < 0 else definition.steps[place].allow or ()


def _allow(
    definition: SagaDefinition, everything: Sequence[Finding], not_looked_for: set[str]
) -> Iterator[Finding]:
    """What is wrong with what is allowed. This can not be allowed."""
    found_at = {(_place(finding.loc), finding.rule) for finding in everything}
    for place, step in enumerate(definition.steps):
        for index, rule in enumerate(step.allow or ()):
            loc: Loc = ("steps", place, "allow", index)
            if rule not in RULES:
                yield Finding("allow-unknown-rule", loc, f"there is no rule {found(rule)}")
            elif RULES[rule].stage is Stage.LOAD:
                yield Finding("allow-unused", loc, f"a definition that breaks {rule} is not loaded")
            elif (place, rule) not in found_at and rule not in not_looked_for:
                yield Finding("allow-unused", loc, f"nothing is found here by {rule}")


def _expressions(definition: SagaDefinition) -> Iterator[_Expression]:
    """Every expression of the definition."""
    mappings: list[tuple[Loc, JsonValue]] = []
    for place, step in enumerate(definition.steps):
        if step.when is not None:
            yield _Expression(("steps", place, "when"), step.when)
        mappings.append((("steps", place, "input"), step.input_shape))
        mappings.append((("steps", place, "compensationInput"), step.compensation_input))
    mappings.append((("output",), definition.output))
    for loc, mapping in mappings:
        for here, source in expressions_in(mapping, loc):
            yield _Expression(here, source)


def _at(place: int, step: StepDefinition, *fields: str) -> Loc:
    """Where a field of *step* is written; where it has its default, the object that could hold it."""
    loc: Loc = ("steps", place)
    holder: BaseModel = step
    for field in fields:
        if field not in holder.model_fields_set:
            break
        loc = (*loc, type(holder).model_fields[field].alias or field)
        value = getattr(holder, field)
        if isinstance(value, BaseModel):
            holder = value
    return loc


def _place(loc: Loc) -> int:
    """The place of the step that *loc* is at; -1 for the definition as a whole."""
    return loc[1] if loc[0] == "steps" and isinstance(loc[1], int) else -1


def _written(seconds: float) -> str:
    """A length of time as a definition has it, without fractions of milliseconds."""
    return f"{seconds:.10g}s" if seconds % 60 else format_duration(seconds)


_DEAD_BRANCH: Final = "dead-branch"
_UNREACHABLE: Final = "unreachable-step"
_FRONT_DOOR: Final = "front-door"
_LACKS: Final = "default-output-lacks"
_KIND: Final = {StepKind.PIVOT: "the pivot", StepKind.RETRIABLE: "retriable"}
