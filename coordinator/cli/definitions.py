"""`saga definitions`: names, options and help. What it does is in commands/definitions.py."""

from typing import Annotated

import typer

from coordinator.cli.group import LightGroup
from coordinator.cli.options import ADDRESS, CALL_TIMEOUT, Address, CallTimeout, Output
from coordinator.cli.output import Form

app = typer.Typer(
    help="See, register and retire what sagas are started with.",
    cls=LightGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The definition's sagaName.")]


@app.command(name="list")
def list_(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Only those of this name.")] = "",
    all_states: Annotated[
        bool, typer.Option("--all", help="Also those that no saga can be started with any more.")
    ] = False,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """List what sagas can be started with, in every version.

    NEWEST is the one that a start gets which names no version.

    \b
    Example:
      saga definitions list --name PlaceOrder --all
    """
    from coordinator.cli.commands import definitions

    return definitions.list_all(address, timeout, name, output, all_states=all_states)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The definition's sagaName, or the digest of one.")
    ],
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="The definition's version. Default: the newest."),
    ] = None,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """Show a definition with its text.

    \b
    Example:
      saga definitions show PlaceOrder --version 1
    """
    from coordinator.cli.commands import definitions

    return definitions.show(address, timeout, name, version, output)


@app.command()
def register(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="The definition, in JSON or in YAML (*.yaml, *.yml); - for stdin."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would come to.")] = False,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """Let sagas be started with a definition from now on.

    Also after every restart. A version that a saga was started with keeps its content: give other content a
    new version. Sagas that run go on with what they began with. What the linter finds is printed, and hinders
    nothing.

    \b
    Example:
      saga definitions register trip.yaml --dry-run
    """
    from coordinator.cli.commands import definitions

    return definitions.register(address, timeout, file, output, dry_run=dry_run)


@app.command()
def retire(
    name: Name,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Its version. Left out: the one without a version.")
    ] = "",
    if_no_open_sagas: Annotated[
        bool, typer.Option("--if-no-open-sagas", help="Refuse it while sagas are open on that version.")
    ] = False,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """Start no more sagas with a version of a definition.

    Sagas that run go on. Its file does not bring it back, registering it does.

    \b
    Example:
      saga definitions retire PlaceOrder 1 --if-no-open-sagas
    """
    from coordinator.cli.commands import definitions

    return definitions.retire(address, timeout, name, version, output, if_no_open_sagas=if_no_open_sagas)
