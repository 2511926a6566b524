"""Registering, retiring and listing definitions over a real socket, and what a start then gets."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from grpc import StatusCode

from saga.v1 import coordinator_pb2 as pb
from saga.v1 import operator_pb2, operator_pb2_grpc
from tests.integration.api_harness import Coordinator, coordinator, order, refusal

STATES = pb.DefinitionState
OUTCOMES = pb.RegistrationOutcome


def a_cruise(version: str | None = None, steps: tuple[str, ...] = ("bookCabin",), **more: Any) -> str:
    made = [{"service": "Ship", "transaction": name, "compensation": f"undo_{name}"} for name in steps]
    given = {} if version is None else {"version": version}
    return json.dumps({"sagaName": "Cruise", **given, "steps": made, **more})


async def register(c: Coordinator, text: str, *, validate_only: bool = False) -> tuple[str, pb.Definition]:
    answer = await c.api.RegisterDefinition(
        pb.RegisterDefinitionRequest(definition_json=text, validate_only=validate_only)
    )
    return OUTCOMES.Name(answer.outcome).removeprefix("REGISTRATION_OUTCOME_"), answer.definition


async def retire(c: Coordinator, name: str, version: str = "", **more: bool) -> pb.Definition:
    request = pb.RetireDefinitionRequest(saga_name=name, definition_version=version, **more)
    return (await c.api.RetireDefinition(request)).definition


async def listed(c: Coordinator, saga_name: str = "Cruise", **more: Any) -> list[pb.Definition]:
    request = pb.ListDefinitionsRequest(saga_name=saga_name, **more)
    return list((await c.api.ListDefinitions(request)).definitions)


async def started_with(c: Coordinator, version: str = "") -> Any:
    request = pb.StartSagaRequest(saga_name="Cruise", definition_version=version)
    return (await c.api.StartSaga(request)).saga


def state(definition: pb.Definition) -> str:
    return STATES.Name(definition.state).removeprefix("DEFINITION_STATE_")


async def test_a_definition_is_registered_and_started_and_a_newer_one_takes_its_place() -> None:
    async with coordinator() as c:
        outcome, first = await register(c, a_cruise("1"))
        assert (outcome, first.version, list(first.steps)) == ("CREATED", "1", ["bookCabin"])
        assert (first.newest, state(first)) == (True, "STARTABLE")
        assert first.source == pb.DEFINITION_SOURCE_API
        assert first.register_time.seconds > 0
        assert not first.HasField("first_start_time")
        assert (await started_with(c)).definition_digest == first.digest
        _, second = await register(c, a_cruise("2", ("bookCabin", "bookMeals")))
        assert (await started_with(c)).definition_version == "2"
        assert (await started_with(c, "1")).definition_digest == first.digest
        one, two = await listed(c)
    assert (one.version, one.newest, two.version, two.newest) == ("1", False, "2", True)
    assert one.HasField("first_start_time")
    assert two.digest == second.digest


async def test_running_sagas_stay_with_what_they_began_with() -> None:
    async with coordinator() as c:
        await register(c, a_cruise())
        c.participants.hold("bookCabin")
        saga = await started_with(c)
        await c.participants.called("bookCabin")
        assert (await register(c, a_cruise(steps=("bookCabin", "bookMeals"))))[0] == "REPLACED"
        await retire(c, "Cruise")
        c.participants.release("bookCabin")
        ended = await c.ended(saga.saga_id)
        pinned = await c.api.GetDefinition(pb.GetDefinitionRequest(name=saga.definition_digest))
    assert [step.name for step in ended.steps] == ["bookCabin"]
    assert c.participants.names() == ["bookCabin"]
    assert (pinned.definition.digest, state(pinned.definition)) == (saga.definition_digest, "UNAVAILABLE")
    assert "bookCabin" in pinned.definition.definition_json


async def test_the_same_content_again_is_unchanged_and_makes_nothing_newest() -> None:
    async with coordinator() as c:
        await register(c, a_cruise("1"))
        await register(c, a_cruise("2"))
        outcome, again = await register(c, a_cruise("1"))
        assert (outcome, again.newest) == ("UNCHANGED", False)
        assert (await started_with(c)).definition_version == "2"


async def test_a_version_that_a_saga_was_started_with_keeps_its_content() -> None:
    async with coordinator() as c:
        _, first = await register(c, a_cruise("1"))
        await started_with(c)
        other = pb.RegisterDefinitionRequest(definition_json=a_cruise("1", ("bookMeals",)))
        checked = pb.RegisterDefinitionRequest(
            definition_json=a_cruise("1", ("bookMeals",)), validate_only=True
        )
        told = [await refusal(c.api.RegisterDefinition(request)) for request in (other, checked)]
        assert [definition.digest for definition in await listed(c)] == [first.digest]
    for refused in told:
        assert (refused.code, refused.reason) == (StatusCode.ALREADY_EXISTS, "DEFINITION_VERSION_TAKEN")
        assert refused.metadata == {
            "saga_name": "Cruise",
            "definition_version": "1",
            "definition_digest": first.digest,
        }
        assert "'Cruise' in version '1' cannot get other content" in refused.message
        assert " UTC. Give the new content a version of its own" in refused.message


async def test_a_version_that_is_not_in_use_and_a_draft_are_replaced() -> None:
    async with coordinator() as c:
        for version in ("1", None):
            await register(c, a_cruise(version))
            outcome, other = await register(c, a_cruise(version, ("bookMeals",)))
            assert (outcome, list(other.steps)) == ("REPLACED", ["bookMeals"])
            assert (await started_with(c, version or "")).definition_digest == other.digest
        assert (await register(c, a_cruise()))[0] == "REPLACED"


async def test_validate_only_writes_nothing_and_says_what_it_would_come_to() -> None:
    async with coordinator() as c:
        outcome, shown = await register(c, a_cruise("1"), validate_only=True)
        assert (outcome, shown.version, list(shown.steps)) == ("CREATED", "1", ["bookCabin"])
        assert (state(shown), shown.newest) == ("STARTABLE", True)
        assert await listed(c, all_states=True) == []
        _, made = await register(c, a_cruise("1"))
        assert await register(c, a_cruise("1"), validate_only=True) == ("UNCHANGED", made)
        await register(c, a_cruise("2"))
        assert not (await register(c, a_cruise("1"), validate_only=True))[1].newest
        await retire(c, "Cruise", "2")
        assert (await register(c, a_cruise("1", ("other",)), validate_only=True))[0] == "REPLACED"
        assert [definition.digest for definition in await listed(c)] == [made.digest]


async def test_every_fault_of_a_wrong_definition_is_a_field_and_nothing_is_written() -> None:
    wrong = json.dumps({"sagaName": "Cruise", "ttl": "soon", "steps": [{"service": "Ship"}]})
    async with coordinator() as c:
        refused = await refusal(c.api.RegisterDefinition(pb.RegisterDefinitionRequest(definition_json=wrong)))
        broken = await refusal(c.api.RegisterDefinition(pb.RegisterDefinitionRequest(definition_json="{")))
        nothing = await refusal(c.api.RegisterDefinition(pb.RegisterDefinitionRequest()))
        assert await listed(c, all_states=True) == []
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_DEFINITION")
    assert refused.fields.keys() == {
        "definition_json.ttl",
        "definition_json.steps[0].transaction",
        "definition_json.steps[0].compensation",
    }
    assert refused.fields["definition_json.ttl"].startswith("line 1, column 24: expected a duration")
    assert refused.fields["definition_json.ttl"].endswith("found 'soon'")
    assert "definition_json.ttl: line 1, column 24: expected" in refused.message
    assert broken.fields.keys() == {"definition_json"}
    assert nothing.fields == {
        "definition_json": "is missing; expected a definition here, or in definition_yaml"
    }


async def test_a_wrong_expression_is_a_fault_of_its_definition() -> None:
    wrong = a_cruise("1", output={"cabin": "outputs.bookCabin.", "meals": "outputs.bookMeals"})
    async with coordinator() as c:
        refused = await refusal(c.api.RegisterDefinition(pb.RegisterDefinitionRequest(definition_json=wrong)))
        right = a_cruise("1", output={"cabin": "outputs.bookCabin.id"})
        assert (await register(c, right))[0] == "CREATED"
    assert refused.reason == "INVALID_DEFINITION"
    assert refused.fields.keys() == {"definition_json.output.cabin", "definition_json.output.meals"}
    assert "expected the name of a step (bookCabin)" in refused.fields["definition_json.output.meals"]


async def test_a_definition_may_be_written_in_yaml() -> None:
    step = "{service: Ship, transaction: bookCabin, compensation: undo_bookCabin}"
    text = f"sagaName: Cruise\nversion: '1'\nsteps:\n- {step}\n"
    wrong = text.replace("service: Ship, ", "")
    async with coordinator() as c:
        answer = await c.api.RegisterDefinition(pb.RegisterDefinitionRequest(definition_yaml=text))
        assert await register(c, a_cruise("1")) == ("UNCHANGED", answer.definition)
        refused = await refusal(c.api.RegisterDefinition(pb.RegisterDefinitionRequest(definition_yaml=wrong)))
    assert refused.fields["definition_yaml.steps[0].service"].startswith("line 4, column 3: is missing")


async def test_what_the_linter_finds_is_told_with_its_place_and_refuses_nothing() -> None:
    text = a_cruise("1", ttl="1s").replace('"ttl"', '\n"ttl"')
    async with coordinator() as c:
        answer = await c.api.RegisterDefinition(pb.RegisterDefinitionRequest(definition_json=text))
        assert answer.outcome == pb.REGISTRATION_OUTCOME_CREATED
    found = {finding.rule: finding for finding in answer.findings}
    ttl = found["ttl-too-short"]
    assert (ttl.path, ttl.line, ttl.column) == ("$.ttl", 2, 1)
    assert ttl.sentence
    assert ttl.cure


async def test_what_is_retired_starts_nothing_and_the_next_newest_takes_its_place() -> None:
    async with coordinator() as c:
        await register(c, a_cruise("1"))
        await register(c, a_cruise("2"))
        retired = await retire(c, "Cruise", "2")
        assert (state(retired), retired.newest) == ("RETIRED", False)
        assert (await retire(c, "Cruise", "2")).retire_time == retired.retire_time
        assert (await started_with(c)).definition_version == "1"
        request = pb.StartSagaRequest(saga_name="Cruise", definition_version="2")
        refused = await refusal(c.api.StartSaga(request))
        assert [definition.version for definition in await listed(c)] == ["1"]
        assert [state(definition) for definition in await listed(c, all_states=True)] == [
            "STARTABLE",
            "RETIRED",
        ]
        shown = await c.api.GetDefinition(pb.GetDefinitionRequest(name="Cruise", definition_version="2"))
        assert state(shown.definition) == "RETIRED"
        assert "bookCabin" in shown.definition.definition_json
        outcome, restored = await register(c, a_cruise("2"))
        assert (outcome, restored.newest, restored.HasField("retire_time")) == ("RESTORED", True, False)
        assert (await started_with(c)).definition_version == "2"
    assert refused.code is StatusCode.NOT_FOUND
    assert refused.message.startswith("definition 'Cruise' in version '2' is retired since 20")
    assert refused.message.endswith(
        " UTC, and registering it again brings it back; loaded are: Cruise (version 1), NeedsColour, "
        "PlaceOrder (version 3), Trip"
    )


async def test_a_retirement_may_wait_for_open_sagas() -> None:
    async with coordinator() as c:
        await register(c, a_cruise("1"))
        c.participants.hold("bookCabin")
        saga = await started_with(c)
        request = pb.RetireDefinitionRequest(
            saga_name="Cruise", definition_version="1", if_no_open_sagas=True
        )
        refused = await refusal(c.api.RetireDefinition(request))
        (shown,) = await listed(c)
        assert (shown.open_sagas, state(shown)) == (1, "STARTABLE")
        c.participants.release("bookCabin")
        await c.ended(saga.saga_id)
        assert state(await retire(c, "Cruise", "1", if_no_open_sagas=True)) == "RETIRED"
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "DEFINITION_IN_USE")
    assert refused.metadata == {"saga_name": "Cruise", "definition_version": "1", "open_sagas": "1"}
    assert refused.message.startswith("1 saga is open on definition 'Cruise' in version '1'")


@pytest.mark.parametrize(("name", "version"), [("Nope", ""), ("Trip", "9"), ("PlaceOrder", "")])
async def test_what_is_not_there_cannot_be_retired(name: str, version: str) -> None:
    async with coordinator() as c:
        request = pb.RetireDefinitionRequest(saga_name=name, definition_version=version)
        refused = await refusal(c.api.RetireDefinition(request))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "DEFINITION_NOT_FOUND")
    assert "PlaceOrder (version 3)" in refused.message


async def test_a_newer_version_of_the_orders_saga_takes_effect_at_once() -> None:
    step = {"service": "Stock", "transaction": "reserveStock", "compensation": None, "input": ["items"]}
    newer = json.dumps({"sagaName": "PlaceOrder", "version": "4", "steps": [step]})
    async with coordinator() as c:
        await register(c, newer)
        answer = await c.orders.PlaceOrder(order())
        assert (await c.get(answer.saga_id)).definition_version == "4"
        assert c.participants.names() == ["reserveStock"]
        await retire(c, "PlaceOrder", "4")
        second = await c.orders.PlaceOrder(order("o-2"))
        assert (await c.get(second.saga_id)).definition_version == "3"


async def test_a_step_that_several_versions_have_is_one_step_of_its_participant() -> None:
    async with coordinator() as c:
        await register(c, a_cruise("1"))
        await register(c, a_cruise("2", ("bookCabin", "bookMeals")))
        operator = operator_pb2_grpc.OperatorServiceStub(c.channel)
        answer = await operator.ListParticipants(operator_pb2.ListParticipantsRequest())
    (ship,) = [participant for participant in answer.participants if participant.service == "Ship"]
    assert list(ship.steps) == ["Cruise/bookCabin", "Cruise/bookMeals"]


async def test_a_list_is_read_page_by_page_and_a_token_fits_its_own_list_only() -> None:
    async with coordinator() as c:
        for version in ("1", "2", "10"):
            await register(c, a_cruise(version))
        everything: list[tuple[str, str]] = []
        request = pb.ListDefinitionsRequest(page_size=2)
        while True:
            page = await c.api.ListDefinitions(request)
            everything += [(definition.saga_name, definition.version) for definition in page.definitions]
            if not page.next_page_token:
                break
            assert len(page.definitions) == 2
            token = request.page_token = page.next_page_token
        other = pb.ListDefinitionsRequest(page_size=2, page_token=token, saga_name="Cruise")
        strange = pb.ListDefinitionsRequest(page_token="x")
        negative = pb.ListDefinitionsRequest(page_size=-1)
        told = [await refusal(c.api.ListDefinitions(wrong)) for wrong in (other, strange, negative)]
    assert everything == [
        ("Cruise", "1"),
        ("Cruise", "2"),
        ("Cruise", "10"),
        ("NeedsColour", ""),
        ("PlaceOrder", "3"),
        ("Trip", ""),
    ]
    assert [list(refused.fields) for refused in told] == [["page_token"], ["page_token"], ["page_size"]]


async def test_starts_and_registrations_that_race_leave_each_version_with_one_content() -> None:
    contents = [a_cruise("1", (f"book{number}",)) for number in range(6)]
    async with coordinator() as c:
        await register(c, contents[0])

        async def change(text: str) -> None:
            await c.api.RegisterDefinition(pb.RegisterDefinitionRequest(definition_json=text))

        # In the order in which they are sent, which is not that in which they come.
        starting = [started_with(c, "1") for _ in contents]
        changing = [change(text) for text in contents]
        pairs = zip(starting, changing, strict=True)
        done = await asyncio.gather(*(job for pair in pairs for job in pair), return_exceptions=True)
        (registered,) = await listed(c)
    # Each start got what the version held by then, and none was refused.
    assert {getattr(saga, "definition_digest", saga) for saga in done[::2]} == {registered.digest}


@dataclass
class Held:
    """A journal's next start, until it is let through."""

    came: asyncio.Event
    go: asyncio.Event


