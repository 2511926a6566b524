"""I19 to I22, I25: every saga ends, once, in a way that its history explains."""

from itertools import pairwise

from tests.checker.automaton import Automaton
from tests.checker.evidence import ClientCall, SagaRead
from tests.checker.index import ENDED, OPEN, Index, Timeline
from tests.checker.verdict import Finding, NotYet

GIVEN_TO_A_PERSON = ("cannot be read back", "could not drive it on")
"""How an error message says that the coordinator has no undo of its own left to try."""
OUTCOMES = {"SUCCESS": True, "FAILED": False}
NOT_AT_REST = NotYet("the run did not wait for the end of all automatic work")


def i19_everything_ends(index: Index) -> Finding | NotYet:
    """At rest no saga is still under way."""
    if not index.evidence.at_rest:
        return NOT_AT_REST
    finding = Finding("I19")
    for saga_id, read in index.last.items():
        finding.look(read.status in ENDED, saga_id, f"is {read.status} though faults have stopped", read)
    return finding


def i20_nothing_forgotten(index: Index) -> Finding | NotYet:
    """At rest each saga ever seen has ended or is put before a person: none is open with nothing to come."""
    if not index.evidence.at_rest:
        return NOT_AT_REST
    finding = Finding("I20")
    for saga_id, reads in index.history.items():
        forgotten = saga_id not in index.last or reads[-1].status in OPEN
        sentence = f"was last seen {reads[-1].status}, and nothing will move it on"
        finding.look(not forgotten, saga_id, sentence, reads[-1])
    return finding


def i21_terminal_is_final(index: Index) -> Finding:
    """What a read or a reply showed as ended never changes: neither its status nor its timeline.

    Only a dead letter does, and the first that then comes is the record of a person's action.
    """
    finding = Finding("I21")
    for saga_id, reads in index.history.items():
        for earlier, later in pairwise(reads):
            if earlier.status in ENDED:
                same = (earlier.status, earlier.timeline) == (later.status, later.timeline)
                same = same or (earlier.status == "DEAD_LETTERED" and _was_acted_on(earlier, later))
                sentence = (
                    f"was {earlier.status} and is {later.status}, with {later.seq - earlier.seq} more records"
                )
                finding.look(same, saga_id, sentence, earlier, later)
    for call in index.evidence.calls:
        read = index.last.get(call.saga_id or "")
        if read is not None and call.ended in OUTCOMES:
            agrees = (read.status == "COMPLETED") is OUTCOMES[call.ended]
            sentence = f"was answered with {call.ended} and is {read.status}"
            finding.look(agrees and not _is_undecided(index, read), read.saga_id, sentence, call, read)
            _look_at_late_effects(finding, index, call)
    return finding


def _is_undecided(index: Index, read: SagaRead) -> bool:
    """Whether it waits for a person past its pivot: it may still come to either end."""
    deeds = index.timelines[read.saga_id].deeds
    return read.status == "DEAD_LETTERED" and deeds.abort is None and bool(deeds.failing)


def _look_at_late_effects(finding: Finding, index: Index, call: ClientCall) -> None:
    """By the clock that both are noted by, nothing is applied once a client was told the end.

    What a person had asked for by then may be: an undo that is tried again, a call that was under way.
    """
    saga_id = call.saga_id or ""
    acts = index.timelines[saga_id].acts() if saga_id in index.timelines else []
    asked_ns = min(
        (asked for act in acts if (asked := index.asked_ns(saga_id, act)) is not None), default=None
    )
    for step, rows in index.by_step.get(saga_id, {}).items():
        for row in (*rows.applied, *rows.undone):
            in_time = call.replied_ns is None or row.committed_ns <= call.replied_ns
            in_time = in_time or (asked_ns is not None and asked_ns <= row.committed_ns)
            sentence = f"had ended, a client was told, when {row.transaction} of {step} was applied"
            finding.look(in_time, row.saga_id, sentence, call, row)


