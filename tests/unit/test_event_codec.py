"""The disk format of events: what is written today is read for as long as there are journals."""

from dataclasses import fields, replace
from enum import StrEnum
from types import UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.adapters.event_codec import (
    EVENT_TYPES,
    RECORD_TYPES,
    SEVERAL,
    TYPE_NUMBERS,
    UnreadableEvent,
    count_events,
    decode,
    decode_all,
    encode,
    encode_several,
)
from coordinator.adapters.sqlite.words import Words
from coordinator.api.convert import to_exported_record
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    Event,
    OperatorActed,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepCompensated,
    StepFaulted,
    StepPending,
    UndoBegun,
    Verb,
)
from coordinator.domain.ids import Digest, FencingToken, RequestId, SagaId, StepName
from coordinator.ports.journal import Record

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
OWN = SagaId("s")


def words() -> Words:
    return Words({"Order": 1, "d": 2, "front": 3, "reserve": 4, "pay": 5}, 5)


def read_back(event: Event, saga_id: SagaId) -> Event:
    known = words()
    (read,) = decode_all(*encode(event, known), event.at, saga_id, known)
    return read


def values_of(hint: object) -> st.SearchStrategy[Any]:
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return st.one_of(*map(values_of, get_args(hint)))
    if isinstance(hint, NewType):
        return values_of(hint.__supertype__)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    return {
        str: TEXT,
        int: st.integers(0, 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        type(None): st.none(),
    }[hint]  # type: ignore[index]  # a kind that is not here fails the test by its name


def events_of(event_type: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(event_type)
    return st.builds(event_type, **{name: values_of(hint) for name, hint in hints.items()})


ANY_EVENT = st.one_of(*map(events_of, EVENT_TYPES.values()))


@given(ANY_EVENT)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    assert read_back(event, event.saga_id if isinstance(event, SagaStarted) else OWN) == event


@given(st.lists(ANY_EVENT, min_size=2, max_size=5))
def test_events_of_one_moment_come_back_together(events: list[Event]) -> None:
    at_once = [replace(event, at=events[0].at) for event in events]
    # They are all of one saga.
    at_once = [replace(event, saga_id=OWN) if isinstance(event, SagaStarted) else event for event in at_once]
    known = words()
    type_name, payload = encode_several(at_once, known)
    assert decode_all(type_name, payload, events[0].at, OWN, known) == at_once
    assert count_events(type_name, payload) == len(events)


@given(ANY_EVENT)
def test_every_event_that_is_exported_is_read_as_one_on_disk(event: Event) -> None:
    exported = to_exported_record(Record(7, FencingToken(3), event))
    assert decode(exported.type, exported.content_json) == event
    assert (exported.seq, exported.fencing_token) == (7, 3)


def test_every_event_has_a_name_and_a_number_on_disk() -> None:
    assert set(EVENT_TYPES.values()) == set(get_args(Event))
    # As the migration has them that made the table `event_types`.
    assert (TYPE_NUMBERS["SagaStarted"], TYPE_NUMBERS["StepSucceeded"]) == (1, 10)
    assert (TYPE_NUMBERS["OperatorActed"], len(TYPE_NUMBERS)) == (19, 19)
    # It is no event, and will not be in the way of a new one.
    assert RECORD_TYPES == {**TYPE_NUMBERS, "Several": -1}


def test_the_names_and_fields_on_disk_are_those_of_version_7() -> None:
    # Written by hand: when this test fails, journals that exist can no longer be read.
    assert {name: " ".join(f.name for f in fields(kind)) for name, kind in EVENT_TYPES.items()} == {
        "SagaStarted": "at saga_id saga_name definition_digest input front_door request_id deadline_at trace",
        "SagaResumed": "at",
        "CancelRequested": "at reason",
        "DeadlinePassed": "at",
        "StepBegun": "at step input",
        "PivotBegun": "at step input",
        "StepOmitted": "at step",
        "ExpressionFailed": "at step place message",
        "OutputShaped": "at output",
        "StepSucceeded": "at step attempt output",
        "StepRefused": "at step attempt code message",
        "StepPending": "at step attempt ask_at",
        "StepFaulted": "at step attempt cause code message retry_at",
        "UndoBegun": "at step receipt input",
        "StepCompensated": "at step attempt",
        "UndoRefused": "at step attempt code message",
        "UndoPending": "at step attempt ask_at",
        "UndoFaulted": "at step attempt cause code message retry_at",
        "OperatorActed": "at verb action_id actor reason step output",
    }


def test_the_words_on_disk_are_those_of_version_7() -> None:
    assert {kind.__name__: " ".join(kind) for kind in (Cause, Verb)} == {
        "Cause": "FAULTED UNKNOWN PERMANENT BROKEN_CONTRACT KEY_REUSED BARRED",
        "Verb": "RETRY SKIP COMPLETE FAIL CANCEL TERMINATE",
    }


FAULT = StepFaulted(1.5, StepName("reserve"), 2, Cause.UNKNOWN, "UNAVAILABLE", "no «answer»", None)
STARTED = SagaStarted(1.0, SagaId("s"), "Order", Digest("d"), "{}", "front", RequestId("r"))


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (SagaResumed(1.5), "[]"),
        (StepBegun(1.5, StepName("reserve")), "[4]"),
        (StepBegun(1.5, StepName("reserve"), "{}"), "[4,2]\n{}"),
        (FAULT, '[4,2,"UNKNOWN","UNAVAILABLE","no «answer»",null]'),
        (UndoBegun(1.5, StepName("pay"), '{"é":"\\n"}', "{}"), '[5,10,2]\n{"é":"\\n"}{}'),
        (UndoBegun(1.5, StepName("pay"), None, ""), "[5,null,0]"),
        (STARTED, '[null,1,2,2,3,"r"]\n{}'),
        (replace(STARTED, deadline_at=2.0), '[null,1,2,2,3,"r",2.0]\n{}'),
        (replace(STARTED, trace="t"), '[null,1,2,2,3,"r",null,"t"]\n{}'),
    ],
)
def test_a_payload_is_a_compact_list_of_what_is_not_said_without_it(event: Event, payload: str) -> None:
    assert encode(event, words()) == (type(event).__name__, payload)
    assert read_back(event, OWN) == event


