"""I27: what a person does is done once, under their name, and only to the saga that they had looked at."""

from collections import defaultdict
from itertools import pairwise

from tests.checker.deeds import VOUCHING, deeds
from tests.checker.evidence import OperatorCall, SagaRead, TimelineRead
from tests.checker.index import DEFINITE_NO, Index, Timeline
from tests.checker.verdict import Finding, NotYet

NO = DEFINITE_NO | {"ABORTED"}
"""An action that got one of these is not recorded; whatever else is not OK may be."""
REFUSALS = frozenset({"ABORTED", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "ALREADY_EXISTS", "NOT_FOUND"})
"""What says that an action cannot be done: said to whoever asks for one again that was done, a lie."""
BY_HAND = {
    ("SKIP", False): "SKIPPED",
    ("COMPLETE", False): "SUCCEEDED",
    ("SKIP", True): "UNDO_SKIPPED",
    ("COMPLETE", True): "COMPENSATED",
}
"""Where a step stands by a verb, going forward or undoing."""


def i27_operator_actions(index: Index) -> Finding | NotYet:
    """An acknowledged action is recorded once, with its actor and reason, right behind what they had seen.

    A refused one is not recorded, nor is a question; an unanswered one at most once. Of actions on the same
    sight of a saga one is done. What a person decided is marked as forced, and nothing else is.
    """
    if index.evidence.actions is None and not any(timeline.acts() for timeline in index.timelines.values()):
        return NotYet("no operator action is part of the evidence")
    finding = Finding("I27")
    for (saga_id, action_id), calls in index.actions.items():
        timeline = index.timelines.get(saga_id)
        if timeline is not None:
            records = [act for act in timeline.acts() if _action_id(act) == action_id]
            _look_at_action(finding, timeline, calls, records)
            _look_at_misses(finding, index.last[saga_id], calls)
    for saga_id, timeline in index.timelines.items():
        _look_at_records(finding, index, saga_id, timeline)
    _look_at_conflicts(finding, index)
    for reads in index.history.values():
        for read in reads:
            _look_at_marks(finding, read, index.pivot(read.saga_id))
    return finding


def _look_at_action(
    finding: Finding, timeline: Timeline, calls: list[OperatorCall], records: list[TimelineRead]
) -> None:
    """One action's calls, all under its id, against its records."""
    saga_id, about = calls[0].saga_id, f"action {calls[0].action_id!r}"
    accepted = [call for call in calls if call.code == "OK" and not call.only_asked]
    finding.look(len(records) <= 1, saga_id, f"{about} is recorded {len(records)} times", *calls, *records)
    if accepted:
        finding.look(bool(records), saga_id, f"{about} was acknowledged and is not recorded", *accepted)
    elif all(call.only_asked or call.code in NO for call in calls):
        codes = ", ".join(sorted({"only asked" if call.only_asked else call.code for call in calls}))
        finding.look(
            not records, saga_id, f"{about} is recorded, and was answered: {codes}", *calls, *records
        )
    for call in calls:
        refused = call.code in REFUSALS and not call.only_asked
        refused = refused and bool(records) and _asked(call) == _content(records[0])
        refused = refused and all(call.output == other.output for other in accepted)
        finding.look(not refused, saga_id, f"{about} was done, and was refused as well", call, *records)
    first = [call for call in accepted if not call.repeated]
    finding.look(len(first) <= 1, saga_id, f"{about} was done {len(first)} times", *first)
    for call in accepted:
        earlier = any(other is not call and other.invoked_ns <= (call.replied_ns or 0) for other in calls)
        sentence = f"{about} is said to be repeated, and nobody had asked before"
        finding.look(earlier or not call.repeated, saga_id, sentence, call)
        for record in records[:1]:
            same = _content(record) == _asked(call)
            finding.look(same, saga_id, f"{about} is recorded with other content", call, record)
            known = call.seq is not None and call.seq >= record.seq
            finding.look(known, saga_id, f"{about} was answered before it was recorded", call, record)
            if not call.repeated:
                sentence = f"{about} looked at record {call.seq_expected} and became record {record.seq}"
                seen = call.seq_expected < record.seq and _is_no_news(timeline, call.seq_expected, record.seq)
                finding.look(seen, saga_id, sentence, call, record)


