"""What large requests leave behind in the processes that refuse them: nothing that grows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from scripts.cluster import Cluster, Process

MESSAGES = 6
GROWTH_MIB_MAX = 300
"""One of these takes some 140 MiB while it is looked at, and to leave all of them would take 500 and more."""
LARGE = b"\x0a\x00" * 2_000_000
"""Two million entries with nothing in them, in less than gRPC takes as one message."""
ITEMS = b"\x1a\x00" * 2_000_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), listen="127.0.0.1:0") as running:
        running.start()
        yield running


def memory_mib(process: Process | None) -> int:
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) >> 10


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("saga.orders.v1.OrderPlacementService/PlaceOrders", LARGE),
        ("saga.v1.CoordinatorService/StartSagas", LARGE),
        ("saga.orders.v1.OrderPlacementService/PlaceOrder", ITEMS),
        ("saga.v1.ParticipantService/Perform", LARGE),
    ],
)
def test_large_messages_that_are_refused_leave_nothing_behind(
    cluster: Cluster, method: str, message: bytes
) -> None:
    is_ours = "Participant" not in method
    address = cluster.address if is_ours else cluster.participants_address
    process = cluster.coordinator if is_ours else cluster.participants
    before = memory_mib(process)
    for _ in range(MESSAGES):
        with grpc.insecure_channel(address) as channel:
            call: Any = channel.stream_unary(f"/{method}", request_serializer=bytes)
            with pytest.raises(grpc.RpcError) as refused:
                call(iter([message]), timeout=20)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert memory_mib(process) - before < GROWTH_MIB_MAX
