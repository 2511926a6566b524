"""The README's tour, played: each command of its ```console blocks is run as printed, in order, against what
`make run` serves, and what it prints is what stands there.

`make tour` writes it anew; `played` and `comparable` are what its test holds the README to.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from scripts.cluster import ROOT, Cluster
from scripts.run import HTTP_LISTEN, LISTEN, PARTICIPANTS_LISTEN

README: Final = ROOT / "README.md"
COMMAND_TIMEOUT_S: Final = 60.0
COLUMNS: Final = 116

_BLOCK: Final = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KNOWN: Final = (LISTEN, PARTICIPANTS_LISTEN, HTTP_LISTEN)
_DIFFERS: Final = (
    # Moments, lengths of time and sizes differ from run to run, and with them the width of columns.
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z?"), "MOMENT"),
    (re.compile(r"\+\d+\.\d+ ?s"), "+TIME"),
    (re.compile(r"(?<![\w.])\d+(?:\.\d+)? ?(?:ms|s|min)(?!\w)"), "TIME"),
    (re.compile(r"\d+(?:\.\d+)? ?(?:bytes|[kKMG]i?B)"), "SIZE"),
    (re.compile(r"\d\d:\d\d:\d\d\.\d{3}"), "MOMENT"),
    (re.compile(r"(?<![\w.])\d+\.\d{3,7}(?=,)"), "TIME"),
    (re.compile(rf"127\.0\.0\.1:(?!{'|'.join(known[10:] for known in _KNOWN)})\d+"), "ADDRESS"),
    # How far a saga has come when it is looked at is a matter of luck, and so is how often it was polled.
    (re.compile(r"is [A-Z]+ at seq \d+"), "is SOMEWHERE"),
    (re.compile(r"(?<=ID-)(\d+) +(?:RUNNING|COMPENSATING)\b"), r"\1 OPEN"),
    (re.compile(r"\d+ records"), "SOME records"),
    (re.compile(r"[─ ]{2,}"), " "),
    (re.compile(r" +$", re.MULTILINE), ""),
)


def main() -> int:
    """Play the tour and write what was printed."""
    README.write_text(played(README.read_text()))
    return 0


def blocks(text: str) -> list[str]:
    """What stands in the tour's blocks."""
    return _BLOCK.findall(text)


def comparable(block: str) -> str:
    """*block* without what differs from run to run."""
    numbers: dict[str, int] = {}
    block = _UUID.sub(lambda match: f"ID-{numbers.setdefault(match[0], len(numbers))}", block)
    for pattern, word in _DIFFERS:
        block = pattern.sub(word, block)
    return block


def played(text: str) -> str:
    """*text* with what its commands print now.

    Ids that a command names are those that an earlier command printed at that place.
    """
    with tempfile.TemporaryDirectory(prefix="saga-tour-") as name:
        folder = Path(name)
        here = folder / "here"
        here.mkdir()
        (here / "definitions").symlink_to(ROOT / "definitions")
        with Cluster(folder / "run", listen="127.0.0.1:0", http_listen="127.0.0.1:0") as cluster:
            cluster.start()
            player = _Player(cluster, here)
            return _BLOCK.sub(lambda match: player.block(match[0]), text)


class _Player:
    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._folder = folder
        self._ids: dict[str, str] = {}
        real = (cluster.address, cluster.participants_address, cluster.http_address)
        self._addresses = dict(zip(_KNOWN, real, strict=True))
        binaries = Path(sys.executable).parent
        self._environment = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "SAGA_ADDRESS": cluster.address,
            "SAGA_ACTOR": "ada",
            "COLUMNS": str(COLUMNS),
        }

    def block(self, block: str) -> str:
        """The block with what its commands print now."""
        told = []
        for command, printed in _commands(block):
            command = _UUID.sub(lambda match: self._ids.get(match[0], match[0]), command)
            said = self._run(command)
            for before, now in zip(_UUID.findall(printed), _UUID.findall(said), strict=False):
                self._ids.setdefault(before, now)
            told.append(f"$ {command}{said}")
        return "".join(told)

    def _run(self, command: str) -> str:
        for printed, real in self._addresses.items():
            command = command.replace(printed, real)
        ended = subprocess.run(
            [shutil.which("bash") or "/bin/bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        said = "".join(f"{line.rstrip()}\n" for line in ended.stdout.splitlines())
        for printed, real in self._addresses.items():
            said = said.replace(real, printed)
        return said


def _commands(block: str) -> list[tuple[str, str]]:
    """Each command of a block, with its indented further lines, and what is printed below it."""
    found: list[tuple[str, str]] = []
    goes_on = False
    for line in block.splitlines(keepends=True):
        goes_on = line.startswith("$ ") or (goes_on and line.startswith("    "))
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), ""))
        else:
            command, printed = found[-1]
            found[-1] = (command + line, "") if goes_on else (command, printed + line)
    return found


if __name__ == "__main__":
    sys.exit(main())
