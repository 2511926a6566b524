"""The rules of definitions: each by its id, in a sentence, with what mends a definition that breaks it.

Those of loading refuse a definition, and say what holds. Those of the linter (lint.py) are about one that
loads, those of participants compare it with what its services say of themselves; both say what is amiss, and
a step's `allow` accepts it there.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from coordinator.domain.language.sentences import INVALID
from coordinator.domain.values import frozen


class Stage(StrEnum):
    """When a rule is looked at."""

    LOAD = "load"
    LINT = "lint"
    PARTICIPANTS = "participants"


@frozen
class Rule:
    """What holds or is amiss, and what to do about it."""

    stage: Stage
    sentence: str
    cure: str


_LOAD: Final = {
    INVALID: (
        "The text, a key or a value is not what a definition holds.",
        "Write what the sentence expects.",
    ),
    "unknown-dependency": (
        "`dependsOn` names each step once, and only steps of this definition.",
        "Correct the name, or leave it out.",
    ),
    "dependency-cycle": (
        "No step depends on itself, directly or through others.",
        "Take one of the dependencies out of the circle.",
    ),
    "second-pivot": (
        "A saga has at most one pivot: one moment after which there is no turning back.",
        "Keep the later one as the pivot, and make the other compensatable.",
    ),
    "pivot-with-when": (
        "A pivot has no `when`: it is the decision, and can not be omitted.",
        "Take the `when` away, or give the decision to a step that always runs.",
    ),
    "fallible-after-pivot": (
        "Every step that depends on the pivot is retriable: it is never undone.",
        'Say "kind": "retriable", or let the pivot depend on it.',
    ),
    "retriable-before-pivot": (
        "No step that the pivot depends on is retriable: it may have to be undone.",
        'Say "kind": "compensatable", or let it depend on the pivot.',
    ),
    "beside-pivot": (
        "Every step is before the pivot or after it: else nobody could say when it can be undone.",
        "Let the pivot depend on it, or let it depend on the pivot.",
    ),
    "retriable-without-pivot": (
        "Only a saga with a pivot has retriable steps.",
        'Say "kind": "pivot" of the step that decides, or "compensatable" of this one.',
    ),
    "expression-syntax": (
        "An expression is written in CEL.",
        "Correct it; a constant text needs quotes of its own: \"'EUR'\".",
    ),
    "expression-type": (
        "What an expression yields can be used: a `when` is true or false, all else is JSON.",
        "Compare or convert the value, such as by `==`, `int(…)` or `string(…)`.",
    ),
    "expression-too-large": (
        "An expression is small enough to be evaluated at once.",
        "Let the participant compute it, or make several shorter ones of it.",
    ),
    "unknown-step": (
        "`outputs.<step>` names a step of this definition.",
        "Correct the name.",
    ),
    "not-nameable": (
        "A step that an expression names has a name that CEL can write.",
        "Give that step a `name` of letters, digits and '_'.",
    ),
    "may-not-have-run": (
        "An expression names outputs only of steps that its own step depends on.",
        "Add that step to `dependsOn`, or do without its output.",
    ),
    "needs-default-output": (
        "A step that may be omitted has a `defaultOutput` if an expression names its output.",
        "Give that step a `defaultOutput`, the value that stands in then.",
    ),
    "undo-needs-default-output": (
        "A step has a `defaultOutput` if its own `compensationInput` names its output.",
        "Give it a `defaultOutput`, or build its `compensationInput` from `input`.",
    ),
    "sensitive-in-output": (
        "The saga's `output`, which callers are shown, takes no sensitive field of its input.",
        "Name only the fields that may be shown, or leave them out.",
    ),
}
_LINT: Final = {
    "missing-undo": (
        "A step that nothing undoes stands where the saga may still turn back.",
        'Name its compensation, or say "allow": ["missing-undo"] where it has no effect.',
    ),
    "dead-compensation": (
        "What is said of an undo that never comes is never read.",
        "Take it away, or place the step where it can be undone.",
    ),
    "dead-branch": (
        "A condition that is always the same leaves a branch that is never taken.",
        "Leave the condition out, or let it depend on `input` or `outputs`.",
    ),
    "unreachable-step": (
        "A step whose `when` is never true never runs.",
        "Correct the `when`, or take the step away.",
    ),
    "ttl-too-short": (
        "The saga's time ends before its retries do: what might have succeeded is undone.",
        "Raise the ttl above the worst case, or lower timeouts, maxAttempts or maxBackoff.",
    ),
    "no-timeout-room": (
        "One attempt may last longer than the whole saga.",
        "Lower the timeout, or raise the ttl.",
    ),
    "undo-budget-too-short": (
        "A compensation's budget ends before its backoff has grown to maxBackoff.",
        "Raise the budget, or lower the timeout or maxBackoff.",
    ),
    "lasting-budget-too-short": (
        "The budget of a pivot or retriable step ends before its backoff has grown to maxBackoff.",
        "Raise the budget, or lower the timeout or maxBackoff.",
    ),
    "bounded-after-pivot": (
        "A pivot or retriable step with maxAttempts needs a person where patience would do.",
        "Leave maxAttempts out: the budget bounds how long it is tried.",
    ),
    "sensitive-unnamed": (
        "Sensitive fields reach a step that does not name them.",
        "Name the fields that are needed in `input`.",
    ),
    "unused-sensitive": (
        "A sensitive field is named by no step: the one that was meant may be shown.",
        "Correct the name, or take it away.",
    ),
    "default-output-unused": (
        "A `defaultOutput` stands in for an output that no expression names.",
        "Take it away, or use the output.",
    ),
    "default-output-lacks": (
        "An expression fails over the `defaultOutput` that stands in: just where that is needed.",
        "Give the `defaultOutput` what is taken of it, or ask by `has(…) ? … : …` whether it is there.",
    ),
    "front-door": (
        "A step asks for a field that PlaceOrder, which starts this saga, does not have: none could start.",
        "Ask for fields that an order has, or give the saga another sagaName.",
    ),
    "allow-unknown-rule": (
        "`allow` names what is no rule.",
        "Correct the id; `saga lint --rules` lists them.",
    ),
    "allow-unused": (
        "`allow` accepts what is not found at its step.",
        "Take it away: it would hide the next mistake.",
    ),
}
_PARTICIPANTS: Final = {
    "unknown-service": (
        "The settings give no address for a service, or it is not hosted there.",
        "Correct the name, or its address in SAGA_SERVICES.",
    ),
    "unknown-transaction": (
        "A service does not offer a transaction that it is asked for.",
        "Correct the name, or deploy the service that offers it first.",
    ),
    "unknown-compensation": (
        "A service does not offer a compensation that it is asked for.",
        "Correct the name, or deploy the service that offers it first.",
    ),
    "no-barrier": (
        "A service may have an effect twice if it is called twice.",
        "Let it keep the barrier's rules (participant.proto), and say that it does.",
    ),
    "participant-silent": (
        "A service did not say what it offers when it was asked.",
        "Start it, or correct its address in SAGA_SERVICES; then ask again.",
    ),
    "participant-undescribed": (
        "A service can not say what it offers: a wrong name is found when a saga meets it.",
        "Let it implement Describe (participant.proto).",
    ),
}

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule: Rule(stage, sentence, cure)
        for stage, rows in ((Stage.LOAD, _LOAD), (Stage.LINT, _LINT), (Stage.PARTICIPANTS, _PARTICIPANTS))
        for rule, (sentence, cure) in rows.items()
    }
)
"""Every rule by its id."""
