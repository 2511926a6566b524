"""The files around the database: checked, locked and mended before SQLite touches any of them.

Every refusal is one sentence that names the file and says what to do.
"""

import fcntl
import json
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from coordinator.adapters.sqlite.wal import look_through
from coordinator.domain.errors import StartupFailed
from coordinator.domain.ids import FencingToken

APPLICATION_ID: Final = int.from_bytes(b"SAGA")
"""Stands in the header of every journal of ours."""

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100
_APPLICATION_ID_AT: Final = slice(68, 72)
_VERSIONS_AT: Final = slice(18, 20)
_WITHOUT_LOG: Final = b"\x01\x01"
"""The file's write and read versions (SQLite's file format, 1.3.3): of a database in WAL mode they are 2."""
_CHUNK_BYTES: Final = 1 << 20
_LOCK_BYTES_MAX: Final = 1 << 12
# The journal holds what callers paid with.
_PRIVATE: Final = 0o600

_LOCK: Final = ".lock"
# Not a name that a person would give to a copy of their own: it is removed without a question.
_COPY: Final = ".backup-under-way"

_NO_TOKEN: Final = FencingToken(0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LastOpening:
    """What the lock file tells about the opening before this one."""

    pid: int | None = None
    token: FencingToken = _NO_TOKEN
    closed: bool = True


class Lock:
    """The right to write one journal, held until it is released or the process ends.

    The file stays for good: were it removed, two processes could hold two files of that name. It also
    remembers the last token outside of the database, which shows when the database was replaced.
    """

    def __init__(self, database: Path, fd: int, before: LastOpening) -> None:
        self._fd = fd
        self.database: Final = database
        self.before: Final = before

    @classmethod
    def take(cls, database: Path) -> Self:
        """Lock out every other process, and tell them who did.

        Raises:
            StartupFailed: another process holds the lock, or the lock file cannot be used.
        """
        path = _beside(database, _LOCK)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        except OSError as error:
            raise StartupFailed(
                f"the journal's lock file {path} cannot be opened ({error.strerror}): "
                "make the folder and the file writable for the coordinator's user"
            ) from None
        try:
            # An flock belongs to the open file, so it shuts out a second journal in this process too.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock = cls(database, fd, _read(fd))
            lock._write(LastOpening(os.getpid(), lock.before.token, lock.before.closed))
        except BlockingIOError:
            pid = _read(fd).pid
            os.close(fd)
            holder = "another process" if pid is None else f"process {pid}"
            raise StartupFailed(
                f"the journal {database} is held by {holder}: stop that one, or give this coordinator "
                "a journal of its own"
            ) from None
        except OSError as error:
            os.close(fd)
            raise StartupFailed(
                f"the journal's lock file {path} cannot be locked and written ({error.strerror}): "
                "check its disk, and that its file system supports locks"
            ) from None
        return lock

    def opened(self, token: FencingToken) -> None:
        """Remember the token of this opening. Only after the database holds it: a warning must be true."""
        self._write(LastOpening(os.getpid(), token, closed=False))

    def closing(self, token: FencingToken) -> None:
        """Remember that everything is committed and the write-ahead log may go away."""
        self._write(LastOpening(os.getpid(), token, closed=True))

    def release(self) -> None:
        os.close(self._fd)

    def _write(self, opening: LastOpening) -> None:
        told = {"pid": opening.pid, "token": opening.token, "closed": opening.closed}
        text = json.dumps(told).encode() + b"\n"
        os.pwrite(self._fd, text, 0)
        os.ftruncate(self._fd, len(text))
        os.fsync(self._fd)


def claim(path: Path) -> Lock:
    """Lock the journal at *path* and leave its files so that SQLite may open them.

    Raises:
        StartupFailed: with what is wrong and what to do about it.
    """
    # One file under two names would have two locks.
    path = Path(os.path.realpath(path))
    _check_place(path)
    if not _beside(path, _LOCK).exists() and path.exists():
        # The lock's file stays for good, and beside a file that is none of ours it would be the first of us.
        _check_kind(path, _header(path))
    lock = Lock.take(path)
    try:
        _check_database(path, lock.before)
        _mend_wal(path, lock.before)
        _clear_away(path)
    except BaseException:
        lock.release()
        raise
    return lock


def wal_path(database: Path) -> Path:
    """The write-ahead log that SQLite keeps beside *database*."""
    return _beside(database, "-wal")


def create_copy(database: Path) -> Path:
    """An empty file beside *database* for a copy of it, readable by its owner only."""
    remove_copy(database)
    path = _beside(database, _COPY)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE))
    return path


