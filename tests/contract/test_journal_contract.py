"""What every journal promises, one promise a test: see coordinator/ports/journal.py."""

import asyncio
from collections.abc import Sequence

import pytest

from coordinator.domain import jsontext, machine
from coordinator.domain.errors import (
    JournalConflict,
    JournalUnavailable,
    RequestIdTaken,
    SagaNotFound,
)
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    SagaResumed,
    StepBegun,
    StepFaulted,
    UndoFaulted,
    Verb,
)
from coordinator.domain.ids import RequestId, SagaId, StepName
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, DeadLetterCause, SagaSummary, Signature
from coordinator.ports.journal import (
    SIGNATURES_MAX,
    Alike,
    Census,
    Cursor,
    OpenSaga,
    Quarantine,
    Record,
    Request,
    SagaFilter,
)
from tests.contract.conftest import Home
from tests.contract.sagas import (
    RESERVE,
    AnyJournal,
    Told,
    a_definition,
    a_saga,
    acted,
    completed,
    dead_lettered,
    reserved,
    retried_at,
)

ALL = SagaFilter()
RESERVE_REFUSED = Signature(RESERVE, DeadLetterCause.REFUSED)


def ids(rows: Sequence[SagaSummary] | Sequence[OpenSaga]) -> list[str]:
    return [row.id if isinstance(row, SagaSummary) else row.saga_id for row in rows]


async def listed(journal: AnyJournal, condition: SagaFilter = ALL) -> list[str]:
    return ids(await journal.page(condition, after=None, limit=100))


class TestStarting:
    async def test_a_started_saga_can_be_read_in_every_way(self, journal: AnyJournal) -> None:
        saga = a_saga()
        assert await saga.start(journal) == saga.request
        assert await journal.history(saga.id) == [Record(1, journal.token, saga.events[0])]
        assert await journal.find(saga.id) == saga.summary
        assert await journal.page(ALL, after=None, limit=10) == [saga.summary]
        assert await journal.requested(saga.front_door, saga.request_id) == saga.request
        assert await journal.definition(saga.definition.digest) == saga.definition.text
        assert await journal.open_sagas() == [OpenSaga(saga.id, None, saga.at)]

    async def test_a_start_may_hold_more_than_one_event(self, journal: AnyJournal) -> None:
        saga = a_saga()
        saga.happens(*reserved())
        await saga.start(journal)
        assert [record.seq for record in await journal.history(saga.id)] == [1, 2, 3]

    async def test_the_same_content_joins_the_saga_that_was_first(self, journal: AnyJournal) -> None:
        first, second = a_saga("1"), a_saga("2")
        second.request_id = first.request_id
        await first.start(journal)
        assert await second.start(journal) == first.request
        assert await journal.find(second.id) is None
        with pytest.raises(SagaNotFound):
            await journal.history(second.id)

    async def test_other_content_is_refused_and_changes_nothing(self, journal: AnyJournal) -> None:
        first, second = a_saga("1"), a_saga("2")
        second.request_id, second.content = first.request_id, "other content"
        await first.start(journal)
        with pytest.raises(RequestIdTaken, match="request-1"):
            await second.start(journal)
        assert await journal.requested(first.front_door, first.request_id) == first.request
        assert await listed(journal) == [first.id]

    async def test_each_front_door_has_request_ids_of_its_own(self, journal: AnyJournal) -> None:
        first, second = a_saga("1"), a_saga("2")
        second.request_id, second.front_door = first.request_id, "another door"
        assert await first.start(journal) == first.request
        assert await second.start(journal) == second.request

    async def test_of_many_starts_of_one_request_at_once_one_wins_and_all_learn_it(
        self, journal: AnyJournal
    ) -> None:
        sagas = [a_saga(str(number)) for number in range(20)]
        for saga in sagas:
            saga.request_id = RequestId("the same")
        answers = await asyncio.gather(*(saga.start(journal) for saga in sagas))
        (winner,) = set(answers)
        assert await listed(journal) == [winner.saga_id]

    async def test_of_many_starts_with_other_content_one_wins_and_the_others_are_refused(
        self, journal: AnyJournal
    ) -> None:
        sagas = [a_saga(str(number)) for number in range(20)]
        for saga in sagas:
            saga.request_id, saga.content = RequestId("the same"), f"content of {saga.id}"
        answers = await asyncio.gather(*(saga.start(journal) for saga in sagas), return_exceptions=True)
        assert sum(isinstance(answer, RequestIdTaken) for answer in answers) == 19
        assert len(await listed(journal)) == 1

    async def test_a_saga_id_that_is_in_use_starts_no_second_saga(self, journal: AnyJournal) -> None:
        first = a_saga("1")
        second, third = (
            Told(first.id, RequestId(name), first.definition, 2_000.0) for name in ("other", "another")
        )
        await first.start(journal)
        with pytest.raises(JournalConflict):
            await second.start(journal)
        assert await journal.requested(second.front_door, second.request_id) is None
        # Also not in one group with others.
        others = [a_saga("2"), a_saga("3")]
        told = await asyncio.gather(
            *(saga.start(journal) for saga in (others[0], third, others[1])), return_exceptions=True
        )
        assert [type(answer) for answer in told] == [Request, JournalConflict, Request]
        assert await listed(journal) == ["saga-3", "saga-2", "saga-1"]

    async def test_a_definition_is_kept_once_for_all_its_sagas(self, journal: AnyJournal) -> None:
        sagas = [a_saga(str(number), definition=a_definition("Trip")) for number in range(3)]
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        trip = sagas[0].definition
        assert await journal.definition(trip.digest) == trip.text
        assert await journal.definition(jsontext.digest("unknown")) is None


