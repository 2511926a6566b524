"""The barrier over a real file: what a call leaves behind in the business, the ledger and the answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from participants import barrier, ledger
from participants.calls import Call, Faulted, Pending, Refused, Succeeded
from participants.errors import Barred, BusinessError, KeyReused, Rejected, StaleToken
from participants.ledger import Outcome
from participants.strict_json import BadJson
from tests.unit.participants.kit import TillService, a_compensate, an_execute, open_till


class Bench:
    """One till on one file; every call is a transaction of its own."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.till = TillService()

    def call(self, call: Call, mood: str = "succeed") -> object:
        self.till.mood = mood
        self.db.execute("BEGIN IMMEDIATE")
        try:
            verdict = barrier.perform(self.db, call, self.till.business(call))
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")
        return verdict.answer

    def amount(self) -> int:
        found: int = self.db.execute("SELECT coalesce(sum(amount), 0) FROM till").fetchone()[0]
        return found

    def outcomes(self) -> list[Outcome]:
        return [row.outcome for row in ledger.read(self.db, "", 0, 100)]

    def stored_keys(self) -> set[str]:
        return {row[0] for row in self.db.execute("SELECT idempotency_key FROM saga_answers")}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    database = open_till(tmp_path)
    yield Bench(database.connection)
    database.close()


def test_the_same_key_has_its_effect_once_and_the_same_answer_each_time(bench: Bench) -> None:
    answers = [bench.call(an_execute()) for _ in range(3)]
    assert answers == [Succeeded('{"put":5}')] * 3
    assert bench.amount() == 5
    assert bench.outcomes() == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.DUPLICATE]


def test_a_refused_execute_leaves_nothing_but_its_refusal(bench: Bench) -> None:
    refused = bench.call(an_execute(), "refuse")
    again = bench.call(an_execute(), "succeed")
    assert isinstance(refused, Refused)
    assert isinstance(again, Refused)
    assert (again.code, again.message) == ("TILL_LOCKED", "The till is locked.")
    assert bench.amount() == 0
    assert bench.outcomes() == [Outcome.REFUSED, Outcome.DUPLICATE]


@pytest.mark.parametrize(("mood", "kind"), [("pend", Pending), ("fault", Faulted)])
def test_what_is_not_done_is_rolled_back_and_never_stored(
    bench: Bench, mood: str, kind: type[object]
) -> None:
    assert isinstance(bench.call(an_execute(), mood), kind)
    assert bench.amount() == 0
    assert bench.outcomes() == []
    assert bench.stored_keys() == set()
    assert bench.call(an_execute()) == Succeeded('{"put":5}')


def test_a_compensation_undoes_the_effect_once(bench: Bench) -> None:
    bench.call(an_execute())
    answers = [bench.call(a_compensate()) for _ in range(2)]
    assert answers == [Succeeded('{"taken":true}')] * 2
    assert bench.amount() == 0
    assert bench.outcomes() == [Outcome.APPLIED, Outcome.APPLIED, Outcome.DUPLICATE]


def test_a_compensation_sees_the_output_even_where_the_caller_never_got_it(bench: Bench) -> None:
    bench.call(an_execute())
    bench.call(a_compensate())
    assert bench.till.undone_with == [{"put": 5}]


def test_a_null_compensation_bars_the_late_execute(bench: Bench) -> None:
    assert bench.call(a_compensate()) == Succeeded("")
    assert isinstance(bench.call(an_execute()), Barred)
    assert isinstance(bench.call(an_execute(key="round-2")), Barred)
    assert bench.amount() == 0
    assert bench.outcomes() == [Outcome.NULL, Outcome.BARRED, Outcome.BARRED]


def test_an_execute_that_comes_again_after_its_undo_is_barred(bench: Bench) -> None:
    bench.call(an_execute())
    bench.call(a_compensate())
    assert isinstance(bench.call(an_execute()), Barred)
    assert bench.amount() == 0


def test_a_nameless_compensation_leaves_the_effect_and_bars_what_is_not_applied(bench: Bench) -> None:
    bench.call(an_execute(step="done"))
    assert bench.call(a_compensate(step="done", name="")) == Succeeded("")
    assert bench.call(a_compensate(step="never", name="")) == Succeeded("")
    assert isinstance(bench.call(an_execute(step="never")), Barred)
    assert bench.call(an_execute(step="done")) == Succeeded('{"put":5}')
    assert bench.amount() == 5


def test_a_compensation_of_a_refused_execute_is_null(bench: Bench) -> None:
    bench.call(an_execute(), "refuse")
    assert bench.call(a_compensate()) == Succeeded("")
    assert bench.outcomes() == [Outcome.REFUSED, Outcome.NULL]


def test_of_compensate_only_success_is_stored(bench: Bench) -> None:
    bench.call(an_execute())
    assert isinstance(bench.call(a_compensate(), "refuse"), Refused)
    assert isinstance(bench.call(a_compensate(), "fault"), Faulted)
    assert isinstance(bench.call(a_compensate(), "pend"), Pending)
    assert bench.amount() == 5
    assert bench.call(a_compensate(), "succeed") == Succeeded('{"taken":true}')
    assert bench.amount() == 0
    assert bench.outcomes() == [Outcome.APPLIED, Outcome.REFUSED, Outcome.APPLIED]