def mark_copy(path: Path) -> None:
    """Let the finished copy at *path* be known from a journal in use: by its header it never had a log."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, _WITHOUT_LOG, _VERSIONS_AT.start)
    finally:
        os.close(fd)


def remove_copy(database: Path) -> None:
    """Take the copy of *database* out of the folder; whoever has it open can read it to its end."""
    _beside(database, _COPY).unlink(missing_ok=True)


def _check_place(path: Path) -> None:
    try:
        if not path.parent.is_dir():
            raise StartupFailed(
                f"the journal's folder {path.parent} does not exist: create it, or name another file for "
                "the journal"
            )
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_open(path, error) from None
    # Opening a pipe would wait for its other end.
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise StartupFailed(f"the journal {path} is {what}: name a file for the journal")
    if found.st_nlink > 1:
        # One file under two names would have two locks, and two logs.
        raise StartupFailed(f"the journal {path} has {found.st_nlink} names (hard links): remove all but one")


def _check_database(path: Path, before: LastOpening) -> None:
    header = _header(path)
    if not header:
        _check_new(path, before)
        return
    _check_kind(path, header)
    if header[_VERSIONS_AT] == _WITHOUT_LOG and (wal := wal_path(path)).exists() and wal.stat().st_size:
        # SQLite would play the log of one database back over the other, and not say a word.
        raise StartupFailed(
            f"the journal {path} is a copy that was put in the place of another one, whose write-ahead log "
            f"{wal.name} is still there: move that log and {_beside(path, '-shm').name} away, and start again"
        )


def _header(path: Path) -> bytes:
    """The first bytes of the database, which is made if there is none."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        try:
            return os.pread(fd, _HEADER_BYTES, 0)
        finally:
            os.close(fd)
    except OSError as error:
        raise _cannot_open(path, error) from None


def _check_kind(path: Path, header: bytes) -> None:
    """Refuse what is no journal of ours; an empty file may become one."""
    if header and not header.startswith(_MAGIC):
        raise StartupFailed(
            f"the journal {path} is not a SQLite database: move that file away, or name another one"
        )
    if header and int.from_bytes(header[_APPLICATION_ID_AT]) != APPLICATION_ID:
        raise StartupFailed(
            f"the journal {path} is a database of another program: name another file for the journal"
        )


def _check_new(path: Path, before: LastOpening) -> None:
    """An empty database is a new one, unless something beside it says that there was one before."""
    wal = wal_path(path)
    # SQLite would delete such a log without a word.
    if wal.exists() and wal.stat().st_size:
        raise StartupFailed(
            f"the journal {path} is gone but its write-ahead log {wal.name} is still there: put the "
            "database back beside it, or move the log away to begin a new journal"
        )
    if before.token:
        _log.warning(
            "the journal %s is gone: its lock file remembers token %d; a new journal begins",
            path,
            before.token,
        )


def _mend_wal(path: Path, before: LastOpening) -> None:
    """Write the log of a coordinator that did not close again, byte for byte, and sync it.

    After a failed fsync the kernel may hold its pages as clean although they never reached the disk;
    SQLite would read them, take them for durable and check them into the database. What was not durable is
    cut off: SQLite leaves it there to be written over, and after one more crash it would look like damage.
    """
    wal = wal_path(path)
    try:
        size = wal.stat().st_size
    except FileNotFoundError:
        size = 0
    if not size:
        if not before.closed:
            _log.warning(
                "the journal %s was not closed by process %s, and its write-ahead log is gone: "
                "what was not yet in the database is lost",
                path,
                before.pid,
            )
        return
    _log.warning(
        "the journal %s was not closed by process %s: taking up %d bytes of its write-ahead log",
        path,
        before.pid,
        size,
    )
    try:
        # First, while nothing was touched: SQLite would drop what is behind the damage, and write over it.
        found = look_through(wal)
        if (at := found.damaged_at) is not None:
            raise StartupFailed(
                f"the journal's write-ahead log {wal} is damaged at byte {at}, and what was recorded behind "
                "that would be forgotten: put back a copy of the journal; or, to go on without it, keep a "
                f"copy of the log and cut it off there (truncate -s {at} {wal})"
            )
        _rewrite(wal, found.whole_until)
    except OSError as error:
        raise StartupFailed(
            f"the journal's write-ahead log {wal} cannot be made durable ({error.strerror}): "
            "mend the disk, or move the journal with its log to another one"
        ) from None


def _clear_away(path: Path) -> None:
    """Remove the half of a copy that a killed coordinator left."""
    try:
        remove_copy(path)
    except OSError as error:
        raise _cannot_open(path, error) from None


def _rewrite(path: Path, size: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        at = 0
        while chunk := os.pread(fd, _CHUNK_BYTES, at):
            at += os.pwrite(fd, chunk, at)
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make the name of *path* durable."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(fd: int) -> LastOpening:
    try:
        # A writer that was killed before it cut the file left more than its line.
        told = json.loads(os.pread(fd, _LOCK_BYTES_MAX, 0).partition(b"\n")[0])
        return LastOpening(int(told["pid"]), FencingToken(int(told["token"])), bool(told["closed"]))
    except (ValueError, TypeError, KeyError):
        # A new lock file, or one that somebody else wrote to: nothing is known.
        return LastOpening()


def _cannot_open(path: Path, error: OSError) -> StartupFailed:
    return StartupFailed(
        f"the journal {path} cannot be opened for reading and writing ({error.strerror}): "
        "make it writable for the coordinator's user, or name another file"
    )


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)
