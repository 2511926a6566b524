"""I13 to I18: undo in reverse order, calls that keep their names and content, and books that add up."""

import re

from tests.checker.evidence import Books, LedgerRow, StepRule, TimelineRead
from tests.checker.index import Index, Timeline
from tests.checker.verdict import Finding, NotYet

DIRECTIONS = {"E": "execute", "C": "compensate"}
ROUND = re.compile(r"/([2-9]|[1-9][0-9]+)")


def i13_undone_in_reverse_order(index: Index) -> Finding:
    """A Compensate is sent only after every step that depends on its step, directly or through others, and
    may have had an effect is settled."""
    finding = Finding("I13")
    for read, definition, timeline in index.pinned():
        descendants = index.dependence(definition).descendants
        for step in definition.steps:
            begun = timeline.first("UNDO_BEGUN", step.name)
            sent = index.rows(read.saga_id, step.name).compensates
            if begun is None and not sent:
                continue
            later = [rule for rule in definition.steps if rule.name in descendants[step.name]]
            later = [rule for rule in later if not _passed_over(rule, timeline)]
            for rule in later:
                if begun is not None and needs_undo(rule, timeline, begun):
                    settled = timeline.first("STEP_COMPENSATED", rule.name)
                    settled = settled or timeline.deeds.settled.get(rule.name)
                    in_order = settled is not None and settled.seq < begun.seq
                    sentence = f"the undo of {step.name} began before {rule.name} was settled"
                    finding.look(in_order, read.saga_id, sentence, begun, *([settled] if settled else []))
                rows = index.rows(read.saga_id, rule.name)
                if sent and rows.compensates and rule.name not in timeline.deeds.settled:
                    first = min(sent, key=lambda row: row.arrived_ns)
                    in_order = any(row.committed_ns <= first.arrived_ns for row in rows.settled)
                    sentence = f"Compensate of {step.name} arrived before that of {rule.name} was settled"
                    finding.look(in_order, read.saga_id, sentence, first, *rows.compensates)
    return finding


def i14_stable_identity(index: Index) -> Finding:
    """A call's key is made of saga, step and direction, and of a round that only a person begins.

    Each recorded retry of a refusal (of an undo, or of a step past the pivot) begins one round: one that was
    refused before, not earlier than the retry was asked for, and the step is settled under no older key.
    """
    finding = Finding("I14")
    for row in index.evidence.ledger:
        sentence = f"a call of {row.step} came under the key {row.key!r}"
        finding.look(_round(row) is not None, row.saga_id, sentence, row)
    for saga_id, timeline in index.timelines.items():
        deeds = timeline.deeds
        for step, rows in index.by_step.get(saga_id, {}).items():
            for about, calls, rounds, settled in (
                (step, rows.executes, deeds.rounds, timeline.first("STEP_SUCCEEDED", step)),
                (
                    f"the undo of {step}",
                    rows.compensates,
                    deeds.undo_rounds,
                    timeline.first("STEP_COMPENSATED", step),
                ),
            ):
                begun = rounds.get(step, [])
                _look_at_rounds(finding, index, about, begun, calls)
                if settled is not None and calls:
                    due = 1 + sum(act.seq < settled.seq for act in begun)
                    under = [row for row in calls if _round(row) == due]
                    sentence = f"{about} is settled, and none of its calls came in round {due}"
                    finding.look(bool(under), saga_id, sentence, settled, *calls)
    return finding


def _look_at_rounds(
    finding: Finding, index: Index, what: str, begun: list[TimelineRead], calls: list[LedgerRow]
) -> None:
    for row in calls:
        if (number := _round(row)) is None or number == 1:
            continue
        about = f"round {number} of {what}"
        sentence = f"{about} was begun, and {len(begun)} retries of a refusal are recorded"
        finding.look(number <= 1 + len(begun), row.saga_id, sentence, row, *begun)
        before = [
            other
            for other in calls
            if _round(other) == number - 1 and other.local_seq < row.local_seq and other.outcome == "refused"
        ]
        finding.look(bool(before), row.saga_id, f"{about} was begun, and the one before was not refused", row)
        asked_ns = index.asked_ns(row.saga_id, begun[number - 2]) if number <= 1 + len(begun) else None
        if asked_ns is not None:
            finding.look(
                asked_ns <= row.arrived_ns, row.saga_id, f"{about} came before it was asked for", row
            )


def _round(row: LedgerRow) -> int | None:
    """Which round of its key a call belongs to; None where the key is not one of its saga, step and way."""
    stem = f"{row.saga_id}/{row.step}/{DIRECTIONS.get(row.operation, '?')}"
    if row.key == stem:
        return 1
    again = ROUND.fullmatch(row.key.removeprefix(stem))
    return int(again[1]) if again is not None and row.key.startswith(stem) else None


