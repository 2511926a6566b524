"""Which targets are reached without a proxy."""

import pytest

from coordinator.loopback import direct


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "127.8.9.10:1",
        "localhost:50051",
        "localhost",
        "[::1]:50051",
        "dns:localhost:50051",
        "dns:///localhost:50051",
        "dns://10.0.0.53/127.0.0.1:50051",
        "ipv4:127.0.0.1:1,127.0.0.2:2",
        "ipv6:[::1]:50051",
    ],
)
def test_no_proxy_is_asked_for_the_way_to_this_machine(target: str) -> None:
    assert direct(target) == (("grpc.enable_http_proxy", 0),)


@pytest.mark.parametrize(
    "target",
    [
        "10.0.0.1:50051",
        "orders:50051",
        "localhost.example:50051",
        "dns:///orders:50051",
        "dns://127.0.0.1/orders:50051",
        "ipv4:127.0.0.1:1,10.0.0.1:2",
        "[fe80::1]:50051",
        "unix:/run/orders.sock",
        "xds:///localhost:50051",
    ],
)
def test_elsewhere_a_proxy_may_be_in_the_way(target: str) -> None:
    assert direct(target) == ()
