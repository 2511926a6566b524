"""The journal through the API, never through its file: another process owns that."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.failures import exit_of, sentence_of
from coordinator.cli.options import seconds
from coordinator.cli.output import Column, Form, ReaderGone, print_many, tell
from coordinator.cli.text import counted
from coordinator.client import Broken, ClientError, Operator, TimedOut, Unavailable
from coordinator.client.model import BackupPiece, JournalFault, VerifyProgress

_FAULT_COLUMNS: Final = (Column("SAGA", "saga_id"), Column("FAULT", "sentence"))

# What SQLite and the coordinator put beside a journal; the lock stays when the coordinator stops.
_BESIDE_A_JOURNAL: Final = (".lock", "-wal", "-shm")

_NO_FILE: Final = "{part} can not be written ({why}): name another file"
_NOT_OURS: Final = "{part} can not be written ({why}): name a file in a folder that you may write to"
_FULL: Final = "the disk of {folder} is full ({why}): make room, or name a file on another disk"
_ADVICE: Final = {
    errno.ENOENT: "{folder} is not there ({why}): create the folder, or name a file in another one",
    errno.ENOTDIR: "{folder} is no folder ({why}): name a file in another one",
    errno.EISDIR: "{part} is a folder ({why}): name another file, or remove the folder",
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
    errno.EROFS: _NOT_OURS,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
}


def backup(address: str, timeout: str, path: Path, *, force: bool) -> int:
    """Copy the journal to *path*, which is there only once it is whole and on disk."""
    timeout_s = seconds(timeout)
    with _in_our_words(path):
        # First: a folder such as / has no name that .part could stand behind.
        if path.is_dir():
            raise CommandFailed(Exit.USAGE, f"{path} is a folder: name a file in it")
        part = _part_of(path)
        for place in (path, part):
            _spare_a_journal(place)
        _check_place(path, force=force)
        # Before the coordinator is asked: it makes the whole copy before it sends the first piece.
        with open(part, "wb", opener=_for_us_alone) as file:
            try:
                with Operator(address) as operator, closing(operator.backup(timeout_s=timeout_s)) as pieces:
                    written = _receive(pieces, file, path)
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
    so_far = _Counted()
    with Operator(address) as operator, closing(operator.verify(timeout_s=seconds(timeout))) as progress:
        if form is Form.TABLE:
            found = list(so_far.faults(progress))
            faults = print_many(found, _FAULT_COLUMNS, form) if found else 0
        else:
            try:
                faults = print_many(so_far.faults(progress), _FAULT_COLUMNS, form)
            except ReaderGone:
                # It was a fault that nobody read.
                return Exit.ERROR
    tell(f"read {so_far}: {counted(faults, 'fault')}")
    return Exit.ERROR if faults else Exit.OK


class _Counted:
    """How far it is, and the faults as they are found."""

    def __init__(self) -> None:
        self.sagas = 0
        self.records = 0

    def __str__(self) -> str:
        return f"{counted(self.records, 'record')} of {counted(self.sagas, 'saga')}"

    def faults(self, progress: Iterator[VerifyProgress]) -> Iterator[JournalFault]:
        done = False
        for step in progress:
            self.sagas, self.records, done = step.sagas, step.records, step.done
            _progress(str(self))
            if step.faults:
                _clear()
            yield from step.faults
        _clear()
        if not done:
            raise CommandFailed(Exit.ERROR, "the coordinator stopped before all was read: ask again")


def _spare_a_journal(path: Path) -> None:
    """Whoever still writes to a journal would go on in a file that has no name, and all of it would be lost;
    and a log that is left of another one would be taken for the copy's own.

    Raises:
        CommandFailed: *path* is a journal, or leads to one.
    """
    for place in (path, Path(os.path.realpath(path))):
        for end in _BESIDE_A_JOURNAL:
            beside = place.with_name(place.name + end)
            if os.path.lexists(beside):
                raise CommandFailed(
                    Exit.USAGE,
                    f"{path} is a coordinator's journal, in use or once used ({beside} stands beside it): "
                    "name another file",
                )


def _check_place(path: Path, *, force: bool) -> None:
    """What a copy may replace: a file, if that is asked for, and nothing else.

    Raises:
        CommandFailed: something else is there.
    """
    if path.is_symlink():
        target = os.path.realpath(path)
        raise CommandFailed(Exit.USAGE, f"{path} is a link to {target}: name that file, or another one")
    if path.exists() and not path.is_file():
        raise CommandFailed(Exit.USAGE, f"{path} is a device, a pipe or a socket: name another file")
    if path.exists() and not force:
        raise CommandFailed(Exit.USAGE, f"{path} is there already: name another file, or give --force")


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


@contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    """What stands against a file at *path* is told with what to do about it."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, _NO_FILE)
        why = error.strerror or str(error)
        sentence = advice.format(part=_part_of(path), folder=path.parent, why=why)
        raise CommandFailed(Exit.ERROR, sentence) from None


def _receive(pieces: Iterator[BackupPiece], file: BinaryIO, path: Path) -> int:
    """Write what comes, and say how many bytes that was.

    Raises:
        CommandFailed: it is not all.
    """
    written = total = 0
    try:
        for piece in pieces:
            written, total = written + file.write(piece.data), piece.total_bytes
            _progress(f"{_size(written)} of {_size(total)}")
    except (Broken, TimedOut, Unavailable) as error:
        _clear()
        raise CommandFailed(exit_of(error), _broken_off(error, written)) from None
    _clear()
    if total == 0:
        raise CommandFailed(Exit.ERROR, "the coordinator sent an empty copy: nothing was written")
    if written != total:
        raise CommandFailed(Exit.ERROR, f"{written} of {total} bytes came: {path} was not written")
    return written


def _broken_off(error: ClientError, written: int) -> str:
    if not written:
        return f"{sentence_of(error)}; nothing was written"
    if isinstance(error, Unavailable):
        return (
            "the coordinator went away in the middle of the copy, and nothing is left of it: take another "
            "one when it is back"
        )
    return f"{sentence_of(error)}; nothing is left of the copy"


def _for_us_alone(path: str, flags: int) -> int:
    """A journal holds what was paid with: a copy of it is not for everybody on the machine."""
    handle = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        # It may be left over from before, for everybody.
        os.fchmod(handle, 0o600)
    return handle


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
