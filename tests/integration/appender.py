"""A process that holds a journal, appends without end and tells every number that was acknowledged.

    python -m tests.integration.appender JOURNAL SAGAS_AT_ONCE [FILE_BYTES_MAX]

It is there to be killed, or to meet a full disk: then it prints what failed and exits with 3.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path

from coordinator.adapters.sqlite import SqliteJournal
from coordinator.domain.errors import JournalUnavailable
from coordinator.domain.events import SagaResumed
from tests.contract.sagas import a_saga

RECORDS_PER_SAGA = 20
EXIT_FAILED = 3


def tell(line: str) -> None:
    # One unbuffered write: what was told is in the pipe, whatever happens next.
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def append_without_end(journal: SqliteJournal, name: str) -> None:
    number = 0
    while True:
        number += 1
        saga = a_saga(f"{journal.token}-{name}-{number}")
        await saga.start(journal)
        tell(f"acknowledged {saga.id} 1")
        while saga.seq < RECORDS_PER_SAGA:
            seq = await saga.goes_on(journal, SagaResumed(1_000.0 + saga.seq))
            tell(f"acknowledged {saga.id} {seq}")


async def main(path: Path, sagas_at_once: int, file_bytes_max: int | None) -> int:
    async with await SqliteJournal.open(path, disk_free_min_bytes=0) as journal:
        tell(f"open {journal.token}")
        if file_bytes_max is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
        ends = await asyncio.gather(
            *(append_without_end(journal, str(number)) for number in range(sagas_at_once)),
            return_exceptions=True,
        )
        assert all(isinstance(end, JournalUnavailable) for end in ends), ends
        tell(f"failed {await journal.failed}")
    return EXIT_FAILED


if __name__ == "__main__":
    at_once, *limit = map(int, sys.argv[2:])
    sys.exit(asyncio.run(main(Path(sys.argv[1]), at_once, limit[0] if limit else None)))
