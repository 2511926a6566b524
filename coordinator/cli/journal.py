"""`saga journal`: names, options and help. What it does is in commands/upkeep.py."""

from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli.group import LightGroup
from coordinator.cli.options import ADDRESS, JOURNAL_TIMEOUT, Address, Output, WaitTimeout
from coordinator.cli.output import Form

app = typer.Typer(
    help="Copy the journal, and check it.", cls=LightGroup, no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE if it is there, and no journal in use.")
    ] = False,
    address: Address = ADDRESS,
    timeout: WaitTimeout = JOURNAL_TIMEOUT,
) -> int:
    """Write a consistent copy of the journal to FILE, while sagas go on.

    FILE is there only once it is whole and on disk; until then the bytes are in FILE.part. Nobody else may
    read it. Only a regular file is replaced, and no journal in use or once used, whatever is given.

    \b
    Example:
      saga journal backup /backup/journal-monday.sqlite3
    """
    from coordinator.cli.commands import upkeep

    return upkeep.backup(address, timeout, file, force=force)


@app.command()
def verify(
    address: Address = ADDRESS, timeout: WaitTimeout = JOURNAL_TIMEOUT, output: Output = Form.TABLE
) -> int:
    """Read every record of the journal again, and replay every saga.

    Each fault is printed; the exit code is 1 if there is one.

    \b
    Example:
      saga journal verify
    """
    from coordinator.cli.commands import upkeep

    return upkeep.verify(address, timeout, output)
