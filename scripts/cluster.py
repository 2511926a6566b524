"""The real processes of one coordinator and its participants, for `make run`, the demos and the drills.

Every process that is started here is ended here, also when the caller dies by kill -9.
"""

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

SERVICES: Final = (
    "OrderService",
    "InventoryService",
    "PaymentService",
    "ShippingService",
    "NotificationService",
    "FlightService",
    "HotelService",
    "CarService",
    "TicketService",
)
ROOT: Final = Path(__file__).resolve().parent.parent
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 20.0
# The child runs this and then becomes what it was started for. As a preexec_fn it would make subprocess
# fork with Python in the child, and of a parent that has gRPC's threads such children die now and then.
_DIE_WITH_PARENT: Final = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class NotReady(Exception):
    """A process ended, or said nothing, before it was ready. The text is what it said last."""


class Process:
    """One child process that says when it is ready: on stdout, or in its log."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        python: Path = Path(sys.executable),
        is_quiet: bool = False,
    ) -> None:
        """*arguments* begin with the module that *python* runs.

        Of one that *is_quiet* nobody reads stdout, and a full pipe would stop it: that goes to *log*, too.
        """
        self.name = name
        self._log = log
        self._said = b""
        with log.open("ab") as stderr:
            self._child = subprocess.Popen(
                [str(python), "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), "-m", *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stderr if is_quiet else subprocess.PIPE,
                stderr=stderr,
                # A Ctrl-C on the terminal reaches us alone: we end the children, in the right order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    def await_ready(self, prefix: str, timeout_s: float = START_TIMEOUT_S) -> list[str]:
        """The words behind *prefix* on the first line that begins with it, also if it was said before.

        Raises:
            NotReady: it ended first, or said nothing in time.
        """
        assert self._child.stdout is not None
        until = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while time.monotonic() < until:
                for line in self._said.decode().splitlines(keepends=True):
                    if line.startswith(prefix) and line.endswith("\n"):
                        return line.removeprefix(prefix).split()
                if not selector.select(timeout=0.1):
                    continue
                chunk = os.read(self._child.stdout.fileno(), 65536)
                if not chunk:
                    self._child.wait()
                    break
                self._said += chunk
        raise self._not_ready()

    def await_logged(self, ready: re.Pattern[str], timeout_s: float = START_TIMEOUT_S) -> str:
        """The first group of *ready* where it stands in the log.

        Raises:
            NotReady: it ended first, or said nothing in time.
        """
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            # Asked first: what it said last is in the log by then.
            has_ended = self.exit_code is not None
            if (found := ready.search(self._log.read_text(errors="replace"))) is not None:
                return found[1]
            if has_ended:
                break
            time.sleep(0.1)
        raise self._not_ready()

    def wait(self, timeout_s: float) -> int:
        """Its exit code, once it has ended."""
        code = self._child.wait(timeout_s)
        if self._child.stdout is not None:
            self._child.stdout.close()
        return code

    def kill(self) -> None:
        """End it as a crash would: kill -9."""
        self._child.kill()
        self.wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """Ask it to stop; kill it if it does not. Returns its exit code."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            return self.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait(STOP_TIMEOUT_S)

    def _not_ready(self) -> NotReady:
        lines = self._log.read_text(errors="replace").splitlines()
        # Whoever did not start says why in a sentence; the log lines before it are not the reason.
        last = [line for line in lines[-3:] if not line.startswith("{")] or lines[-3:]
        last_words = f"It said last: {' / '.join(last)}" if last else "It said nothing."
        return NotReady(f"{self.name} did not get ready (exit code {self.exit_code}). {last_words}")


class Cluster:
    """One coordinator, and one process that hosts all example participants, over files in *folder*."""

    def __init__(
        self,
        folder: Path,
        *,
        listen: str,
        http_listen: str = "",
        participants_listen: str = "127.0.0.1:0",
        faults: Mapping[str, object] | None = None,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        commands: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """*http_listen* is where the coordinator serves metrics and probes; empty: nowhere.

        *settings* are the coordinator's, *environment* is for every process.
        *commands* says what to run instead of the modules `coordinator` and `participants`.
        """
        self._folder = folder
        self._listen = listen
        self._faults = faults
        self._settings = dict(settings or {})
        self._environment = dict(environment or {})
        self._commands = {
            "coordinator": ["coordinator"],
            "participants": ["participants"],
            **(commands or {}),
        }
        self.participants: Process | None = None
        self.coordinator: Process | None = None
        self.participants_address = participants_listen
        self.address = listen
        self.http_address = http_listen
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def participants_folder(self) -> Path:
        """Where the participants keep their databases."""
        return self._folder / "participants"

    @property
    def journal(self) -> Path:
        return self._folder / "saga-journal.sqlite3"

    def start(self) -> None:
        """Start everything; returns when the coordinator serves.

        Raises:
            NotReady: a process did not start; all others are ended by leaving the `with` block.
        """
        self.start_participants()
        self.start_coordinator()

    def start_participants(self) -> None:
        """Start the participants, at the address that they had before, if any."""
        port = self.participants_address.rpartition(":")[2]
        arguments = [
            *self._commands["participants"],
            *SERVICES,
            "--port",
            port,
            "--data",
            str(self.participants_folder),
        ]
        if self._faults is not None:
            plan = self._folder / "faults.json"
            plan.write_text(json.dumps(self._faults, indent=2))
            arguments += ["--faults", str(plan)]
        self.participants = Process(
            "participants", arguments, environment=self._environment, log=self._log("participants")
        )
        self.participants_address = self.participants.await_ready("participants ready ")[0]

    def start_coordinator(self) -> None:
        """Start the coordinator, at the address that it had before, if any; returns when it serves."""
        self.launch_coordinator()
        self.await_coordinator()

    def launch_coordinator(self) -> None:
        """Start the coordinator, and do not wait for it."""
        services = dict.fromkeys(SERVICES, self.participants_address)
        environment = {
            **self._environment,
            "SAGA_LISTEN": self.address,
            "SAGA_HTTP_LISTEN": self.http_address,
            "SAGA_JOURNAL": str(self.journal),
            "SAGA_DEFINITIONS": str(ROOT / "definitions"),
            "SAGA_SERVICES": json.dumps(services),
            **self._settings,
        }
        self.coordinator = Process(
            "coordinator",
            [*self._commands["coordinator"]],
            environment=environment,
            log=self._log("coordinator"),
        )

    def await_coordinator(self) -> None:
        """Return when the coordinator that was launched serves."""
        if self.coordinator is None:
            raise NotReady("no coordinator was launched")
        self.address = self.coordinator.await_ready("coordinator ready ")[0]
        if self.http_address:
            self.http_address = self.coordinator.await_ready("http ready ")[0]

    def stop(self) -> None:
        """End the coordinator first: it parks its sagas while the participants can still answer."""
        for process in (self.coordinator, self.participants):
            if process is not None:
                process.stop()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def end_by_signals() -> None:
    """From here on Ctrl-C and SIGTERM raise KeyboardInterrupt, so that `with` blocks end what they began."""
    # Also SIGINT by hand: a shell that starts this in the background has it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A second one would cut the cleaning up short.
    for ignored in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt
