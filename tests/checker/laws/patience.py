"""I23 and I24: nothing is begun too late, and nothing is tried too often or too soon."""

from itertools import pairwise
from operator import attrgetter

from tests.checker.automaton import BEGINNINGS, FORWARD_ANSWERS, UNDO_ANSWERS
from tests.checker.deeds import VOUCHING
from tests.checker.evidence import SagaRead, TimelineRead
from tests.checker.index import Index, Timeline
from tests.checker.laws.policy import (
    ROUNDING_NS,
    attempts_before,
    hurries,
    look_at_policies,
    may_have_lost_calls,
)
from tests.checker.verdict import Finding

ABORT_WITHIN_NS = 1_000_000_000
PERMANENT = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "DATA_LOSS",
        "KEY_REUSED",
        "BARRED",
        "BROKEN_CONTRACT",
    }
)
"""Asking again cannot help: a forward attempt that failed so is the last, of a step that can be undone."""


def i23_deadline(index: Index) -> Finding:
    """After its deadline a saga begins nothing, believes no answer, and turns back within a second.

    Past its pivot it goes on, late.
    """
    finding = Finding("I23")
    for saga_id, read in index.last.items():
        _look_at_length(finding, index, read)
        if read.expires_ns is None:
            for entry in index.timelines[saga_id].all("DEADLINE_PASSED"):
                finding.look(False, saga_id, "passed a deadline that it does not have", entry)
            continue
        _look_at_mark(finding, index, read)
        timeline, is_decided = index.timelines[saga_id], False
        for entry in timeline.forward():
            by_hand = entry.action is not None and entry.action.verb in VOUCHING
            if entry.type == "DEADLINE_PASSED":
                late_ns = entry.time_ns - read.expires_ns
                finding.look(late_ns >= 0, saga_id, "was said to be late before its deadline", entry)
                up_ns = _up_ns(index, read.expires_ns, entry.time_ns)
                if up_ns is not None and not is_decided:
                    sentence = f"turned back {up_ns / 1e9:.3f} s of uptime after its deadline"
                    finding.look(up_ns <= ABORT_WITHIN_NS, saga_id, sentence, entry)
            elif not is_decided and (by_hand or entry.type in BEGINNINGS | FORWARD_ANSWERS):
                sentence = f"went forward after its deadline, with {entry.type} of {entry.step}"
                finding.look(entry.time_ns < read.expires_ns, saga_id, sentence, entry)
            is_decided = is_decided or entry is timeline.deeds.decision
    return finding


def _look_at_length(finding: Finding, index: Index, read: SagaRead) -> None:
    """It has as long as its definition allows it from its start."""
    definition = index.definition(read.saga_id)
    if definition is None:
        return
    allowed_ns = definition.ttl_ns
    if allowed_ns is None or read.expires_ns is None:
        holds = allowed_ns is read.expires_ns
    else:
        holds = abs(read.expires_ns - read.created_ns - allowed_ns) <= ROUNDING_NS
    sentence = f"has {'no' if read.expires_ns is None else 'a'} deadline, and its definition says otherwise"
    finding.look(holds, read.saga_id, sentence, read)


def _look_at_mark(finding: Finding, index: Index, read: SagaRead) -> None:
    """It is shown as overdue if its deadline has passed when its pivot had begun."""
    timeline = index.timelines[read.saga_id]
    passed, decision = timeline.first("DEADLINE_PASSED"), timeline.deeds.decision
    overdue = passed is not None and decision is not None
    if overdue or read.overdue:
        sentence = f"is {'' if read.overdue else 'not '}shown as overdue, and its records say otherwise"
        finding.look(overdue is read.overdue, read.saga_id, sentence, read)


def _up_ns(index: Index, from_ns: int, to_ns: int) -> int | None:
    """How long a coordinator was up between two moments; None where nobody wrote down when it was not."""
    downtimes = index.evidence.downtimes_ns
    if downtimes is None:
        return to_ns - from_ns if index.evidence.restarts == 0 else None
    down_ns = sum(max(0, min(to_ns, end) - max(from_ns, start)) for start, end in downtimes)
    return to_ns - from_ns - down_ns


def i24_retry_discipline(index: Index) -> Finding:
    """No more attempts than the policy allows and one more per restart, none early, none without hope.

    A person may cut a wait short, and give what failed for good a new budget; attempts are numbered on.
    """
    finding = Finding("I24")
    for read, definition, timeline in index.pinned():
        restarts = sum(map(may_have_lost_calls, timeline.entries))
        for rule in definition.steps:
            forward = _answers(timeline, rule.name, FORWARD_ANSWERS)
            for entry in forward:
                if rule.attempts_max is not None:
                    attempt = entry.attempt - attempts_before(timeline, rule.name, entry)
                    sentence = f"{rule.name} had attempt {attempt} of {rule.attempts_max}"
                    sentence += f" with {restarts} restarts"
                    allowed = attempt <= rule.attempts_max + restarts
                    finding.look(allowed, read.saga_id, sentence, entry)
                if entry.type == "STEP_FAULTED" and entry.code in PERMANENT and not rule.lasts:
                    sentence = f"{rule.name} is tried again after {entry.code}"
                    finding.look(entry.retry_ns is None, read.saga_id, sentence, entry)
            _look_at_waits(finding, read.saga_id, timeline, forward)
            undo = _answers(timeline, rule.name, UNDO_ANSWERS)
            _look_at_waits(finding, read.saga_id, timeline, undo)
            _look_at_numbers(finding, read.saga_id, forward)
            _look_at_numbers(finding, read.saga_id, undo)
    look_at_policies(finding, index)
    return finding


def _answers(timeline: Timeline, step: str, types: frozenset[str]) -> list[TimelineRead]:
    found = [entry for kind in types for entry in timeline.all(kind, step)]
    found.sort(key=attrgetter("seq"))
    return found


def _look_at_waits(finding: Finding, saga_id: str, timeline: Timeline, answers: list[TimelineRead]) -> None:
    """No attempt is answered before it was due, unless a person asked for it at once.

    A restart may have lost what was known of that.
    """
    for failed, following in pairwise(answers):
        if failed.retry_ns is None:
            continue
        between = [entry for entry in timeline.entries if failed.seq < entry.seq < following.seq]
        if not any(may_have_lost_calls(entry) or hurries(entry, failed.step) for entry in between):
            early_ns = failed.retry_ns - following.time_ns
            sentence = f"{following.step} was answered {early_ns / 1e9:.3f} s before it was due again"
            finding.look(early_ns <= 0, saga_id, sentence, failed, following)


def _look_at_numbers(finding: Finding, saga_id: str, answers: list[TimelineRead]) -> None:
    """An attempt has its number for itself; only what was pending is asked for under its number again."""
    for earlier, later in pairwise(answers):
        least = earlier.attempt + (not earlier.type.endswith("_PENDING"))
        sentence = f"attempt {later.attempt} of {later.step} was answered after attempt {earlier.attempt}"
        finding.look(later.attempt >= least, saga_id, sentence, earlier, later)