def _is_no_news(timeline: Timeline, after: int, before: int) -> bool:
    """Whether nothing happened to a saga between two records but that it was taken up after a restart."""
    between = (entry for entry in timeline.entries if after < entry.seq < before)
    return all(entry.type == "SAGA_RESUMED" for entry in between)


def _look_at_misses(finding: Finding, read: SagaRead, calls: list[OperatorCall]) -> None:
    """Who is told that the saga has moved finds that it has."""
    for call in calls:
        if call.code == "ABORTED":
            sentence = (
                f"action {call.action_id!r} came too late, but record {call.seq_expected} is the newest"
            )
            finding.look(read.seq != call.seq_expected, read.saga_id, sentence, call, read)


def _look_at_records(finding: Finding, index: Index, saga_id: str, timeline: Timeline) -> None:
    """Each record names who, why and an id that somebody used; later actions are later records."""
    answered: list[tuple[TimelineRead, int, int]] = []
    for record in timeline.acts():
        action = record.action
        named = action is not None and bool(action.action_id and action.actor and action.reason)
        finding.look(named, saga_id, f"record {record.seq} does not say who acted and why", record)
        if index.evidence.actions is None or action is None:
            continue
        calls = index.actions.get((saga_id, action.action_id), [])
        finding.look(
            bool(calls), saga_id, f"record {record.seq} is of an action that nobody asked for", record
        )
        replies = [call.replied_ns for call in calls if call.code == "OK" and call.replied_ns is not None]
        if replies:
            answered.append((record, calls[0].invoked_ns, min(replies)))
    for (earlier, invoked_ns, _), (later, _, replied_ns) in pairwise(answered):
        sentence = f"record {later.seq} was acknowledged before record {earlier.seq} was asked for"
        finding.look(invoked_ns <= replied_ns, saga_id, sentence, earlier, later)


def _look_at_conflicts(finding: Finding, index: Index) -> None:
    """Of actions that looked at the same record of a saga, at most one was done."""
    rivals: dict[tuple[str, int], dict[str, OperatorCall]] = defaultdict(dict)
    for (saga_id, action_id), calls in index.actions.items():
        for call in calls:
            if call.code == "OK" and not call.only_asked and not call.repeated:
                rivals[saga_id, call.seq_expected][action_id] = call
    for (saga_id, seq), done in rivals.items():
        sentence = f"{len(done)} actions that looked at record {seq} were done"
        finding.look(len(done) == 1, saga_id, sentence, *done.values())


def _look_at_marks(finding: Finding, read: SagaRead, pivot: str | None) -> None:
    """Forced is who was stopped by a person, or has a step that a person settled; and each such step."""
    found = deeds(read.timeline, pivot)
    if read.forced or found.forced:
        sentence = f"is {'' if read.forced else 'not '}marked as forced"
        finding.look(read.forced is found.forced, read.saga_id, sentence, read)
    stopped = read.status == "TERMINATED"
    if stopped or found.termination is not None:
        sentence = f"is {read.status}, and its termination is {'' if found.termination else 'not '}recorded"
        finding.look(stopped is (found.termination is not None), read.saga_id, sentence, read)
    for step in read.steps:
        act, undoing = found.settled.get(step.name), True
        if act is None:
            act, undoing = found.passed.get(step.name), False
        verb = act.action.verb if act is not None and act.action is not None else ""
        if verb in VOUCHING:
            shown = BY_HAND[verb, undoing]
            if undoing or step.status in BY_HAND.values():
                sentence = f"{step.name} was settled by {verb} and is shown as {step.status}"
                right = step.status == shown and step.by_hand
                right = right or (not undoing and step.status == "COMPENSATED")
                finding.look(right, read.saga_id, sentence, read)
        elif step.status in ("SKIPPED", "UNDO_SKIPPED") or (
            step.by_hand and step.status in ("SUCCEEDED", "COMPENSATED")
        ):
            sentence = f"{step.name} is shown as {step.status} by hand, and nobody settled it"
            finding.look(False, read.saga_id, sentence, read)


def _action_id(record: TimelineRead) -> str:
    return record.action.action_id if record.action is not None else ""


def _asked(call: OperatorCall) -> tuple[str, str, str, str]:
    return call.verb, call.step, call.actor, call.reason


def _content(record: TimelineRead) -> tuple[str, str, str, str]:
    action = record.action
    assert action is not None
    return action.verb, record.step, action.actor, action.reason
