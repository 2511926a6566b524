"""`python -m scripts.bench.collector FILE`: takes what is exported to it over OTLP, and throws it away.

When it is stopped it writes to FILE how many exports there were: traces that go nowhere would cost nothing.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

import grpc

from scripts.bench.serving import serve_until_stopped

_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"


class Exports:
    """How many came."""

    def __init__(self) -> None:
        self.count = 0

    async def take(self, request: bytes, context: object) -> bytes:
        self.count += 1
        # An empty message: all is accepted.
        return b""


def main() -> None:
    exports = Exports()
    offered: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Export": grpc.unary_unary_rpc_method_handler(exports.take)
    }
    asyncio.run(serve_until_stopped("collector", 0, grpc.method_handlers_generic_handler(_SERVICE, offered)))
    Path(sys.argv[1]).write_text(f"{exports.count}\n")


if __name__ == "__main__":
    main()
