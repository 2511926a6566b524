"""The journal through the API, never through its file: another process owns that."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO, Final

from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.options import seconds
from coordinator.cli.output import Column, Form, ReaderGone, print_many, tell
from coordinator.client import Operator
from coordinator.client.model import JournalFault, VerifyProgress

_FAULT_COLUMNS: Final = (Column("SAGA", "saga_id"), Column("FAULT", "sentence"))


def backup(address: str, timeout: str, path: Path, *, force: bool) -> int:
    """Copy the journal to *path*, which is there only once it is whole and on disk."""
    timeout_s = seconds(timeout)
    if path.is_dir():
        raise CommandFailed(Exit.USAGE, f"{path} is a folder: name a file in it")
    if path.exists() and not force:
        raise CommandFailed(Exit.USAGE, f"{path} is there already: name another file, or give --force")
    part = path.with_name(path.name + ".part")
    # The first piece comes before the first file: whoever cannot be reached leaves nothing behind.
    with Operator(address) as operator, closing(operator.backup(timeout_s=timeout_s)) as pieces:
        first = next(pieces, None)
        if first is None:
            raise CommandFailed(Exit.ERROR, "the coordinator sent an empty copy: nothing was written")
        try:
            with open(part, "wb", opener=_for_us_alone) as file:
                written = file.write(first.data)
                _progress(f"{_size(written)} of {_size(first.total_bytes)}")
                for piece in pieces:
                    written += file.write(piece.data)
                    _progress(f"{_size(written)} of {_size(piece.total_bytes)}")
                _clear()
                if written != first.total_bytes:
                    raise CommandFailed(
                        Exit.ERROR, f"{written} of {first.total_bytes} bytes came: {path} was not written"
                    )
                _sync(file)
            part.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            _clear()
            with suppress(OSError):
                part.unlink()
            raise
    tell(f"wrote {path}, {_size(written)}")
    return Exit.OK


def verify(address: str, timeout: str, form: Form) -> int:
    """Print every fault of the journal."""
    counted = _Counted()
    with Operator(address) as operator, closing(operator.verify(timeout_s=seconds(timeout))) as progress:
        if form is Form.TABLE:
            found = list(counted.faults(progress))
            faults = print_many(found, _FAULT_COLUMNS, form) if found else 0
        else:
            try:
                faults = print_many(counted.faults(progress), _FAULT_COLUMNS, form)
            except ReaderGone:
                # It was a fault that nobody read.
                return Exit.ERROR
    verdict = "no fault" if faults == 0 else "1 fault" if faults == 1 else f"{faults} faults"
    tell(f"read {counted.records} records of {counted.sagas} sagas: {verdict}")
    return Exit.ERROR if faults else Exit.OK


class _Counted:
    """How far it is, and the faults as they are found."""

    def __init__(self) -> None:
        self.sagas = 0
        self.records = 0

    def faults(self, progress: Iterator[VerifyProgress]) -> Iterator[JournalFault]:
        done = False
        for step in progress:
            self.sagas, self.records, done = step.sagas, step.records, step.done
            _progress(f"{self.records} records of {self.sagas} sagas")
            if step.faults:
                _clear()
            yield from step.faults
        _clear()
        if not done:
            raise CommandFailed(Exit.ERROR, "the coordinator stopped before all was read: ask again")


def _for_us_alone(path: str, flags: int) -> int:
    """A journal holds what was paid with: a copy of it is not for everybody on the machine."""
    return os.open(path, flags, 0o600)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A name is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _size(count: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.1f} {unit}"
    return f"{count} bytes"
