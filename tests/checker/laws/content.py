"""I13 to I18: undo in reverse order, calls that keep their names and content, and books that add up."""

from tests.checker.evidence import Books, StepRule, TimelineRead
from tests.checker.index import Index, Timeline
from tests.checker.verdict import Finding, NotYet

DIRECTIONS = {"E": "execute", "C": "compensate"}


def i13_undone_in_reverse_order(index: Index) -> Finding:
    """A Compensate is sent only after every later step that may have had an effect is settled."""
    finding = Finding("I13")
    for read, definition, timeline in index.pinned():
        for place, step in enumerate(definition.steps):
            later = [rule for rule in definition.steps[place + 1 :] if not _passed_over(rule, timeline)]
            if (begun := timeline.first("UNDO_BEGUN", step.name)) is not None:
                for rule in later:
                    if _needs_undo(rule, timeline, begun):
                        settled = timeline.first("STEP_COMPENSATED", rule.name)
                        in_order = settled is not None and settled.seq < begun.seq
                        sentence = f"the undo of {step.name} began before {rule.name} was settled"
                        finding.look(in_order, read.saga_id, sentence, begun, *([settled] if settled else []))
            sent = index.rows(read.saga_id, step.name).compensates
            if not sent:
                continue
            first = min(sent, key=lambda row: row.arrived_ns)
            for rule in later:
                rows = index.rows(read.saga_id, rule.name)
                if rows.compensates:
                    in_order = any(row.committed_ns <= first.arrived_ns for row in rows.settled)
                    sentence = f"Compensate of {step.name} arrived before that of {rule.name} was settled"
                    finding.look(in_order, read.saga_id, sentence, first, *rows.compensates)
    return finding


def i14_stable_identity(index: Index) -> Finding:
    """A call's key is made of saga, step and direction, and of nothing else."""
    finding = Finding("I14")
    for row in index.evidence.ledger:
        key = f"{row.saga_id}/{row.step}/{DIRECTIONS.get(row.operation, '?')}"
        finding.look(row.key == key, row.saga_id, f"a call of {row.step} came under the key {row.key!r}", row)
    return finding


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
        for step in read.steps:
            rows = index.rows(saga_id, step.name)
            if timeline.first("STEP_SUCCEEDED", step.name) or step.status == "SUCCEEDED":
                sentence = f"{step.name} is said to have succeeded and was not applied"
                finding.look(bool(rows.applied), saga_id, sentence, read, *rows.executes)
            if timeline.first("STEP_COMPENSATED", step.name) or step.status == "COMPENSATED":
                sentence = f"{step.name} is said to be undone and no Compensate was settled"
                finding.look(bool(rows.settled), saga_id, sentence, read, *rows.compensates)
            if rows.applied and read.status in ("COMPLETED", "COMPENSATED"):
                known = any(
                    timeline.first(kind, step.name) for kind in ("STEP_SUCCEEDED", "STEP_COMPENSATED")
                )
                sentence = f"ended and does not know that {step.name} was applied"
                finding.look(known, saga_id, sentence, *rows.applied)
    return finding


def i18_conservation(index: Index) -> Finding | NotYet:
    """Money and pieces that stand are those of completed orders; sagas that need a person are left out."""
    if (books := index.evidence.books) is None:
        return NotYet("no books were gathered")
    finding = Finding("I18")
    finding.look(books.stock_adds_up, "", "the stock does not add up")
    finding.look(books.money_adds_up, "", "the money does not add up")
    orders = {**books.ordered_nanos, **books.ordered_pieces, **books.charged_nanos, **books.reserved_pieces}
    for order in orders:
        sagas = index.requested.get(order, set())
        statuses = {index.last[saga_id].status if saga_id in index.last else "" for saga_id in sagas}
        if statuses - {"COMPLETED", "COMPENSATED"}:
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
    return rule.continues_on_failure and rule.name in timeline.undo_failed


def _needs_undo(rule: StepRule, timeline: Timeline, at: TimelineRead) -> bool:
    """Whether, when *at* was written, the step may have had an effect that can be undone or barred."""
    begun = timeline.first("STEP_BEGUN", rule.name)
    if begun is None or begun.seq > at.seq:
        return False
    refused = timeline.first("STEP_REFUSED", rule.name)
    if refused is not None and refused.seq < at.seq:
        return refused.attempt > 1
    succeeded = timeline.first("STEP_SUCCEEDED", rule.name)
    return rule.compensation is not None or succeeded is None or succeeded.seq > at.seq
