"""A name server of one name, whose address a test may change."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_HEADER_BYTES = 12
_A = b"\x00\x01\x00\x01"
"""Type and class of a question for an IPv4 address."""


class Names(asyncio.DatagramProtocol):
    """Whatever it is asked about has the one address, of IPv4, and none of IPv6."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.asked = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, query: bytes, address: tuple[str, int]) -> None:
        self.asked += 1
        end = query.index(b"\0", _HEADER_BYTES) + 5
        question = query[_HEADER_BYTES:end]
        # The answer names what was asked for by its place; it is good for no time at all.
        answer = b"\xc0\x0c" + _A + bytes(4) + b"\x00\x04" + socket.inet_aton(self.host)
        answers = [answer] if question.endswith(_A) else []
        header = query[:2] + b"\x81\x80" + b"\x00\x01" + bytes([0, len(answers)]) + bytes(4)
        assert self._transport is not None
        self._transport.sendto(header + question + b"".join(answers), address)

    def target(self, port: int) -> str:
        """The target that asks here."""
        assert self._transport is not None
        return f"dns://127.0.0.1:{self._transport.get_extra_info('sockname')[1]}/orders.test:{port}"


@asynccontextmanager
async def naming(host: str) -> AsyncIterator[Names]:
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(lambda: Names(host), local_addr=("127.0.0.1", 0))
    try:
        yield names
    finally:
        transport.close()
