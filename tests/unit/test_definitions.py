"""What a coordinator has at hand after a start: what stands in files, and what callers registered before."""

import asyncio
import json
import logging
import threading
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from coordinator.adapters.aside import InThreads
from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.definition_text import read_with_places
from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.no_telemetry import NoTelemetry
from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import DefinitionNotFound, JournalUnavailable, Overloaded
from coordinator.domain.language.documents import Format, Places
from coordinator.domain.language.front_door import FrontDoor
from coordinator.domain.language.registration import Registration
from coordinator.engine import shown_definitions
from coordinator.engine.definitions import Definitions
from coordinator.engine.shown_definitions import DefinitionState
from coordinator.ports.telemetry import Telemetry
from tests.contract.sagas import a_saga


class StoppedClock:
    def now(self) -> float:
        return 5_000.0


class Named(NoTelemetry):
    """Keeps the names that metrics are told of."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def definition_registered(self, saga_name: str) -> None:
        self.names.append(saga_name)


def text(label: str = "book", version: str | None = "1", name: str = "Trip", service: str = "Hotel") -> str:
    step = {"service": service, "transaction": label, "compensation": None}
    return json.dumps({"sagaName": name, "version": version, "steps": [step]})


def definition(label: str = "book", version: str | None = "1", name: str = "Trip") -> SagaDefinition:
    return parse_definition(text(label, version, name), source="test")


async def begun(
    journal: MemoryJournal,
    *files: SagaDefinition,
    services: Collection[str] | None = None,
    telemetry: Telemetry | None = None,
    door: FrontDoor | None = None,
) -> Definitions:
    """What a coordinator has after its start."""
    expressions = CelExpressions()
    read = partial(read_with_places, services=services)
    told = telemetry or NoTelemetry()
    definitions = Definitions(
        journal.definitions, journal, read, expressions, StoppedClock(), told, InThreads(), door
    )
    await definitions.take_up([(f"{one.name}-{one.version}.json", one) for one in files])
    return definitions


async def registered(definitions: Definitions, content: str) -> None:
    await definitions.register(content, Format.JSON, source="test", validate_only=False)


async def the_newest(definitions: Definitions, name: str = "Trip") -> str | None:
    return (await definitions.get(name, None)).version


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


async def test_files_and_what_callers_registered_are_at_hand_after_a_restart(journal: MemoryJournal) -> None:
    first = await begun(journal, definition(version="9"), definition(version="10"))
    assert await the_newest(first) == "10"
    await registered(first, text(version="8"))
    await first.retire("Trip", "9", if_no_open_sagas=False)
    again = await begun(journal.reopened(), definition(version="9"), definition(version="10"))
    assert await the_newest(again) == "8"
    assert [one.version for one in again.all()] == ["10", "8"]
    assert await again.get("Trip", "10") == definition(version="10")
    with pytest.raises(DefinitionNotFound, match=r"loaded are: Trip \(version 10\), Trip \(version 8\)"):
        await again.get("Trip", "9")


async def test_whoever_would_start_what_is_retired_is_told_since_when(journal: MemoryJournal) -> None:
    definitions = await begun(journal, definition(), definition(version="2"), definition(name="Cruise"))
    since = "is retired since 1970-01-01 01:23:20 UTC, and registering it again brings it back; loaded are: "
    for version in ("2", "1"):
        await definitions.retire("Trip", version, if_no_open_sagas=False)
    for _ in range(2):
        with pytest.raises(DefinitionNotFound) as one_version:
            await definitions.get("Trip", "1")
        with pytest.raises(DefinitionNotFound) as any_version:
            await definitions.get("Trip", None)
        assert str(one_version.value) == f"definition 'Trip' in version '1' {since}Cruise (version 1)"
        assert str(any_version.value) == f"definition 'Trip' in version '2' {since}Cruise (version 1)"
        journal = journal.reopened()
        definitions = await begun(journal, definition(), definition(name="Cruise"))
    with pytest.raises(DefinitionNotFound, match=r"^there is no definition 'Trip' in version '3'; loaded"):
        await definitions.get("Trip", "3")
    await registered(definitions, text())
    await definitions.retire("Cruise", "1", if_no_open_sagas=False)
    with pytest.raises(
        DefinitionNotFound, match=r"^definition 'Cruise' in .*; loaded are: Trip \(version 1\)$"
    ):
        await definitions.get("Cruise", None)


async def test_of_a_name_that_cannot_be_started_the_last_one_is_shown(journal: MemoryJournal) -> None:
    definitions = await begun(journal, definition(), definition("other", version=None))
    await registered(definitions, text("draft", version=None))
    await definitions.retire("Trip", None, if_no_open_sagas=False)
    assert (await definitions.shown.show("Trip", None)).version == "1"
    await definitions.retire("Trip", "1", if_no_open_sagas=False)
    shown = await definitions.shown.show("Trip", None)
    assert (shown.version, shown.state, shown.steps) == (None, DefinitionState.RETIRED, ["draft"])
    assert await definitions.shown.show(definition("draft", version=None).digest, None) == shown


async def test_a_file_that_is_gone_can_be_looked_at_and_not_started(journal: MemoryJournal) -> None:
    await begun(journal, definition())
    again = await begun(journal.reopened())
    with pytest.raises(DefinitionNotFound, match="loaded are: none"):
        await again.get("Trip", None)
    (shown,) = await again.shown.page(saga_name=None, all_states=True, after=None, limit=10)
    assert (shown.state, shown.text, shown.steps) == (
        DefinitionState.UNAVAILABLE,
        definition().text,
        ["book"],
    )
    assert await again.shown.page(saga_name=None, all_states=False, after=None, limit=10) == []


async def test_a_file_that_changes_a_version_in_use_is_refused_and_what_is_registered_stays(
    journal: MemoryJournal, caplog: pytest.LogCaptureFixture
) -> None:
    await begun(journal, definition(), definition(name="Cruise"))
    await a_saga("1", definition=definition()).start(journal)
    again = await begun(journal.reopened(), definition("other"), definition(name="Cruise"))
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert told.getMessage() == (
        "Trip-1.json is not loaded: definition 'Trip' in version '1' cannot get other content: sagas were "
        "started with it since 1970-01-01 00:16:40 UTC. Give the new content a version of its own"
    )
    assert await again.get("Trip", "1") == definition()
    assert await again.get("Cruise", "1") == definition(name="Cruise")


async def test_a_file_that_does_not_count_is_told_of(
    journal: MemoryJournal, caplog: pytest.LogCaptureFixture
) -> None:
    first = await begun(journal, definition(), definition(version=None))
    await first.retire("Trip", "1", if_no_open_sagas=False)
    await registered(first, text("other", version=None))
    again = await begun(journal.reopened(), definition(), definition(version=None))
    assert caplog.messages == [
        "Trip-1.json is not loaded: it was retired, and registering it by a call brings it back",
        "Trip-None.json is not loaded: other content was registered by a call since",
    ]
    assert await again.get("Trip", None) == definition("other", version=None)


@pytest.mark.parametrize("version", ["1", None])
async def test_a_file_that_takes_the_place_of_what_a_caller_registered_is_told_of(
    journal: MemoryJournal, version: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    await registered(await begun(journal, definition(name="Cruise")), text(version=version))
    files = definition("new", name="Cruise"), definition("new", version=version)
    again = await begun(journal := journal.reopened(), *files)
    assert caplog.messages == [
        f"Trip-{version}.json takes the place of other content, which was registered by a call"
    ]
    assert await again.get("Trip", version) == definition("new", version=version)
    caplog.clear()
    await begun(journal.reopened(), *files)
    assert caplog.messages == []


async def test_what_is_not_right_any_more_is_told_of_and_the_others_are_at_hand(
    journal: MemoryJournal, caplog: pytest.LogCaptureFixture
) -> None:
    first = await begun(journal, services=["Hotel", "Car"])
    await registered(first, text(version="1"))
    await registered(first, text(version="2", service="Car"))
    again = await begun(journal.reopened(), services=["Hotel"])
    assert await the_newest(again) == "1"
    (told,) = caplog.messages
    assert told.startswith("the definition Trip (version 2) that was registered is not a saga definition and")
    assert "expected a service of SAGA_SERVICES (Hotel), found 'Car'" in told
    shown = await again.shown.show("Trip", "2")
    assert (shown.state, shown.is_newest) == (DefinitionState.UNAVAILABLE, False)


async def test_a_damaged_text_is_told_of_and_the_others_are_at_hand(
    journal: MemoryJournal, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await begun(journal)
    for version in ("1", "2"):
        await registered(first, text(version=version))
    after = journal.reopened()
    whole = after.definitions.text

    async def damaged(name: str, version: str | None) -> str | None:
        return await whole(name, "1")

    monkeypatch.setattr(after.definitions, "text", damaged)
    again = await begun(after)
    assert await the_newest(again) == "1"
    assert "is damaged: its text has another digest" in caplog.messages[0]
    shown = await again.shown.show("Trip", "2")
    assert (shown.state, shown.text) == (DefinitionState.UNAVAILABLE, None)


DOOR = FrontDoor("BookTrip", "SAGA_TRIPS", "Trip", ("from", "to"))


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    caplog.clear()
    return told


async def test_whatever_shuts_the_front_door_is_told_aloud(
    journal: MemoryJournal, caplog: pytest.LogCaptureFixture
) -> None:
    cure = ". Register a version of Trip that takes from, to"
    retired = "BookTrip cannot be served (SAGA_TRIPS): definition 'Trip' in version '2' is retired since "
    step = {"service": "Hotel", "transaction": "book", "compensation": None, "input": ["to", "by", "at"]}
    asks = json.dumps({"sagaName": "Trip", "version": "2", "steps": [step]})
    shut = (
        "BookTrip cannot be served (SAGA_TRIPS): the newest Trip (version 2) asks for more than this call "
        f"has: $.by: is missing; step book needs it; $.at: is missing; step book needs it{cure}"
    )
    definitions = await begun(journal, door=DOOR)
    (told,) = errors(caplog)
    assert told == (
        f"BookTrip cannot be served (SAGA_TRIPS): there is no definition 'Trip'; loaded are: none{cure}"
    )
    await registered(definitions, text())
    await registered(definitions, text(name="Cruise"))
    foreseen = await definitions.register(asks, Format.JSON, source="test", validate_only=True)
    assert [(found.finding.path, found.finding.sentence) for found in foreseen.findings] == [
        (f"$.steps[0].input[{index}]", f"BookTrip starts this saga (SAGA_TRIPS), and has no '{field}'")
        for index, field in ((1, "by"), (2, "at"))
    ]
    assert errors(caplog) == []
    await registered(definitions, asks)
    assert errors(caplog) == [shut]
    await definitions.retire("Cruise", "1", if_no_open_sagas=False)
    assert errors(caplog) == []
    await begun(journal := journal.reopened(), door=DOOR)
    assert errors(caplog) == [shut]
    definitions = await begun(journal.reopened(), door=DOOR)
    caplog.clear()
    await definitions.retire("Trip", "2", if_no_open_sagas=False)
    assert errors(caplog) == []
    await definitions.retire("Trip", "1", if_no_open_sagas=False)
    (told,) = errors(caplog)
    assert told.startswith(retired)
    assert told.endswith(cure)


async def test_metrics_are_told_of_every_name_that_can_be_started(journal: MemoryJournal) -> None:
    told = Named()
    definitions = await begun(journal, definition(), definition(name="Cruise"), telemetry=told)
    assert sorted(told.names) == ["Cruise", "Trip"]
    await registered(definitions, text(name="Flight"))
    assert told.names[-1] == "Flight"


async def test_whoever_chooses_a_definition_waits_for_one_that_is_being_registered(
    journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = await begun(journal, definition())
    synced, write = asyncio.Event(), journal.definitions.register

    async def slow(content: SagaDefinition, *, at: float) -> object:
        registered = await write(content, at=at)
        await synced.wait()
        return registered

    monkeypatch.setattr(journal.definitions, "register", slow)
    registering = asyncio.create_task(registered(definitions, text(version="2")))
    while await journal.definitions.text("Trip", "2") is None:
        await asyncio.sleep(0)
    choosing = asyncio.create_task(the_newest(definitions))
    await asyncio.sleep(0)
    assert not choosing.done()
    synced.set()
    await registering
    assert await choosing == "2"


async def test_whoever_registers_may_leave_and_what_is_durable_is_at_hand(
    journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = await begun(journal, definition())
    synced, write = asyncio.Event(), journal.definitions.register

    async def slow(content: SagaDefinition, *, at: float) -> object:
        registered = await write(content, at=at)
        await synced.wait()
        return registered

    monkeypatch.setattr(journal.definitions, "register", slow)
    registering = asyncio.create_task(registered(definitions, text(version="2")))
    while await journal.definitions.text("Trip", "2") is None:
        await asyncio.sleep(0)
    registering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await registering
    synced.set()
    assert await the_newest(definitions) == "2"


async def test_a_store_that_fails_leaves_what_is_at_hand(
    journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = await begun(journal, definition())
    journal.reopened()
    with pytest.raises(JournalUnavailable):
        await registered(definitions, text(version="2"))
    assert await the_newest(definitions) == "1"


async def test_a_coordinator_that_stops_while_a_definition_is_written_complains_of_nothing(
    journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    definitions = await begun(journal)
    writing = asyncio.Event()

    async def never(content: SagaDefinition, *, at: float) -> None:
        writing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(journal.definitions, "register", never)
    registering = asyncio.create_task(registered(definitions, text()))
    await writing.wait()
    for task in list(definitions._tasks):
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await registering
    assert not definitions._tasks
    assert caplog.messages == []


async def test_of_too_many_definitions_the_next_is_refused_and_a_new_content_of_one_is_not(
    journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.engine.definitions.OFFERED_MAX", 2)
    definitions = await begun(journal, definition(version="1"), definition(version="2"))
    for validate_only in (True, False):
        with pytest.raises(
            Overloaded, match=r"^2 definitions can be started, which is the limit; nothing was"
        ):
            await definitions.register(
                text(version="3"), Format.JSON, source="test", validate_only=validate_only
            )
    assert len(await journal.definitions.registrations()) == 2
    await registered(definitions, text("other", version="2"))
    await definitions.retire("Trip", "1", if_no_open_sagas=False)
    await registered(definitions, text(version="3"))
    assert await the_newest(definitions) == "3"


@pytest.mark.parametrize("version", ["9", None])
async def test_what_is_not_registered_can_neither_be_shown_nor_retired(
    journal: MemoryJournal, version: str | None
) -> None:
    definitions = await begun(journal, definition())
    for asked in (
        definitions.shown.show("Cruise", version),
        definitions.retire("Cruise", version, if_no_open_sagas=False),
    ):
        with pytest.raises(DefinitionNotFound, match=r"loaded are: Trip \(version 1\)$"):
            await asked


async def test_each_definition_is_shown_in_the_state_that_it_is_in(journal: MemoryJournal) -> None:
    definitions = await begun(journal, definition(version="1"), definition(version="2"))
    await definitions.retire("Trip", "1", if_no_open_sagas=False)
    shown = await definitions.shown.page(saga_name=None, all_states=True, after=None, limit=9)
    assert [(one.version, one.state, list(one.steps)) for one in shown] == [
        ("1", DefinitionState.RETIRED, ["book"]),
        ("2", DefinitionState.STARTABLE, ["book"]),
    ]


async def test_what_another_release_registered_in_a_form_without_steps_is_shown_as_it_stands(
    journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = await begun(journal, definition())
    await definitions.retire("Trip", "1", if_no_open_sagas=False)
    (held,) = await journal.definitions.registrations()
    other = '{"sagaName":"Trip","version":"1"}'

    async def registrations() -> list[Registration]:
        return [replace(held, digest=jsontext.digest(other))]

    async def content(name: str, version: str | None) -> str:
        return other

    monkeypatch.setattr(journal.definitions, "registrations", registrations)
    monkeypatch.setattr(journal.definitions, "text", content)
    shown = await definitions.shown.show("Trip", "1")
    assert (shown.text, list(shown.steps), shown.state) == (other, [], DefinitionState.RETIRED)


async def test_of_many_definitions_a_few_are_named_to_whoever_asks_for_another(
    journal: MemoryJournal,
) -> None:
    definitions = await begun(journal, *(definition(version=str(number)) for number in range(100)))
    with pytest.raises(DefinitionNotFound, match=r"loaded are: Trip \(version 0\), .* and 88 more$"):
        await definitions.get("Trip", "100")


async def test_so_many_findings_are_told_and_the_others_are_counted(journal: MemoryJournal) -> None:
    # Nothing undoes any of them, and the saga may turn back behind each but the last.
    steps = [{"service": "S", "transaction": f"s{number}", "compensation": None} for number in range(103)]
    content = json.dumps({"sagaName": "Long", "steps": steps}, indent=0)
    definitions = await begun(journal)
    answer = await definitions.register(content, Format.JSON, source="test", validate_only=True)
    assert (len(answer.findings), answer.findings_left_out) == (100, 2)
    assert [located.finding.loc[1] for located in answer.findings] == list(range(100))
    line = content.splitlines()[answer.findings[99].position.line - 1]
    assert line.startswith('"compensation"')


async def test_what_takes_long_is_not_done_on_the_loop(
    journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await begun(journal)
    await registered(first, text())
    await a_saga("1", definition=definition("pinned", version=None)).start(journal)
    await registered(first, text("other", version=None))
    await first.retire("Trip", "1", if_no_open_sagas=False)
    again = await begun(journal.reopened())
    threads = dict[str, int]()

    def watched(owner: object, name: str) -> None:
        work = getattr(owner, name)

        def noted(*args: Any, **named: Any) -> Any:
            threads[name] = threading.get_ident()
            return work(*args, **named)

        monkeypatch.setattr(owner, name, noted)

    watched(shown_definitions, "parse_definition")
    watched(jsontext, "reload")
    watched(Places, "position")
    assert len(await again.shown.page(saga_name=None, all_states=True, after=None, limit=9)) == 2
    await again.shown.show(definition("pinned", version=None).digest, None)
    step = {"service": "Hotel", "transaction": "book", "compensation": None, "when": "true"}
    await registered(again, json.dumps({"sagaName": "Other", "steps": [step]}))
    assert threads.keys() == {"parse_definition", "reload", "position"}
    assert threading.get_ident() not in threads.values()
