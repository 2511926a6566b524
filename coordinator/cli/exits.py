"""How a command ends. The one table of exit codes: commands, help texts and tests read it."""

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """An exit code, by what the caller can do about it."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_COMPLETED = 4
    TIMEOUT = 5
    UNAVAILABLE = 6
    REFUSED = 7
    INTERRUPTED = 130


MEANING: Final = {
    Exit.OK: "done",
    Exit.ERROR: "failed, or a fault was found",
    Exit.USAGE: "wrong usage, or a request that cannot be right",
    Exit.NOT_FOUND: "no such saga or definition",
    Exit.NOT_COMPLETED: "the saga rests, and is not COMPLETED",
    Exit.TIMEOUT: "no end, or no answer, in time",
    Exit.UNAVAILABLE: "the coordinator is unreachable or overloaded",
    Exit.REFUSED: "not possible as the saga stands, or it moved",
    Exit.INTERRUPTED: "stopped by Ctrl-C",
}


class CommandFailed(Exception):
    """A command ends here: with this code, and with this sentence for the person who typed it."""

    def __init__(self, exit_code: Exit, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def table() -> str:
    """The codes and what they mean, a line each."""
    return "\n".join(f"{code.value:>4}  {meaning}" for code, meaning in MEANING.items())
