"""Definitions that are right: their defaults, their one text, and what is pinned to it."""

import json
import math
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from coordinator.domain.definition import (
    STEPS_MAX,
    CompensationRetryPolicy,
    OnCompensationFailure,
    RetryPolicy,
    SagaDefinition,
    StepDefinition,
    parse_definition,
)
from coordinator.domain.ids import StepName
from coordinator.domain.language.durations import LONGEST_S, SHORTEST_S

DEFINITIONS: Final = Path(__file__).parents[3] / "definitions"
SMALLEST: Final = """
{"sagaName": "Trip", "steps": [{"service": "Hotel", "transaction": "book", "compensation": null}]}
"""
FULL: Final = """
{"sagaName": "Trip", "version": "2.1", "ttl": "1.5h", "steps": [
  {"service": "Hotel", "transaction": "book", "compensation": "unbook", "name": "hotel", "timeout": "500ms",
   "retry": {"maxAttempts": 1, "initialBackoff": "1s", "multiplier": 1, "maxBackoff": "1s"},
   "compensationRetry": {"initialBackoff": "2s", "multiplier": 1.5, "maxBackoff": "10m", "budget": "7d"},
   "onCompensationFailure": "continue", "input": ["guest", "nights"]},
  {"service": "Hotel", "transaction": "book", "compensation": null, "input": ["outputs.hotel", "guest"]},
  {"service": "Car", "transaction": "rent", "compensation": "return", "input": []}]}
"""


def test_the_smallest_definition_gets_every_default() -> None:
    definition = parse_definition(SMALLEST, source="trip.json")
    step = definition.steps[0]
    assert (definition.name, definition.version, definition.ttl_s) == ("Trip", None, None)
    assert (step.name, step.service, step.transaction) == ("book", "Hotel", "book")
    assert step.compensation is None
    assert step.timeout_s == 10
    assert step.retry == RetryPolicy(max_attempts=5, initial_backoff_s=0.2, multiplier=2, max_backoff_s=5)
    assert step.compensation_retry == CompensationRetryPolicy(
        initial_backoff_s=1, multiplier=2, max_backoff_s=60, budget_s=86_400
    )
    assert step.on_compensation_failure is OnCompensationFailure.HALT
    assert step.input is None


def test_everything_that_is_given_is_taken() -> None:
    definition = parse_definition(FULL, source="trip.json")
    hotel, again, car = definition.steps
    assert (definition.version, definition.ttl_s) == ("2.1", 5400)
    assert (hotel.name, hotel.timeout_s) == ("hotel", 0.5)
    assert hotel.retry == RetryPolicy(max_attempts=1, initial_backoff_s=1, multiplier=1, max_backoff_s=1)
    assert hotel.compensation_retry == CompensationRetryPolicy(
        initial_backoff_s=2, multiplier=1.5, max_backoff_s=600, budget_s=604_800
    )
    assert hotel.on_compensation_failure is OnCompensationFailure.CONTINUE
    assert (again.name, again.input) == ("book", ("outputs.hotel", "guest"))
    assert car.input == ()
    assert definition.step(StepName("rent")) is car
    assert definition.positions == {"hotel": 0, "book": 1, "rent": 2}
    assert definition.needed_fields == {"guest": ("hotel", "book"), "nights": ("hotel",)}


def test_the_text_is_canonical_and_complete_and_does_not_change() -> None:
    definition = parse_definition(SMALLEST, source="trip.json")
    # Sagas in journals are pinned to this text by its digest: a change here needs a way to read old ones.
    assert definition.text == (
        '{"sagaName":"Trip","steps":[{"compensation":null,"compensationRetry":{"budget":"24h",'
        '"initialBackoff":"1s","maxBackoff":"1m","multiplier":2.0},"input":null,"name":"book",'
        '"onCompensationFailure":"halt","retry":{"initialBackoff":"200ms","maxAttempts":5,'
        '"maxBackoff":"5s","multiplier":2.0},"service":"Hotel","timeout":"10s","transaction":"book"}],'
        '"ttl":null,"version":null}'
    )
    assert definition.digest == "3788f508601210ce5a201b27794185aff8e930d3d8fe6624bc21bf2165a0112c"
    assert definition.text is definition.text
    assert definition.digest is definition.digest


