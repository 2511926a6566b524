"""The system's time, held from ever going back."""

import time
from dataclasses import dataclass
from uuid import UUID

import pytest

from coordinator.adapters.clock import SystemChance, SystemClock


@dataclass
class Machine:
    """The two clocks of a machine."""

    system_s: float = 1_000_000.0
    monotonic_s: float = 50.0

    def run(self, seconds: float) -> None:
        self.system_s += seconds
        self.monotonic_s += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(time, "time", lambda: machine.system_s)
    monkeypatch.setattr(time, "monotonic", lambda: machine.monotonic_s)
    return machine


def test_it_tells_the_systems_time(machine: Machine) -> None:
    clock = SystemClock()
    assert clock.now() == 1_000_000.0
    machine.run(7.0)
    assert clock.now() == 1_000_007.0


def test_a_system_time_that_is_set_back_stops_nothing(machine: Machine) -> None:
    clock = SystemClock()
    clock.now()
    machine.system_s -= 3_600.0
    machine.run(5.0)
    assert clock.now() == 1_000_005.0


def test_a_suspend_counts_as_time(machine: Machine) -> None:
    clock = SystemClock()
    clock.now()
    machine.system_s += 3_600.0
    assert clock.now() == 1_003_600.0


def test_a_pause_between_its_two_looks_does_not_put_it_ahead(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SystemClock()

    def paused() -> float:
        machine.run(2.0)
        return machine.monotonic_s

    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", paused)
        clock.now()
    assert clock.now() == machine.system_s


def test_it_never_goes_back() -> None:
    clock = SystemClock()
    moments = [clock.now() for _ in range(10_000)]
    assert moments == sorted(moments)


def test_draws_are_below_one_and_differ() -> None:
    chance = SystemChance()
    draws = [chance.draw() for _ in range(1_000)]
    assert 0.0 <= min(draws) < max(draws) < 1.0


def test_saga_ids_are_version_7_and_ordered_by_time() -> None:
    chance = SystemChance()
    ids = [chance.saga_id() for _ in range(1_000)]
    assert {UUID(saga_id).version for saga_id in ids} == {7}
    assert len(set(ids)) == 1_000
    assert ids == sorted(ids)
