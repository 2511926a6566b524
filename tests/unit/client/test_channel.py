"""What may be an address, and how long a call is repeated."""

from typing import Any

import pytest

from coordinator.client.channel import RETRY_POLICY, SERVICE_CONFIG, channel_options, checked_target
from coordinator.client.errors import InvalidRequest
from coordinator.client.patience import retry_pauses_s
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2, operator_pb2


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "saga.example:1",
        "[::1]:65535",
        "dns:///saga:50051",
        "dns://10.0.0.53/saga:50051",
        "ipv4:10.0.0.1:50051,10.0.0.2:50051",
        "ipv6:[::1]:50051",
        "unix:/run/saga.sock",
        "unix:///run/saga.sock",
    ],
)
def test_every_form_of_target_is_taken(target: str) -> None:
    assert checked_target(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        " ",
        "127.0.0.1",
        ":50051",
        "50051",
        "127.0.0.1:",
        "127.0.0.1:99999",
        "127.0.0.1:port",
        "http://127.0.0.1:50051",
        "https://saga.example",
        "127.0.0.1:1,127.0.0.1:2",
        "not a target",
        "dns:",
        "dns:///a\0b:1",
        "dns:///a b:1",
        "127.0.0.1:50051\n",
        "::1:50051",
    ],
)
def test_what_is_no_target_is_told_with_what_one_looks_like(target: str) -> None:
    with pytest.raises(InvalidRequest, match="is no address of a coordinator: expected host:port") as refused:
        checked_target(target)
    assert [violation.field for violation in refused.value.violations] == ["target"]


@pytest.mark.parametrize("target", [None, 50051, b"127.0.0.1:50051"])
def test_what_is_no_text_is_no_target(target: Any) -> None:
    with pytest.raises(InvalidRequest, match="is no address of a coordinator: expected host:port"):
        checked_target(target)


def test_the_pauses_between_attempts_bridge_a_restart_of_two_seconds() -> None:
    attempts = int(str(RETRY_POLICY["maxAttempts"]))
    longest_s = float(str(RETRY_POLICY["maxBackoff"]).removesuffix("s"))
    first_s = float(str(RETRY_POLICY["initialBackoff"]).removesuffix("s"))
    factor = float(str(RETRY_POLICY["backoffMultiplier"]))
    pauses_s = [min(first_s * factor**n, longest_s) for n in range(attempts - 1)]
    reconnect_s = float(dict(channel_options("coordinator:50051"))["grpc.max_reconnect_backoff_ms"]) / 1000
    assert attempts <= 5, "gRPC takes no more"
    assert 0.8 * sum(pauses_s) > 2.0 + reconnect_s


def test_what_shares_a_stream_is_asked_for_again_as_grpc_repeats_a_call() -> None:
    drawn = [list(retry_pauses_s()) for _ in range(200)]
    for number, (shortest_s, longest_s) in enumerate([(0.24, 0.36), (0.48, 0.72), (0.96, 1.44), (1.6, 2.4)]):
        pauses_s = [pauses_s[number] for pauses_s in drawn]
        assert shortest_s <= min(pauses_s) < max(pauses_s) <= longest_s
        # All of a stream's calls come back when it breaks, and not at once.
        assert max(pauses_s) - min(pauses_s) > (longest_s - shortest_s) / 2
    assert {len(pauses_s) for pauses_s in drawn} == {4}


def test_grpc_repeats_no_stream_that_carries_calls() -> None:
    (policy_of_all, without) = SERVICE_CONFIG["methodConfig"]
    carrying = [
        {"service": service.full_name, "method": method.name}
        for file in (coordinator_pb2, operator_pb2, orders_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.client_streaming
    ]
    assert "retryPolicy" in policy_of_all
    assert "retryPolicy" not in without
    assert sorted(without["name"], key=str) == sorted(carrying, key=str)
