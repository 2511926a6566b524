"""An expression names only what is there by the time it is evaluated; all that is wrong is told at once."""

import json
from typing import Any

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.definition import parse_definition
from coordinator.domain.language import expression_rules
from coordinator.domain.language.expression_rules import ExpressionFault, expression_faults
from coordinator.domain.language.rules import RULES

CEL = CelExpressions()


def step(name: str, *after: str, **fields: Any) -> dict[str, Any]:
    """A step that depends on *after*."""
    return {"service": "S", "transaction": name, "compensation": "undo", "dependsOn": after, **fields}


def faults(*steps: dict[str, Any], **saga: Any) -> list[ExpressionFault]:
    text = json.dumps({"sagaName": "Trip", **saga, "steps": steps})
    return list(expression_faults(parse_definition(text, source="test"), CEL.check))


def rules(*steps: dict[str, Any], **saga: Any) -> list[str]:
    return [fault.rule for fault in faults(*steps, **saga)]


def test_what_is_there_may_be_named() -> None:
    assert not faults(
        step("a"),
        step("b", "a", when="outputs.a.ok", defaultOutput=None),
        step(
            "c", "b", input={"x": "outputs.a.id", "y": ["outputs.b", "input.z"]}, defaultOutput={},
            compensationInput={"own": "outputs.c", "a": "outputs.a.id", "b": "outputs.b"},
        ),
        step("d"),
        output={"a": "outputs.a.id", "b": "outputs.b", "d": "outputs.d"},
    )  # fmt: skip


def test_a_step_that_does_not_exist_is_told_by_its_place() -> None:
    (fault,) = faults(step("a"), step("b", "a", input={"x": [{"y z": "input.a +\n outputs.car.id"}]}))
    assert fault == ExpressionFault(
        ("steps", 1, "input", "x", 0, "y z"), 2, 2, "unknown-step",
        "expected the name of a step (a, b), found 'car'",
    )  # fmt: skip
    assert fault.told == f"{fault.sentence} (at line 2, character 2 of the expression)"


def test_a_fault_in_the_first_line_is_told_by_its_character_alone() -> None:
    (fault,) = faults(step("a", when="1 < outputs.car.id"))
    assert fault.told == f"{fault.sentence} (at character 5 of the expression)"


def test_a_fault_at_the_beginning_is_told_without_a_place() -> None:
    (fault,) = faults(step("a", when="outputs.car.id"))
    assert fault.told == fault.sentence


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("outputs.beside.id", "beside may not have run by then: add it to the `dependsOn` of b"),
        ("outputs.after.id", "after runs after b, so its output is not there"),
        ("outputs.b.id", "b has not run by then: its own output is not there"),
    ],
)
def test_a_step_that_may_not_have_run_is_told(source: str, sentence: str) -> None:
    steps = [step("a"), step("beside"), step("b", "a", input={"x": source}), step("after", "b")]
    (fault,) = faults(*steps)
    assert (fault.loc, fault.rule, fault.sentence) == (
        ("steps", 2, "input", "x"),
        "may-not-have-run",
        sentence,
    )


def test_an_undo_sees_no_step_beside_it_either() -> None:
    steps = [step("a"), step("b", compensationInput={"x": "outputs.a.id"}), step("c", "b")]
    (fault,) = faults(*steps)
    assert (fault.loc, fault.rule) == (("steps", 1, "compensationInput", "x"), "may-not-have-run")


def test_a_step_that_may_be_omitted_needs_a_default_output_to_be_named() -> None:
    steps = [step("a", when="input.x"), step("b", "a", input={"x": "outputs.a.id"})]
    told = faults(*steps, output={"a": "outputs.a"})
    assert [(fault.loc[0], fault.rule) for fault in told] == [
        ("steps", "needs-default-output"),
        ("output", "needs-default-output"),
    ]
    assert (
        told[0].sentence == "a may be omitted, by its `when`: give it a `defaultOutput` that stands in then"
    )


