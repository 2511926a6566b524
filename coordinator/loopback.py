"""Which gRPC targets lead to this very machine.

gRPC obeys `http_proxy` for every target that `no_proxy` does not name. A proxy elsewhere that is asked for
127.0.0.1 looks for it at home.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any, Final

_BEFORE: Final = re.compile(r"(?:dns|ipv4|ipv6):(?://[^/]*/)?")
_NO_PROXY: Final = (("grpc.enable_http_proxy", 0),)


def direct(target: str) -> Sequence[tuple[str, Any]]:
    """The options of a channel to *target* that keep proxies out of the way; none if one may be in it."""
    places = _BEFORE.sub("", target, count=1).split(",")
    return _NO_PROXY if all(map(_is_here, places)) else ()


def _is_here(place: str) -> bool:
    """Whether *place*, "host:port" or a host, is this machine, as far as its text tells."""
    host = place.rpartition(":")[0] or place
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