def hold_a_start(c: Coordinator, monkeypatch: pytest.MonkeyPatch) -> Held:
    held, start = Held(asyncio.Event(), asyncio.Event()), c.journal.start

    async def waits(*args: Any, **named: Any) -> Any:
        held.came.set()
        await held.go.wait()
        return await start(*args, **named)

    monkeypatch.setattr(c.journal, "start", waits)
    return held


async def test_a_start_whose_definition_is_replaced_on_the_way_begins_with_what_took_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with coordinator() as c:
        await register(c, a_cruise("1"))
        held = hold_a_start(c, monkeypatch)
        starting = asyncio.ensure_future(started_with(c, "1"))
        await held.came.wait()
        _, other = await register(c, a_cruise("1", ("bookMeals",)))
        held.go.set()
        saga = await starting
        await c.ended(saga.saga_id)
        assert saga.definition_digest == other.digest
        assert c.participants.names() == ["bookMeals"]


async def test_a_start_whose_definition_is_retired_on_the_way_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with coordinator() as c:
        await register(c, a_cruise("1"))
        held = hold_a_start(c, monkeypatch)
        starting = asyncio.ensure_future(refusal(started_with(c, "1")))
        await held.came.wait()
        await retire(c, "Cruise", "1", if_no_open_sagas=True)
        held.go.set()
        assert (await starting).code is StatusCode.NOT_FOUND
        assert await c.saga_count() == 0


async def test_a_caller_that_leaves_takes_nothing_back() -> None:
    async with coordinator() as c:
        leaving = asyncio.ensure_future(register(c, a_cruise("1")))
        while not await c.journal.definitions.text("Cruise", "1"):
            await asyncio.sleep(0)
        leaving.cancel()
        assert (await started_with(c)).definition_version == "1"


async def test_of_too_many_definitions_the_next_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.engine.definitions.OFFERED_MAX", 4)
    async with coordinator() as c:
        await register(c, a_cruise("1"))
        assert (await register(c, a_cruise("1")))[0] == "UNCHANGED"
        request = pb.RegisterDefinitionRequest(definition_json=a_cruise("2"))
        refused = await refusal(c.api.RegisterDefinition(request))
        await retire(c, "Trip")
        await c.api.RegisterDefinition(request)
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
