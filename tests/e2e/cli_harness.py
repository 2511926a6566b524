"""The command `saga` as people run it: a process with its own streams, its own environment, its exit code."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.cluster import ROOT

SAGA: Final = str(Path(sys.executable).parent / "saga")
TIMEOUT_S: Final = 50.0
INTERRUPT: Final = "\x03"
"""Ctrl-C."""
ANY_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one command line."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)

    @property
    def jsonl(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def sentence(self) -> str:
        """The one line on stderr, for a command that failed."""
        assert "Traceback" not in self.err
        (line,) = self.err.splitlines()
        return line


class Shell:
    """Runs `saga` for one coordinator, or for none."""

    def __init__(self, address: str = "") -> None:
        ours = ("SAGA_", "GRPC_", "NO_COLOR")
        given = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self._environ = {**given, **({"SAGA_ADDRESS": address} if address else {}), "SAGA_ACTOR": "anna"}

    def saga(
        self,
        *arguments: str,
        stdin: str = "",
        environ: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> Ran:
        """Run it to its end. It never prints a traceback."""
        done = subprocess.run(
            [SAGA, *arguments],
            input=stdin,
            env={**self._environ, **(environ or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def script(self, line: str) -> Ran:
        """Run a line of the shell, in which `saga` is found."""
        environ = {**self._environ, "PATH": f"{Path(SAGA).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=environ, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def popen(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start it, with its streams as pipes."""
        return subprocess.Popen(
            [SAGA, *arguments],
            env=self._environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def typed(
        self,
        *arguments: str,
        answer: str,
        after: str,
        meanwhile: Callable[[], object] = lambda: None,
        environ: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run it on a terminal, and type *answer* once it has said *after* and *meanwhile* is done. `out` is
        what the screen got."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            # The terminal becomes its own, so that Ctrl-C is a signal there, too.
            ["setsid", "--ctty", SAGA, *arguments],
            env={**self._environ, "TERM": "xterm", **(environ or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen, until = b"", time.monotonic() + TIMEOUT_S
        interrupted = False
        try:
            while time.monotonic() < until:
                if not select.select([ours], [], [], 0.5)[0]:
                    # Python misses one that comes just before it waits for a line; a person presses it again.
                    if interrupted:
                        os.write(ours, INTERRUPT.encode())
                    continue
                try:
                    chunk = os.read(ours, 4096)
                except OSError:  # the terminal's other end is closed
                    break
                if not chunk:
                    break
                seen += chunk
                if answer and after in seen.decode(errors="replace"):
                    meanwhile()
                    os.write(ours, answer.encode())
                    answer, interrupted = "", answer == INTERRUPT
            return Ran(child.wait(TIMEOUT_S), seen.decode().replace("\r\n", "\n"), "")
        finally:
            child.kill()
            child.wait()
            os.close(ours)


def an_order(order_id: str, user_id: str = "u-1") -> str:
    """The input of an order saga, as JSON."""
    amount = {"currency_code": "EUR", "units": 42}
    return json.dumps(
        {
            "order_id": order_id,
            "user_id": user_id,
            "items": [{"item_id": "sku-1", "quantity": 1}],
            "payment_info": {"method": "card", "token": "tok-canary-77", "amount": amount},
        }
    )


def _of(user_id: str) -> dict[str, str]:
    return {"field": "user_id", "equals": user_id}


# One user for each fate, so that the tests of a module share a cluster.
FATES: Final = {
    "rules": [
        {
            "service": "ShippingService",
            "transaction": "scheduleShipment",
            "when": {"field": "user_id", "one_of": ["u-dead", "u-undone"]},
            "fault": "refused",
            "code": "NO_CARRIER",
            "message": "No carrier goes there.",
        },
        {
            "service": "PaymentService",
            "compensation": "refundPayment",
            "when": _of("u-dead"),
            "fault": "refused",
            "code": "CARD_EXPIRED",
            "message": "The card has expired.",
        },
        {
            "service": "ShippingService",
            "transaction": "scheduleShipment",
            "when": _of("u-slow"),
            "fault": "pending",
            "ask_again_after_ms": 20000,
        },
        {
            "service": "OrderService",
            "transaction": "createOrder",
            "when": _of("u-flaky"),
            "fault": "faulted",
            "code": "DATABASE_BUSY",
            "message": "The database is busy.",
            "times": 2,
        },
    ]
}
