"""A story for each alert: when it must fire, with which labels and number, and when all must be quiet."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from coordinator.domain.events import Verb
from coordinator.domain.ids import StepName
from coordinator.domain.outcomes import Answer, Direction, Faulted, NoProof, Refused, Succeeded, Unproved
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, DeadLetterCause, Signature
from coordinator.engine.dispatcher import Load
from coordinator.ports.journal import Alike
from tests.monitoring.day import QUIET_JOURNAL, SAGA, SERVICE, Day

Story = Callable[[Day], Awaitable[None]]

_DONE: Final = Succeeded("{}")
_SILENCE: Final = NoProof(Unproved.TRANSIENT, "UNAVAILABLE", "")
_STRANGER: Final = NoProof(Unproved.PERMANENT, "UNAUTHENTICATED", "")
_REFUSED: Final = Alike(SAGA, Signature(StepName("processPayment"), DeadLetterCause.REFUSED), 3)


def orders(
    day: Day,
    number: int = 1,
    status: Status = Status.COMPLETED,
    *,
    took_s: float = 0.2,
    commit_s: float = 0.003,
) -> None:
    """So many sagas, from their start to their end."""
    for _ in range(number):
        day.told.saga_started(SAGA)
        day.told.attempt_ended(SERVICE, Direction.FORWARD, _DONE, 0.05, "")
        day.told.saga_rested(SAGA, status, took_s, "")
        day.told.committed(2, commit_s)


def calls(day: Day, number: int, answer: Answer, direction: Direction = Direction.FORWARD) -> None:
    """So many calls that are answered alike."""
    for _ in range(number):
        day.told.attempt_ended(SERVICE, direction, answer, 0.1, "")


def push(day: Day, outcome: str, spans: int) -> None:
    """So many spans for the collector, which takes them or does not."""
    day.pushed["TRACES", outcome] += spans


def business(day: Day) -> None:
    """Half a minute in which all is well: some cards are refused, and some calls repeated."""
    orders(day, 16)
    orders(day, 1, took_s=25)
    orders(day, 3, Status.COMPENSATED)
    for answer in (_SILENCE, Faulted("BUSY", "", None), Refused("NO", "")):
        calls(day, 1, answer)
    calls(day, 1, _DONE, Direction.UNDO)
    day.told.backed_off(SERVICE, Direction.FORWARD, 0.2)
    day.told.loop_lagged(0.002)
    day.told.start_refused("DRAINING")
    day.told.trace_header_ignored("baggage")
    push(day, "SENT", 100)


def everything(day: Day) -> None:
    """Half a minute in which all is seen that can be."""
    business(day)
    day.told.operator_acted(Verb.RETRY)
    day.told.start_refused("OVERLOADED")


async def a_good_day(day: Day) -> None:
    await day.passes(6)
    day.quiet()
    for _ in range(4):
        await day.passes(3, lambda: business(day))
        day.quiet()
    await day.is_down(0.5)
    day.restarts()
    await day.passes(8, lambda: business(day))
    day.quiet()
    day.census = None
    await day.passes(2)
    day.quiet()
    day.census = QUIET_JOURNAL
    await day.passes(10)
    day.quiet()


async def a_busy_day(day: Day) -> None:
    """Everything that is counted happens."""
    day.census = replace(QUIET_JOURNAL, running=5, compensating=1, dead_letters=3, signatures=(_REFUSED,))
    await day.passes(1)
    await day.passes(15, lambda: everything(day))


async def one_dies(day: Day) -> None:
    await day.passes(3, lambda: orders(day))
    await day.is_down(1)
    day.quiet()
    await day.is_down(1)
    day.fires("SagaCoordinatorDown", "0")
    day.restarts()
    await day.passes(0.5)
    day.quiet()


async def nobody_is_scraped(day: Day) -> None:
    await day.passes(3)
    await day.is_unknown(5)
    day.quiet()
    await day.is_unknown(1)
    day.fires("SagaCoordinatorAbsent", "1", instance="")
    await day.passes(1)
    day.quiet()


async def one_dies_again_and_again(day: Day) -> None:
    for _ in range(2):
        await day.passes(4, lambda: orders(day))
        day.restarts()
    await day.passes(4, lambda: orders(day))
    day.quiet()
    day.restarts()
    await day.passes(0.5)
    day.quiet()
    await day.passes(1.5)
    day.fires("SagaCoordinatorRestarts", "3")
    await day.passes(27)
    day.quiet()


async def the_disk_is_slow(day: Day) -> None:
    await day.passes(16, lambda: orders(day, 1, commit_s=0.3))
    day.quiet()  # too few to say that one in a hundred is slow
    await day.passes(9, lambda: orders(day, 4, commit_s=0.3))
    day.quiet()
    await day.passes(4, lambda: orders(day, 4, commit_s=0.3))
    day.fires("SagaJournalSlow", "497.5ms")
    await day.passes(6, lambda: orders(day, 4, commit_s=0.15))
    day.quiet()


async def the_journal_is_not_counted(day: Day) -> None:
    await day.passes(10)
    day.census = None
    await day.passes(9)
    day.quiet()
    await day.passes(6)
    day.fires("SagaJournalNotCounted", "0%")
    day.census = QUIET_JOURNAL
    await day.passes(6)
    day.quiet()


async def the_event_loop_is_late(day: Day) -> None:
    await day.passes(5, lambda: day.told.loop_lagged(0.002))
    await day.passes(4, lambda: day.told.loop_lagged(0.4))
    day.quiet()
    await day.passes(3, lambda: day.told.loop_lagged(0.4))
    day.fires("SagaEventLoopLags", "497.5ms")
    await day.passes(6, lambda: day.told.loop_lagged(0.2))
    day.quiet()


async def the_collector_goes_away(day: Day) -> None:
    await day.passes(5, lambda: push(day, "SENT", 50))
    day.quiet()
    await day.passes(0.5, lambda: push(day, "LOST", 1))
    await day.passes(4, lambda: push(day, "SENT", 50))
    day.quiet()
    await day.passes(2)
    day.fires("SagaTelemetryLost", "1", signal="TRACES")
    await day.passes(10)
    day.quiet()


async def orders_stop_coming(day: Day) -> None:
    await day.passes(20, lambda: orders(day))
    await day.passes(15)
    day.quiet()
    await day.passes(2)
    day.fires("SagaStartsStopped", "0")
    await day.passes(1, lambda: orders(day))
    day.quiet()


async def a_few_orders_stop_coming(day: Day) -> None:
    await day.passes(5, lambda: orders(day))
    await day.passes(17)
    day.quiet()


async def starts_are_refused(day: Day) -> None:
    await day.passes(5, lambda: day.told.start_refused("DRAINING"))
    day.quiet()
    await day.passes(0.5, lambda: day.told.start_refused("OVERLOADED"))
    day.quiet()
    await day.passes(2)
    day.fires("SagaStartsRefused", "1")
    await day.passes(6)
    day.quiet()


async def too_many_are_open(day: Day) -> None:
    day.census = replace(QUIET_JOURNAL, running=60, compensating=20)
    await day.passes(5)
    day.quiet()
    day.census = replace(QUIET_JOURNAL, running=60, compensating=25)
    await day.passes(1.5)
    day.quiet()
    await day.passes(1.5)
    day.fires("SagaOpenNearLimit", "85%")
    day.census = QUIET_JOURNAL
    await day.passes(0.5)
    day.quiet()


async def sagas_become_slow(day: Day) -> None:
    for _ in range(16):
        await day.passes(0.5, lambda: orders(day, 1, took_s=45))
        await day.passes(0.5)
    day.quiet()  # too few to say that one in a hundred is slow
    await day.passes(4, lambda: orders(day, 3, took_s=45))
    day.quiet()
    await day.passes(6, lambda: orders(day, 3, took_s=45))
    day.fires("SagasSlow", "59.7s", definition=SAGA)
    await day.passes(11, lambda: orders(day, 3, took_s=25))
    day.quiet()


async def calls_wait_for_a_slot(day: Day) -> None:
    day.loads[SERVICE] = Load(128, 0)
    await day.passes(6)
    day.loads[SERVICE] = Load(128, 1)
    await day.passes(5)
    day.quiet()
    await day.passes(1)
    day.fires("SagaCallsQueue", "1", service=SERVICE)
    day.loads[SERVICE] = Load(128, 0)
    await day.passes(0.5)
    day.quiet()


async def every_second_order_is_undone(day: Day) -> None:
    def ends(completed: int, undone: int) -> None:
        orders(day, completed)
        orders(day, undone, Status.COMPENSATED)

    await day.passes(0.5)
    await day.passes(4.5, lambda: ends(1, 1))
    await day.passes(11)
    day.quiet()  # too few to take a share of
    await day.passes(4, lambda: ends(4, 4))
    day.quiet()
    await day.passes(4, lambda: ends(4, 4))
    day.fires("SagasDoNotComplete", "50%", definition=SAGA)
    await day.passes(16, lambda: ends(6, 1))
    day.quiet()


async def a_participant_falls_silent(day: Day) -> None:
    def answers(proved: int, silent: int) -> None:
        calls(day, proved, _DONE, Direction.UNDO)
        calls(day, silent, _SILENCE)

    await day.passes(0.5)
    await day.passes(0.5, lambda: answers(1, 3))
    await day.passes(4)
    day.quiet()  # too few to take a share of
    await day.passes(2)
    await day.passes(2.5, lambda: answers(2, 6))
    day.quiet()
    await day.passes(2.5, lambda: answers(2, 6))
    day.fires("SagaParticipantSilent", "75%", service=SERVICE)
    await day.passes(6, lambda: answers(3, 2))
    day.quiet()


async def credentials_are_rotated_wrongly(day: Day) -> None:
    await day.passes(3, lambda: orders(day))
    day.quiet()
    await day.passes(0.5, lambda: calls(day, 1, _STRANGER))
    day.quiet()
    await day.passes(2)
    day.fires("SagaContractBroken", "1", service=SERVICE, outcome="PERMANENT")
    await day.passes(16)
    day.quiet()


async def an_undo_is_refused(day: Day) -> None:
    await day.passes(1)
    day.census = replace(QUIET_JOURNAL, dead_letters=4, signatures=(_REFUSED, Alike(SAGA, SET_ASIDE, 1)))
    await day.passes(1)
    day.quiet()
    await day.passes(2)

    def fires() -> None:
        day.fires("SagaDeadLetters", "3", definition=SAGA, step="processPayment", cause="REFUSED")
        day.fires("SagaDeadLetters", "1", definition=SAGA, step="", cause="SET_ASIDE")

    fires()
    day.census = None
    await day.passes(3)
    fires()
    day.census = QUIET_JOURNAL
    await day.passes(6)
    day.quiet()


async def all_undos_are_refused(day: Day) -> None:
    await day.passes(1)
    day.census = replace(QUIET_JOURNAL, dead_letters=9, signatures=(replace(_REFUSED, sagas=9),))
    await day.passes(3)
    day.fires("SagaDeadLetters", "9", definition=SAGA, step="processPayment", cause="REFUSED")
    day.census = replace(QUIET_JOURNAL, dead_letters=10, signatures=(replace(_REFUSED, sagas=10),))
    await day.passes(0.5)
    day.fires("SagaDeadLetters", "10", definition=SAGA, step="processPayment", cause="REFUSED")
    await day.passes(1.5)
    day.fires("SagaDeadLetters", "10", definition=SAGA, step="processPayment", cause="REFUSED")
    day.fires("SagaDeadLettersMany", "10")
    day.census = QUIET_JOURNAL
    await day.passes(6)
    day.quiet()


async def an_undo_takes_too_long(day: Day) -> None:
    await day.passes(0.5)
    day.census = replace(
        QUIET_JOURNAL, compensating=1, oldest_open_at=day.now_s - 60, oldest_undo_at=day.now_s
    )
    await day.passes(16)
    day.quiet()
    await day.passes(1)
    day.fires("SagaUndoTooLong", "16m 30s")
    day.census = QUIET_JOURNAL
    await day.passes(0.5)
    day.quiet()


async def a_saga_is_open_for_too_long(day: Day) -> None:
    await day.passes(0.5)
    day.census = replace(QUIET_JOURNAL, running=1, waiting=1, oldest_open_at=day.now_s - 7000)
    await day.passes(3.5)
    day.quiet()
    await day.passes(2)
    day.fires("SagaOpenTooLong", "2h 1m 40s")
    day.census = QUIET_JOURNAL
    await day.passes(0.5)
    day.quiet()


STORIES: Final[tuple[Story, ...]] = (
    a_good_day,
    one_dies,
    nobody_is_scraped,
    one_dies_again_and_again,
    the_disk_is_slow,
    the_journal_is_not_counted,
    the_event_loop_is_late,
    the_collector_goes_away,
    orders_stop_coming,
    a_few_orders_stop_coming,
    starts_are_refused,
    too_many_are_open,
    sagas_become_slow,
    calls_wait_for_a_slot,
    every_second_order_is_undone,
    a_participant_falls_silent,
    credentials_are_rotated_wrongly,
    an_undo_is_refused,
    all_undos_are_refused,
    an_undo_takes_too_long,
    a_saga_is_open_for_too_long,
)
