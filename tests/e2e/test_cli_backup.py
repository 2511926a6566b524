"""`saga journal` with a coordinator that breaks off: no copy is better than half of one."""

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
