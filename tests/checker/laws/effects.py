"""I6 to I12: every effect at most once, all of them or none, and each after what it builds on."""

from collections.abc import Iterator, Sequence

from tests.checker.automaton import BEGINNINGS
from tests.checker.evidence import LedgerRow, SagaRead, StepRule, TimelineRead
from tests.checker.index import ENDED, Index, StepRows, Timeline
from tests.checker.verdict import Finding


def i6_effects_at_most_once(index: Index) -> Finding:
    """Per saga and step at most one applied Execute and at most one applied Compensate."""
    finding = Finding("I6")
    for saga_id, step, rows in _steps(index):
        for what, applied in (("Execute", rows.applied), ("Compensate", rows.undone)):
            sentence = f"{what} of {step} was applied {len(applied)} times"
            finding.look(len(applied) <= 1, saga_id, sentence, *applied)
    return finding


def i7_only_effects_are_undone(index: Index) -> Finding:
    """A Compensate is applied only after its Execute was, in that ledger; it is null if there was none."""
    finding = Finding("I7")
    for saga_id, step, rows in _steps(index):
        for row in rows.compensates:
            earlier = [effect for effect in rows.applied if _is_before(effect, row)]
            if row.outcome == "applied":
                sentence = f"Compensate of {step} was applied with no effect before it"
                finding.look(bool(earlier), saga_id, sentence, row)
            elif row.outcome == "null" and row.transaction:
                # An empty name says that there is nothing to undo: it only bars what may come late.
                sentence = f"Compensate of {step} found no effect though there was one"
                finding.look(not earlier, saga_id, sentence, *earlier, row)
    return finding


def i8_nothing_comes_after_its_undo(index: Index) -> Finding:
    """After a Compensate (applied or null) no Execute of the step is applied, by the ledger's own order."""
    finding = Finding("I8")
    for saga_id, step, rows in _steps(index):
        for settled in rows.settled:
            late = [effect for effect in rows.applied if _is_before(settled, effect)]
            finding.look(not late, saga_id, f"{step} was applied after its Compensate", settled, *late)
    return finding


def i9_completed_means_all_done(index: Index) -> Finding:
    """COMPLETED if and only if every step was applied once and none undone; one that was omitted neither.

    Whose effect a person vouched for, or did without, was only not undone.
    """
    finding = Finding("I9")
    for read, definition, timeline in index.pinned():
        omitted = timeline.omitted()
        per_step = {step.name: index.rows(read.saga_id, step.name) for step in definition.steps}
        if read.status == "COMPLETED":
            for step, rows in per_step.items():
                by_hand = step in timeline.deeds.passed
                times = 0 if step in omitted else 1
                done = (by_hand or len(rows.applied) == times) and not rows.undone
                sentence = f"is COMPLETED, but {step}{' (omitted)' if step in omitted else ''}"
                sentence += f" was applied {len(rows.applied)} times and undone {len(rows.undone)} times"
                finding.look(done, read.saga_id, sentence, *rows.executes, *rows.compensates)
        elif read.status == "COMPENSATED" and not _lacks_only_its_output(timeline):
            stands = [
                len(rows.applied) == 1 and not rows.compensates
                for step, rows in per_step.items()
                if step not in omitted
            ]
            # Where none of those that were to be done declares an undo, all of them may well stand.
            to_be_done = (step for step in definition.steps if step.name not in omitted)
            has_undo = any(step.compensation is not None for step in to_be_done)
            untouched = has_undo and bool(stands) and all(stands) and not timeline.deeds.settled
            finding.look(not untouched, read.saga_id, "all its steps stand, but it is COMPENSATED", read)
    return finding


def i10_compensated_means_all_undone(index: Index) -> Finding:
    """COMPENSATED if and only if what was applied is what was undone, over steps that declare an undo.

    Of the undo of a step that was settled by hand nothing is proved.
    """
    finding = Finding("I10")
    for read, definition, timeline in index.pinned():
        if read.status == "COMPENSATED":
            rules = [rule for rule in definition.steps if rule.name not in timeline.deeds.settled]
            _look_undone(finding, index, read, rules)
        elif read.status == "COMPLETED":
            undone = [row for step in definition.steps for row in index.rows(read.saga_id, step.name).undone]
            finding.look(not undone, read.saga_id, "is COMPLETED with undone effects", *undone)
    return finding


def i11_never_mixed(index: Index) -> Finding:
    """Nothing is begun or tried again once the saga has turned back, nor called without being begun at all.

    Once its pivot has begun it turns back only if that is refused, or a person gives it up, and nothing is
    undone before. None that is COMPLETED was sent a Compensate.
    """
    finding = Finding("I11")
    for saga_id, timeline in index.timelines.items():
        if (abort := timeline.abort) is not None:
            late = [e for e in timeline.entries if e.type in BEGINNINGS and e.seq > abort.seq]
            sentence = f"{late[0].step if late else ''} was begun after {abort.type}"
            finding.look(not late, saga_id, sentence, abort, *late)
            again = [entry for entry in timeline.entries if _asks_again(entry, abort)]
            sentence = f"{again[0].step if again else ''} is to be tried again after {abort.type}"
            finding.look(not again, saga_id, sentence, abort, *again)
        definition = index.definition(saga_id)
        for rule in definition.steps if definition is not None else ():
            if sent := index.rows(saga_id, rule.name).executes:
                begun = timeline.begun(rule.name) is not None
                sentence = f"{rule.name} was called, and never journaled as begun"
                finding.look(begun, saga_id, sentence, *sent)
        undone = [row for rows in index.by_step.get(saga_id, {}).values() for row in rows.compensates]
        if timeline.deeds.decision is not None:
            _look_past_pivot(finding, index, saga_id, undone)
        elif index.last[saga_id].status == "COMPLETED":
            finding.look(not undone, saga_id, "is COMPLETED, but was sent a Compensate", *undone)
    return finding