def test_a_definition_is_pinned_to_what_it_says_and_not_to_how_it_is_written() -> None:
    written = json.dumps(json.loads(FULL), indent=4, sort_keys=True).replace('"7d"', '"168h"')
    same = parse_definition(written, source="other.json")
    assert same.digest == parse_definition(FULL, source="trip.json").digest
    longer = parse_definition(FULL.replace('"500ms"', '"501ms"'), source="trip.json")
    assert longer.digest != same.digest


def test_the_issue_s_definition_loads_unchanged() -> None:
    definition = parse_definition((DEFINITIONS / "order_placement.json").read_bytes(), source="x")
    assert definition.name == "OrderPlacementSaga"
    assert [(step.service, step.transaction, step.compensation) for step in definition.steps] == [
        ("OrderService", "createOrder", "cancelOrder"),
        ("PaymentService", "reserveFunds", "releaseFunds"),
        ("InventoryService", "reserveInventory", "releaseInventory"),
        ("NotificationService", "sendConfirmationEmail", "sendCancellationEmail"),
        ("OrderService", "confirmOrder", None),
    ]


def test_of_place_order_only_payment_sees_payment_info() -> None:
    definition = parse_definition((DEFINITIONS / "place_order.json").read_bytes(), source="x")
    assert definition.name == "PlaceOrder"
    assert definition.ttl_s is not None
    assert [(step.service, step.transaction, step.compensation) for step in definition.steps] == [
        ("OrderService", "createOrder", "cancelOrder"),
        ("InventoryService", "reserveInventory", "releaseInventory"),
        ("PaymentService", "processPayment", "refundPayment"),
        ("ShippingService", "scheduleShipment", "cancelShipment"),
    ]
    for step in definition.steps:
        assert step.input is not None
        assert ("payment_info" in step.input) is (step.service == "PaymentService")
        assert "outputs" not in step.input
        assert "outputs.processPayment" not in step.input


def test_as_many_steps_as_allowed_are_taken() -> None:
    step = {"service": "Hotel", "transaction": "book", "compensation": None}
    steps = [{**step, "name": f"n{number}"} for number in range(STEPS_MAX)]
    definition = parse_definition(json.dumps({"sagaName": "Trip", "steps": steps}), source="x")
    assert len(definition.steps) == STEPS_MAX


def test_null_says_none_where_none_is_the_default() -> None:
    text = SMALLEST.replace("null}", 'null, "input": null}').replace("{", '{"ttl": null, "version": null,', 1)
    assert parse_definition(text, source="x") == parse_definition(SMALLEST, source="x")


def test_any_service_does_where_none_are_configured_for_reading() -> None:
    for services in (None, {"Hotel"}, {"Hotel": "unix:/h"}):
        assert parse_definition(SMALLEST, source="x", services=services).name == "Trip"


def test_a_definition_is_frozen() -> None:
    definition = parse_definition(SMALLEST, source="x")
    with pytest.raises(ValidationError, match="frozen"):
        definition.name = "Other"  # type: ignore[misc]


def test_a_definition_made_in_code_is_held_to_the_same_rules() -> None:
    step = StepDefinition(service="Hotel", transaction="book", compensation=None)
    with pytest.raises(ValidationError, match=r"\$\.steps\[1\]\.name expected a step name of its own"):
        SagaDefinition(name="Trip", steps=(step, step))
    with pytest.raises(ValidationError, match="maxBackoff"):
        RetryPolicy(initial_backoff_s=6)
    with pytest.raises(ValidationError, match="a duration"):
        RetryPolicy(initial_backoff_s=0)
    for wrong in (True, None):
        with pytest.raises(ValidationError, match="a duration"):
            RetryPolicy.model_validate({"initial_backoff_s": wrong})


