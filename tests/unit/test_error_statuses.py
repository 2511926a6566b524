"""What a refused caller reads: our own sentences whole, and all of it small enough for trailing metadata."""

import json
from collections.abc import Sequence

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import Status

from coordinator.api.definitions import at_field
from coordinator.api.errors import to_status
from coordinator.domain.definition import parse_definition
from coordinator.domain.errors import InvalidDefinition, Violation
from coordinator.domain.language.expression_rules import ExpressionFault
from coordinator.domain.language.sentences import listed

METADATA_BYTES_MAX = 8 * 1024
LONG = [f"a{number:02}".ljust(100, "x") for number in range(30)]


def a_step(name: str, **more: object) -> dict[str, object]:
    return {"service": "Bank", "transaction": name, "compensation": None, **more}


def faults_of(*steps: dict[str, object]) -> Sequence[Violation]:
    """As a caller that registers such a definition is told of them."""
    text = json.dumps({"sagaName": "Trip", "steps": steps})
    with pytest.raises(InvalidDefinition) as refused:
        parse_definition(text, source="definition_json")
    return [at_field(one, "definition_json") for one in refused.value.violations]


def placed(violation: Violation) -> Violation:
    return Violation(violation.path, violation.sentence, violation.rule, line=9_999, column=9_999)


def status_of(violations: Sequence[Violation]) -> tuple[str, Sequence[str]]:
    """The message, and the description of each violation; all of that is small enough."""
    made: Status = to_status(InvalidDefinition("definition_json", violations))
    trailing = dict(made.trailing_metadata or ())["grpc-status-details-bin"]
    assert isinstance(trailing, bytes)
    assert len(made.details) + len(trailing) * 4 / 3 < METADATA_BYTES_MAX - 128
    bad = error_details_pb2.BadRequest()
    (detail,) = [one for one in status_pb2.Status.FromString(trailing).details if one.Is(bad.DESCRIPTOR)]
    assert detail.Unpack(bad)
    return made.details, [one.description for one in bad.field_violations]


A_CIRCLE = faults_of(*(a_step(LONG[n], dependsOn=[LONG[(n + 1) % 8]]) for n in range(8)))
NO_ANCESTOR = faults_of(*(a_step(name) for name in LONG), a_step("last", input=[f"outputs.{'y' * 100}"]))
BESIDE = faults_of(
    a_step("payment", dependsOn=[], kind="pivot"), *(a_step(f"s{n:03}", dependsOn=[]) for n in range(40))
)
IN_AN_EXPRESSION = Violation(
    "definition_json.steps[999].input.payment.amount",
    ExpressionFault(
        (), 99, 4_096, "unknown-step", f"expected the name of a step ({listed(LONG)}), found '{'z' * 40}'"
    ).told,
)


@pytest.mark.parametrize(
    "violation",
    [A_CIRCLE[0], NO_ANCESTOR[0], BESIDE[0], IN_AN_EXPRESSION],
    ids=["a circle", "no ancestor", "beside the pivot", "in an expression"],
)
def test_the_longest_sentences_of_ours_are_told_whole(violation: Violation) -> None:
    violation = placed(violation)
    said = f"line 9999, column 9999: {violation.sentence}"
    message, described = status_of([violation])
    assert message == f"{violation.path}: {said}"
    assert described == [said]
    message, described = status_of([violation] * 3)
    assert message.startswith(f"{violation.path}: {said}; ")
    assert described == [said] * 3


def test_of_many_faults_as_many_are_whole_as_fit_and_the_others_are_counted() -> None:
    message, described = status_of([placed(one) for one in BESIDE])
    assert len(described) == 16
    assert all(sentence.endswith("whether it can still be undone") for sentence in described)
    assert message.count("whether it can still be undone") == 3
    assert message.endswith(f"; and {len(BESIDE) - 3} more")
    message, _ = status_of([placed(one) for one in (*A_CIRCLE, *BESIDE)])
    assert message.endswith(f"{LONG[0]}; and {len(BESIDE)} more")


def test_however_long_the_texts_are_the_status_stays_small() -> None:
    message, described = status_of([Violation("$." + "p" * 500, "s" * 5_000)] * 100)
    assert (len(message), len(described)) == (1000, 16)