class TestAppending:
    async def test_it_answers_with_the_number_of_the_last_event(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        assert await saga.goes_on(journal, *reserved()) == 3
        assert await saga.goes_on(journal, SagaResumed(1_003.0)) == 4

    async def test_the_history_rebuilds_the_saga(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, *dead_lettered())
        records = await journal.history(saga.id)
        assert [record.event for record in records] == saga.events
        assert machine.resume(saga.definition, (r.event for r in records)) == saga.decision

    async def test_the_row_is_the_one_that_came_with_the_last_events(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, *completed())
        assert await journal.find(saga.id) == saga.summary
        assert saga.summary.status is Status.COMPLETED

    async def test_what_is_odd_about_a_saga_stays_in_its_row(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        odd = StepFaulted(1_001.0, RESERVE, 1, Cause.BROKEN_CONTRACT, "", "no such message", 1_002.0)
        await saga.goes_on(journal, StepBegun(1_001.0, RESERVE), odd)
        assert saga.summary.flags == ("reserve: BROKEN_CONTRACT",)
        assert await journal.find(saga.id) == saga.summary

    @pytest.mark.parametrize("seq_expected", [0, 2, 4, 7])
    async def test_a_writer_that_is_not_up_to_date_writes_nothing(
        self, journal: AnyJournal, seq_expected: int
    ) -> None:
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, *reserved())
        before = saga.summary
        late = a_saga()
        while late.seq < seq_expected + 1:
            late.happens(SagaResumed(1_005.0))
        with pytest.raises(JournalConflict, match=f"past record {seq_expected}"):
            await journal.append(
                saga.id,
                [SagaResumed(1_005.0)] * (late.seq - seq_expected),
                summary=late.summary,
                seq_expected=seq_expected,
            )
        assert len(await journal.history(saga.id)) == 3
        assert await journal.find(saga.id) == before

    async def test_of_two_writers_at_once_one_wins(self, journal: AnyJournal) -> None:
        saga, rival = a_saga(), a_saga()
        await saga.start(journal)
        answers = await asyncio.gather(
            saga.goes_on(journal, SagaResumed(1_001.0)),
            rival.goes_on(journal, SagaResumed(1_002.0)),
            return_exceptions=True,
        )
        assert answers[0] == 2
        assert isinstance(answers[1], JournalConflict)

    async def test_a_saga_that_was_never_started_cannot_go_on(self, journal: AnyJournal) -> None:
        saga = a_saga()
        with pytest.raises(JournalConflict):
            await saga.goes_on(journal, SagaResumed(1_001.0))
        assert await journal.find(saga.id) is None

    async def test_a_conflict_of_one_saga_leaves_the_others_durable(self, home: Home) -> None:
        journal = await home.open()
        sagas = [a_saga(str(number)) for number in range(10)]
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        sagas[4].happens(SagaResumed(1_001.0))
        answers = await asyncio.gather(
            *(saga.goes_on(journal, *reserved()) for saga in sagas), return_exceptions=True
        )
        assert [answer for answer in answers if answer != 3] == [answers[4]]
        assert isinstance(answers[4], JournalConflict)
        journal = await home.open()
        lengths = [len(await journal.history(saga.id)) for saga in sagas]
        assert lengths == [3, 3, 3, 3, 1, 3, 3, 3, 3, 3]

    async def test_a_saga_may_start_and_go_on_in_one_group(self, journal: AnyJournal) -> None:
        saga = a_saga()
        starting = asyncio.create_task(saga.start(journal))
        await asyncio.sleep(0)
        going_on = asyncio.create_task(saga.goes_on(journal, *reserved()))
        assert (await starting, await going_on) == (saga.request, 3)
        assert len(await journal.history(saga.id)) == 3

    async def test_a_saga_may_go_on_and_turn_back_in_one_group(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, SagaResumed(1_000.5))
        numbers = await asyncio.gather(
            saga.goes_on(journal, *reserved()),
            saga.goes_on(journal, CancelRequested(1_002.0, "changed their mind")),
            saga.goes_on(journal, SagaResumed(1_003.0)),
        )
        assert [*numbers] == [4, 5, 6]
        assert await journal.find(saga.id) == saga.summary
        assert saga.summary.status is Status.COMPENSATING

    async def test_what_a_cancelled_caller_queued_becomes_durable(self, home: Home) -> None:
        journal = await home.open()
        saga = a_saga()
        await saga.start(journal)
        appending = asyncio.create_task(saga.goes_on(journal, *reserved()))
        await asyncio.sleep(0)
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
        journal = await home.open()
        assert len(await journal.history(saga.id)) == 3
        assert await journal.find(saga.id) == saga.summary

    async def test_an_append_that_does_not_add_up_is_a_bug_and_writes_nothing(
        self, journal: AnyJournal
    ) -> None:
        saga = a_saga()
        await saga.start(journal)
        with pytest.raises(ValueError, match="do not end at 1"):
            await journal.append(saga.id, [SagaResumed(1_001.0)], summary=saga.summary, seq_expected=1)
        with pytest.raises(ValueError, match="0 events"):
            await journal.append(saga.id, [], summary=saga.summary, seq_expected=1)
        assert len(await journal.history(saga.id)) == 1


class TestOpeningAgain:
    async def test_everything_is_still_there(self, home: Home) -> None:
        journal = await home.open()
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, *reserved())
        token = journal.token
        journal = await home.open()
        assert await journal.history(saga.id) == [
            Record(seq, token, event) for seq, event in enumerate(saga.events, start=1)
        ]
        assert await journal.find(saga.id) == saga.summary
        assert await journal.definition(saga.definition.digest) == saga.definition.text
        other = a_saga("2")
        other.request_id = saga.request_id
        assert await other.start(journal) == saga.request

    async def test_each_opening_writes_under_a_larger_token(self, home: Home) -> None:
        saga = a_saga()
        journal = await home.open()
        tokens = [journal.token]
        await saga.start(journal)
        for number in range(3):
            journal = await home.open()
            tokens.append(journal.token)
            await saga.goes_on(journal, SagaResumed(1_001.0 + number))
        assert [record.token for record in await journal.history(saga.id)] == tokens
        assert tokens == sorted(set(tokens))

    async def test_a_journal_that_was_left_behind_takes_and_tells_nothing(self, home: Home) -> None:
        left = await home.open()
        saga = a_saga()
        await saga.start(left)
        await home.open()
        with pytest.raises(JournalUnavailable):
            await left.find(saga.id)
        with pytest.raises(JournalUnavailable):
            await saga.goes_on(left, SagaResumed(1_001.0))