def i15_stable_content(index: Index) -> Finding:
    """All calls under one key carry the same service, step, transaction and input."""
    finding = Finding("I15")
    for saga_id, steps in index.by_step.items():
        for step, rows in steps.items():
            for calls in (rows.executes, rows.compensates):
                contents = {(row.service, row.transaction, row.request_hash) for row in calls}
                if calls:
                    sentence = f"calls of {step} came with {len(contents)} different contents"
                    finding.look(len(contents) == 1, saga_id, sentence, *calls)
    for saga_id, read in index.last.items():
        for flag in read.flags:
            # A participant keeps no row of a call that it refused for its content.
            finding.look(not flag.endswith(": KEY_REUSED"), saga_id, f"is flagged {flag!r}", read)
    return finding


def i17_no_phantom_progress(index: Index) -> Finding:
    """What the journal says was done stands in a ledger; what a ledger applied, an ended saga knows of."""
    finding = Finding("I17")
    for saga_id, read in index.last.items():
        timeline = index.timelines[saga_id]
        deeds = timeline.deeds
        made = timeline.first("OUTPUT_SHAPED")
        if made is not None or read.output:
            sentence = f"shows {'an' if read.output else 'no'} output, and its records say otherwise"
            finding.look((made is not None) is bool(read.output), saga_id, sentence, read)
        for step in read.steps:
            rows = index.rows(saga_id, step.name)
            said = step.status == "SUCCEEDED" and step.name not in deeds.passed
            if timeline.first("STEP_SUCCEEDED", step.name) or said:
                sentence = f"{step.name} is said to have succeeded and was not applied"
                finding.look(bool(rows.applied), saga_id, sentence, read, *rows.executes)
            said = step.status == "COMPENSATED" and step.name not in deeds.settled
            if timeline.first("STEP_COMPENSATED", step.name) or said:
                sentence = f"{step.name} is said to be undone and no Compensate was settled"
                finding.look(bool(rows.settled), saga_id, sentence, read, *rows.compensates)
            if rows.applied and read.status in ("COMPLETED", "COMPENSATED"):
                known = step.name in deeds.passed or step.name in deeds.settled
                known = known or any(
                    timeline.first(kind, step.name) for kind in ("STEP_SUCCEEDED", "STEP_COMPENSATED")
                )
                sentence = f"ended and does not know that {step.name} was applied"
                finding.look(known, saga_id, sentence, *rows.applied)
            for status, noted in (("OMITTED", timeline.omitted()), ("FAILED", deeds.failing)):
                if step.status == status or step.name in noted:
                    sentence = f"{step.name} is shown as {step.status}, and noted as {status} it is "
                    sentence += "not" if step.name not in noted else "all the same"
                    finding.look((step.status == status) is (step.name in noted), saga_id, sentence, read)
    return finding


def i18_conservation(index: Index) -> Finding | NotYet:
    """Money and pieces that stand are those of completed orders.

    Sagas that need a person are left out, and those of which a person decided a part.
    """
    if (books := index.evidence.books) is None:
        return NotYet("no books were gathered")
    finding = Finding("I18")
    finding.look(books.stock_adds_up, "", "the stock does not add up")
    finding.look(books.money_adds_up, "", "the money does not add up")
    orders = {**books.ordered_nanos, **books.ordered_pieces, **books.charged_nanos, **books.reserved_pieces}
    for order in orders:
        sagas = index.requested.get(order, set())
        statuses = {index.last[saga_id].status if saga_id in index.last else "" for saga_id in sagas}
        forced = any(index.last[saga_id].forced for saga_id in sagas if saga_id in index.last)
        if forced or statuses - {"COMPLETED", "COMPENSATED"}:
            finding.left_out.append(order)
        else:
            _look_at_order(finding, books, order, completed="COMPLETED" in statuses)
    return finding


def _look_at_order(finding: Finding, books: Books, order: str, *, completed: bool) -> None:
    state = "completed" if completed else "not completed"
    for noun, stands, ordered in (
        ("nanos charged", books.charged_nanos, books.ordered_nanos),
        ("pieces reserved", books.reserved_pieces, books.ordered_pieces),
    ):
        due = ordered.get(order, 0) if completed else 0
        found = stands.get(order, 0)
        sentence = f"order {order!r} is {state} and has {found} {noun}, not {due}"
        finding.look(found == due, "", sentence)


def _passed_over(rule: StepRule, timeline: Timeline) -> bool:
    """Whether its undo failed for good and is declared to hold up nothing."""
    return rule.continues_on_failure and rule.name in timeline.deeds.undo_failed


def needs_undo(rule: StepRule, timeline: Timeline, at: TimelineRead) -> bool:
    """Whether, when *at* was written, the step may have had an effect that can be undone or barred."""
    begun = timeline.begun(rule.name)
    if begun is None or begun.seq > at.seq:
        return False
    refused = timeline.first("STEP_REFUSED", rule.name)
    if refused is not None and refused.seq < at.seq:
        return refused.attempt > 1
    succeeded = timeline.first("STEP_SUCCEEDED", rule.name) or _completed_by_hand(rule, timeline)
    return rule.compensation is not None or succeeded is None or succeeded.seq > at.seq


def _completed_by_hand(rule: StepRule, timeline: Timeline) -> TimelineRead | None:
    """What says that a person vouched for the step's effect: who skips it does not."""
    passed = timeline.deeds.passed.get(rule.name)
    vouched = passed is not None and passed.action is not None and passed.action.verb == "COMPLETE"
    return passed if vouched else None
