"""I16: what each step was given is what its definition says, of what its saga was given and others answered.

A ledger keeps a digest of each request, so the request is made anew here and its digest compared.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from tests.checker.evidence import Definition, LedgerRow, SagaRead, StepRule
from tests.checker.index import Index, Timeline
from tests.checker.mapping import Fails, NotTold, evaluated, shaped
from tests.checker.verdict import Finding

OUTPUTS = "outputs"
_encode = json.JSONEncoder().encode
_encode_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def i16_data_flow(index: Index) -> Finding:
    """Every call carries what its definition declares: of the saga's input, and of the answers that the
    ledgers hold; so does the saga's output. A step is omitted if and only if its condition is false.
    Going forward, an expression is said to fail only if one does."""
    finding = Finding("I16")
    for read, definition, timeline in index.pinned():
        text = index.evidence.inputs.get(read.saga_id)
        if text is None:
            continue
        source = _Source(index, read, definition, timeline, json.loads(text))
        for rule in definition.steps:
            _look_at_condition(finding, source, rule)
            rows = index.rows(read.saga_id, rule.name)
            _look_at_calls(finding, source, rule, rows.executes, undo=False)
            _look_at_calls(finding, source, rule, rows.compensates, undo=True)
        _look_at_output(finding, source, definition)
        _look_at_failures(finding, source, definition)
    return finding


def request_hash(row: LedgerRow, given: str) -> str:
    """As ledger.proto has it: of service, step, transaction and input."""
    # As a JSON array, but for its parts: an encoder of lists would be made anew each time.
    return _sha256(f"[{', '.join(map(_encode, (row.service, row.step, row.transaction, given)))}]")


def _look_at_calls(
    finding: Finding, source: "_Source", rule: StepRule, calls: list[LedgerRow], *, undo: bool
) -> None:
    if not calls:
        return
    try:
        given = source.undo_input(rule) if undo else source.input(rule)
    except NotTold:
        return
    except Fails as error:
        sentence = f"{calls[0].transaction or 'the barring'} of {rule.name} was called though {error}"
        finding.look(False, source.read.saga_id, sentence, *calls)
        return
    text = _canonical(given)
    for row in calls:
        sentence = f"{row.transaction or 'the barring'} of {rule.name} was given something else"
        finding.look(row.request_hash == request_hash(row, text), source.read.saga_id, sentence, row)


def _look_at_output(finding: Finding, source: "_Source", definition: Definition) -> None:
    if definition.output is None or not source.read.output:
        return
    try:
        made: Any = shaped(definition.output, source.fields, source.named(definition.steps))
    except NotTold:
        return
    except Fails:
        made = Fails
    same = made is not Fails and _canonical(made) == _canonical(json.loads(source.read.output))
    finding.look(same, source.read.saga_id, "shows an output that its mapping does not yield", source.read)


def _look_at_failures(finding: Finding, source: "_Source", definition: Definition) -> None:
    abort = source.timeline.abort
    for rule in (None, *definition.steps):
        for entry in source.timeline.all("EXPRESSION_FAILED", "" if rule is None else rule.name):
            if abort is None or entry.seq <= abort.seq:
                about = "the saga" if rule is None else rule.name
                sentence = f"an expression of {about} is said to fail, and all of them yield something"
                fails = _may_fail(source, definition, rule)
                finding.look(fails, source.read.saga_id, sentence, entry)


def _may_fail(source: "_Source", definition: Definition, rule: StepRule | None) -> bool:
    """Whether an expression that a saga going forward evaluates for the step, or for its output, fails, as
    far as that can be told."""
    try:
        if rule is None:
            shaped(definition.output, source.fields, source.named(definition.steps))
        else:
            shaped([rule.when, rule.shape], source.fields, source.outputs(rule))
    except (Fails, NotTold):
        return True
    return False


def _look_at_condition(finding: Finding, source: "_Source", rule: StepRule) -> None:
    if rule.when is None:
        return
    begun = source.timeline.begun(rule.name)
    omitted = source.timeline.first("STEP_OMITTED", rule.name)
    if begun is None and omitted is None:
        return
    try:
        holds = evaluated(rule.when, source.fields, source.outputs(rule))
    except NotTold:
        return
    except Fails:
        holds = None
    for entry, wanted in ((begun, True), (omitted, False)):
        if entry is not None:
            sentence = f"{rule.name} was {'begun' if wanted else 'omitted'} though its condition is otherwise"
            finding.look(holds is wanted, source.read.saga_id, sentence, entry)


class _Source:
    """What one saga's inputs are made of."""

    def __init__(
        self, index: Index, read: SagaRead, definition: Definition, timeline: Timeline, fields: dict[str, Any]
    ) -> None:
        self._index, self._definition = index, definition
        self.read, self.timeline, self.fields = read, timeline, fields
        self._texts: dict[str, str | None] = {}
        """By step, what `_text` found."""

    def input(self, rule: StepRule) -> Any:
        """The input of a step; NotTold where an answer that it needs is not known."""
        if rule.shape is not None:
            return shaped(rule.shape, self.fields, self.outputs(rule))
        asked = rule.inputs
        chosen = {name: value for name, value in self.fields.items() if asked is None or name in asked}
        earlier = list(self._ancestors(rule))
        if asked is not None and OUTPUTS not in asked:
            earlier = [step for step in earlier if f"{OUTPUTS}.{step.name}" in asked]
        if asked is None or OUTPUTS in asked or earlier:
            answers = ((step.name, self._answer(step)) for step in earlier if not self._is_silent(step))
            chosen[OUTPUTS] = {name: json.loads(answer) for name, answer in answers}
        return chosen

    def undo_input(self, rule: StepRule) -> Any:
        """The input of its compensation: that of the step, or of a mapping of its own."""
        if rule.undo_shape is None:
            return self.input(rule)
        begun = self.timeline.first("UNDO_BEGUN", rule.name)
        known = self.timeline.first("STEP_SUCCEEDED", rule.name) or self.timeline.deeds.passed.get(rule.name)
        outputs = self.outputs(rule)
        if begun is not None and (known is None or known.seq > begun.seq):
            outputs |= _parsed([(rule.name, rule.default_output)])
        else:
            outputs |= self.named([rule])
        return shaped(rule.undo_shape, self.fields, outputs)

    def outputs(self, rule: StepRule) -> dict[str, Any]:
        """The outputs that its expressions may name, those of them that are known."""
        return self.named(self._ancestors(rule))

    def named(self, steps: Iterable[StepRule]) -> dict[str, Any]:
        """What stands for the outputs of *steps* in expressions, as far as it is known."""
        return _parsed((step.name, self._text(step)) for step in steps)

    def _text(self, step: StepRule) -> str | None:
        """What stands for its output, as JSON text; None where nothing does, or it is not told: then nor is
        what names it."""
        if step.name not in self._texts:
            text = None
            if self._is_silent(step):
                text = step.default_output
            else:
                with suppress(NotTold):
                    text = self._answer(step)
            self._texts[step.name] = text
        return self._texts[step.name]

    def _ancestors(self, rule: StepRule) -> Iterator[StepRule]:
        ancestors = self._index.dependence(self._definition).ancestors[rule.name]
        return (step for step in self._definition.steps if step.name in ancestors)

    def _is_silent(self, step: StepRule) -> bool:
        """Whether there is no output of it: it was omitted, or an operator skipped it."""
        return self.timeline.first("STEP_OMITTED", step.name) is not None or self._verb(step) == "SKIP"

    def _answer(self, step: StepRule) -> str:
        """What a participant answered, if its ledger vouches for it; or what an operator said who vouched."""
        saga_id = self.read.saga_id
        if self._verb(step) == "COMPLETE":
            act = self.timeline.deeds.passed[step.name].action
            calls = self._index.actions.get((saga_id, act.action_id), []) if act is not None else []
            said = next((call.output for call in calls if call.code == "OK"), None)
            if said is None:
                raise NotTold
            return said or "null"
        answer = self._index.evidence.outputs.get((saga_id, step.name))
        vouched = {row.result_hash for row in self._index.rows(saga_id, step.name).applied}
        if answer is None or _sha256(answer) not in vouched:
            raise NotTold
        return answer or "null"

    def _verb(self, step: StepRule) -> str:
        """With which verb an operator let the saga pass the step; empty where none did."""
        act = self.timeline.deeds.passed.get(step.name)
        return act.action.verb if act is not None and act.action is not None else ""


def _parsed(outputs: Iterable[tuple[str, str | None]]) -> dict[str, Any]:
    return {step: json.loads(text) for step, text in outputs if text is not None}


def _canonical(value: Any) -> str:
    return _encode_canonical(value)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