def i22_dead_letters_are_exact(index: Index) -> Finding:
    """DEAD_LETTERED exactly when an undo failed for good, or a step past the pivot, or the coordinator said
    it cannot go on.

    Not one that a person has decided about since. Those that need a person are all in the list of them, and
    no others, and say what for; nobody leaves it but by one recorded action.
    """
    finding = Finding("I22")
    for saga_id, read in index.last.items():
        deeds = index.timelines[saga_id].deeds
        failed = {f"the undo of {step}" for step in deeds.undo_failing} | set(deeds.failing)
        given_up = any(words in read.error_message for words in GIVEN_TO_A_PERSON)
        needs_person = deeds.termination is None and (bool(failed) or given_up)
        sentence = f"{'needs' if needs_person else 'needs no'} person, and says otherwise"
        finding.look(read.needs_person is needs_person, saga_id, sentence, read)
        finding.look(
            bool(read.error_message) or not needs_person, saga_id, "needs a person unexplained", read
        )
        if index.evidence.dead_letters is not None:
            listed = saga_id in index.evidence.dead_letters
            sentence = f"{'needs' if needs_person else 'needs no'} person, and the list says otherwise"
            finding.look(listed is needs_person, saga_id, sentence, read)
        if read.status in OPEN:
            continue
        dead = read.status == "DEAD_LETTERED"
        why = f"{', '.join(sorted(failed))} failed for good" if failed else "nothing failed for good"
        finding.look(dead is needs_person, saga_id, f"is {read.status}, but {why}", read)
    for saga_id in sorted((index.evidence.dead_letters or frozenset()) - index.last.keys()):
        finding.look(False, saga_id, "is listed as one that needs a person, and is not known")
    for saga_id, reads in index.history.items():
        for earlier, later in pairwise(reads):
            if earlier.status == "DEAD_LETTERED" and later.status != earlier.status:
                sentence = f"was DEAD_LETTERED and is {later.status}, and nobody acted"
                finding.look(_was_acted_on(earlier, later), saga_id, sentence, earlier, later)
    return finding


def _was_acted_on(earlier: SagaRead, later: SagaRead) -> bool:
    """Whether the first record between two reads is that of an operator's action."""
    added = later.timeline[len(earlier.timeline) :]
    return bool(added) and added[0].type == "OPERATOR_ACTED"


def i25_single_history(index: Index) -> Finding:
    """A timeline is gap-free, its tokens and times never go back, and each record could happen there."""
    finding = Finding("I25")
    for saga_id, read in index.last.items():
        timeline = index.timelines[saga_id]
        numbers = [entry.seq for entry in timeline.entries]
        gap_free = numbers == list(range(1, len(numbers) + 1))
        finding.look(gap_free, saga_id, "its records are not numbered 1, 2, 3 …", read)
        if numbers:
            sentence = f"is said to have {read.seq} records and shows up to {numbers[-1]}"
            finding.look(read.seq == numbers[-1], saga_id, sentence, read)
        for earlier, later in pairwise(timeline.entries):
            sentence = f"record {later.seq} has an older token than the one before"
            finding.look(later.token >= earlier.token, saga_id, sentence, earlier, later)
            sentence = f"record {later.seq} is of an earlier time than the one before"
            finding.look(later.time_ns >= earlier.time_ns, saga_id, sentence, earlier, later)
        definition = index.definition(saga_id)
        if definition is not None and numbers:
            _replay(finding, read, Automaton(definition, index.dependence(definition)), timeline)
    return finding


def _replay(finding: Finding, read: SagaRead, automaton: Automaton, timeline: Timeline) -> None:
    for entry in timeline.entries:
        wrong = automaton.feed(entry)
        about = f"{entry.type} {entry.step}".rstrip()
        sentence = f"record {entry.seq} ({about}) cannot be: {wrong}"
        finding.look(wrong is None, read.saga_id, sentence, entry)
        if wrong is not None:
            return  # what follows an impossible record proves nothing
    explained = read.status == automaton.status
    explained = explained or any(words in read.error_message for words in GIVEN_TO_A_PERSON)
    sentence = f"is {read.status}, but its records lead to {automaton.status}"
    finding.look(explained, read.saga_id, sentence, read)
