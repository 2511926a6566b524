"""What a person reads who wrote a wrong definition: each fault by its path, in one sentence."""

import json
import sys
import time
from typing import Final

import pytest

from coordinator.domain.definition import VIOLATIONS_MAX, parse_definition
from coordinator.domain.errors import InvalidDefinition

SERVICES: Final = ("Order", "Payment")
STEP: Final = {"service": "Order", "transaction": "create", "compensation": "cancel"}
OTHER: Final = {"service": "Payment", "transaction": "pay", "compensation": "refund"}

A_NAME: Final = "a letter, then up to 99 letters, digits, '_', '.' or '-'"
A_DURATION: Final = 'expected a duration from 1ms to 365d, written like "500ms", "10s", "1.5m", "24h" or "7d"'
AN_ENTRY: Final = "expected the name of an input field (1 to 200 characters), 'outputs' or 'outputs.<step>'"
A_VERSION: Final = "a version in quotes: up to 100 letters, digits, '_', '.', '+' or '-'"
A_COMPENSATION: Final = f"null where there is nothing to undo, or the name of a compensation: {A_NAME}"
AN_EARLIER_STEP: Final = "expected 'outputs.' and the name of an earlier step"
ITS_OWN_NAME: Final = "expected a step name of its own, found 'create' as in $.steps[0]"
NAMED_AFTER: Final = "a step is named after its transaction unless it has a `name`"
UNKNOWN: Final = "is not a key that is known here; known are"
RETRY_KEYS: Final = "initialBackoff, maxBackoff, maxAttempts, multiplier, budget"
DEFINITION_KEYS: Final = "sagaName, version, ttl, maxParallel, sensitive, output, steps"
AN_INPUT: Final = "expected a list of names of input fields, or an object whose texts are expressions"
UNDO_RETRY_KEYS: Final = "initialBackoff, maxBackoff, multiplier, budget"
TOO_LOW: Final = "expected a maxBackoff not below the initialBackoff"
STEP_KEYS: Final = (
    "service, transaction, compensation, name, dependsOn, kind, when, timeout, retry, compensationRetry, "
    "onCompensationFailure, input, compensationInput, defaultOutput, allow"
)


def saga(*steps: object, **others: object) -> str:
    return json.dumps({"sagaName": "Trip", "steps": steps, **others})


def step(**others: object) -> str:
    return saga({**STEP, **others})


def without(key: str) -> str:
    return saga({name: value for name, value in STEP.items() if name != key})


