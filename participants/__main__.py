"""`python -m participants OrderService … --port 50061 --data DIR`: hosts example services, or `all`.

What is wrong at the start is told in one sentence each on standard error, with a non-zero exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import NoReturn

# gRPC's C core would print lines of its own beside our sentence; it reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from participants.calls import Operation
from participants.errors import CannotStart, InvalidRequest
from participants.exporting import WrongVariable, exporting
from participants.fault_parser import parse_plan
from participants.fault_plan import FaultPlan, Known
from participants.logs import set_up
from participants.services import EXAMPLES

try:
    from participants.server import serving
except ModuleNotFoundError as missing:
    package = (missing.name or "").partition(".")[0]
    if package in ("participants", "saga"):
        raise
    sys.exit(
        f"participants: the server needs the package {package}: run pip install 'saga-coordinator[server]'"
    )

EXIT_USAGE = 2
EXIT_FAILED = 1
KNOWN: Known = {
    name: {operation: kind.names(operation) for operation in Operation} for name, kind in EXAMPLES.items()
}
log = logging.getLogger("participants")


class UsageError(Exception):
    """The command line or the fault plan is wrong: one sentence each."""


class Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: list[str] | None = None) -> int:
    try:
        given = _parse(sys.argv[1:] if arguments is None else arguments)
        plan = _read_plan(given.faults)
    except UsageError as error:
        for sentence in error.args:
            print(f"participants: {sentence}", file=sys.stderr)
        return EXIT_USAGE
    set_up()
    try:
        with exporting():
            return asyncio.run(_serve(given, plan))
    except CannotStart as error:
        print(f"participants: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, WrongVariable) else EXIT_FAILED


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = Arguments(prog="participants", description=__doc__, allow_abbrev=False)
    parser.add_argument("services", nargs="+", metavar="SERVICE", help=f"{', '.join(EXAMPLES)} or all")
    parser.add_argument("--host", default="127.0.0.1", help="where to serve (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="the directory of the services' files")
    parser.add_argument(
        "--faults", type=Path, help="a fault plan in JSON, such as participants/example_faults.json"
    )
    given = parser.parse_args(arguments)
    if given.services == ["all"]:
        given.services = list(EXAMPLES)
    for name in given.services:
        if name not in EXAMPLES:
            raise UsageError(f"no service is called {name!r}; there are {', '.join(EXAMPLES)}")
    if len(set(given.services)) < len(given.services):
        raise UsageError("a service is named twice")
    if not 0 <= given.port <= 65535:
        raise UsageError(f"--port {given.port} is not from 0 to 65535")
    return given


def _read_plan(path: Path | None) -> FaultPlan:
    if path is None:
        return parse_plan("{}", KNOWN)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the fault plan {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the fault plan {path} is not UTF-8 text") from None
    try:
        return parse_plan(text, KNOWN)
    except InvalidRequest as error:
        raise UsageError(*(f"{path}: {violation}" for violation in error.violations)) from None


async def _serve(given: argparse.Namespace, plan: FaultPlan) -> int:
    """Serve until a signal comes or a file fails for good."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # Their terminal was closed.  Whoever starts them by `nohup` wants them to go on.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, stopped.set)
    participants = [EXAMPLES[name]() for name in given.services]
    async with serving(
        participants, data=given.data, host=given.host, port=given.port, faults=plan
    ) as served:
        names = ",".join(given.services)
        about = {"address": served.address, "services": names, "sqlite": sqlite3.sqlite_version}
        log.info("participants started", extra=about)
        print(f"participants ready {served.address} {names}", flush=True)
        waiting = asyncio.create_task(stopped.wait())
        broken = asyncio.create_task(served.broken())
        await asyncio.wait([waiting, broken], return_when=asyncio.FIRST_COMPLETED)
        failure = broken.result() if broken.done() else None
        waiting.cancel()
        broken.cancel()
    if failure is not None:
        print(f"participants: {failure}", file=sys.stderr)
        return EXIT_FAILED
    log.info("participants stopped", extra={"services": names})
    return 0


if __name__ == "__main__":
    sys.exit(main())
