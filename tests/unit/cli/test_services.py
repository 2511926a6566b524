"""`saga participants list`: what it says of services that describe themselves, and of those that do not."""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import pytest

from coordinator.cli.app import run
from coordinator.client import Participant, ParticipantState


class ThreeServices:
    """A coordinator that has asked its participants."""

    def __init__(self, address: str, *, timeout_s: float) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def participants(self) -> Sequence[Participant]:
        serving = ParticipantState.SERVING
        return [
            Participant("Sure", "a:1", serving, "", ("Trip/a",), 2, 1, barrier=True),
            Participant("Bare", "a:2", serving, "", ("Trip/b", "Trip/c"), 1, 0, barrier=False),
            Participant("Mute", "a:3", serving, "", ("Trip/d",)),
        ]


def test_a_service_without_a_barrier_is_told_from_one_that_does_not_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("coordinator.cli.commands.services.Operator", ThreeServices)
    assert run(["participants", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "SERVICE  STATE    TARGET  TRANSACTIONS  BARRIER  STEPS           MESSAGE",
        "Sure     SERVING  a:1     2             yes      Trip/a",
        "Bare     SERVING  a:2     1             no       Trip/b, Trip/c",
        "Mute     SERVING  a:3                   ?        Trip/d",
    ]
    assert run(["participants", "list", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [service["barrier"] for service in told] == [True, False, None]