def _look_past_pivot(finding: Finding, index: Index, saga_id: str, undone: Sequence[LedgerRow]) -> None:
    """The pivot decides: from when it may have its effect, undo waits for its no, or for a person's."""
    timeline, decision = index.timelines[saga_id], index.timelines[saga_id].deeds.decision
    assert decision is not None
    pivot, abort = decision.step, timeline.abort
    if abort is None:
        begun = [entry for entry in timeline.entries if entry.type == "UNDO_BEGUN"]
        # Where more may have happened since the last read, a ledger can be ahead of it.
        sent = undone if index.evidence.at_rest or index.last[saga_id].status in ENDED else ()
        sentence = f"is undone past its pivot, and {pivot} was neither refused nor given up by a person"
        finding.look(not begun and not sent, saga_id, sentence, decision, *begun, *sent)
    elif abort.seq > decision.seq:
        rightly = abort.step == pivot and abort.type in ("STEP_REFUSED", "OPERATOR_ACTED")
        sentence = f"turned back past its pivot {pivot}, by {abort.type}"
        finding.look(rightly, saga_id, sentence, decision, abort)
        refused = [
            row.committed_ns for row in index.rows(saga_id, pivot).executes if row.outcome == "refused"
        ]
        no_ns = index.asked_ns(saga_id, abort) if abort.action is not None else min(refused, default=None)
        early = [row for row in undone if no_ns is not None and row.arrived_ns < no_ns]
        sentence = f"was sent a Compensate before its pivot {pivot} was refused or given up"
        finding.look(not early, saga_id, sentence, abort, *early)


def i12_after_what_it_depends_on(index: Index) -> Finding:
    """A step is sent only after those that it depends on were applied, and their answers (or a person's)
    journaled; one that was omitted stands for those that it depends on itself."""
    finding = Finding("I12")
    for read, definition, timeline in index.pinned():
        omitted, dependence = timeline.omitted(), index.dependence(definition)
        for step in definition.steps:
            begun = timeline.begun(step.name)
            executes = index.rows(read.saga_id, step.name).executes
            if begun is None and not executes:
                continue
            for before in dependence.awaited(step.name, omitted):
                if begun is not None:
                    answered = timeline.first("STEP_SUCCEEDED", before)
                    answered = answered or timeline.first("STEP_OMITTED", before)
                    answered = answered or timeline.deeds.passed.get(before)
                    journaled = answered is not None and answered.seq < begun.seq
                    sentence = f"{step.name} was begun before {before} was known to have succeeded"
                    finding.look(journaled, read.saga_id, sentence, begun, *([answered] if answered else []))
                if executes and before not in omitted and before not in timeline.deeds.passed:
                    first = min(executes, key=lambda row: row.arrived_ns)
                    applied = index.rows(read.saga_id, before).applied
                    stood = any(row.committed_ns <= first.arrived_ns for row in applied)
                    sentence = f"{step.name} arrived before {before} was applied"
                    finding.look(stood, read.saga_id, sentence, first, *applied)
    return finding


def _look_undone(finding: Finding, index: Index, read: SagaRead, rules: Sequence[StepRule]) -> None:
    """What declares an undo is undone as often as it was applied: once, or never."""
    facts_before = finding.facts
    for step in rules:
        if step.compensation is None:
            continue
        rows = index.rows(read.saga_id, step.name)
        balanced = len(rows.applied) == len(rows.undone) <= 1
        sentence = f"is COMPENSATED, but {step.name} was applied {len(rows.applied)} times"
        sentence += f" and undone {len(rows.undone)} times"
        finding.look(balanced, read.saga_id, sentence, *rows.executes, *rows.compensates)
    if finding.facts == facts_before:
        finding.look(True, read.saga_id, "")  # nothing to undo is the empty case


def _lacks_only_its_output(timeline: Timeline) -> bool:
    """Whether it turned back because its output could not be shaped when all was done."""
    abort = timeline.abort
    return abort is not None and abort.type == "EXPRESSION_FAILED" and not abort.step


def _asks_again(entry: TimelineRead, abort: TimelineRead) -> bool:
    return entry.seq > abort.seq and entry.type == "STEP_FAULTED" and entry.retry_ns is not None


def _steps(index: Index) -> Iterator[tuple[str, str, StepRows]]:
    for saga_id, steps in index.by_step.items():
        for step, rows in steps.items():
            yield saga_id, step, rows


def _is_before(one: LedgerRow, other: LedgerRow) -> bool:
    """By the order of the one ledger that both are in."""
    return one.service == other.service and one.local_seq < other.local_seq