def test_a_word_that_has_no_number_gets_one() -> None:
    known = words()
    assert encode(StepBegun(1.5, StepName("ship")), known) == ("StepBegun", "[6]")
    assert known.take_new() == [(6, "ship")]
    assert decode_all("StepBegun", "[6]", 1.5, OWN, known) == [StepBegun(1.5, StepName("ship"))]


STARTED_AS_OBJECT = (
    '{"at":1.0,"saga_id":"s","saga_name":"Order","definition_digest":"d","input":"{}","front_door":"front",'
    '"request_id":"r"}'
)


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (SagaResumed(1.5), '{"at":1.5}'),
        (StepBegun(1.5, StepName("reserve"), None), '{"at":1.5,"step":"reserve","input":null}'),
        (StepCompensated(1.5, StepName("reserve"), 2), '{"step":"reserve","attempt":2,"at":1.5}'),
        (STARTED, STARTED_AS_OBJECT),
        (STARTED, STARTED_AS_OBJECT[:-1] + ',"deadline_at":null,"trace":""}'),
    ],
)
def test_what_older_releases_wrote_is_read(event: Event, payload: str) -> None:
    assert decode(type(event).__name__, payload) == event
    assert decode_all(type(event).__name__, payload, event.at, OWN, words()) == [event]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (StepBegun(1.5, StepName("reserve"), "{}"), '["reserve","{}"]'),
        (FAULT, '["reserve",2,"UNKNOWN","UNAVAILABLE","no «answer»",null]'),
        (STARTED, '["other","Order","d","{}","front","r"]'),
    ],
)
def test_lists_are_read_that_say_all_words_themselves(event: Event, payload: str) -> None:
    if isinstance(event, SagaStarted):
        event = replace(event, saga_id=SagaId("other"))
    assert decode_all(type(event).__name__, payload, event.at, OWN, words()) == [event]


@pytest.mark.parametrize(
    ("type_name", "payload", "sentence"),
    [
        ("StepVanished", "{}", "event type 'StepVanished' is unknown"),
        ("StepBegun", '{"at":1.0,"step":"a","mood":1}', "does not know: mood"),
        ("StepBegun", '{"at":1.0}', "StepBegun lacks its field step"),
        ("StepBegun", '{"at":1.0,"step":7}', "StepBegun has a value of the wrong kind in step"),
        ("StepBegun", '{"at":"now","step":"a"}', "wrong kind in at"),
        ("StepBegun", '{"at":true,"step":"a"}', "wrong kind in at"),
        ("StepBegun", '{"at":null,"step":"a"}', "wrong kind in at"),
        ("StepCompensated", '{"at":1.0,"step":"a","attempt":1.0}', "wrong kind in attempt"),
        (
            "UndoFaulted",
            '{"at":1.0,"step":"a","attempt":1,"cause":"BAD_MOOD","code":"","message":"","retry_at":null}',
            "wrong kind in cause",
        ),
        ("SagaResumed", '{"at":1.0', "the payload of SagaResumed is not JSON"),
        ("SagaResumed", "7", "the payload of SagaResumed is neither a list nor an object"),
        ("SagaResumed", "[]", "the payload of SagaResumed is neither a list nor an object"),
    ],
)
def test_what_is_no_event_of_this_version_is_named(type_name: str, payload: str, sentence: str) -> None:
    with pytest.raises(UnreadableEvent, match=sentence):
        decode(type_name, payload)


