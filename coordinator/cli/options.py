"""The options that several commands share, and what is made of them. It imports typer and nothing slow."""

import errno
import getpass
import os
import sys
from typing import Annotated, BinaryIO, Final

import typer

from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.output import Form

ADDRESS: Final = "127.0.0.1:50051"
ADDRESS_VARIABLE: Final = "SAGA_ADDRESS"
ACTOR_VARIABLE: Final = "SAGA_ACTOR"
CALL_TIMEOUT: Final = "10s"
WAIT_TIMEOUT: Final = "60s"
JOURNAL_TIMEOUT: Final = "1h"
_TEXT_BYTES_MAX: Final = 1 << 20
_LIMIT_MAX: Final = 1_000_000_000

Address = Annotated[
    str,
    typer.Option(
        "--address",
        "-a",
        envvar=ADDRESS_VARIABLE,
        show_envvar=True,
        metavar="TARGET",
        help="Where the coordinator is: host:port, or another gRPC target.",
    ),
]
CallTimeout = Annotated[
    str, typer.Option("--timeout", metavar="TIME", help='How long each call may take, such as "500ms".')
]
WaitTimeout = Annotated[
    str, typer.Option("--timeout", metavar="TIME", help='How long to wait, such as "10s" or "5m".')
]
Output = Annotated[
    Form, typer.Option("--output", "-o", metavar="FORM", help="table, json or jsonl (a line each).")
]
SagaId = Annotated[str, typer.Argument(metavar="SAGA", help="The saga's id.")]
StepName = Annotated[
    str | None,
    typer.Argument(metavar="STEP", help="The step. May be left out where only one can be meant."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=_LIMIT_MAX, metavar="N", help="At most so many.")]
Actor = Annotated[
    str | None,
    typer.Option(
        "--actor",
        envvar=ACTOR_VARIABLE,
        show_envvar=True,
        metavar="NAME",
        help="Who acts; the journal keeps it. Default: the name of the user.",
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; the journal keeps it.")]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect",
        min=1,
        metavar="SEQ",
        help="Act only if the saga still stands at this seq. Default: the seq that the shown effect is of; "
        "to cancel or terminate, any.",
    ),
]
ActionId = Annotated[
    str | None,
    typer.Option(
        "--action-id", metavar="ID", help="Names the action: sent again under the same id it is done once."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would lead to.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def seconds(text: str, option: str = "--timeout") -> float:
    """The length of time that was given with *option*.

    Raises:
        CommandFailed: it is none.
    """
    from coordinator.domain.language import durations

    try:
        return durations.check_duration(float(text)) if _is_number(text) else durations.parse_duration(text)
    except ValueError:
        raise CommandFailed(Exit.USAGE, f"{option}: expected {durations.EXPECTED}") from None


def acting(actor: str | None) -> str:
    """Who acts.

    Raises:
        CommandFailed: nobody is named, and the user has no name.
    """
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        sentence = f"say who acts: --actor NAME, or set {ACTOR_VARIABLE}"
        raise CommandFailed(Exit.USAGE, sentence) from None


def text_of(value: str, option: str) -> str:
    """What an option gives: the text itself, of a file as @path, or of stdin as -.

    Raises:
        CommandFailed: it can not be read, is larger than a coordinator takes, or is not UTF-8.
    """
    if value.startswith("@"):
        return text_in(value[1:], option)
    return text_in(value, option) if value == "-" else value


def text_in(path: str, option: str) -> str:
    """What the file at *path* holds, or stdin where that is -.

    Raises:
        CommandFailed: as `text_of`.
    """
    try:
        if path == "-":
            if sys.stdin is None:
                raise OSError(errno.EBADF, "stdin is closed")
            return _bounded(sys.stdin.buffer)
        with open(path, "rb") as file:
            return _bounded(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        raise CommandFailed(Exit.USAGE, f"{option}: {path!r} can not be read: {reason}") from None


def can_ask() -> bool:
    """Whether a person is there to answer."""
    if sys.stdin is None:  # it is closed
        return False
    return sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _bounded(file: BinaryIO) -> str:
    text = file.read(_TEXT_BYTES_MAX + 1)
    if len(text) > _TEXT_BYTES_MAX:
        raise OSError(errno.EFBIG, "it is larger than 1 MiB, and a coordinator takes no more")
    return text.decode()


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and text.isascii()
