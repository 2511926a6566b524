"""What every store of definitions promises, one promise a test: see coordinator/ports/definitions.py, and
coordinator/domain/language/registration.py for what becomes of what."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import DefinitionInUse, DefinitionMoved, VersionTaken
from coordinator.domain.language.registration import (
    Key,
    Registered,
    Registration,
    RegistrationOutcome,
    newest,
)
from coordinator.ports.definitions import DefinitionStore
from tests.contract.conftest import Home
from tests.contract.sagas import AnyJournal, Told, a_saga, completed


def content(label: str, version: str | None = "1", name: str = "Trip") -> SagaDefinition:
    """A definition that differs from another one by *label*."""
    step = {"service": "Stock", "transaction": "reserve", "compensation": "release", "name": label}
    pay = {"service": "Funds", "transaction": "pay", "compensation": "refund"}
    text = json.dumps({"sagaName": name, "version": version, "steps": [step, pay]})
    return parse_definition(text, source=name)


A, B, C = (content(label) for label in ("a", "b", "c"))
DRAFT_A, DRAFT_B = (content(label, version=None) for label in ("a", "b"))
TRIP_1: Key = ("Trip", "1")
DRAFT: Key = ("Trip", None)


async def held(store: DefinitionStore, key: Key = TRIP_1) -> Registration:
    return next(r for r in await store.registrations() if r.key == key)


async def offered(store: DefinitionStore) -> list[Key]:
    return [r.key for r in await store.registrations() if r.is_offered]


async def the_newest(store: DefinitionStore, name: str = "Trip") -> str | None:
    found = newest([r for r in await store.registrations() if r.is_offered and r.name == name])
    assert found is not None
    return found.version


async def files(
    store: DefinitionStore, *definitions: SagaDefinition, at: float = 5_000.0
) -> Sequence[object]:
    outcomes = await store.take_up_files(definitions, at=at)
    return [o.outcome if isinstance(o, Registered) else type(o) for o in outcomes]


class TestRegistering:
    async def test_what_is_registered_can_be_read_and_outlives_the_opening(self, home: Home) -> None:
        store = (await home.open()).definitions
        made = await store.register(A, at=100.0)
        assert made == Registered(
            Registration("Trip", "1", A.digest, 1, 100.0, through_api=True), RegistrationOutcome.CREATED
        )
        for _ in range(2):
            assert await store.registrations() == [made.registration]
            assert await store.text("Trip", "1") == A.text
            assert await store.text("Trip", None) is None
            store = (await home.open()).definitions

    async def test_the_same_content_again_changes_nothing(self, journal: AnyJournal) -> None:
        first = await journal.definitions.register(A, at=100.0)
        assert await journal.definitions.register(A, at=200.0) == Registered(
            first.registration, RegistrationOutcome.UNCHANGED
        )

    async def test_a_version_that_is_not_in_use_gets_other_content(self, journal: AnyJournal) -> None:
        await journal.definitions.register(A, at=100.0)
        replaced = await journal.definitions.register(B, at=200.0)
        assert replaced.outcome is RegistrationOutcome.REPLACED
        assert await journal.definitions.registrations() == [replaced.registration]
        assert (replaced.registration.digest, replaced.registration.registered_at) == (B.digest, 200.0)
        assert await journal.definitions.text("Trip", "1") == B.text

    async def test_a_version_keeps_its_content_once_a_saga_was_started_with_it(
        self, journal: AnyJournal
    ) -> None:
        await journal.definitions.register(A, at=100.0)
        await a_saga("1", at=150.0, definition=A).start(journal)
        await a_saga("2", at=160.0, definition=A).start(journal)
        with pytest.raises(VersionTaken) as taken:
            await journal.definitions.register(B, at=200.0)
        assert str(taken.value) == (
            "definition 'Trip' in version '1' cannot get other content: sagas were started with it since "
            "1970-01-01 00:02:30 UTC. Give the new content a version of its own"
        )
        assert await held(journal.definitions) == Registration(
            "Trip", "1", A.digest, 1, 100.0, used_at=150.0, through_api=True
        )
        assert await journal.definitions.text("Trip", "1") == A.text
        assert (await journal.definitions.register(A, at=300.0)).outcome is RegistrationOutcome.UNCHANGED

    async def test_a_version_is_in_use_for_good_even_when_its_sagas_have_ended(self, home: Home) -> None:
        journal = await home.open()
        await journal.definitions.register(content("reserve"), at=100.0)
        saga = a_saga("1", definition=content("reserve"))
        await saga.start(journal)
        await saga.goes_on(journal, *completed())
        with pytest.raises(VersionTaken):
            await (await home.open()).definitions.register(B, at=200.0)

    async def test_a_version_that_nobody_registered_is_in_use_by_its_sagas(self, journal: AnyJournal) -> None:
        await a_saga("1", at=150.0, definition=A).start(journal)
        assert await journal.definitions.registrations() == [
            Registration("Trip", "1", A.digest, 1, 150.0, used_at=150.0)
        ]
        assert await offered(journal.definitions) == []
        with pytest.raises(VersionTaken):
            await journal.definitions.register(B, at=200.0)
        assert (await journal.definitions.register(A, at=200.0)).outcome is RegistrationOutcome.RESTORED

    async def test_a_draft_gets_other_content_always_and_its_sagas_keep_theirs(
        self, journal: AnyJournal
    ) -> None:
        await journal.definitions.register(DRAFT_A, at=100.0)
        await a_saga("1", at=150.0, definition=DRAFT_A).start(journal)
        replaced = await journal.definitions.register(DRAFT_B, at=200.0)
        assert replaced.outcome is RegistrationOutcome.REPLACED
        assert (replaced.registration.digest, replaced.registration.used_at) == (DRAFT_B.digest, None)
        assert await journal.definition(DRAFT_A.digest) == DRAFT_A.text
        # One whose content was chosen before it was replaced.
        await a_saga("2", definition=DRAFT_A).start(journal)
        assert (await held(journal.definitions, DRAFT)) == replaced.registration

    async def test_the_newest_is_what_was_registered_last(self, journal: AnyJournal) -> None:
        for version in ("2", "10", "1"):
            await journal.definitions.register(content("a", version), at=100.0)
            assert await the_newest(journal.definitions) == version
        await journal.definitions.register(content("a", "2"), at=200.0)
        assert await the_newest(journal.definitions) == "1"
        await journal.definitions.register(content("b", "2"), at=300.0)
        assert await the_newest(journal.definitions) == "2"


class TestFiles:
    async def test_new_files_are_numbered_as_people_count(self, journal: AnyJournal) -> None:
        versions = ("10", "9", None, "9.2", "9.10")
        made = await files(journal.definitions, *(content("a", version) for version in versions))
        assert made == [RegistrationOutcome.CREATED] * 5
        registrations = await journal.definitions.registrations()
        assert [r.version for r in registrations] == [None, "9", "9.2", "9.10", "10"]
        assert {r.file_digest for r in registrations} == {content("a", v).digest for v in versions}

    async def test_files_that_are_as_they_were_change_nothing(self, home: Home) -> None:
        await files((await home.open()).definitions, A, content("a", "2"), at=100.0)
        store = (await home.open()).definitions
        before = await store.registrations()
        assert await files(store, content("a", "2"), A, at=200.0) == [RegistrationOutcome.UNCHANGED] * 2
        assert await store.registrations() == before

    async def test_a_file_that_is_gone_is_not_offered_any_more_until_it_is_back(
        self, journal: AnyJournal
    ) -> None:
        store = journal.definitions
        await files(store, A, content("a", "2"))
        await files(store, A)
        assert await offered(store) == [TRIP_1]
        assert await files(store, A, content("a", "2")) == [
            RegistrationOutcome.UNCHANGED,
            RegistrationOutcome.RESTORED,
        ]
        assert await the_newest(store) == "2"

    async def test_a_file_that_is_gone_stays_offered_if_a_caller_registered_it_too(
        self, journal: AnyJournal
    ) -> None:
        store = journal.definitions
        await files(store, A)
        assert (await store.register(A, at=1.0)).outcome is RegistrationOutcome.UNCHANGED
        await files(store)
        assert await offered(store) == [TRIP_1]

    async def test_a_changed_file_replaces_what_is_not_in_use(self, journal: AnyJournal) -> None:
        store = journal.definitions
        await store.register(A, at=1.0)
        assert await files(store, B) == [RegistrationOutcome.REPLACED]
        # What the caller registered was other content: it does not keep this one.
        await files(store)
        assert await offered(store) == []

    async def test_a_changed_file_of_a_version_in_use_is_refused_and_what_it_holds_stays_offered(
        self, home: Home
    ) -> None:
        journal = await home.open()
        await files(journal.definitions, A)
        await a_saga("1", definition=A).start(journal)
        store = journal.definitions
        for outcome in (RegistrationOutcome.CREATED, RegistrationOutcome.UNCHANGED):
            assert await files(store, B, content("a", "2")) == [VersionTaken, outcome]
            assert (await held(store)).digest == A.digest
            assert await offered(store) == [TRIP_1, ("Trip", "2")]
            store = (await home.open()).definitions

    async def test_a_file_that_is_back_with_other_content_offers_what_its_version_keeps(
        self, home: Home
    ) -> None:
        journal = await home.open()
        await a_saga("1", definition=A).start(journal)
        store = journal.definitions
        for _ in range(2):
            assert await files(store, B) == [VersionTaken]
            assert (await held(store)).digest == A.digest
            assert await offered(store) == [TRIP_1]
            store = (await home.open()).definitions
        await files(store)
        assert await offered(store) == []

    async def test_what_a_caller_registered_stays_until_the_file_changes(self, home: Home) -> None:
        await files((await home.open()).definitions, DRAFT_A)
        await (await home.open()).definitions.register(DRAFT_B, at=1.0)
        store = (await home.open()).definitions
        assert await files(store, DRAFT_A) == [RegistrationOutcome.UNCHANGED]
        assert (await held(store, DRAFT)).digest == DRAFT_B.digest
        assert await files(store, content("c", None)) == [RegistrationOutcome.REPLACED]
        assert await files(store, DRAFT_A) == [RegistrationOutcome.REPLACED]


class TestRetiring:
    async def test_what_is_retired_is_not_offered_and_stays_so(self, home: Home) -> None:
        store = (await home.open()).definitions
        for version in ("1", "2"):
            await store.register(content("a", version), at=100.0)
        retired = await store.retire("Trip", "2", at=200.0)
        assert retired is not None
        assert retired.retired_at == 200.0
        store = (await home.open()).definitions
        assert (await held(store, ("Trip", "2"))) == retired
        assert await the_newest(store) == "1"

    async def test_retiring_twice_keeps_the_first_moment(self, journal: AnyJournal) -> None:
        await journal.definitions.register(A, at=100.0)
        first = await journal.definitions.retire("Trip", "1", at=200.0)
        assert await journal.definitions.retire("Trip", "1", at=300.0) == first

    async def test_what_is_not_there_cannot_be_retired(self, journal: AnyJournal) -> None:
        await journal.definitions.register(A, at=100.0)
        assert await journal.definitions.retire("Trip", None, at=200.0) is None
        assert await journal.definitions.retire("Trip", "2", at=200.0) is None
        assert await offered(journal.definitions) == [TRIP_1]

    async def test_a_file_does_not_bring_it_back_and_a_caller_does(self, home: Home) -> None:
        store = (await home.open()).definitions
        await files(store, A, content("a", "2"))
        await store.retire("Trip", "2", at=200.0)
        store = (await home.open()).definitions
        await files(store, A, content("a", "2"))
        await files(store, A, content("b", "2"))
        assert await offered(store) == [TRIP_1]
        assert (await store.register(content("b", "2"), at=300.0)).outcome is RegistrationOutcome.RESTORED
        assert await offered(store) == [TRIP_1, ("Trip", "2")]
        assert (await held(store, ("Trip", "2"))).retired_at is None

    async def test_only_without_open_sagas_if_that_is_asked(self, journal: AnyJournal) -> None:
        store, reserving = journal.definitions, content("reserve")
        await store.register(reserving, at=100.0)
        saga = a_saga("1", definition=reserving)
        # One group: the saga's row is not in the file yet when its definition is to be retired.
        _, refused = await asyncio.gather(
            saga.start(journal),
            store.retire("Trip", "1", at=200.0, if_no_open_sagas=True),
            return_exceptions=True,
        )
        assert isinstance(refused, DefinitionInUse)
        assert str(refused) == (
            "1 saga is open on definition 'Trip' in version '1', so it was not retired. Wait for them, or "
            "retire it while they go on"
        )
        assert await offered(store) == [TRIP_1]
        assert await store.open_sagas() == {TRIP_1: 1}
        await saga.goes_on(journal, *completed())
        assert await store.open_sagas() == {}
        assert await store.retire("Trip", "1", at=300.0, if_no_open_sagas=True) is not None

    async def test_by_default_its_sagas_go_on(self, journal: AnyJournal) -> None:
        reserving = content("reserve")
        await journal.definitions.register(reserving, at=100.0)
        saga = a_saga("1", definition=reserving)
        await saga.start(journal)
        assert await journal.definitions.retire("Trip", "1", at=200.0) is not None
        assert await saga.goes_on(journal, *completed()) == 5


class TestRaces:
    async def test_a_start_that_comes_after_other_content_is_refused_and_leaves_nothing(
        self, journal: AnyJournal
    ) -> None:
        await journal.definitions.register(A, at=100.0)
        saga = a_saga("1", definition=A)
        replaced, refused = await asyncio.gather(
            journal.definitions.register(B, at=200.0), saga.start(journal), return_exceptions=True
        )
        assert isinstance(replaced, Registered)
        assert isinstance(refused, DefinitionMoved)
        assert await journal.find(saga.id) is None
        assert await journal.requested(saga.front_door, saga.request_id) is None
        assert (await held(journal.definitions)).used_at is None

    async def test_other_content_that_comes_after_a_start_is_refused(self, journal: AnyJournal) -> None:
        await journal.definitions.register(A, at=100.0)
        started, refused = await asyncio.gather(
            a_saga("1", definition=A).start(journal),
            journal.definitions.register(B, at=200.0),
            return_exceptions=True,
        )
        assert not isinstance(started, BaseException)
        assert isinstance(refused, VersionTaken)
        assert (await held(journal.definitions)).digest == A.digest

    async def test_whatever_comes_first_a_version_has_the_content_that_its_sagas_began_with(
        self, journal: AnyJournal
    ) -> None:
        await journal.definitions.register(A, at=100.0)
        sagas = [
            Told(s.id, s.request_id, d) for s, d in zip(map(a_saga, "12345678"), (A, B) * 4, strict=True)
        ]
        work = [
            *(saga.start(journal) for saga in sagas[:3]),
            journal.definitions.register(B, at=200.0),
            *(saga.start(journal) for saga in sagas[3:]),
            journal.definitions.register(C, at=300.0),
        ]
        await asyncio.gather(*work, return_exceptions=True)
        begun = {row.definition_digest for row in [await journal.find(saga.id) for saga in sagas] if row}
        assert begun == {(await held(journal.definitions)).digest} == {A.digest}

    @pytest.mark.parametrize("definition", [A, DRAFT_A], ids=["version", "draft"])
    async def test_a_start_that_comes_after_the_retirement_is_refused(
        self, journal: AnyJournal, definition: SagaDefinition
    ) -> None:
        await journal.definitions.register(definition, at=100.0)
        _, refused = await asyncio.gather(
            journal.definitions.retire("Trip", definition.version, at=200.0, if_no_open_sagas=True),
            a_saga("1", definition=definition).start(journal),
            return_exceptions=True,
        )
        assert isinstance(refused, DefinitionMoved)
        assert await journal.definitions.open_sagas() == {}

    async def test_a_start_with_what_a_draft_held_is_refused_once_that_is_retired(
        self, journal: AnyJournal
    ) -> None:
        for definition in (DRAFT_A, DRAFT_B):
            await journal.definitions.register(definition, at=100.0)
        await journal.definitions.retire("Trip", None, at=200.0)
        with pytest.raises(DefinitionMoved):
            await a_saga("1", definition=DRAFT_A).start(journal)

    async def test_a_request_that_joins_is_answered_whatever_became_of_the_definition(
        self, journal: AnyJournal
    ) -> None:
        await journal.definitions.register(A, at=100.0)
        first, second = a_saga("1", definition=A), a_saga("2", definition=A)
        second.request_id = first.request_id
        await first.start(journal)
        await journal.definitions.retire("Trip", "1", at=200.0)
        assert await second.start(journal) == first.request
