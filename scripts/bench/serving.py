"""How the benchmark's own servers are run."""

import asyncio
import signal

import grpc
import grpc.aio


def stopped() -> asyncio.Event:
    """It is set by SIGTERM and SIGINT."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def serve_until_stopped(name: str, port: int, offered: grpc.GenericRpcHandler) -> None:
    """Serve what is *offered* until SIGTERM or SIGINT; say on stdout where."""
    told = stopped()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([offered])
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print(f"{name} ready 127.0.0.1:{bound}", flush=True)
    await told.wait()
    await server.stop(1.0)