WRONG: Final[dict[str, tuple[str | bytes, list[str]]]] = {
    # The text as a whole
    "empty file": ("", ["$: is empty; expected JSON"]),
    "only white space": (" \n\n", ["$: is empty; expected JSON"]),
    "not JSON": (
        "sagaName: Trip",
        ["$: is not JSON: a value is expected"],
    ),
    "cut off": (
        '{"sagaName": "Trip",\n "steps": [',
        ["$: is not JSON: a value is expected"],
    ),
    "trailing comma": (
        '{"sagaName": "Trip", "steps": [],}',
        [
            "$: is not JSON: a key is expected after the comma"
            if sys.version_info >= (3, 13)  # which sees the comma; before, only what is missing behind it
            else "$: is not JSON: a key in double quotes is expected"
        ],
    ),
    "comment": (
        '// a saga\n{"sagaName": "Trip"}',
        ["$: is not JSON: a value is expected"],
    ),
    "two values": (
        step() + step(),
        ["$: is not JSON: only one value is expected, and another follows"],
    ),
    "not UTF-8": (b'{"sagaName": "\xff"}', ["$: is not UTF-8: byte 14 can not be read"]),
    "UTF-16": (step().encode("utf-16"), ["$: is not UTF-8: byte 0 can not be read"]),
    "byte order mark": (
        b"\xef\xbb\xbf" + step().encode(),
        ["$: starts with a byte order mark; expected UTF-8 without one"],
    ),
    "list": ("[]", ["$: expected an object, found an empty list"]),
    "null": ("null", ["$: expected an object, found null"]),
    "too large": (" " * (1 << 20) + step(), ["$: is larger than 1048576 bytes"]),
    "deep nesting": ("[" * 100_000, ["$: is nested deeper than 64 levels"]),
    "deep nesting inside": (
        '{"sagaName": "Trip", "steps": ' + "[" * 64 + "]" * 64 + "}",
        ["$: is nested deeper than 64 levels"],
    ),
    "NaN": (
        step(retry={"multiplier": float("nan")}),
        ["$.steps[0].retry.multiplier: is NaN, which is no number in JSON"],
    ),
    "number too large for a double": (
        '{"sagaName": "Trip", "steps": [{"retry": {"multiplier": 1e999}}]}',
        ["$.steps[0].retry.multiplier: is a number that is too large: the largest is about 1.8e308"],
    ),
    "duplicate key": (
        '{"sagaName": "Trip", "sagaName": "Trap", "steps": []}',
        ["$.sagaName: stands twice in the same object"],
    ),
    "duplicate key inside": (
        '{"sagaName": "Trip", "steps": [{"service": "Order", "timeout": "1s", "timeout": "9s"}]}',
        ["$.steps[0].timeout: stands twice in the same object"],
    ),
    "NUL in a string": ('{"sagaName": "Tr\\u0000ip", "steps": []}', ["$.sagaName: holds a NUL character"]),
    "lone surrogate": (
        '{"sagaName": "Trip", "steps": [{"service": "\\ud800"}]}',
        ["$.steps[0].service: holds half a character (a lone surrogate)"],
    ),
    # The saga
    "empty object": (
        "{}",
        [
            f"$.sagaName: is missing; expected the name of a saga: {A_NAME}",
            "$.steps: is missing; expected a list of 1 to 1000 steps",
        ],
    ),
    "name missing": (
        json.dumps({"steps": [STEP]}),
        [f"$.sagaName: is missing; expected the name of a saga: {A_NAME}"],
    ),
    "name empty": (saga(STEP, sagaName=""), [f"$.sagaName: expected the name of a saga: {A_NAME}, found ''"]),
    "name with a space": (
        saga(STEP, sagaName="My Trip"),
        [f"$.sagaName: expected the name of a saga: {A_NAME}, found 'My Trip'"],
    ),
    "name too long": (
        saga(STEP, sagaName="T" * 101),
        [f"$.sagaName: expected the name of a saga: {A_NAME}, found '{'T' * 39}…'"],
    ),
    "name is a number": (
        saga(STEP, sagaName=7),
        [f"$.sagaName: expected the name of a saga: {A_NAME}, found 7"],
    ),
    "version is a number": (
        saga(STEP, version=1.0),
        [f"$.version: expected {A_VERSION}, found 1.0"],
    ),
    "ttl is zero": (saga(STEP, ttl="0s"), [f"$.ttl: {A_DURATION}, found '0s'"]),
    "ttl beyond a year": (saga(STEP, ttl="366d"), [f"$.ttl: {A_DURATION}, found '366d'"]),
    "unknown key": (
        saga(STEP, stepz=[], note="x"),
        [
            f"$.stepz: {UNKNOWN} {DEFINITION_KEYS}",
            f"$.note: {UNKNOWN} {DEFINITION_KEYS}",
        ],
    ),
    "snake case key": (
        saga(STEP, saga_name="Trip"),
        [f"$.saga_name: {UNKNOWN} {DEFINITION_KEYS}"],
    ),
    "steps missing": ('{"sagaName": "Trip"}', ["$.steps: is missing; expected a list of 1 to 1000 steps"]),
    "no steps": (saga(), ["$.steps: expected a list of 1 to 1000 steps, found an empty list"]),
    "steps is an object": (
        '{"sagaName": "Trip", "steps": {}}',
        ["$.steps: expected a list of 1 to 1000 steps, found an object"],
    ),
    "steps is null": (
        '{"sagaName": "Trip", "steps": null}',
        ["$.steps: expected a list of 1 to 1000 steps, found null"],
    ),
    "10,000 steps": (
        saga(*({**STEP, "name": f"s{n}"} for n in range(10_000))),
        ["$.steps: expected a list of 1 to 1000 steps, found a list of 10000"],
    ),
    # A step
    "step is a text": (
        saga("create"),
        ["$.steps[0]: expected an object that describes a step, found 'create'"],
    ),
    "step is null": (saga(None), ["$.steps[0]: expected an object that describes a step, found null"]),
    "compensation missing": (
        without("compensation"),
        [f"$.steps[0].compensation: is missing; expected {A_COMPENSATION}"],
    ),
    "compensation empty": (
        step(compensation=""),
        [f"$.steps[0].compensation: expected {A_COMPENSATION}, found ''"],
    ),
    "compensation is false": (
        step(compensation=False),
        [f"$.steps[0].compensation: expected {A_COMPENSATION}, found false"],
    ),
    "service missing": (
        without("service"),
        [f"$.steps[0].service: is missing; expected the name of a service: {A_NAME}"],
    ),
    "service not configured": (
        step(service="Hotel"),
        ["$.steps[0].service: expected a service of SAGA_SERVICES (Order, Payment), found 'Hotel'"],
    ),
    "transaction missing": (
        without("transaction"),
        [f"$.steps[0].transaction: is missing; expected the name of a transaction: {A_NAME}"],
    ),
    "transaction with a newline": (
        step(transaction="create\n"),
        [f"$.steps[0].transaction: expected the name of a transaction: {A_NAME}, found 'create\\n'"],
    ),
    "step name starts with a digit": (
        step(name="1st"),
        [f"$.steps[0].name: expected the name of a step: {A_NAME}, found '1st'"],
    ),
    "step name is null": (
        step(name=None),
        [f"$.steps[0].name: expected the name of a step: {A_NAME}, found null"],
    ),
    "unknown key in a step": (
        step(unless="x"),
        [f"$.steps[0].unless: {UNKNOWN} {STEP_KEYS}"],
    ),
    "duplicate step name": (
        saga({**STEP, "name": "a"}, OTHER, {**OTHER, "name": "a"}),
        ["$.steps[2].name: expected a step name of its own, found 'a' as in $.steps[0]"],
    ),
    "duplicate transaction": (
        saga(STEP, OTHER, STEP),
        [f"$.steps[2].transaction: {ITS_OWN_NAME}; {NAMED_AFTER}"],
    ),
    "name is another's transaction": (
        saga(STEP, {**OTHER, "name": "create"}),
        [f"$.steps[1].name: {ITS_OWN_NAME}"],
    ),
    # Durations
    "duration without a unit": (step(timeout="10"), [f"$.steps[0].timeout: {A_DURATION}, found '10'"]),
    "duration is a number": (step(timeout=10), [f"$.steps[0].timeout: {A_DURATION}, found 10"]),
    "duration is negative": (step(timeout="-1s"), [f"$.steps[0].timeout: {A_DURATION}, found '-1s'"]),
    "duration is zero": (step(timeout="0ms"), [f"$.steps[0].timeout: {A_DURATION}, found '0ms'"]),
    "duration with a space": (step(timeout="10 s"), [f"$.steps[0].timeout: {A_DURATION}, found '10 s'"]),
    "duration with two units": (step(timeout="1h30m"), [f"$.steps[0].timeout: {A_DURATION}, found '1h30m'"]),
    "duration in words": (
        step(timeout="ten seconds, or however long it takes to get there"),
        [f"$.steps[0].timeout: {A_DURATION}, found 'ten seconds, or however long it takes t…'"],
    ),
    "duration is null": (step(timeout=None), [f"$.steps[0].timeout: {A_DURATION}, found null"]),
    # Policies
    "retry is a number": (
        step(retry=3),
        ["$.steps[0].retry: expected an object that holds a retry policy, found 3"],
    ),
    "retry is null": (
        step(retry=None),
        ["$.steps[0].retry: expected an object that holds a retry policy, found null"],
    ),
    "no attempts": (
        step(retry={"maxAttempts": 0}),
        ["$.steps[0].retry.maxAttempts: expected a whole number from 1 to 1000, found 0"],
    ),
    "too many attempts": (
        step(retry={"maxAttempts": 10**18}),
        ["$.steps[0].retry.maxAttempts: expected a whole number from 1 to 1000, found 1000000000000000000"],
    ),
    "half an attempt": (
        step(retry={"maxAttempts": 1.5}),
        ["$.steps[0].retry.maxAttempts: expected a whole number from 1 to 1000, found 1.5"],
    ),
    "attempts in quotes": (
        step(retry={"maxAttempts": "3"}),
        ["$.steps[0].retry.maxAttempts: expected a whole number from 1 to 1000, found '3'"],
    ),
    "attempts is true": (
        step(retry={"maxAttempts": True}),
        ["$.steps[0].retry.maxAttempts: expected a whole number from 1 to 1000, found true"],
    ),
    "multiplier below one": (
        step(retry={"multiplier": 0.5}),
        ["$.steps[0].retry.multiplier: expected a number from 1 to 100, found 0.5"],
    ),
    "multiplier is a text": (
        step(retry={"multiplier": "2"}),
        ["$.steps[0].retry.multiplier: expected a number from 1 to 100, found '2'"],
    ),
    "multiplier beyond a double": (
        step(retry={"multiplier": 10**400}),
        ["$.steps[0].retry.multiplier: expected a number from 1 to 100, found a number of 401 digits"],
    ),
    "backoff shrinks": (
        step(retry={"initialBackoff": "3s", "maxBackoff": "2s"}),
        [f"$.steps[0].retry: {TOO_LOW} of 3s, found 2s"],
    ),
    "backoff above the default": (
        step(retry={"initialBackoff": "10s"}),
        [f"$.steps[0].retry: {TOO_LOW} of 10s, found 5s (the default)"],
    ),
    "unknown key in a policy": (
        step(retry={"max_attempts": 3}),
        [f"$.steps[0].retry.max_attempts: {UNKNOWN} {RETRY_KEYS}"],
    ),
    "tried without end": (
        step(retry={"maxAttempts": None}),
        [
            (
                "$.steps[0].retry: expected a number of maxAttempts or a budget: "
                "tried without end, it would never end"
            )
        ],
    ),
    "attempts of a compensation": (
        step(compensationRetry={"maxAttempts": 3}),
        [f"$.steps[0].compensationRetry.maxAttempts: {UNKNOWN} {UNDO_RETRY_KEYS}"],
    ),
    "budget is a list": (
        step(compensationRetry={"budget": ["1h"]}),
        [f"$.steps[0].compensationRetry.budget: {A_DURATION}, found a list of 1"],
    ),
    "unknown word": (
        step(onCompensationFailure="stop"),
        ['$.steps[0].onCompensationFailure: expected "halt" or "continue", found \'stop\''],
    ),
    "wrong case": (
        step(onCompensationFailure="HALT"),
        ['$.steps[0].onCompensationFailure: expected "halt" or "continue", found \'HALT\''],
    ),
    # Inputs
    "input is a text": (
        step(input="order_id"),
        [f"$.steps[0].input: {AN_INPUT}, found 'order_id'"],
    ),
    "input entry is a number": (step(input=["order_id", 1]), [f"$.steps[0].input[1]: {AN_ENTRY}, found 1"]),
    "input entry is empty": (step(input=[""]), [f"$.steps[0].input[0]: {AN_ENTRY}, found ''"]),
    "input entry twice": (
        step(input=["order_id", "user_id", "order_id"]),
        ["$.steps[0].input[2]: expected each entry once, found 'order_id' again"],
    ),
    "sensitive field twice": (
        saga(STEP, sensitive=["card", "pin", "card"]),
        ["$.sensitive: expected each entry once, found 'card' again"],
    ),
    "rule allowed twice": (
        step(allow=["no-barrier", "no-barrier"]),
        ["$.steps[0].allow: expected each entry once, found 'no-barrier' again"],
    ),
    "output of the step itself": (
        step(input=["outputs.create"]),
        [f"$.steps[0].input[0]: {AN_EARLIER_STEP} (none), found 'outputs.create'"],
    ),
    "output of a later step": (
        saga({**STEP, "input": ["outputs.pay"]}, OTHER),
        [f"$.steps[0].input[0]: {AN_EARLIER_STEP} (none), found 'outputs.pay'"],
    ),
    "output of no step": (
        saga(STEP, {**OTHER, "input": ["outputs.hotel"]}),
        [f"$.steps[1].input[0]: {AN_EARLIER_STEP} (create), found 'outputs.hotel'"],
    ),
    "output of nothing": (
        saga(STEP, {**OTHER, "input": ["outputs."]}),
        [f"$.steps[1].input[0]: {AN_EARLIER_STEP} (create), found 'outputs.'"],
    ),
    "output twice": (
        saga(STEP, {**OTHER, "input": ["outputs.create", "outputs"]}),
        ["$.steps[1].input[0]: expected nothing that 'outputs' holds already, found 'outputs.create'"],
    ),
    # All at once
    "every fault in one pass": (
        json.dumps(
            {
                "sagaName": "my trip",
                "steps": [
                    {"service": "Order", "transaction": "create", "timeout": "soon"},
                    {**STEP, "retry": {"maxAttempts": 0}, "input": ["outputs.pay"]},
                    {**OTHER, "service": "Hotel", "unless": "input.total > 0"},
                ],
            }
        ),
        [
            f"$.sagaName: expected the name of a saga: {A_NAME}, found 'my trip'",
            f"$.steps[0].compensation: is missing; expected {A_COMPENSATION}",
            f"$.steps[0].timeout: {A_DURATION}, found 'soon'",
            f"$.steps[1].transaction: {ITS_OWN_NAME}; {NAMED_AFTER}",
            "$.steps[1].retry.maxAttempts: expected a whole number from 1 to 1000, found 0",
            f"$.steps[1].input[0]: {AN_EARLIER_STEP} (create), found 'outputs.pay'",
            "$.steps[2].service: expected a service of SAGA_SERVICES (Order, Payment), found 'Hotel'",
            f"$.steps[2].unless: {UNKNOWN} {STEP_KEYS}",
        ],
    ),
}