class TestReadingOneSaga:
    async def test_a_saga_that_is_not_there_is_not_found(self, journal: AnyJournal) -> None:
        nobody = SagaId("nobody")
        with pytest.raises(SagaNotFound, match="nobody"):
            await journal.history(nobody)
        assert await journal.find(nobody) is None
        assert await journal.requested("door", RequestId("nobody's")) is None

    @pytest.mark.parametrize("text", ["Straße 雪 🚚", "'; DROP TABLE sagas; --", "", "x" * 100_000])
    async def test_every_text_comes_back_as_it_was(self, journal: AnyJournal, text: str) -> None:
        saga = Told(SagaId("saga-1"), RequestId(text), front_door=text)
        await saga.start(journal)
        assert await journal.find(saga.id) == saga.summary
        assert (await journal.history(saga.id))[0].event == saga.events[0]
        assert await journal.requested(text, RequestId(text)) == saga.request

    async def test_a_text_that_cannot_be_kept_fails_its_own_saga_only(self, home: Home) -> None:
        journal = await home.open()
        saga, broken = a_saga("1"), a_saga("2")
        await asyncio.gather(saga.start(journal), broken.start(journal))
        wrong = StepBegun(float("nan"), StepName("reserve"))
        answers = await asyncio.gather(
            saga.goes_on(journal, *reserved()), broken.goes_on(journal, wrong), return_exceptions=True
        )
        assert answers[0] == 3
        assert isinstance(answers[1], ValueError)
        assert len(await journal.history(broken.id)) == 1


