"""What counts as a yes, and of which saga an action is wanted: as it was shown, or as it stands."""

import io
import sys
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from coordinator.cli.commands import acts
from coordinator.cli.exits import Exit
from coordinator.cli.output import Form
from coordinator.client.model import ActionResult, Saga, SagaStatus


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_only_a_yes_is_one_and_the_end_of_what_is_typed_is_a_no(
    monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert acts._agreed("Cancel?") is agreed


SHOWN_AT: Final = 7


def a_saga(saga_id: str) -> Saga:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Saga(saga_id, "Any", "", "", "", SagaStatus.RUNNING, "", now, now, None, SHOWN_AT)


class Recorded:
    """An Operator of one saga that notes which seq each action expects."""

    def __init__(self) -> None:
        self.expected: list[int] = []

    def __call__(self, *_: object, **__: object) -> "Recorded":
        return self

    def __enter__(self) -> "Recorded":
        return self

    def __exit__(self, *_: object) -> None: ...

    def possible_actions(self, saga_id: str) -> tuple[Saga, tuple[()]]:
        return a_saga(saga_id), ()

    def cancel(self, saga_id: str, **acting: Any) -> ActionResult:
        self.expected.append(acting["expected_seq"])
        return ActionResult(a_saga(saga_id), None, repeated=False)

    terminate = cancel

    def skip(self, saga_id: str, step: str, **acting: Any) -> ActionResult:
        return self.cancel(saga_id, **acting)


@pytest.mark.parametrize(
    ("verb", "step", "expect", "expected"),
    [
        ("cancel", None, None, 0),
        ("terminate", None, None, 0),
        ("terminate", None, 3, 3),
        ("skip", "b", None, SHOWN_AT),
        ("skip", "b", 3, 3),
    ],
)
@pytest.mark.parametrize("way", ["dry run", "asked", "yes"])
def test_a_saga_is_stopped_as_it_stands_and_a_step_is_acted_on_as_it_was_shown(
    monkeypatch: pytest.MonkeyPatch, verb: str, step: str | None, expect: int | None, expected: int, way: str
) -> None:
    operator = Recorded()
    monkeypatch.setattr(acts, "Operator", operator)
    monkeypatch.setattr(acts, "can_ask", lambda: True)
    monkeypatch.setattr(acts, "_agreed", lambda question: True)
    act = acts.Act(verb, "ada", "why", expect, None, dry_run=way == "dry run", yes=way == "yes")
    assert acts.run("127.0.0.1:1", "1s", "s-1", step, act, Form.TABLE) == Exit.OK
    assert operator.expected == [expected] * (2 if way == "asked" else 1)
