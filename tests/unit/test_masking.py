"""What of a saga's data may be shown: nothing that is called sensitive, was made of it, or tells it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest

from coordinator.domain.definition import SagaDefinition, StepDefinition
from coordinator.domain.jsontext import canonical
from coordinator.domain.saga import StepState, Undo
from coordinator.domain.shown.masking import FOUND_MAX, Masking, of_its_kind
from tests.unit.machine.tale import Tale, step

TOKEN: Final = "tok-canary-31c7"
CARD: Final = {"token": TOKEN, "pin": 4711, "kind": "debit", "of": "me"}
INPUT: Final[Mapping[str, Any]] = {"order_id": "o-1", "card": CARD, "items": [{"id": "sku-1", "count": 2}]}


def masking(*steps: StepDefinition, content: Any = INPUT, sensitive: Sequence[str] = ("card",)) -> Masking:
    """That of a saga of these steps, whose input is *content*."""
    definition = SagaDefinition(name="Order", steps=steps or (step("a"),), sensitive=tuple(sensitive))
    return Masking(replace(Tale(definition).saga, input=canonical(content)), content)


def shown(value: Any, mapping: Any = None, *, of_undo: bool = False, **changed: Any) -> Any:
    """*value*, which the undo of a step is given, as it may be shown: made by *mapping*, or by none."""
    forms = {} if mapping is None else {"compensation_input" if of_undo else "input": mapping}
    pay, text = step("pay", **forms), canonical(value)
    state = begun(pay, input=None if of_undo or mapping is None else text)
    undo = Undo(None, 0.0, input=text if of_undo else None)
    return json.loads(masking(pay, **changed).undo_input(replace(state, undo=undo), text))


def begun(definition: StepDefinition, **changed: Any) -> StepState:
    """A step that may have had its effect."""
    return StepState(definition, definition.name, 0, begun=True, **changed)


def answered(value: Any, **changed: Any) -> Any:
    """*value*, which a participant answered, as it may be shown."""
    return json.loads(masking(**changed).output(canonical(value)))


def test_a_sensitive_field_of_the_sagas_input_is_masked_and_the_others_are_not() -> None:
    assert shown(INPUT) == {**INPUT, "card": "***"}
    assert shown(INPUT, sensitive=()) == INPUT


@pytest.mark.parametrize("of_undo", [False, True], ids=["input", "compensationInput"])
@pytest.mark.parametrize(
    ("expression", "value", "seen"),
    [
        ("input.order_id", "o-1", "o-1"),
        ("input.card", {"token": TOKEN}, "***"),
        ("input.card.of", "me", "***"),
        ("input['card'].of", "me", "***"),
        ("input.order_id + input.card.of", "o-1me", "***"),
        ("size(input.card.token)", 15, "***"),
        ("has(input.card) ? 'paid' : 'free'", "paid", "***"),
        ("input", {"order_id": "o-1"}, "***"),
        ("[input].map(i, i.order_id)", ["o-1"], "***"),
        ("input[outputs.a.field]", "o-1", "***"),
        ("outputs.a.room", "r-7", "r-7"),
        ("outputs.a.note", f"charged {TOKEN}", "***"),
        ("outputs.a", {"card": "x", "room": 7}, {"card": "***", "room": 7}),
        ("'EUR'", "EUR", "EUR"),
    ],
)
def test_what_a_mapping_makes_is_masked_entry_by_entry_by_what_its_expressions_read(
    expression: str, value: Any, seen: Any, of_undo: bool
) -> None:
    mapping = {
        "it": expression,
        "list": [{"deep": expression}],
        "order": "input.order_id",
        "n": 3,
        "no": None,
    }
    made = {"it": value, "list": [{"deep": value}], "order": "o-1", "n": 3, "no": None}
    expected = {**made, "it": seen, "list": [{"deep": seen}]}
    assert shown(made, mapping, of_undo=of_undo) == expected


@pytest.mark.parametrize(
    ("mapping", "value"),
    [
        ({"a": {"b": "input.order_id"}}, {"a": "o-1"}),
        ({"a": ["input.order_id"]}, {"a": ["o-1", "o-2"]}),
        ({"a": {"b": "input.order_id"}}, {"a": {"b": "o-1", "c": "o-2"}}),
        ({"a": 7}, {"a": 8}),
    ],
)
def test_what_its_mapping_does_not_vouch_for_is_masked(mapping: Any, value: Any) -> None:
    assert shown(value, mapping) == {"a": "***"}


def test_what_a_participant_answers_is_masked_where_it_tells_what_is_sensitive() -> None:
    answer = {
        "payment_id": "p-1",
        "card": {"last": "0017"},
        "said": [f"Charged {TOKEN}.", "kind: debit", 4711, "PIN 4711", 47110, 17, True, None],
        TOKEN: "as a key",
        "by": "me",
        "for": "home",
    }
    assert answered(answer) == {
        "payment_id": "p-1",
        "card": "***",
        "said": ["***", "***", "***", "***", 47110, 17, True, None],
        "***": "***",
        "by": "***",
        "for": "home",
    }
    assert answered(answer, sensitive=()) == answer


def test_a_text_that_was_given_as_a_number_is_found_as_well() -> None:
    content = {"card": {"number": "4111", "code": 123.5, "units": 42, "on": True, "none": ""}}
    answers = [4111, "x4111", "123.5", 123.5, "42", 42.0]
    assert answered(answers, content=content) == ["***"] * len(answers)
    harmless = [5, 1, True, "order 42", 420]
    assert answered(harmless, content=content) == harmless


def test_what_is_too_short_to_be_looked_for_is_masked_only_where_it_stands_alone() -> None:
    content = {"card": ["abc", "de"]}
    assert answered(["<abc>", "<de>", "de"], content=content) == ["***", "<de>", "***"]


def test_true_is_not_the_number_one() -> None:
    assert answered([1, 1.0, 0, True, False], content={"card": [1, 0]}) == ["***", "***", "***", True, False]


def test_where_too_much_is_sensitive_to_be_looked_for_every_text_is_masked() -> None:
    many = {"card": [f"secret-{n}" for n in range(FOUND_MAX + 1)]}
    assert answered({"a": ["harmless", 7], "b": ""}, content=many) == {"a": ["***", 7], "b": "***"}
    many["card"].pop()
    assert answered({"a": "harmless"}, content=many) == {"a": "harmless"}


def test_the_outputs_that_an_input_holds_are_masked_like_answers() -> None:
    given = {"order_id": "o-1", "outputs": {"a": {"card": 1, "note": f"<{TOKEN}>", "room": 7}}}
    assert shown(given) == {"order_id": "o-1", "outputs": {"a": {"card": "***", "note": "***", "room": 7}}}


def test_the_names_of_what_an_undo_is_given_are_those_of_its_input() -> None:
    first, listed = step("a"), step("b", input=("order_id", "outputs.a"))
    shaped = step("c", input={"x": "input.card", "a": "1"})
    undone = step("d", input=("items",), compensation_input={"room": "outputs.a.room"})
    of = masking(first, listed, shaped, undone)
    assert of.undo_fields(StepState(first, first.name, 0, begun=True)) == (
        "card",
        "items",
        "order_id",
        "outputs",
    )
    assert of.undo_fields(StepState(listed, listed.name, 1, begun=True)) == ("order_id", "outputs")
    assert of.undo_fields(StepState(shaped, shaped.name, 2, begun=True, input="{}")) == ("a", "x")
    assert of.undo_fields(StepState(undone, undone.name, 3, begun=True)) == ("items",)
    begun = StepState(undone, undone.name, 3, begun=True, undo=Undo(None, 0.0, input="{}"))
    assert of.undo_fields(begun) == ("room",)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("text", "***"),
        ("", "***"),
        (7, 0),
        (-7.5, 0.0),
        (True, False),
        (None, None),
        ([1, 2, 3], [0]),
        ([], []),
        ({"token": "t", "pin": 4711, "4711": 1, "a b": 1}, {"token": "***"}),
        ({"token": {"token": ["x", {"pin": 1}]}}, {"token": {"token": ["***"]}}),
    ],
)
def test_of_a_value_only_its_kind_is_kept_and_the_fields_that_the_definition_names(
    value: Any, kept: Any
) -> None:
    definition = SagaDefinition(name="Order", steps=(step("a", input={"t": "input.card.token"}),))
    found = of_its_kind(definition)(value)
    assert (found, type(found)) == (kept, type(kept))


def test_what_is_not_shown_can_be_veiled_by_a_value_of_its_kind() -> None:
    definition = SagaDefinition(name="Order", steps=(step("a"),), sensitive=("card",))
    of = Masking(Tale(definition).saga, INPUT, of_its_kind(definition))
    answer: Any = {"card": 7, "said": [TOKEN, 4711, 1], TOKEN: [TOKEN], "room": "r-1"}
    assert json.loads(of.output(canonical(answer))) == {
        "card": 0,
        "said": ["***", 0, 1],
        "***": ["***"],
        "room": "r-1",
    }


def test_words_that_tell_what_is_sensitive_are_masked_as_a_whole() -> None:
    assert masking().words(f"Charged {TOKEN}.") == "***"
    assert masking().words("No carrier goes there.") == "No carrier goes there."