def test_lists_of_names_are_read_as_they_stand() -> None:
    step = {"service": "Hotel", "transaction": "book", "compensation": None, "allow": ["b", "a"]}
    text = json.dumps({"sagaName": "Trip", "sensitive": ["z", "y"], "steps": [step]})
    definition = parse_definition(text, source="x")
    assert (definition.sensitive, definition.steps[0].allow) == (("z", "y"), ("b", "a"))


def test_definitions_of_the_same_text_are_one_to_whoever_collects_them() -> None:
    assert len({parse_definition(SMALLEST, source=source) for source in ("x", "y")}) == 1


@pytest.mark.parametrize("growth", [0.5, 100.5, math.nan, math.inf])
def test_pauses_grow_and_not_without_measure(growth: float) -> None:
    with pytest.raises(ValidationError, match="multiplier"):
        RetryPolicy(multiplier=growth)


@pytest.mark.parametrize(
    ("of_saga", "of_step"),
    [
        ({"name": b"Trip"}, {}),
        ({"version": b"1"}, {}),
        ({}, {"service": b"Hotel"}),
        ({}, {"name": b"book"}),
        ({}, {"input": (b"card",)}),
        ({}, {"when": b"true"}),
    ],
)
def test_a_text_is_a_text_and_nothing_that_could_be_read_as_one(
    of_saga: dict[str, object], of_step: dict[str, object]
) -> None:
    step = {"service": "Hotel", "transaction": "book", "compensation": None}
    with pytest.raises(ValidationError, match="should be a valid string"):
        SagaDefinition.model_validate({"name": "Trip", "steps": ({**step, **of_step},), **of_saga})


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,20}", fullmatch=True)
DURATIONS_S = st.floats(SHORTEST_S, LONGEST_S) | st.integers(1, 1000).map(float)


@st.composite
def backoffs(draw: st.DrawFn) -> dict[str, float]:
    low, high = sorted([draw(DURATIONS_S), draw(DURATIONS_S)])
    multiplier = draw(st.floats(1, 100))
    return {"initial_backoff_s": low, "max_backoff_s": high, "multiplier": multiplier}


@st.composite
def definitions(draw: st.DrawFn) -> SagaDefinition:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    fields = st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
    )
    steps = []
    for position, name in enumerate(names):
        plain = fields.filter(lambda field: not field.startswith("outputs"))
        entries = plain | st.sampled_from([f"outputs.{earlier}" for earlier in names[:position]] or ["total"])
        retry = {**draw(backoffs()), "max_attempts": draw(st.integers(1, 1000))}
        undo_retry = {**draw(backoffs()), "budget_s": draw(DURATIONS_S)}
        steps.append(
            StepDefinition(
                name=StepName(name),
                service=draw(NAMES),
                transaction=draw(NAMES),
                compensation=draw(st.none() | NAMES),
                timeout_s=draw(DURATIONS_S),
                retry=RetryPolicy.model_validate(retry),
                compensation_retry=CompensationRetryPolicy.model_validate(undo_retry),
                on_compensation_failure=draw(st.sampled_from(OnCompensationFailure)),
                input=draw(st.none() | st.lists(entries, max_size=4, unique=True).map(tuple)),
            )
        )
    return SagaDefinition(
        name=draw(NAMES),
        version=draw(st.none() | st.from_regex(r"[0-9][0-9.]{0,5}", fullmatch=True)),
        ttl_s=draw(st.none() | DURATIONS_S),
        steps=tuple(steps),
    )


@settings(deadline=None, max_examples=100)
@given(definitions())
def test_parsing_the_text_of_a_definition_gives_it_back(definition: SagaDefinition) -> None:
    again = parse_definition(definition.text, source="journal")
    assert again == definition
    assert again.text == definition.text
    assert again.digest == definition.digest


def test_definitions_are_equal_if_they_say_the_same() -> None:
    text = '{"sagaName":"Order","steps":[{"service":"Shop","transaction":"reserve","compensation":null}]}'
    one = parse_definition(text, source="one")
    assert one == parse_definition(f" {text} ", source="another")
    assert one != parse_definition(text.replace("reserve", "release"), source="one")
    assert one != one.digest