def test_a_step_needs_a_default_output_to_name_its_own_in_its_undo() -> None:
    (fault,) = faults(step("a", compensationInput={"id": "outputs.a.id"}))
    assert fault.rule == "undo-needs-default-output"
    assert fault.sentence == (
        "a may be undone without an answer of its own: give it a `defaultOutput` that stands in then"
    )
    assert not rules(step("a", compensationInput={"id": "outputs.a.id"}, defaultOutput={"id": None}))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("book-car", "outputs.book-car.id"),
        ("book.car", "outputs.book.car.id"),
        ("book-car", "outputs.`book-car`.id"),
        ("true", "outputs.true"),
    ],
)
def test_a_step_whose_name_cel_cannot_write_is_told_once(name: str, source: str) -> None:
    (fault,) = faults(step(name), step("b", name, when=source))
    assert fault.rule == "not-nameable"
    assert repr(name) in fault.sentence


def test_outputs_without_a_step_is_told_once() -> None:
    (fault,) = faults(step("a"), step("b", "a", input={"all": "size(outputs)"}))
    assert (fault.column, fault.rule) == (6, "expression-syntax")
    assert fault.sentence == "expected `outputs.<step>`, found `outputs` without the name of a step"


def test_faults_of_form_of_names_and_of_the_language_are_told_together() -> None:
    told = faults(
        step("a", when="size(input.x)"),
        step("b", "a", when="x" * 500, input={"a": " ", "b": "outputs.c.x + (1 + 'a')"}),
        step("c", "b", when="\n"),
        output={"x": "y" * 501},
    )
    assert [(fault.loc, fault.line, fault.column, fault.rule) for fault in told] == [
        (("steps", 0, "when"), 1, 1, "expression-type"),
        (("steps", 1, "when"), 1, 1, "expression-syntax"),
        (("steps", 1, "input", "a"), 1, 1, "expression-syntax"),
        (("steps", 1, "input", "b"), 1, 1, "may-not-have-run"),
        (("steps", 1, "input", "b"), 1, 18, "expression-type"),
        (("steps", 2, "when"), 1, 1, "expression-syntax"),
        (("output", "x"), 1, 1, "expression-too-large"),
    ]


def test_a_sagas_output_takes_nothing_that_is_sensitive() -> None:
    secret = ["card", "pin"]
    (whole,) = faults(step("a"), sensitive=secret, output={"all": "input"})
    assert whole == ExpressionFault(
        ("output", "all"), 1, 1, "sensitive-in-output",
        "the output is shown, and this takes the whole `input`, card, pin included",
    )  # fmt: skip
    (named,) = faults(step("a"), sensitive=secret, output={"of": "1 + input.card.code + input.amount"})
    assert named == ExpressionFault(
        ("output", "of"), 1, 1, "sensitive-in-output",
        "the output is shown, and this takes what is sensitive: card",
    )  # fmt: skip
    assert not faults(step("a"), sensitive=secret, output={"of": "input.amount"})
    assert not faults(step("a"), output={"all": "input", "card": "input.card"})
    assert not faults(step("a", input={"all": "input"}), sensitive=secret)


def test_a_list_of_names_holds_no_expressions() -> None:
    assert not faults(step("a", input=["not an expression", "outputs"]))


@pytest.mark.parametrize("word", ["in", "true", "false", "null"])
def test_a_step_that_is_called_as_a_word_of_cel_cannot_be_named(word: str) -> None:
    assert not expression_rules.is_nameable(word)
    assert expression_rules.is_nameable(f"{word}_")


def test_more_expressions_than_can_be_compiled_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression_rules, "EXPRESSIONS_MAX", 2)
    assert not faults(step("a", input={"a": "1", "b": "2"}))
    (fault,) = faults(step("a", input={"a": "1", "b": "2"}), step("b", input={"c": "3", "d": "4"}))
    assert fault == ExpressionFault(
        ("steps",), 1, 1, "expression-too-large",
        "expected at most 2 expressions in a definition, found more",
    )  # fmt: skip


def test_every_rule_that_is_told_has_its_entry_among_the_rules() -> None:
    told = rules(
        step("a-b", when="a"),
        step("b", "a-b", input={"a": "outputs.a-b", "c": "outputs.c", "d": "outputs.d", "long": "x" * 501}),
        step("c", "b", compensationInput={"own": "outputs.c"}, when="1"),
        output={"c": "outputs.c"},
    )
    assert set(told) == {
        "expression-syntax", "expression-type", "expression-too-large", "not-nameable", "may-not-have-run",
        "unknown-step", "undo-needs-default-output", "needs-default-output",
    }  # fmt: skip
    assert set(told) <= set(RULES)
