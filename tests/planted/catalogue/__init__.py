"""The catalogue: what a tired engineer could write, each of it a bug that somebody has to notice."""

from collections.abc import Mapping
from typing import Final

from tests.planted.bugs import Bug
from tests.planted.catalogue import domain, engine, journal, participants, streams

LISTED: Final[tuple[Bug, ...]] = (
    *domain.BUGS,
    *engine.BUGS,
    *journal.BUGS,
    *participants.BUGS,
    *streams.BUGS,
)
BUGS: Final[Mapping[str, Bug]] = {bug.name: bug for bug in LISTED}
"""By name."""