class TestLists:
    async def test_they_are_newest_first_and_of_one_moment_by_who_was_written_last(
        self, journal: AnyJournal
    ) -> None:
        for name, at in [("b", 2.0), ("a", 2.0), ("d", 1.0), ("c", 3.0), ("e", 2.0)]:
            await a_saga(name, at).start(journal)
        assert await listed(journal) == ["saga-c", "saga-e", "saga-a", "saga-b", "saga-d"]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
    async def test_pages_hold_every_saga_once_whatever_their_size(
        self, journal: AnyJournal, limit: int
    ) -> None:
        sagas = [a_saga(f"{number:02}", at=1_000.0 + number // 5) for number in range(23)]
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        seen: list[str] = []
        after: Cursor | None = None
        while rows := await journal.page(ALL, after=after, limit=limit):
            assert len(rows) <= limit
            seen += ids(rows)
            after = Cursor(rows[-1].started_at, rows[-1].id)
        assert seen == sorted((saga.id for saga in sagas), reverse=True)

    async def test_sagas_that_start_meanwhile_do_not_disturb_the_next_page(self, journal: AnyJournal) -> None:
        for name in "abcd":
            await a_saga(name).start(journal)
        first = await journal.page(ALL, after=None, limit=2)
        await a_saga("z", at=2_000.0).start(journal)
        after = Cursor(first[-1].started_at, first[-1].id)
        second = await journal.page(ALL, after=after, limit=2)
        assert ids(first) + ids(second) == ["saga-d", "saga-c", "saga-b", "saga-a"]

    @pytest.fixture
    async def mixed(self, journal: AnyJournal) -> AnyJournal:
        """Five sagas, a to e, one second apart."""
        trip = a_definition("Trip")
        running, done = a_saga("a", 1.0), a_saga("b", 2.0)
        dead, trip_done = a_saga("c", 3.0), a_saga("d", 4.0, trip)
        sagas = running, done, dead, trip_done, a_saga("e", 5.0, trip)
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        await done.goes_on(journal, *completed())
        await trip_done.goes_on(journal, *completed())
        await dead.goes_on(journal, *dead_lettered())
        return journal

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            (SagaFilter(status=Status.RUNNING), "ea"),
            (SagaFilter(status=Status.COMPLETED), "db"),
            (SagaFilter(status=Status.COMPENSATED), ""),
            (SagaFilter(saga_name="Trip"), "ed"),
            (SagaFilter(saga_name="trip"), ""),
            (SagaFilter(request_id=RequestId("request-b")), "b"),
            (SagaFilter(needs_person=True), "c"),
            (SagaFilter(needs_person=False), "edba"),
            (SagaFilter(started_from=3.0), "edc"),
            (SagaFilter(started_before=3.0), "ba"),
            (SagaFilter(started_from=2.0, started_before=4.0), "cb"),
            (SagaFilter(status=Status.COMPLETED, saga_name="Trip"), "d"),
            (SagaFilter(status=Status.COMPLETED, started_before=4.0, needs_person=False), "b"),
        ],
        ids=str,
    )
    async def test_a_filter_shows_those_for_which_all_conditions_hold(
        self, mixed: AnyJournal, condition: SagaFilter, expected: str
    ) -> None:
        assert await listed(mixed, condition) == [f"saga-{name}" for name in expected]

    async def test_filters_and_pages_go_together(self, mixed: AnyJournal) -> None:
        condition = SagaFilter(needs_person=False)
        rows = await mixed.page(condition, after=Cursor(4.0, SagaId("saga-d")), limit=1)
        assert ids(rows) == ["saga-b"]


