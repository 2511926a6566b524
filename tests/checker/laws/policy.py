"""The part of I24 that needs the definition: how long waits may be, and how many calls there may be."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.checker.automaton import BEGINNINGS, FORWARD_ANSWERS, UNDO_ANSWERS
from tests.checker.evidence import LedgerRow, SagaRead, StepRule, TimelineRead, frozen
from tests.checker.index import Index, Timeline
from tests.checker.verdict import Finding

ROUNDING_NS = 1_000_000
_UNDO_BEGINNINGS = frozenset({"UNDO_BEGUN"})


@frozen
class _Way:
    """How one of a step's two transactions shows in a timeline, and what bounds it."""

    about: str
    begun: frozenset[str]
    answers: frozenset[str]
    pending: str
    faulted: str
    wait_ns_max: int | None
    budget_ns: int | None
    renewals: Sequence[TimelineRead]

    @property
    def is_forward(self) -> bool:
        return self.begun is BEGINNINGS


def _ways(rule: StepRule, timeline: Timeline) -> Iterator[_Way]:
    """Forward, and the undo."""
    deeds = timeline.deeds
    yield _Way(
        about=rule.name,
        begun=BEGINNINGS,
        answers=FORWARD_ANSWERS,
        pending="STEP_PENDING",
        faulted="STEP_FAULTED",
        wait_ns_max=rule.wait_ns_max,
        budget_ns=rule.budget_ns,
        renewals=deeds.renewed.get(rule.name, []),
    )
    yield _Way(
        about=f"the undo of {rule.name}",
        begun=_UNDO_BEGINNINGS,
        answers=UNDO_ANSWERS,
        pending="UNDO_PENDING",
        faulted="UNDO_FAULTED",
        wait_ns_max=rule.undo_wait_ns_max,
        budget_ns=rule.undo_budget_ns,
        renewals=deeds.undo_renewed.get(rule.name, []),
    )


def look_at_policies(finding: Finding, index: Index) -> None:
    """Hold every wait against the definition, and the number of calls against the timeline."""
    unexplained: Counter[str] = Counter()
    proof: dict[str, list[LedgerRow]] = defaultdict(list)
    for read, definition, timeline in index.pinned():
        for rule in definition.steps:
            rows = index.rows(read.saga_id, rule.name)
            for way in _ways(rule, timeline):
                _look_at_waits(finding, read, rule, way, timeline)
                calls = rows.executes if way.is_forward else rows.compensates
                excess = max(0, len(calls) - _sends_max(read.timeline, rule.name, way)) if calls else 0
                unexplained[rule.service] += excess
                proof[rule.service] += calls if excess else []
    if index.evidence.redeliveries is None:
        return
    # A call that was delivered again cannot be told from one that was sent again, but they can be counted.
    for service, excess in unexplained.items():
        redelivered = index.evidence.redeliveries.get(service, 0)
        sentence = f"{service} got {excess} calls that no timeline explains; {redelivered} came by redelivery"
        finding.look(excess <= redelivered, "", sentence, *proof[service])


def _sends_max(timeline: Sequence[TimelineRead], step: str, way: _Way) -> int:
    """How often a call can have been sent: each was answered, or lost, or it is under way.

    Lost by a restart, or because an operator decided without waiting for its answer.
    """
    sends, under_way = 0, False
    for entry in timeline:
        if may_have_lost_calls(entry):
            sends += under_way
        elif entry.step == step and entry.action is not None:
            sends += under_way
            under_way = entry.action.verb == "RETRY"
        elif entry.step == step and entry.type in way.begun:
            under_way = True
        elif entry.step == step and entry.type in way.answers:
            sends += 1
            asked_again = entry.type in (way.pending, way.faulted)
            under_way = asked_again and (entry.retry_ns is not None or way.is_forward)
    return sends + under_way


def may_have_lost_calls(entry: TimelineRead) -> bool:
    """Whether what was under way at this record may have been lost, and was asked for again."""
    whole = entry.action is not None and entry.action.verb == "RETRY" and not entry.step
    return whole or entry.type == "SAGA_RESUMED"


def hurries(entry: TimelineRead, step: str) -> bool:
    """Whether an operator asks for the next attempt of a step at once."""
    return entry.step == step and entry.action is not None and entry.action.verb == "RETRY"


def attempts_before(timeline: Timeline, step: str, before: TimelineRead) -> int:
    """The attempts of a step that were made when an operator last had one that failed for good tried anew."""
    renewals = [act.seq for act in timeline.deeds.renewed.get(step, []) if act.seq < before.seq]
    if not renewals:
        return 0
    answers = (entry for kind in FORWARD_ANSWERS for entry in timeline.all(kind, step))
    return max((entry.attempt for entry in answers if entry.seq < renewals[-1]), default=0)


def _look_at_waits(finding: Finding, read: SagaRead, rule: StepRule, way: _Way, timeline: Timeline) -> None:
    """No wait is longer than the policy's longest, and what has a budget is tried for it: neither more nor
    less."""
    budget_from_ns = pending_ns = 0
    for entry in read.timeline:
        if entry.step != rule.name:
            continue
        if entry.type in way.begun or entry in way.renewals:
            budget_from_ns, pending_ns = entry.time_ns, 0
        if entry.type == way.pending:
            # To wait for a participant that has taken the work on spends nothing.
            pending_ns += max(0, (entry.retry_ns or entry.time_ns) - entry.time_ns)
        if entry.type != way.faulted:
            continue
        if way.wait_ns_max is not None and entry.retry_ns is not None:
            wait_ns, most_ns = entry.retry_ns - entry.time_ns, way.wait_ns_max
            sentence = f"{rule.name} waits {wait_ns / 1e9:.3f} s, and {most_ns / 1e9:g} s is the longest"
            finding.look(0 <= wait_ns <= most_ns + ROUNDING_NS, read.saga_id, sentence, entry)
        if way.budget_ns is None:
            continue
        ends_ns = budget_from_ns + way.budget_ns
        if entry.retry_ns is not None:
            sentence = f"{way.about} goes on when its budget is spent"
            in_time = entry.retry_ns <= ends_ns + pending_ns + ROUNDING_NS
            finding.look(in_time, read.saga_id, sentence, entry)
        elif not way.is_forward or _counts_on_its_budget(rule, timeline, entry):
            sentence = f"{way.about} was given up within its budget"
            spent = entry.time_ns + ROUNDING_NS >= ends_ns + pending_ns
            finding.look(spent, read.saga_id, sentence, entry)


def _counts_on_its_budget(rule: StepRule, timeline: Timeline, given_up: TimelineRead) -> bool:
    """Whether nothing but its budget ends the attempts of a step: it is not undone, nor are they counted."""
    if not rule.lasts:
        return False
    made = given_up.attempt - attempts_before(timeline, rule.name, given_up)
    return rule.attempts_max is None or made < rule.attempts_max
