"""A slice of the random runs: each is exported as a test that passes. `make export-runs` takes many."""

from coordinator.simulation.course import Acted, Cancelled, Started
from tests.exporting.runs import run

SEEDS = range(20)


def test_random_runs_are_exported_as_tests_that_pass() -> None:
    runs = [run(seed) for seed in SEEDS]
    assert len({one.export.end.status for one in runs}) >= 3
    kinds = {type(happening) for one in runs for happening in one.export.course}
    assert {Started, Acted} <= kinds | {Cancelled}
    assert any('"sensitive"' in one.text for one in runs)