class TestOpenSagas:
    async def test_they_come_by_due_time_those_due_now_first(self, journal: AnyJournal) -> None:
        due = {"a": 1_030.0, "b": 1_010.0, "d": 1_020.0, "e": 1_010.0}
        for name in "edcba":
            saga = a_saga(name)
            await saga.start(journal)
            if name in due:
                await saga.goes_on(journal, *retried_at(due[name]))
        assert await journal.open_sagas() == [
            OpenSaga(SagaId("saga-c"), None, 1_000.0),
            OpenSaga(SagaId("saga-b"), 1_010.0, 1_001.0),
            OpenSaga(SagaId("saga-e"), 1_010.0, 1_001.0),
            OpenSaga(SagaId("saga-d"), 1_020.0, 1_001.0),
            OpenSaga(SagaId("saga-a"), 1_030.0, 1_001.0),
        ]

    async def test_the_time_of_one_is_that_of_its_newest_record(self, home: Home) -> None:
        journal = await home.open()
        saga = a_saga()
        await saga.start(journal)
        for at in (1_700.5, 1_800.25):
            await saga.goes_on(journal, SagaResumed(at))
            assert await journal.open_sagas() == [OpenSaga(saga.id, None, at)]
            journal = await home.open()

    async def test_a_saga_that_turned_back_is_open_until_it_is_undone(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        events = dead_lettered()
        await saga.goes_on(journal, *events[:-1])
        assert saga.summary.status is Status.COMPENSATING
        assert ids(await journal.open_sagas()) == [saga.id]
        await saga.goes_on(journal, *events[-1:])
        assert ids(await journal.open_sagas()) == []

    async def test_a_saga_that_has_ended_is_not_among_them(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, *completed())
        assert await journal.open_sagas() == []


class TestQuarantine:
    async def test_it_shows_the_saga_to_people_and_leaves_its_records(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, *reserved())
        await journal.quarantine(Quarantine(saga.id, "record 2 is damaged", 1_500.0))
        row = await journal.find(saga.id)
        assert row is not None
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
        assert (row.error_message, row.updated_at) == ("record 2 is damaged", 1_500.0)
        assert (row.seq, row.due_at, row.signature) == (3, None, SET_ASIDE)
        assert [record.event for record in await journal.history(saga.id)] == saga.events

    async def test_lists_show_it_as_what_it_is_now(self, journal: AnyJournal) -> None:
        saga, other = a_saga("1"), a_saga("2")
        await saga.start(journal)
        await other.start(journal)
        await journal.quarantine(Quarantine(saga.id, "damaged", 1_500.0))
        assert await listed(journal, SagaFilter(status=Status.DEAD_LETTERED)) == [saga.id]
        assert await listed(journal, SagaFilter(needs_person=True)) == [saga.id]
        assert await listed(journal, SagaFilter(status=Status.RUNNING)) == [other.id]
        assert ids(await journal.open_sagas()) == [other.id]

    async def test_it_holds_for_good_with_its_first_reason(self, home: Home) -> None:
        journal = await home.open()
        saga = a_saga()
        await saga.start(journal)
        await journal.quarantine(Quarantine(saga.id, "the cause", 1_500.0))
        journal = await home.open()
        await journal.quarantine(Quarantine(saga.id, "what came of it", 1_600.0))
        await saga.goes_on(journal, *reserved())
        row = await journal.find(saga.id)
        assert row is not None
        assert (row.status, row.error_message) == (Status.DEAD_LETTERED, "the cause")
        assert (row.seq, row.updated_at) == (3, 1_500.0)
        assert await journal.open_sagas() == []

    async def test_a_saga_that_is_not_there_cannot_be_put_there(self, journal: AnyJournal) -> None:
        with pytest.raises(SagaNotFound):
            await journal.quarantine(Quarantine(SagaId("nobody"), "damaged", 1_500.0))

    async def test_an_operators_action_lifts_it_for_good(self, home: Home) -> None:
        journal = await home.open()
        saga = a_saga()
        await saga.start(journal)
        await journal.quarantine(Quarantine(saga.id, "driving it failed", 1_500.0))
        await saga.goes_on(journal, acted(Verb.RETRY))
        for _ in range(2):
            assert await journal.find(saga.id) == saga.summary
            assert saga.summary.status is Status.RUNNING
            assert ids(await journal.open_sagas()) == [saga.id]
            assert await listed(journal, SagaFilter(needs_person=True)) == []
            journal = await home.open()

    async def test_an_action_lifts_it_also_where_records_came_in_between(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        await journal.quarantine(Quarantine(saga.id, "driving it failed", 1_500.0))
        await saga.goes_on(journal, SagaResumed(1_600.0))
        await saga.goes_on(journal, acted(Verb.RETRY))
        assert await journal.find(saga.id) == saga.summary
        assert ids(await journal.open_sagas()) == [saga.id]
        assert await listed(journal, SagaFilter(needs_person=True)) == []

    async def test_a_saga_whose_quarantine_was_lifted_can_be_put_there_again_for_another_reason(
        self, home: Home
    ) -> None:
        journal = await home.open()
        saga = a_saga()
        await saga.start(journal)
        await journal.quarantine(Quarantine(saga.id, "the first time", 1_500.0))
        await saga.goes_on(journal, acted(Verb.RETRY))
        await journal.quarantine(Quarantine(saga.id, "the second time", 1_700.0))
        await saga.goes_on(journal, *reserved())
        journal = await home.open()
        row = await journal.find(saga.id)
        assert row is not None
        assert (row.status, row.error_message) == (Status.DEAD_LETTERED, "the second time")
        assert (row.updated_at, row.seq) == (1_700.0, 4)

    async def test_it_and_its_lifting_may_be_in_one_group_with_others(self, home: Home) -> None:
        """Whatever is written together, each saga ends as if its own writes had come one by one."""
        journal = await home.open()
        lifted, kept, again, plain = sagas = [a_saga(name) for name in "abcd"]
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        await journal.quarantine(Quarantine(again.id, "the first time", 1_500.0))
        await asyncio.gather(
            journal.quarantine(Quarantine(lifted.id, "lifted", 1_500.0)),
            journal.quarantine(Quarantine(kept.id, "kept", 1_500.0)),
            lifted.goes_on(journal, acted(Verb.RETRY)),
            kept.goes_on(journal, *reserved()),
            again.goes_on(journal, *reserved(), acted(Verb.RETRY)),
            plain.goes_on(journal, *reserved()),
            journal.quarantine(Quarantine(again.id, "the second time", 1_700.0)),
            lifted.goes_on(journal, *reserved(1_601.0)),
        )
        for _ in range(2):
            assert ids(await journal.open_sagas()) == [lifted.id, plain.id]
            assert await journal.find(lifted.id) == lifted.summary
            rows = await journal.page(SagaFilter(needs_person=True), after=None, limit=10)
            assert [(row.id, row.error_message) for row in rows] == [
                (again.id, "the second time"),
                (kept.id, "kept"),
            ]
            journal = await home.open()
            await lifted.goes_on(journal, SagaResumed(1_800.0))

    async def test_an_action_that_comes_too_late_lifts_nothing(self, journal: AnyJournal) -> None:
        saga, late = a_saga(), a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, SagaResumed(1_001.0))
        await journal.quarantine(Quarantine(saga.id, "damaged", 1_500.0))
        with pytest.raises(JournalConflict):
            await late.goes_on(journal, acted(Verb.RETRY))
        row = await journal.find(saga.id)
        assert row is not None
        assert row.error_message == "damaged"

    async def test_a_row_tells_what_a_person_forced_and_when_its_saga_turned_back(self, home: Home) -> None:
        journal = await home.open()
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, *dead_lettered(at=1_002.0))
        await saga.goes_on(journal, acted(Verb.SKIP, RESERVE))
        journal = await home.open()
        row = await journal.find(saga.id)
        assert row == saga.summary
        assert row is not None
        assert (row.status, row.forced, row.turned_back_at) == (Status.COMPENSATED, True, 1_002.0)


