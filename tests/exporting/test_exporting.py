"""From records to a course and an end: what came to a saga is read off what the journal has of it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.events import OperatorActed, OutputShaped, SagaResumed, StepFaulted, Verb
from coordinator.domain.ids import ActionId, FencingToken
from coordinator.domain.jsontext import JsonValue, canonical
from coordinator.domain.saga import Saga
from coordinator.domain.shown.exported import exported
from coordinator.ports.journal import Record
from coordinator.simulation.chance import BORN_AT_S
from coordinator.simulation.course import (
    Acted,
    Answered,
    Cancelled,
    Happening,
    Started,
    Stopped,
)
from coordinator.simulation.exporting import NotExported, course_of, export
from coordinator.simulation.replay import play
from tests.unit.machine.tale import define, pivot, retriable, step

GIVEN: JsonValue = {"n": 1}
SIDE_BY_SIDE = define(step("a"), step("b", depends_on=[]), step("c", depends_on=["a"]))


def done(at_s: float, name: str) -> Answered:
    return Answered(at_s, "do", name, "SUCCEEDED", output='"done"')


def undone(at_s: float, name: str) -> Answered:
    return Answered(at_s, "undo", name, "SUCCEEDED")


def refused(at_s: float, name: str) -> Answered:
    return Answered(at_s, "do", name, "REFUSED", code="NO", message="no")


def again(definition: SagaDefinition, *course: Happening) -> Sequence[Happening]:
    """Of the saga that *course* makes, what came to it by its records: it is exported."""
    return export(definition, records_of(definition, *course)).course


def records_of(definition: SagaDefinition, *course: Happening) -> Sequence[Record]:
    return play(definition, GIVEN, course)[1]


def saga_of(definition: SagaDefinition, *course: Happening) -> Saga:
    return play(definition, GIVEN, course)[0]


def test_answers_come_back_with_their_times_their_words_and_their_waits() -> None:
    course = (
        Answered(0.5, "do", "a", "FAULTED", code="BUSY", message="later", again_s=0.75),
        Answered(1.5, "do", "a", "UNKNOWN", code="UNAVAILABLE", message="gone", again_s=1.25),
        Answered(3.0, "do", "a", "PENDING", again_s=20.0),
        done(24.0, "a"),
        refused(25.0, "b"),
        Answered(26.0, "undo", "a", "BROKEN_CONTRACT", code="WRONG", message="what?", again_s=0.5),
        Answered(27.0, "undo", "a", "KEY_REUSED", code="KEY_REUSED", message="again", again_s=1.5),
        Answered(29.0, "undo", "a", "PENDING", again_s=1.0),
        undone(31.0, "a"),
    )
    assert again(define("a", "b"), *course) == course


@pytest.mark.parametrize("said", ["PERMANENT", "BROKEN_CONTRACT", "KEY_REUSED", "BARRED"])
def test_what_gives_a_step_up_comes_back_for_what_it_was(said: str) -> None:
    course = (
        Answered(0.5, "do", "a", said, code="WHY", message="so"),  # type: ignore[arg-type]
        undone(0.75, "a"),
    )
    saga = saga_of(define("a"), *course)
    assert saga.flags == (() if said == "PERMANENT" else (f"a: {said}",))
    assert again(define("a"), *course) == course


def test_what_people_do_comes_back_with_who_did_it_and_why() -> None:
    course = (
        done(0.5, "a"),
        Acted(1.0, "FAIL", "b", actor="ada", reason="it hangs"),
        Answered(2.0, "undo", "b", "REFUSED", code="NO", message="no"),
        Acted(3_600.0, "SKIP", "b", actor="ada", reason="by hand"),
        Answered(3_601.0, "undo", "a", "UNKNOWN", code="UNAVAILABLE", again_s=1.0),
        Acted(3_601.5, "RETRY", "a", actor="bob", reason="it is back"),
        undone(3_602.0, "a"),
    )
    assert again(define("a", "b"), *course) == course
    vouched = (Acted(0.5, "COMPLETE", "a", '{"by":"hand"}', "ada", "seen"),)
    assert again(define("a"), *vouched) == vouched
    ended = (Acted(0.5, "TERMINATE", actor="ada", reason="lost"),)
    assert again(define("a"), *ended) == ended


def test_the_cancel_of_a_client_comes_back_as_one() -> None:
    course = (Cancelled(0.5, "ordered twice"), done(0.75, "a"), undone(1.0, "a"))
    assert again(define("a"), *course) == course


def test_a_retry_of_what_was_refused_for_good_has_a_new_budget_again() -> None:
    definition = define(pivot("a"), retriable("b", budget_s=5.0))
    lost = Answered(8.0, "do", "b", "UNKNOWN", code="UNAVAILABLE")
    course = (
        done(0.5, "a"),
        replace(lost, at_s=1.0, again_s=0.25),
        lost,
        Acted(9.0, "RETRY", "b", actor="ada", reason="it is back"),
        replace(lost, at_s=10.0, again_s=0.875),
        refused(11.0, "b"),
        Acted(12.0, "RETRY", "b", actor="ada", reason="once more"),
        done(13.0, "b"),
    )
    assert again(definition, *course) == course


def test_what_comes_at_once_comes_at_once_again() -> None:
    # Behind a, c would have been begun, and would have had to be undone.
    course = (done(0.5, "a"), refused(0.5, "b"), undone(0.75, "a"))
    assert again(SIDE_BY_SIDE, *course) == course
    together = (done(0.5, "a"), Cancelled(1.0), done(1.0, "b"), undone(2.0, "b"), undone(3.0, "a"))
    assert again(define("a", "b"), *together) == together
    apart = (done(0.5, "a"), refused(0.500_001, "b"), done(0.6, "c"), undone(0.75, "c"), undone(0.8, "a"))
    assert again(SIDE_BY_SIDE, *apart) == apart


def test_who_acts_has_seen_what_came_before() -> None:
    definition = define(step("a"), step("b", depends_on=[]))
    course = (
        done(0.5, "a"),
        Acted(0.500_001, "SKIP", "b", actor="ada", reason="she is quick"),
    )
    assert again(definition, *course) == course


def test_a_call_that_is_lost_with_its_coordinator_counts_as_an_attempt() -> None:
    # A refusal of the only attempt proves that nothing is to be undone; that of the second one does not.
    course = (Stopped(0.5), Started(2.0), refused(3.0, "a"), undone(3.5, "a"))
    records = records_of(define("a"), *course)
    assert [type(record.event) for record in records].count(SagaResumed) == 1
    assert replaced(again(define("a"), *course), Stopped=0.5) == course


def test_a_coordinator_that_stops_takes_answers_and_begins_nothing() -> None:
    course = (Stopped(0.5), done(0.5, "a"), Started(2.0), refused(2.5, "b"), undone(3.0, "a"))
    records = records_of(define("a", "b"), *course)
    assert not any(isinstance(record.event, SagaResumed) for record in records)
    assert again(define("a", "b"), *course) == course


def test_a_coordinator_that_stops_takes_each_answer_when_it_comes() -> None:
    definition = define(step("a"), step("b", depends_on=[]), step("c", depends_on=["a"]))
    course = (Stopped(0.5), done(0.5, "a"), refused(1.5, "b"), Started(2.0), undone(3.0, "a"))
    assert again(definition, *course) == course


def test_a_coordinator_that_stops_is_asked_for_what_was_due_before() -> None:
    definition = define(step("a"), step("b", depends_on=[]), step("c", depends_on=["a", "b"]))
    course = (
        Answered(0.5, "do", "a", "FAULTED", code="BUSY", again_s=1.0),
        done(0.75, "b"),
        Stopped(2.0),
        done(2.0, "a"),
        Started(3.0),
        done(4.0, "c"),
    )
    assert again(definition, *course) == course


def test_an_undo_is_begun_only_by_the_coordinator_that_comes_after() -> None:
    definition = define(step("a"), step("b", depends_on=[]))
    course = (
        done(0.5, "a"),
        Stopped(0.75),
        refused(0.75, "b"),
        Started(2.0),
        undone(3.0, "a"),
    )
    assert again(definition, *course) == course


def test_what_a_person_has_asked_again_was_asked_before_the_stop() -> None:
    definition = define(pivot("a"), retriable("b"), retriable("c"))
    course = (
        done(0.5, "a"),
        refused(1.0, "b"),
        Acted(5.0, "RETRY", "b", actor="ada", reason="it is back"),
        Stopped(6.0),
        done(6.0, "b"),
        Started(7.0),
        done(8.0, "c"),
    )
    assert again(definition, *course) == course


def test_a_cancel_keeps_its_time_also_where_there_is_no_room_to_undo() -> None:
    definition = define(step("a"), step("b", depends_on=[]), max_parallel=1)
    course = (done(0.5, "a"), Cancelled(1.0), done(3.0, "b"), undone(4.0, "b"), undone(5.0, "a"))
    assert again(definition, *course) == course


def test_what_is_done_while_an_undo_takes_the_only_place_keeps_its_time() -> None:
    definition = define(step("a"), step("b", depends_on=[]), step("c", depends_on=["a", "b"]), max_parallel=1)
    course = (
        done(0.5, "a"),
        done(1.0, "b"),
        refused(1.5, "c"),
        Acted(2.0, "CANCEL", actor="ada", reason="it is turning back already"),
        undone(3.0, "b"),
        undone(4.0, "a"),
    )
    assert again(definition, *course) == course


def test_a_step_that_waits_is_undone_at_once_but_not_by_who_is_about_to_stop() -> None:
    busy = Answered(0.5, "do", "a", "FAULTED", code="BUSY", again_s=2.5)
    course = (busy, Stopped(1.0), Cancelled(1.0), Started(2.0), undone(3.0, "a"))
    assert again(define("a"), *course) == course


def test_an_undo_that_has_to_wait_for_its_execute_does_not_tell_of_a_stop() -> None:
    course = (
        Cancelled(0.5),
        Stopped(0.75),
        Started(2.0),
        undone(3.0, "a"),
    )
    assert replaced(again(define("a"), *course), Stopped=0.75) == course


def test_who_sleeps_over_a_restart_may_be_woken_by_a_person() -> None:
    busy = Answered(0.5, "do", "a", "FAULTED", code="BUSY", again_s=1.0)
    woken = Acted(1.25, "RETRY", "a", actor="ada", reason="now")
    course = (busy, Stopped(0.75), Started(1.0), woken, done(1.375, "a"))
    # The first word of the coordinator that came is that of the person.
    behind = (Started(1.25), replace(woken, at_s=1.250_001), done(1.375, "a"))
    assert replaced(again(define("a"), *course), Stopped=0.75) == (busy, Stopped(0.75), *behind)


def test_the_deadline_passes_by_itself_and_what_came_with_it_comes_with_it_again() -> None:
    late = Answered(4.0, "do", "b", "UNKNOWN", code="DEADLINE_EXCEEDED", message="no answer in time")
    definition = define(step("a"), step("b", depends_on=[]), ttl_s=4.0)
    together = (done(0.5, "a"), late, undone(4.5, "b"), undone(5.0, "a"))
    assert again(definition, *together) == together
    # It is noted when it is seen, a little later.
    *before, passed, fault, began, begun, first, second = records_of(definition, *together)
    seen = [
        replace(one, event=replace(one.event, at=4.000_05 + BORN_AT_S))
        for one in (passed, fault, began, begun)
    ]
    assert export(definition, [*before, *seen, first, second]).course == together
    behind = (done(0.5, "a"), replace(late, at_s=4.25), undone(4.5, "a"), undone(5.0, "b"))
    assert again(definition, *behind) == behind


def test_a_deadline_that_passes_while_nobody_is_there_is_noted_by_who_comes() -> None:
    course = (Stopped(0.5), Started(9.0), undone(10.0, "a"))
    assert replaced(again(define("a", ttl_s=4.0), *course), Stopped=0.5) == course


def test_past_the_pivot_the_deadline_only_makes_it_overdue() -> None:
    definition = define(pivot("a"), retriable("b"), ttl_s=4.0)
    course = (done(0.5, "a"), done(5.0, "b"))
    made = export(definition, records_of(definition, *course))
    assert (made.course, made.end.overdue) == (course, True)


def test_what_a_condition_leaves_out_and_an_output_makes_follows_by_itself() -> None:
    definition = define(
        step("a"), step("b", when="input.n == 2"), step("c"), output={"n": "input.n", "a": "outputs.a"}
    )
    course = (done(0.5, "a"), done(1.0, "c"))
    made = export(definition, records_of(definition, *course))
    assert made.course == course
    assert made.end.steps == {"a": "SUCCEEDED", "b": "OMITTED", "c": "SUCCEEDED"}
    assert made.end.output == '{"a":"done","n":1}'


def test_a_stop_is_told_also_where_a_step_is_left_out_meanwhile() -> None:
    definition = define(
        step("a"), step("b", when="input.n == 2"), step("c"), step("d", depends_on=[]), step("e")
    )
    course = (Stopped(0.5), done(0.5, "a"), done(0.75, "d"), Started(2.0), done(3.0, "c"), done(4.0, "e"))
    assert again(definition, *course) == course


def test_the_end_says_what_became_of_each_step_and_in_which_order_it_was_undone() -> None:
    course = (
        done(0.5, "a"),
        done(1.0, "b"),
        Answered(1.5, "do", "c", "PERMANENT", code="UNIMPLEMENTED", message="what?"),
        undone(2.0, "c"),
        undone(2.5, "b"),
        Answered(3.0, "undo", "a", "REFUSED", code="NO", message="no"),
    )
    end = export(define("a", "b", "c"), records_of(define("a", "b", "c"), *course)).end
    assert (end.status, end.undone) == ("DEAD_LETTERED", ["c", "b"])
    assert end.steps == {"a": "UNDO_FAILED", "b": "COMPENSATED", "c": "COMPENSATED"}
    assert "UNIMPLEMENTED: what?" in end.error_message
    assert not end.forced


def test_an_open_saga_is_not_exported() -> None:
    records = records_of(define("a"), done(0.5, "a"))
    with pytest.raises(NotExported, match="it has not ended: it is RUNNING"):
        export(define("a"), records[:-1])


def test_a_saga_that_was_set_aside_once_is_not_exported() -> None:
    records = list(records_of(define("a"), done(0.5, "a")))
    retried = OperatorActed(records[1].event.at, Verb.RETRY, ActionId("1"), "ada", "mended")
    told = [*records[:2], Record(3, records[1].token, retried), replace(records[2], seq=4)]
    with pytest.raises(NotExported, match="it was set aside once"):
        export(define("a"), told)


def test_what_hangs_on_what_is_sensitive_is_not_exported_and_says_where_it_goes_astray() -> None:
    text = (
        '{"sagaName": "Pay", "sensitive": ["card"], "steps": ['
        '{"service": "S", "transaction": "a", "compensation": null},'
        '{"service": "S", "transaction": "b", "compensation": null, "when": "input.card == \'debit\'"}]}'
    )
    definition = parse_definition(text, source="test")
    saga, records = play(definition, {"card": "debit"}, (done(0.5, "a"), done(1.0, "b")))
    assert export(definition, records).end.status == "COMPLETED"
    shown = exported(saga, [record.event for record in records])
    masked = [replace(record, event=event) for record, event in zip(records, shown, strict=True)]
    with pytest.raises(NotExported, match="goes another way: nobody asks to do b"):
        export(definition, masked)


def test_records_that_end_otherwise_than_they_are_played_are_not_exported() -> None:
    course = (Answered(0.5, "do", "a", "UNKNOWN", again_s=1.0), done(2.0, "a"))
    *before, faulted, succeeded = records_of(define("a"), *course)
    fault = faulted.event
    assert isinstance(fault, StepFaulted)
    later = replace(faulted, event=replace(fault, retry_at=fault.at + 60))
    with pytest.raises(NotExported, match=r"goes another way: nobody asks to do a, .* at 2\.0 s"):
        export(define("a"), [*before, later, succeeded])


def test_records_with_another_end_than_they_come_to_are_not_exported() -> None:
    definition = define(step("a"), output={"n": "input.n"})
    *before, shaped = records_of(definition, done(0.5, "a"))
    assert isinstance(shaped.event, OutputShaped)
    other = replace(shaped, event=replace(shaped.event, output='{"n":2}'))
    with pytest.raises(NotExported, match=r"""its output is '{"n":1}', and was '{"n":2}'"""):
        export(definition, [*before, other])


def test_the_output_is_not_told_where_something_is_sensitive() -> None:
    definition = define(step("a"), output={"n": "input.n"}, sensitive=("card",))
    saga, records = play(definition, {"n": 1, "card": 4711}, (done(0.5, "a"),))
    made = export(definition, records)
    assert (saga.output, made.end.output) == ('{"n":1}', None)
    assert made.input == canonical({"card": 4711, "n": 1})


def test_a_coordinator_is_another_one_by_its_token() -> None:
    records = records_of(define("a", "b"), done(0.5, "a"), done(1.0, "b"))
    later = [replace(record, token=FencingToken(record.token + (record.seq > 3))) for record in records]
    kinds = [type(one) for one in course_of(define("a", "b"), later)]
    assert kinds == [Stopped, Answered, Started, Answered]


def replaced(course: Sequence[Happening], **times: float) -> tuple[Happening, ...]:
    """*course* with the times of what its records do not tell."""
    return tuple(
        replace(one, at_s=times[type(one).__name__]) if type(one).__name__ in times else one for one in course
    )
