"""I16: what each step was given is what its definition says, of what its saga was given and others answered.

A ledger keeps a digest of each request, so the request is made anew here and its digest compared.
"""

import hashlib
import json
from typing import Any

from tests.checker.evidence import Definition, LedgerRow, StepRule
from tests.checker.index import Index
from tests.checker.verdict import Finding

OUTPUTS = "outputs"


def i16_data_flow(index: Index) -> Finding:
    """Every call carries the declared fields of the saga's input, and the answers that the ledgers hold."""
    finding = Finding("I16")
    for read, definition, _ in index.pinned():
        text = index.evidence.inputs.get(read.saga_id)
        if text is None:
            continue
        for rule in definition.steps:
            rows = index.rows(read.saga_id, rule.name)
            calls = (*rows.executes, *rows.compensates)
            given = _given(index, read.saga_id, definition, rule, json.loads(text)) if calls else None
            if given is None:
                continue
            for row in calls:
                sentence = f"{row.transaction or 'the barring'} of {rule.name} was given something else"
                finding.look(row.request_hash == request_hash(row, given), read.saga_id, sentence, row)
    return finding


def request_hash(row: LedgerRow, given: str) -> str:
    """As ledger.proto has it: of service, step, transaction and input."""
    return _sha256(json.dumps([row.service, row.step, row.transaction, given]))


def _given(
    index: Index, saga_id: str, definition: Definition, rule: StepRule, fields: dict[str, Any]
) -> str | None:
    """The input of a step, as text; None where an answer that it needs is not known."""
    asked = rule.inputs
    chosen = {name: value for name, value in fields.items() if asked is None or name in asked}
    names = [step.name for step in definition.steps]
    earlier = names[: names.index(rule.name)]
    if asked is not None and OUTPUTS not in asked:
        earlier = [name for name in earlier if f"{OUTPUTS}.{name}" in asked]
    if asked is None or OUTPUTS in asked or earlier:
        skipped = {name for name in earlier if _by_hand(index, saga_id, name) == "SKIP"}
        answers = {name: _answer(index, saga_id, name) for name in earlier if name not in skipped}
        if None in answers.values():
            return None
        chosen[OUTPUTS] = {name: json.loads(answer or "null") for name, answer in answers.items()}
    return json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _answer(index: Index, saga_id: str, step: str) -> str | None:
    """What a participant answered, if its ledger vouches for it; or what the operator said who vouched."""
    if _by_hand(index, saga_id, step) == "COMPLETE":
        act = index.timelines[saga_id].deeds.passed[step].action
        calls = index.actions.get((saga_id, act.action_id), []) if act is not None else []
        return next((call.output for call in calls if call.code == "OK"), None)
    answer = index.evidence.outputs.get((saga_id, step))
    vouched = {row.result_hash for row in index.rows(saga_id, step).applied}
    return answer if answer is not None and _sha256(answer) in vouched else None


def _by_hand(index: Index, saga_id: str, step: str) -> str:
    """With which verb an operator let the saga pass the step; empty where none did."""
    timeline = index.timelines.get(saga_id)
    act = timeline.deeds.passed.get(step) if timeline is not None else None
    return act.action.verb if act is not None and act.action is not None else ""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