class TestCensus:
    async def test_of_an_empty_journal_it_counts_nothing(self, journal: AnyJournal) -> None:
        assert await journal.census(1_000.0) == Census(0, 0, 0, 0, None, None, ())

    async def test_it_counts_each_sort_and_knows_the_oldest(self, journal: AnyJournal) -> None:
        started_at = dict(zip("abcdefg", range(1, 8), strict=True))
        running, waiting, undoing, undone_later, dead, done, set_aside = (
            a_saga(name, at=float(at)) for name, at in started_at.items()
        )
        sagas = running, waiting, undoing, undone_later, dead, done, set_aside
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        await waiting.goes_on(journal, *retried_at(1_010.0))
        await undoing.goes_on(journal, *dead_lettered(at=1_006.0)[:-1])
        await undone_later.goes_on(journal, *dead_lettered(at=1_005.0)[:-1])
        await dead.goes_on(journal, *dead_lettered(at=900.0))
        await done.goes_on(journal, *completed())
        await journal.quarantine(Quarantine(set_aside.id, "damaged", 1_001.0))
        assert await journal.census(1_009.0) == Census(
            running=2,
            compensating=2,
            waiting=1,
            dead_letters=2,
            oldest_open_at=1.0,
            oldest_undo_at=1_005.0,
            signatures=(Alike("Order", SET_ASIDE, 1), Alike("Order", RESERVE_REFUSED, 1)),
        )
        # What is due at that moment does not wait any more.
        assert (await journal.census(1_010.0)).waiting == 0

    async def test_the_oldest_open_saga_may_be_one_that_is_being_undone(self, journal: AnyJournal) -> None:
        undoing, running = a_saga("a", at=1.0), a_saga("b", at=2.0)
        await undoing.start(journal)
        await running.start(journal)
        await undoing.goes_on(journal, *dead_lettered()[:-1])
        assert (await journal.census(2_000.0)).oldest_open_at == 1.0

    async def test_a_saga_in_quarantine_is_a_dead_letter_and_not_open(self, journal: AnyJournal) -> None:
        saga = a_saga()
        await saga.start(journal)
        await saga.goes_on(journal, *dead_lettered()[:-1])
        await journal.quarantine(Quarantine(saga.id, "damaged", 1_500.0))
        assert await journal.census(2_000.0) == Census(
            0, 0, 0, 1, None, None, (Alike("Order", SET_ASIDE, 1),)
        )

    async def test_dead_letters_are_counted_by_what_failed_the_most_first(self, journal: AnyJournal) -> None:
        trip = a_definition("Trip")
        refused = [a_saga(f"a{number}") for number in range(3)]
        spent, lifted, set_aside = a_saga("b"), a_saga("c"), a_saga("d", definition=trip)
        trips = [a_saga(f"e{number}", definition=trip) for number in range(2)]
        sagas = [*refused, *trips, spent, lifted, set_aside]
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        for saga in (*refused, *trips):
            await saga.goes_on(journal, *dead_lettered())
        *before, _ = dead_lettered()
        await spent.goes_on(journal, *before)
        await spent.goes_on(journal, UndoFaulted(1_003.0, RESERVE, 1, Cause.UNKNOWN, "UNAVAILABLE", "", None))
        for saga in (lifted, set_aside):
            await journal.quarantine(Quarantine(saga.id, "damaged", 1_500.0))
        await lifted.goes_on(journal, acted(Verb.RETRY))
        assert (await journal.census(2_000.0)).signatures == (
            Alike("Order", RESERVE_REFUSED, 3),
            Alike("Trip", RESERVE_REFUSED, 2),
            Alike("Order", Signature(RESERVE, DeadLetterCause.BUDGET_SPENT), 1),
            Alike("Trip", SET_ASIDE, 1),
        )
        await refused[0].goes_on(journal, acted(Verb.SKIP, RESERVE))
        await refused[1].goes_on(journal, acted(Verb.RETRY, RESERVE))
        await spent.goes_on(journal, acted(Verb.TERMINATE))
        assert (await journal.census(2_000.0)).signatures == (
            Alike("Trip", RESERVE_REFUSED, 2),
            Alike("Order", RESERVE_REFUSED, 1),
            Alike("Trip", SET_ASIDE, 1),
        )

    async def test_it_tells_no_more_signatures_than_so_many(self, journal: AnyJournal) -> None:
        names = [f"Saga{number:03}" for number in range(SIGNATURES_MAX + 5)]
        sagas = [a_saga(name, definition=a_definition(name)) for name in names]
        sagas.append(a_saga("again", definition=a_definition(names[-1])))
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        await asyncio.gather(*(saga.goes_on(journal, *dead_lettered()) for saga in sagas))
        census = await journal.census(2_000.0)
        assert census.dead_letters == len(sagas)
        told = [(alike.saga_name, alike.sagas) for alike in census.signatures]
        assert told == [(names[-1], 2), *((name, 1) for name in names[: SIGNATURES_MAX - 1])]
