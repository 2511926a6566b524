"""`saga journal` with a coordinator that breaks off: no copy is better than half of one."""

import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from saga.v1 import operator_pb2 as pb
from saga.v1 import operator_pb2_grpc as rpc
from tests.e2e.cli_harness import Ran, Shell

Context = grpc.ServicerContext
Pieces = Callable[[Context], Iterator[pb.BackupJournalResponse]]
HALF = pb.BackupJournalResponse(data=b"x" * 1000, total_bytes=2000)


class Operators(rpc.OperatorServiceServicer):
    """Sends what a test makes up."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def BackupJournal(
        self, request: pb.BackupJournalRequest, context: Context
    ) -> Iterator[pb.BackupJournalResponse]:
        yield from self._pieces(context)

    def VerifyJournal(
        self, request: pb.VerifyJournalRequest, context: Context
    ) -> Iterator[pb.VerifyJournalResponse]:
        yield pb.VerifyJournalResponse(sagas=3, records=10)


@contextmanager
def serving(pieces: Pieces) -> Iterator[Shell]:
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    # The other calls answer UNIMPLEMENTED.
    rpc.add_OperatorServiceServicer_to_server(Operators(pieces), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Shell(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait(10)


def all_of_it(context: Context) -> Iterator[pb.BackupJournalResponse]:
    yield HALF
    yield HALF


def half_of_it(context: Context) -> Iterator[pb.BackupJournalResponse]:
    yield HALF


def nothing(context: Context) -> Iterator[pb.BackupJournalResponse]:
    yield from ()


def half_and_an_error(context: Context) -> Iterator[pb.BackupJournalResponse]:
    yield HALF
    context.abort(grpc.StatusCode.UNAVAILABLE, "stopping")


def copied(pieces: Pieces, path: Path) -> Ran:
    with serving(pieces) as shell:
        return shell.saga("journal", "backup", str(path), "--force")


@pytest.mark.parametrize(("pieces", "code"), [(half_of_it, 1), (nothing, 1), (half_and_an_error, 6)])
def test_a_copy_that_breaks_off_leaves_the_one_before_it_and_nothing_else(
    tmp_path: Path, pieces: Pieces, code: int
) -> None:
    path = tmp_path / "copy.sqlite3"
    path.write_bytes(b"the one before")
    ran = copied(pieces, path)
    assert (ran.code, ran.out, len(ran.sentence) > 10) == (code, "", True)
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_coordinator_that_goes_away_in_the_middle_is_not_told_as_a_wrong_address(tmp_path: Path) -> None:
    path = tmp_path / "copy.sqlite3"
    asked: list[str] = []

    def before_the_first_piece(context: Context) -> Iterator[pb.BackupJournalResponse]:
        asked.append("a copy")
        context.send_initial_metadata(())
        # What comes together with the end is taken for an answer that never began, which gRPC asks for again.
        time.sleep(0.3)
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        yield HALF

    ran = copied(half_and_an_error, path)
    assert ran.code == 6
    assert ran.sentence == (
        "the coordinator went away in the middle of the copy, and nothing is left of it: take another one "
        "when it is back"
    )
    ran = copied(before_the_first_piece, path)
    assert ran.code == 6
    assert "was closed before an answer came" in ran.sentence
    assert ran.sentence.endswith("; nothing was written")
    assert asked == ["a copy"], "asked again it would be told that nobody answers"
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_has_nowhere_to_go_is_not_asked_for(tmp_path: Path) -> None:
    asked: list[str] = []

    def noted(context: Context) -> Iterator[pb.BackupJournalResponse]:
        asked.append("a copy")
        yield from all_of_it(context)

    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "taken.part").mkdir()
    advice = {
        tmp_path / "no" / "copy": (
            f"{tmp_path / 'no'} is not there (No such file or directory): create the folder, or name a file "
            "in another one"
        ),
        tmp_path / "file" / "copy": (
            f"{tmp_path / 'file'} is no folder (Not a directory): name a file in another one"
        ),
        tmp_path / "taken": (
            f"{tmp_path / 'taken.part'} is a folder (Is a directory): name another file, or remove the folder"
        ),
        tmp_path / ("x" * 300): (
            f"{tmp_path / ('x' * 300)}.part can not be written (File name too long): name another file"
        ),
    }
    with serving(noted) as shell:
        for path, sentence in advice.items():
            ran = shell.saga("journal", "backup", str(path))
            assert (ran.code, ran.out, ran.sentence) == (1, "", sentence)
        # Nothing can be created there, whoever asks.
        nowhere = shell.saga("journal", "backup", "/sys/copy")
        assert nowhere.code == 1
        assert nowhere.sentence.startswith("/sys/copy.part can not be written (")
        assert nowhere.sentence.endswith("): name a file in a folder that you may write to")
    assert asked == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.part"]


@pytest.mark.parametrize("folder", [".", "/", "tests"])
def test_a_copy_is_not_asked_for_where_a_folder_is_named(folder: str) -> None:
    ran = Shell().saga("journal", "backup", folder, "--force")
    assert (ran.code, ran.sentence) == (2, f"{folder} is a folder: name a file in it")


def test_a_copy_for_which_the_disk_is_too_full_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "copy.sqlite3"
    path.write_bytes(b"the one before")
    # What is written there meets a full disk.
    part = tmp_path / "copy.sqlite3.part"
    part.symlink_to("/dev/full")
    ran = copied(all_of_it, path)
    full = f"the disk of {tmp_path} is full (No space left on device)"
    told = f"{full}: make room, or name a file on another disk"
    assert (ran.code, ran.sentence) == (1, told)
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("beside", [".lock", "-wal", "-shm"])
def test_a_journal_in_use_or_once_used_is_not_replaced_by_a_copy_whatever_is_given(
    tmp_path: Path, beside: str
) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    journal, mark = folder / "j.sqlite3", folder / f"j.sqlite3{beside}"
    journal.write_bytes(b"what was accepted")
    mark.write_bytes(b"")
    link, around = tmp_path / "link", tmp_path / "folder"
    link.symlink_to(journal)
    around.symlink_to(folder)
    part = tmp_path / "copy.part"
    part.symlink_to(journal)
    for path in (journal, link, around / "j.sqlite3"):
        ran = copied(all_of_it, path)
        assert (ran.code, ran.out) == (2, "")
        assert ran.sentence.startswith(f"{path} is a coordinator's journal, in use or once used (")
        assert ran.sentence.endswith(f"j.sqlite3{beside} stands beside it): name another file")
    assert copied(all_of_it, tmp_path / "copy").code == 2
    assert journal.read_bytes() == b"what was accepted"
    # A log that is left would be taken for the copy's own.
    journal.unlink()
    assert copied(all_of_it, journal).code == 2
    assert list(folder.iterdir()) == [mark]


def test_a_copy_replaces_a_file_and_nothing_else(tmp_path: Path) -> None:
    before, link, dangling = tmp_path / "before", tmp_path / "link", tmp_path / "dangling"
    before.write_bytes(b"the one before")
    link.symlink_to(before)
    dangling.symlink_to(tmp_path / "nowhere")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    others = "is a device, a pipe or a socket: name another file"
    refusals = {
        link: f"is a link to {before}: name that file, or another one",
        dangling: f"is a link to {tmp_path / 'nowhere'}: name that file, or another one",
        pipe: others,
        tmp_path / "socket": others,
        tmp_path: "is a folder: name a file in it",
    }
    names = sorted(path.name for path in tmp_path.iterdir())
    for path, why in refusals.items():
        ran = copied(all_of_it, path)
        assert (ran.code, ran.out, ran.sentence) == (2, "", f"{path} {why}")
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert before.read_bytes() == b"the one before"


def test_a_copy_is_for_its_maker_alone_whatever_was_there_before(tmp_path: Path) -> None:
    path, part = tmp_path / "copy", tmp_path / "copy.part"
    for left in (path, part):
        left.write_bytes(b"left over")
        left.chmod(0o644)
    assert copied(all_of_it, path).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_whole_copy_replaces_the_one_before_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "copy.sqlite3"
    path.write_bytes(b"the one before")
    ran = copied(all_of_it, path)
    assert (ran.code, ran.sentence) == (0, f"wrote {path}, 2.0 KiB")
    assert path.read_bytes() == b"x" * 2000
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o077 == 0


def test_a_verification_that_breaks_off_finds_nothing_out() -> None:
    with serving(nothing) as shell:
        ran = shell.saga("journal", "verify")
    assert (ran.code, ran.out) == (1, "")
    assert ran.sentence == "the coordinator stopped before all was read: ask again"
