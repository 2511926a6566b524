"""I26, I28 to I32: one owner at a time, reads that never go back, one definition for good, no secret told."""

from itertools import pairwise

from tests.checker.evidence import SagaRead
from tests.checker.index import ENDED, Index
from tests.checker.verdict import Finding, NotYet

ORDER = {"RUNNING": 0, "COMPENSATING": 1}
"""How far a saga has come; whatever ends it comes after."""


def i26_fencing(index: Index) -> Finding:
    """No effect at a participant under an older token than one it has seen for that saga."""
    finding = Finding("I26")
    for (saga_id, service), rows in index.by_ledger.items():
        newest = rows[0]
        for row in rows:
            if row.outcome == "applied":
                sentence = f"{service} applied {row.step} under token {row.token} after token {newest.token}"
                finding.look(row.token >= newest.token, saga_id, sentence, newest, row)
            newest = max(newest, row, key=lambda seen: seen.token)
    return finding


def i28_reads_never_go_back(index: Index) -> Finding:
    """What one round of reads showed of a saga is still there in the next, and the saga itself too."""
    finding = Finding("I28")
    for saga_id, reads in index.history.items():
        for earlier, later in pairwise(reads):
            _look_at_reads(finding, earlier, later)
        sentence = f"was read in round {reads[-1].read_at} and in the last round no more"
        finding.look(saga_id in index.last, saga_id, sentence, reads[-1])
    return finding


def i29_pinning(index: Index) -> Finding:
    """A saga has one definition for good, a known one, and all its calls are those of that definition."""
    finding = Finding("I29")
    for saga_id, reads in index.history.items():
        digests = {read.definition_digest for read in reads}
        finding.look(len(digests) == 1, saga_id, f"was pinned to {len(digests)} definitions", *reads[-2:])
        definition = index.definition(saga_id)
        finding.look(
            definition is not None, saga_id, "is pinned to a definition that is not known", reads[-1]
        )
        if definition is None:
            continue
        declared = [
            (step.name, step.service, step.transaction, step.compensation) for step in definition.steps
        ]
        shown = [(step.name, step.service, step.transaction, step.compensation) for step in reads[-1].steps]
        if shown:
            finding.look(shown == declared, saga_id, "shows other steps than its definition has", reads[-1])
        for rule in definition.steps:
            rows = index.rows(saga_id, rule.name)
            for row in (*rows.executes, *rows.compensates):
                name = rule.transaction if row.operation == "E" else rule.compensation or ""
                pinned = (row.service, row.transaction) == (rule.service, name)
                sentence = f"{row.transaction!r} at {row.service} was called, not {name!r} at {rule.service}"
                finding.look(pinned, saga_id, sentence, row)
    return finding


def i30_replay(index: Index) -> Finding | NotYet:
    """What was read before a restart is what is read after it, with more behind it."""
    if index.evidence.restarts == 0:
        return NotYet("the coordinator was never started again")
    finding = Finding("I30")
    for reads in index.history.values():
        for earlier, later in pairwise(reads):
            _look_at_prefix(finding, earlier, later)
    return finding


def i31_bounds(_: Index) -> NotYet:
    return NotYet("what a process holds is measured where it runs; no measurement is part of the evidence")


def i32_secrecy(index: Index) -> Finding | NotYet:
    """No planted secret is in any log."""
    logs, canaries = index.evidence.logs, sorted(index.evidence.canaries)
    if not logs or not canaries:
        return NotYet("no log was gathered" if not logs else "no secret was planted")
    finding = Finding("I32")
    for name, text in logs.items():
        for number, canary in enumerate(canaries, start=1):
            # The sentence goes into logs itself, so it does not repeat the secret.
            place = text.find(canary)
            finding.look(place < 0, "", f"planted secret no. {number} is in {name}, at character {place}")
    return finding


def _look_at_reads(finding: Finding, earlier: SagaRead, later: SagaRead) -> None:
    rounds = f"rounds {earlier.read_at} and {later.read_at}"
    sentence = f"had {earlier.seq} records and then {later.seq} ({rounds})"
    finding.look(later.seq >= earlier.seq, later.saga_id, sentence, earlier, later)
    sentence = f"was {earlier.status} and then {later.status} ({rounds})"
    added = later.timeline[len(earlier.timeline) :]
    forth = _progress(later) >= _progress(earlier) or any(entry.action is not None for entry in added)
    finding.look(forth, later.saga_id, sentence, earlier, later)
    _look_at_prefix(finding, earlier, later)


def _look_at_prefix(finding: Finding, earlier: SagaRead, later: SagaRead) -> None:
    kept = later.timeline[: len(earlier.timeline)] == earlier.timeline
    sentence = f"its records changed between rounds {earlier.read_at} and {later.read_at}"
    finding.look(kept, later.saga_id, sentence, earlier, later)


def _progress(read: SagaRead) -> int:
    return len(ORDER) if read.status in ENDED else ORDER.get(read.status, 0)
