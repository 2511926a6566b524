"""The part of I24 that needs the definition: how long waits may be, and how many calls there may be."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tests.checker.evidence import LedgerRow, SagaRead, StepRule, TimelineRead
from tests.checker.index import Index
from tests.checker.verdict import Finding

ROUNDING_NS = 1_000_000
FORWARD = ("STEP_BEGUN", ("STEP_SUCCEEDED", "STEP_REFUSED", "STEP_PENDING", "STEP_FAULTED"))
UNDO = ("UNDO_BEGUN", ("STEP_COMPENSATED", "UNDO_REFUSED", "UNDO_PENDING", "UNDO_FAULTED"))


def look_at_policies(finding: Finding, index: Index) -> None:
    """Hold every wait against the definition, and the number of calls against the timeline."""
    unexplained: Counter[str] = Counter()
    proof: dict[str, list[LedgerRow]] = defaultdict(list)
    for read, definition, timeline in index.pinned():
        for rule in definition.steps:
            _look_at_waits(finding, read, rule, timeline.deeds.renewed)
            rows = index.rows(read.saga_id, rule.name)
            for calls, way in ((rows.executes, FORWARD), (rows.compensates, UNDO)):
                excess = max(0, len(calls) - _sends_max(read.timeline, rule.name, *way))
                unexplained[rule.service] += excess
                proof[rule.service] += calls if excess else []
    if index.evidence.redeliveries is None:
        return
    # A call that was delivered again cannot be told from one that was sent again, but they can be counted.
    for service, excess in unexplained.items():
        redelivered = index.evidence.redeliveries.get(service, 0)
        sentence = f"{service} got {excess} calls that no timeline explains; {redelivered} came by redelivery"
        finding.look(excess <= redelivered, "", sentence, *proof[service])


def _sends_max(timeline: Sequence[TimelineRead], step: str, begun: str, answers: tuple[str, ...]) -> int:
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
        elif entry.step == step and entry.type == begun:
            under_way = True
        elif entry.step == step and entry.type in answers:
            sends += 1
            asked_again = entry.type.endswith(("_PENDING", "_FAULTED"))
            under_way = asked_again and (entry.retry_ns is not None or begun == "STEP_BEGUN")
    return sends + under_way


def may_have_lost_calls(entry: TimelineRead) -> bool:
    """Whether what was under way at this record may have been lost, and was asked for again."""
    whole = entry.action is not None and entry.action.verb == "RETRY" and not entry.step
    return whole or entry.type == "SAGA_RESUMED"


def hurries(entry: TimelineRead, step: str) -> bool:
    """Whether an operator asks for the next attempt of a step at once."""
    return entry.step == step and entry.action is not None and entry.action.verb == "RETRY"


def _look_at_waits(
    finding: Finding, read: SagaRead, rule: StepRule, renewed: Mapping[str, list[TimelineRead]]
) -> None:
    """No wait is longer than the policy's longest, and an undo is tried for its budget: no more, no less."""
    budget_from_ns = 0
    renewals = renewed.get(rule.name, [])
    for entry in read.timeline:
        if entry.step != rule.name:
            continue
        if entry.type in ("UNDO_BEGUN", "UNDO_PENDING") or entry in renewals:
            budget_from_ns = entry.time_ns
        if entry.type not in ("STEP_FAULTED", "UNDO_FAULTED"):
            continue
        most_ns = rule.wait_ns_max if entry.type == "STEP_FAULTED" else rule.undo_wait_ns_max
        if most_ns is not None and entry.retry_ns is not None:
            wait_ns = entry.retry_ns - entry.time_ns
            sentence = f"{rule.name} waits {wait_ns / 1e9:.3f} s, and {most_ns / 1e9:g} s is the longest"
            finding.look(0 <= wait_ns <= most_ns + ROUNDING_NS, read.saga_id, sentence, entry)
        if entry.type == "UNDO_FAULTED" and rule.undo_budget_ns is not None:
            _look_at_budget(finding, read, rule, entry, budget_from_ns + rule.undo_budget_ns)


def _look_at_budget(
    finding: Finding, read: SagaRead, rule: StepRule, entry: TimelineRead, ends_ns: int
) -> None:
    if entry.retry_ns is not None:
        sentence = f"the undo of {rule.name} goes on when its budget is spent"
        finding.look(entry.retry_ns <= ends_ns + ROUNDING_NS, read.saga_id, sentence, entry)
    else:
        # The attempt after this one would have come too late; how late, its jitter decided.
        sentence = f"the undo of {rule.name} was given up within its budget"
        next_ns_max = entry.time_ns + (rule.undo_wait_ns_max or 0)
        finding.look(next_ns_max + ROUNDING_NS >= ends_ns, read.saga_id, sentence, entry)
