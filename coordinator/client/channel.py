"""How a coordinator is reached: what a target may be, and how gRPC is told to keep calling.

Every call may be repeated: a start carries a request id, an order its order_id, an operator's action its
action id, and the rest only reads or says the same thing twice.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from coordinator.client.errors import InvalidRequest, Violation
from coordinator.loopback import direct

PORT_MAX: Final = 65_535
# gRPC takes at most five attempts. With 20 % of jitter the pauses add up to three and a half to five
# seconds, which bridges a restart of the coordinator.
ATTEMPTS_MAX: Final = 5
RETRY_FIRST_S: Final = 0.3
RETRY_MAX_S: Final = 2.0
RETRY_FACTOR: Final = 2.0
RETRY_JITTER: Final = 0.2
RETRY_POLICY: Final = {
    "maxAttempts": ATTEMPTS_MAX,
    "initialBackoff": f"{RETRY_FIRST_S}s",
    "maxBackoff": f"{RETRY_MAX_S}s",
    "backoffMultiplier": RETRY_FACTOR,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# What calls share is not repeated as a whole: each of them is, as far as its own time reaches.
SHARED: Final = (
    {"service": "saga.orders.v1.OrderPlacementService", "method": "PlaceOrders"},
    {"service": "saga.v1.CoordinatorService", "method": "StartSagas"},
)
SERVICE_CONFIG: Final[Mapping[str, Any]] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{"name": [{}], "retryPolicy": RETRY_POLICY}, {"name": SHARED}],
}
MESSAGE_BYTES_MAX: Final = 64 << 20
# An order waits for a minute: this finds out well before that its connection leads nowhere.
KEEPALIVE_S: Final = 20
KEEPALIVE_TIMEOUT_S: Final = 10

_HOST_PORT: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:/,\s]+):([0-9]{1,5})")
_SCHEME: Final = re.compile(r"(?:dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):\S+")
_EXPECTED: Final = (
    'expected host:port such as "127.0.0.1:50051", or another gRPC target such as "dns:///saga:50051", '
    '"ipv4:10.0.0.1:50051,10.0.0.2:50051" or "unix:/run/saga.sock"'
)


def checked_target(target: str) -> str:
    """*target*, if gRPC can make something of it. What gRPC itself says of a wrong one is no help, and a
    port that is too large it takes for another.

    Raises:
        InvalidRequest: it is no target; the sentence says what one looks like.
    """
    if not isinstance(target, str):
        raise no_target(target)
    plain = _HOST_PORT.fullmatch(target)
    if (plain is not None and int(plain[1]) <= PORT_MAX) or (
        plain is None and _SCHEME.fullmatch(target) and target.isprintable()
    ):
        return target
    raise no_target(target)


def no_target(target: object) -> InvalidRequest:
    """What to say where *target* is none."""
    sentence = f"{target!r} is no address of a coordinator: {_EXPECTED}"
    return InvalidRequest(sentence, code="INVALID_ARGUMENT", violations=[Violation("target", _EXPECTED)])


def channel_options(target: str) -> Sequence[tuple[str, Any]]:
    """Those of a channel to *target*."""
    return (
        *direct(target),
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        # The one above is the only one: what a name server would have us do is not asked.
        ("grpc.service_config_disable_resolution", 1),
        # A coordinator that comes back is found before the attempts of a call are used up.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # Also one whose name has moved: by default that is asked about twice a minute at most.
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
        # A watch may be silent for long: a peer that is gone is found out by asking it.
        ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
        # Of gRPC's own questions, while one of which no other is asked: by default they may take a minute.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    )