def sentences(refused: InvalidDefinition) -> list[str]:
    """Without where they stand in the text: test_positions.py tells of that."""
    return [f"{violation.path}: {violation.sentence}" for violation in refused.violations]


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_definition_is_refused_with_a_sentence_for_each_fault(name: str) -> None:
    text, expected = WRONG[name]
    with pytest.raises(InvalidDefinition) as refusal:
        parse_definition(text, source="trip.json", services=SERVICES)
    assert sentences(refusal.value) == expected


def test_the_error_names_the_file_and_lists_one_fault_a_line() -> None:
    with pytest.raises(InvalidDefinition) as refusal:
        parse_definition("{}", source="trip.json")
    assert str(refusal.value) == (
        "trip.json is not a saga definition and is not loaded:\n"
        f"  line 1, column 1: $.sagaName: is missing; expected the name of a saga: {A_NAME}\n"
        "  line 1, column 1: $.steps: is missing; expected a list of 1 to 1000 steps"
    )


def test_no_words_of_pydantic_reach_the_reader() -> None:
    for text, _ in WRONG.values():
        with pytest.raises(InvalidDefinition) as refusal:
            parse_definition(text, source="trip.json", services=SERVICES)
        for jargon in ("pydantic", "http", "Input should", "validation", "type=", "tuple", "_s:"):
            assert jargon not in str(refusal.value)


