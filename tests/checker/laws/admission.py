"""I1 to I5: what was accepted is there, once, and nothing else is."""

from collections.abc import Iterator

from tests.checker.evidence import ClientCall
from tests.checker.index import DEFINITE_NO, ENDED, Index
from tests.checker.verdict import Finding


def i1_accepted_is_never_lost(index: Index) -> Finding:
    """Each start that was OK'd is readable in the last round and, at rest, has ended."""
    finding = Finding("I1")
    for call in _accepted(index):
        saga_ids = {call.saga_id} if call.saga_id else index.requested.get(call.request_id, set())
        found = [index.last[saga_id] for saga_id in saga_ids if saga_id in index.last]
        about = call.saga_id or ""
        finding.look(bool(found), about, f"request {call.request_id!r} was OK'd and is not to be read", call)
        for read in found:
            ended = read.status in ENDED or not index.evidence.at_rest
            sentence = f"request {call.request_id!r} was OK'd and is {read.status} with nothing under way"
            finding.look(ended, read.saga_id, sentence, call, read)
    return finding


def i2_one_request_one_saga(index: Index) -> Finding:
    """A request id of one door names one saga in all replies and all reads, and a saga has one request."""
    finding = Finding("I2")
    named_by: dict[str, ClientCall] = {}
    for (door, request_id), calls in index.calls.items():
        named = {call.saga_id: call for call in calls if call.code == "OK" and call.saga_id}
        if named:
            sentence = f"replies for {request_id!r} at {door} name {len(named)} sagas"
            finding.look(len(named) == 1, next(iter(named)) or "", sentence, *named.values())
        for saga_id, call in named.items():
            if saga_id is None:
                continue
            other = named_by.setdefault(saga_id, call)
            same = (other.door, other.request_id) == (door, request_id)
            sentence = f"answers both {other.request_id!r} and {request_id!r}"
            finding.look(same, saga_id, sentence, other, call)
            reads = index.history.get(saga_id, [])
            wrong = [read for read in reads if read.request_id != request_id]
            sentence = f"was named to request {request_id!r} and shows another request id"
            finding.look(not wrong, saga_id, sentence, call, *wrong[:1])
    for request_id, saga_ids in index.requested.items():
        # A read does not show the door: as many sagas may share an id as there were doors to let one in.
        doors = sum(not _all_refused(calls) for calls in _attempts(index, request_id))
        reads = [index.history[saga_id][-1] for saga_id in sorted(saga_ids)]
        sentence = f"request {request_id!r} has {len(reads)} sagas"
        finding.look(len(saga_ids) <= max(doors, 1), reads[0].saga_id, sentence, *reads)
    return finding


def i3_other_content_is_refused(index: Index) -> Finding:
    """Under an id that was accepted, other content is never OK, and is told nothing of the first."""
    finding = Finding("I3")
    for (door, request_id), calls in index.calls.items():
        first = next((call for call in calls if call.code == "OK"), None)
        if first is None:
            continue
        for call in calls:
            if call.payload_hash == first.payload_hash:
                continue
            about = f"request {request_id!r} at {door} with other content"
            finding.look(call.code != "OK", first.saga_id or "", f"{about} was OK'd", first, call)
            told = call.code != "OK" and (call.saga_id is not None or call.ended is not None)
            finding.look(not told, first.saga_id or "", f"{about} was told of the first", first, call)
    return finding


def i4_a_no_leaves_nothing(index: Index) -> Finding:
    """A request that got only definite noes has no saga and no ledger row."""
    finding = Finding("I4")
    for request_id in dict.fromkeys(request_id for _, request_id in index.calls):
        attempts = list(_attempts(index, request_id))
        if not all(map(_all_refused, attempts)):
            continue
        refused = attempts[0][0]
        saga_ids = index.requested.get(request_id, set()) | {
            call.saga_id for calls in attempts for call in calls if call.saga_id in index.history
        }
        for saga_id in filter(None, sorted(saga_ids, key=str)):
            rows = [row for step in index.by_step.get(saga_id, {}).values() for row in step.executes]
            sentence = f"request {request_id!r} was refused ({refused.code}) and left {len(rows)} rows"
            finding.look(False, saga_id, sentence, refused, index.history[saga_id][-1], *rows)
        if not saga_ids:
            finding.look(True, "", "")
    return finding


def i5_no_orphans(index: Index) -> Finding:
    """Every ledger row belongs to a known saga and to a step of its pinned definition."""
    finding = Finding("I5")
    for saga_id, steps in index.by_step.items():
        definition = index.definition(saga_id)
        declared = {step.name for step in definition.steps} if definition is not None else set()
        for step, rows in steps.items():
            found = (*rows.executes, *rows.compensates)
            if saga_id not in index.history:
                finding.look(False, saga_id, f"has {len(found)} rows of {step} and is not known", *found)
            elif definition is not None:
                sentence = f"has {len(found)} rows of {step}, which its definition does not declare"
                finding.look(step in declared, saga_id, sentence, *found)
    return finding


def _accepted(index: Index) -> Iterator[ClientCall]:
    return (call for call in index.evidence.calls if call.code == "OK")


def _attempts(index: Index, request_id: str) -> Iterator[list[ClientCall]]:
    """The calls with this request id, door by door."""
    for door in index.doors:
        if (calls := index.calls.get((door, request_id))) is not None:
            yield calls


def _all_refused(calls: list[ClientCall]) -> bool:
    return all(call.code in DEFINITE_NO for call in calls)
