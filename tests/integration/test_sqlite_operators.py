"""What an operator does to a saga whose file was damaged, and after it is mended: with a real journal."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.adapters.sqlite import SqliteJournal
from coordinator.domain.actions import Action
from coordinator.domain.errors import IllegalTransition, JournalCorrupt, SagaEnded
from coordinator.domain.events import Verb
from coordinator.domain.ids import ActionId, SagaId
from coordinator.domain.outcomes import Refused
from coordinator.domain.saga import Status
from coordinator.ports.journal import SagaFilter
from tests.scenarios.house import Dice, House, Services, define, soon

ORDER = define("a", "b", "c")


def house_of(journal: SqliteJournal, services: Services, dice: Dice) -> House:
    return House(ORDER, journal=journal, index=journal, services=services, dice=dice)


async def two_running_sagas(path: Path, services: Services, dice: Dice) -> tuple[SagaId, SagaId]:
    """Two sagas whose coordinator died while their second step was asked for."""
    held = [services.hold("b"), services.hold("b")]
    async with await SqliteJournal.open(path) as journal:
        house = house_of(journal, services, dice)
        first, second = await house.start(), await house.start()
        for call in held:
            await soon(call.arrived)
        await house.dies()
    return first, second


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(statement, values)


OF_THE_SAGA = "saga = (SELECT number FROM sagas WHERE id = ?)"


def terminating(seq: int) -> Action:
    return Action(ActionId("act-1"), "ada", "she knows", seq, Verb.TERMINATE)


@pytest.mark.parametrize(
    "damage",
    [
        f"UPDATE records SET at = at + 1 WHERE seq = 4 AND {OF_THE_SAGA}",
        f"UPDATE records SET digest = zeroblob(16) WHERE seq = 2 AND {OF_THE_SAGA}",
        f"DELETE FROM records WHERE seq = 2 AND {OF_THE_SAGA}",
        f"DELETE FROM records WHERE seq = 4 AND {OF_THE_SAGA}",
        f"DELETE FROM records WHERE seq > 2 AND {OF_THE_SAGA}",
        f"DELETE FROM records WHERE {OF_THE_SAGA}",
        f"UPDATE heads SET digest = zeroblob(16) WHERE {OF_THE_SAGA}",
    ],
)
async def test_a_saga_whose_records_are_damaged_is_closed_by_hand_and_stays_closed(
    tmp_path: Path, damage: str
) -> None:
    path, services, dice = tmp_path / "journal.db", Services(), Dice()
    damaged, sound = await two_running_sagas(path, services, dice)
    change(path, damage, damaged)
    async with await SqliteJournal.open(path) as journal, house_of(journal, services, dice) as house:
        assert await house.pool.recover() == 2
        row = await house.sagas.wait(damaged, timeout_s=20)
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
        _, possible = await house.sagas.possible_actions(damaged)
        assert [event.verb for event, _ in possible] == [Verb.TERMINATE]
        acted = await house.sagas.act(damaged, terminating(row.seq))
        after = acted.view.summary
        assert (after.status, after.needs_person, after.seq) == (Status.TERMINATED, False, row.seq + 1)
        assert after.signature is None
        with pytest.raises(SagaEnded):
            await house.sagas.act(damaged, terminating(after.seq))
        assert (await house.sagas.wait(sound, timeout_s=20)).status is Status.COMPLETED
        assert not house.pool.failed.done()
        assert not await journal.page(SagaFilter(needs_person=True), after=None, limit=10)
    async with await SqliteJournal.open(path) as journal:
        assert await journal.open_sagas() == []
        again = await journal.find(damaged)
        assert again is not None
        assert (again.status, again.forced) == (Status.TERMINATED, True)
        assert again.error_message.startswith("Terminated by ada (she knows). It cannot be read back")


@pytest.mark.parametrize(
    "newest",
    [
        "seq = seq - 1",
        # As it was after the start: the numbers behind that are free, those of rows of several events.
        "(seq, digest) = (SELECT min(seq), digest FROM records WHERE records.saga = heads.saga)",
    ],
)
async def test_a_saga_whose_row_knows_less_than_its_records_is_set_aside_and_can_be_decided_on(
    tmp_path: Path, newest: str
) -> None:
    path, services, dice = tmp_path / "journal.db", Services(), Dice()
    damaged, sound = await two_running_sagas(path, services, dice)
    change(path, f"UPDATE heads SET {newest} WHERE {OF_THE_SAGA}", damaged)
    async with await SqliteJournal.open(path) as journal, house_of(journal, services, dice) as house:
        assert await house.pool.recover() == 2
        row = await house.sagas.wait(damaged, timeout_s=20)
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
        await house.sagas.act(damaged, terminating(row.seq))
        assert (await house.sagas.wait(sound, timeout_s=20)).status is Status.COMPLETED
        after = await journal.find(damaged)
        assert after is not None
        assert (after.status, after.needs_person, after.seq) == (Status.TERMINATED, False, row.seq + 1)
        assert not house.pool.failed.done()


async def test_an_operator_who_decides_on_a_damaged_dead_letter_stops_nothing_else(tmp_path: Path) -> None:
    path, services, dice = tmp_path / "journal.db", Services(), Dice()
    services.plan("b", "do", Refused("NO", "no"))
    services.plan("a", "undo", Refused("NO", "no"))
    async with await SqliteJournal.open(path) as journal, house_of(journal, services, dice) as house:
        dead = (await house.run()).id
    change(path, f"UPDATE heads SET seq = seq - 1 WHERE {OF_THE_SAGA}", dead)
    async with await SqliteJournal.open(path) as journal, house_of(journal, services, dice) as house:
        row = await journal.find(dead)
        assert row is not None
        assert row.status is Status.DEAD_LETTERED
        with pytest.raises(JournalCorrupt, match=f"record {row.seq + 1} is damaged"):
            await house.sagas.act(dead, terminating(row.seq))
        assert not house.pool.failed.done()
        # It is in quarantine by that, where its row is mended, and can be ended.
        row = await journal.find(dead)
        assert row is not None
        await house.sagas.act(dead, terminating(row.seq))
        assert (await house.sagas.get(dead)).summary.status is Status.TERMINATED
        assert (await house.run()).status is Status.COMPLETED


async def test_a_saga_whose_definition_was_lost_is_driven_on_once_it_is_back(tmp_path: Path) -> None:
    path, services, dice = tmp_path / "journal.db", Services(), Dice()
    lost, _ = await two_running_sagas(path, services, dice)
    with closing(sqlite3.connect(path)) as db:
        (text,) = db.execute("SELECT text FROM definitions").fetchone()
    for table in ("definitions", "registrations"):
        change(path, f"UPDATE {table} SET text = 'nonsense'")
    retry = Action(ActionId("act-1"), "ada", "it is back", 0, Verb.RETRY)
    async with (
        await SqliteJournal.open(path) as journal,
        house_of(journal, services, dice) as house,
    ):
        await house.pool.recover()
        row = await house.sagas.wait(lost, timeout_s=20)
        assert row.status is Status.DEAD_LETTERED
        with pytest.raises(IllegalTransition, match="can only be terminated"):
            await house.sagas.act(lost, Action(retry.id, "ada", "too early", row.seq, Verb.RETRY))
    change(path, "UPDATE definitions SET text = ?", text)
    async with (
        await SqliteJournal.open(path) as journal,
        house_of(journal, services, dice) as house,
    ):
        assert await house.pool.recover() == 0
        view = await house.sagas.get(lost)
        assert view.set_aside
        acted = await house.sagas.act(
            lost, Action(retry.id, retry.actor, retry.reason, view.summary.seq, retry.verb)
        )
        assert acted.effect is not None
        assert (await house.sagas.wait(lost, timeout_s=20)).status is Status.COMPLETED