def test_a_new_round_supersedes_a_refusal_and_never_an_effect(bench: Bench) -> None:
    bench.call(an_execute(), "refuse")
    assert bench.call(an_execute(key="round-2")) == Succeeded('{"put":5}')
    assert bench.call(an_execute(key="round-3")) == Succeeded('{"put":5}')
    assert bench.amount() == 5
    assert bench.outcomes() == [Outcome.REFUSED, Outcome.APPLIED, Outcome.DUPLICATE]


def test_a_key_that_was_answered_by_an_older_effect_is_known_from_then_on(bench: Bench) -> None:
    bench.call(an_execute())
    bench.call(an_execute(key="round-2"))
    assert isinstance(bench.call(an_execute(step="ship", key="round-2")), KeyReused)


def test_a_reused_key_changes_nothing_and_leaves_no_row(bench: Bench) -> None:
    bench.call(an_execute())
    for call in (
        an_execute(given={"amount": 6}),
        an_execute(step="ship", key=an_execute().idempotency_key),
        an_execute("saga-2", key=an_execute().idempotency_key),
        a_compensate(key=an_execute().idempotency_key),
    ):
        assert isinstance(bench.call(call), KeyReused)
    assert bench.amount() == 5
    assert bench.outcomes() == [Outcome.APPLIED]


def test_an_older_token_is_stale_for_its_saga_only_and_changes_nothing(bench: Bench) -> None:
    bench.call(an_execute(token=7))
    for call in (
        an_execute(step="ship", token=6),
        a_compensate(token=6),
        an_execute(token=6),
    ):
        assert isinstance(bench.call(call), StaleToken)
    assert bench.amount() == 5
    assert bench.outcomes() == [Outcome.APPLIED]
    assert bench.call(an_execute("saga-2", token=1)) == Succeeded('{"put":5}')


def test_a_token_counts_as_seen_even_where_the_call_was_not_done(bench: Bench) -> None:
    bench.call(an_execute(token=7), "fault")
    assert isinstance(bench.call(an_execute(token=6)), StaleToken)


def test_an_unknown_transaction_is_refused_and_stored(bench: Bench) -> None:
    refused = [bench.call(an_execute(name="nonsense")) for _ in range(2)]
    assert [answer.code for answer in refused if isinstance(answer, Refused)] == [
        "UNKNOWN_TRANSACTION",
        "UNKNOWN_TRANSACTION",
    ]
    assert bench.outcomes() == [Outcome.REFUSED, Outcome.DUPLICATE]


def test_an_unknown_compensation_is_refused_only_where_there_is_something_to_undo(bench: Bench) -> None:
    assert bench.call(a_compensate(step="never", name="nonsense")) == Succeeded("")
    bench.call(an_execute())
    refused = bench.call(a_compensate(name="nonsense"))
    assert isinstance(refused, Refused)
    assert refused.code == "UNKNOWN_COMPENSATION"
    assert bench.amount() == 5


def test_business_code_that_fails_keeps_nothing(bench: Bench) -> None:
    with pytest.raises(RuntimeError):
        bench.call(an_execute(token=7), "explode")
    assert bench.amount() == 0
    assert bench.outcomes() == []
    assert bench.call(an_execute(token=1)) == Succeeded('{"put":5}')


def test_business_code_cannot_commit(bench: Bench) -> None:
    with pytest.raises(sqlite3.ProgrammingError, match="the barrier commits"):
        bench.call(an_execute(), "commit")
    assert bench.amount() == 0


def test_an_output_that_is_too_large_keeps_nothing(bench: Bench) -> None:
    with pytest.raises(BusinessError, match="output is larger"):
        bench.call(an_execute(given={"amount": "x" * (barrier.OUTPUT_BYTES_MAX + 1)}))
    assert bench.outcomes() == []


def test_an_output_that_could_not_be_read_back_keeps_nothing(bench: Bench) -> None:
    with pytest.raises(BadJson, match="NUL"):
        bench.call(an_execute(given={"amount": "a\0"}))
    assert bench.amount() == 0
    assert bench.stored_keys() == set()


def test_digests_tell_the_request_and_the_output(bench: Bench) -> None:
    bench.call(an_execute())
    bench.call(an_execute())
    bench.call(an_execute(step="ship"), "refuse")
    first, second, refused = ledger.read(bench.db, "", 0, 10)
    assert first.request_hash == an_execute().request_hash
    assert first.result_hash == second.result_hash != ""
    assert refused.result_hash == ""


def test_no_answer_keeps_a_traceback_alive(bench: Bench) -> None:
    refused = bench.call(an_execute(), "refuse")
    assert isinstance(refused, Refused)
    assert refused.__traceback__ is None


def test_rejections_share_a_base_that_the_edge_knows() -> None:
    assert all(issubclass(kind, Rejected) for kind in (Barred, KeyReused, StaleToken))