@pytest.mark.parametrize(
    ("type_name", "payload", "sentence"),
    [
        ("StepBegun", "[]", "StepBegun lacks its field step"),
        ("StepBegun", "[null]", "wrong kind in step"),
        ("StepBegun", "[true]", "wrong kind in step"),
        ("StepBegun", "[9]", "StepBegun has a number in step that stands for no word"),
        ("StepBegun", '["a",7]', "a text that should stand behind its values does not"),
        ("StepBegun", '["a",7]\n{}', "a text that should stand behind its values does not"),
        ("StepBegun", '["a",-1]\n{}', "a text that should stand behind its values does not"),
        ("StepBegun", '["a",1]\n{}', "more texts stand behind its values than they name"),
        ("StepBegun", '["a",true]\n{}', "wrong kind in input"),
        ("SagaResumed", "[1.0]", "SagaResumed has more values than this version knows fields"),
        ("StepCompensated", '["a"]', "StepCompensated lacks its field attempt"),
        ("StepCompensated", '["a",true]', "wrong kind in attempt"),
        ("StepCompensated", '["a",1.0]', "wrong kind in attempt"),
        ("StepPending", '["a",1,"soon"]', "wrong kind in ask_at"),
        ("UndoFaulted", '["a",1,"BAD_MOOD","","",null]', "wrong kind in cause"),
        ("UndoFaulted", '["a",1,"UNKNOWN","","",1.5,2.5]', "more values than this version knows fields"),
    ],
)
def test_what_is_wrong_in_a_list_is_named(type_name: str, payload: str, sentence: str) -> None:
    with pytest.raises(UnreadableEvent, match=sentence):
        decode_all(type_name, payload, 1.5, OWN, words())


def test_several_events_stand_in_one_list() -> None:
    both = StepCompensated(1.5, StepName("pay"), 1), StepBegun(1.5, StepName("reserve"))
    assert encode_several(both, words()) == ("Several", "[[15,5,1],[5,4]]")
    assert decode_all("Several", '[[15,"pay",1],[5,"reserve"]]', 1.5, OWN, words()) == [*both]
    assert decode_all("StepBegun", '["reserve"]', 1.5, OWN, words()) == [both[1]]


@pytest.mark.parametrize(
    ("payload", "sentence", "count"),
    [
        ('[[15,"pay",1],[5]]', "StepBegun lacks its field step", 2),
        ('[[15,"pay",1],[99,"reserve"]]', "one of several events is of a type that is unknown", 2),
        ('[[15,"pay",1],[[5],"reserve"]]', "one of several events is of a type that is unknown", 2),
        ('[[15,"pay",1],[true,"reserve"]]', "one of several events is of a type that is unknown", 2),
        ('[[15,"pay",1],[]]', "one of several events is of a type that is unknown", 2),
        ('[[15,"pay",1],7]', "one of several events is of a type that is unknown", 2),
        ("[]", "where several events should be there is none", None),
        ('{"a":1}', "where several events should be there is none", None),
        ("7", "where several events should be there is none", None),
        ("[[15", "the payload of Several is not JSON", None),
        ("[[15,5,1],[5,4,2]]\n{}!", "more texts stand behind its values than they name", 2),
    ],
)
def test_what_is_wrong_with_several_is_named(payload: str, sentence: str, count: int | None) -> None:
    with pytest.raises(UnreadableEvent, match=sentence):
        decode_all(SEVERAL, payload, 1.5, OWN, words())
    assert count_events(SEVERAL, payload) == count
    assert count_events("StepBegun", payload) == 1


def test_words_and_moments_of_a_list_come_back_as_such() -> None:
    (fault,) = decode_all("StepFaulted", '[4,2,"UNKNOWN","UNAVAILABLE","no «answer»",7]', 1.5, OWN, words())
    assert fault == replace(FAULT, retry_at=7.0)
    assert isinstance(fault, StepFaulted)
    assert (type(fault.cause), type(fault.retry_at)) == (Cause, float)
    (act,) = decode_all("OperatorActed", '["RETRY","x","ada","why"]', 1.5, OWN, words())
    assert isinstance(act, OperatorActed)
    assert type(act.verb) is Verb


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), float("-inf")])
def test_a_moment_that_is_no_number_is_not_written(moment: float) -> None:
    with pytest.raises(ValueError, match=r"StepBegun\.at is .*, which is no moment"):
        encode(StepBegun(moment, StepName("a")), words())
    with pytest.raises(ValueError, match=r"StepPending\.ask_at is .*, which is no moment"):
        encode(StepPending(1.0, StepName("a"), 1, moment), words())
    with pytest.raises(ValueError, match=r"StepBegun\.at is .*, which is no moment"):
        encode_several([StepBegun(moment, StepName("a")), StepBegun(moment, StepName("b"))], words())


def test_half_a_character_is_not_written() -> None:
    with pytest.raises(ValueError, match="StepBegun can not be kept"):
        encode(StepBegun(1.0, StepName("a\ud800")), words())
    with pytest.raises(ValueError, match="StepBegun can not be kept"):
        encode(StepBegun(1.0, StepName("a"), "a\ud800"), words())
    with pytest.raises(ValueError, match="CancelRequested can not be kept"):
        encode(CancelRequested(1.0, "a\ud800"), words())
    with pytest.raises(ValueError, match="Several can not be kept"):
        encode_several([StepBegun(1.0, StepName("a\ud800")), StepBegun(1.0, StepName("b"))], words())
    with pytest.raises(ValueError, match="Several can not be kept"):
        encode_several([CancelRequested(1.0, "a\ud800"), StepBegun(1.0, StepName("b"))], words())