def test_a_definition_that_could_not_be_read_again_from_the_journal_is_refused() -> None:
    entries = [f"{n:0200}" for n in range(5)]
    text = saga(*({**STEP, "name": f"s{n}", "input": entries} for n in range(880)))
    assert len(text) < 1 << 20
    with pytest.raises(InvalidDefinition) as refusal:
        parse_definition(text, source="trip.json")
    assert sentences(refusal.value) == ["$: is larger than 1048576 bytes once the defaults are filled in"]


def test_faults_of_a_hostile_file_are_counted_but_not_all_listed() -> None:
    text = saga(*([3] * 20_000))
    started = time.perf_counter()
    with pytest.raises(InvalidDefinition) as refusal:
        parse_definition(text, source="trip.json")
    assert time.perf_counter() - started < 2
    assert len(refusal.value.violations) == VIOLATIONS_MAX + 1
    assert sentences(refusal.value)[0] == "$.steps: expected a list of 1 to 1000 steps, found a list of 20000"
    assert str(refusal.value.violations[-1]) == "$: has 901 more faults, which are not listed"


@pytest.mark.parametrize("wrong", [VIOLATIONS_MAX, VIOLATIONS_MAX + 1])
def test_as_many_faults_as_may_be_listed_are_and_no_more_are_told_of(wrong: int) -> None:
    with pytest.raises(InvalidDefinition) as refusal:
        parse_definition(saga(*([3] * wrong)), source="trip.json")
    violations = [str(violation) for violation in refusal.value.violations]
    more = [] if wrong == VIOLATIONS_MAX else ["$: has 1 more faults, which are not listed"]
    assert violations[VIOLATIONS_MAX:] == more


def test_of_very_many_faults_those_of_the_saga_and_of_its_first_steps_are_listed() -> None:
    def listed(*steps: object, **others: object) -> list[str]:
        with pytest.raises(InvalidDefinition) as refusal:
            parse_definition(saga(*steps, **others), source="trip.json", services=["Order"])
        return [violation.path for violation in refusal.value.violations]

    many = [3] * VIOLATIONS_MAX
    assert "$.steps[0].service" in listed({**STEP, "service": "Nowhere"}, *many)
    assert listed(3, {**STEP, "service": "Nowhere"}, *many)[:2] == ["$.steps[0]", "$.steps[1].service"]
    full = {**STEP, **{f"key{number}": 1 for number in range(VIOLATIONS_MAX)}}
    assert "$.ttl" in listed(full, ttl="soon")


def test_an_entry_may_mean_an_earlier_step_whose_name_can_not_be_read() -> None:
    text = saga({**STEP, "name": "a step"}, {**OTHER, "input": ["outputs.a-step"]})
    with pytest.raises(InvalidDefinition) as refusal:
        parse_definition(text, source="trip.json")
    assert [violation.path for violation in refusal.value.violations] == ["$.steps[0].name"]
