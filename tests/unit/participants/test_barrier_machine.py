"""Laws of the barrier: whatever comes in whatever order, through crashes, the ledger keeps them.

Judged from the outside: the ledger's rows, the till's contents and the answers given.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from participants import barrier, ledger
from participants.barrier import Verdict
from participants.calls import Call, Operation, Refused, Succeeded
from participants.errors import Rejected
from participants.ledger import Outcome, Row
from tests.unit.participants.kit import TillService, a_compensate, an_execute, open_till

SAGAS = st.sampled_from(["s1", "s2"])
STEPS = st.sampled_from(["pay", "ship"])
ROUNDS = st.sampled_from(["", "", "", "/2"])
TOKENS = st.sampled_from([1, 1, 2, 3])
MOODS = st.sampled_from(["succeed", "succeed", "refuse", "fault", "pend"])
NAMES = st.sampled_from(["take", "take", ""])


def execute(saga: str, step: str, again: str, token: int) -> Call:
    return an_execute(saga, step, key=f"{saga}/{step}/E{again}", token=token)


def compensate(saga: str, step: str, again: str, token: int, name: str) -> Call:
    return a_compensate(saga, step, key=f"{saga}/{step}/C{again}", token=token, name=name)


EXECUTES = st.builds(execute, SAGAS, STEPS, ROUNDS, TOKENS)
COMPENSATES = st.builds(compensate, SAGAS, STEPS, ROUNDS, TOKENS, NAMES)
CALLS = st.one_of(EXECUTES, COMPENSATES)


class AnyDelivery(RuleBasedStateMachine):
    """Any calls in any order, in groups that are committed or lost in a crash."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.open()
        self.till = TillService()
        self.answers: dict[str, set[str]] = defaultdict(set)

    def teardown(self) -> None:
        self.database.close()
        self.scratch.cleanup()

    @rule(group=st.lists(st.tuples(CALLS, MOODS), min_size=1, max_size=3), survives=st.booleans())
    def calls_come(self, group: list[tuple[Call, str]], survives: bool) -> None:
        db = self.database.connection
        db.execute("BEGIN IMMEDIATE")
        told = [(call, self.perform(call, mood)) for call, mood in group]
        if survives:
            db.execute("COMMIT")
            for call, verdict in told:
                self.remember(call, verdict)
        else:
            self.the_process_crashes()

    @rule(call=CALLS, moods=st.lists(MOODS, min_size=2, max_size=3))
    def one_call_comes_several_times(self, call: Call, moods: list[str]) -> None:
        for mood in moods:
            self.calls_come([(call, mood)], True)

    @rule()
    def the_process_crashes(self) -> None:
        self.database.close()
        self.open()

    def open(self) -> None:
        self.database = open_till(Path(self.scratch.name))
        # The power stays on here: a crash of the process loses nothing that SQLite has written.
        self.database.connection.execute("PRAGMA synchronous = OFF")

    def perform(self, call: Call, mood: str) -> Verdict:
        self.till.mood = mood
        return barrier.perform(self.database.connection, call, self.till.business(call))

    def remember(self, call: Call, verdict: Verdict) -> None:
        match verdict.answer:
            case Succeeded(output_json):
                self.answers[call.idempotency_key].add(f"succeeded {output_json}")
            case Refused(code=code) if call.operation is Operation.EXECUTE:
                self.answers[call.idempotency_key].add(f"refused {code}")
            case Rejected() | _:
                # A rejection is no answer, and what is not stored may change.
                return

    def rows(self) -> list[Row]:
        return ledger.read(self.database.connection, "", 0, 10_000)

    def by_step(self) -> dict[tuple[str, str], list[Row]]:
        found = defaultdict(list)
        for row in self.rows():
            found[row.saga_id, row.step].append(row)
        return found

    @invariant()
    def i6_each_direction_is_applied_at_most_once(self) -> None:
        for rows in self.by_step().values():
            applied = [row.operation for row in rows if row.outcome is Outcome.APPLIED]
            assert len(applied) == len(set(applied))

    @invariant()
    def i7_an_undo_is_applied_only_to_an_effect(self) -> None:
        for rows in self.by_step().values():
            applied = [row.operation for row in rows if row.outcome is Outcome.APPLIED]
            assert applied in ([], [Operation.EXECUTE], [Operation.EXECUTE, Operation.COMPENSATE])

    @invariant()
    def i8_nothing_is_applied_after_its_compensation_came(self) -> None:
        for rows in self.by_step().values():
            barred = False
            for row in rows:
                if row.operation is Operation.EXECUTE:
                    assert not (barred and row.outcome is Outcome.APPLIED)
                else:
                    barred = barred or row.outcome in (Outcome.APPLIED, Outcome.NULL)

    @invariant()
    def i14_a_key_belongs_to_one_step_and_direction(self) -> None:
        owners = defaultdict(set)
        for row in self.rows():
            owners[row.idempotency_key].add((row.saga_id, row.step, row.operation))
        assert all(len(owner) == 1 for owner in owners.values())

    @invariant()
    def i26_tokens_of_a_saga_never_go_back(self) -> None:
        newest: dict[str, int] = defaultdict(int)
        for row in self.rows():
            assert row.fencing_token >= newest[row.saga_id]
            newest[row.saga_id] = row.fencing_token

    @invariant()
    def a_key_has_one_answer(self) -> None:
        assert all(len(told) == 1 for told in self.answers.values())

    @invariant()
    def the_till_holds_what_the_ledger_says(self) -> None:
        standing = set()
        for place, rows in self.by_step().items():
            applied = [row.operation for row in rows if row.outcome is Outcome.APPLIED]
            if applied == [Operation.EXECUTE]:
                standing.add(place)
        held = self.database.connection.execute("SELECT saga_id, step FROM till").fetchall()
        assert sorted(held) == sorted(standing)

    @invariant()
    def rows_are_numbered_without_a_gap(self) -> None:
        assert [row.local_seq for row in self.rows()] == list(range(1, len(self.rows()) + 1))


TestAnyDelivery = AnyDelivery.TestCase
TestAnyDelivery.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    # Explaining and collecting several failures would take minutes; one small example says enough.
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
)
