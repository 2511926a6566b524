"""`saga participants`: names, options and help. What it does is in commands/services.py."""

from typing import Annotated

import typer

from coordinator.cli.group import LightGroup
from coordinator.cli.options import ADDRESS, CALL_TIMEOUT, Address, CallTimeout, Output
from coordinator.cli.output import Form

app = typer.Typer(
    help="See the services that sagas call, and what they did.",
    cls=LightGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(name="list")
def list_(
    address: Address = ADDRESS, timeout: CallTimeout = CALL_TIMEOUT, output: Output = Form.TABLE
) -> int:
    """List the services that sagas call, and whether they answer.

    Those that describe themselves are shown with how many transactions they offer, and whether a barrier
    keeps a call that comes twice from having its effect twice; ? is where a service does not say.

    \b
    Example:
      saga participants list
    """
    from coordinator.cli.commands import services

    return services.list_all(address, timeout, output)


@app.command()
def ledger(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="The service's name.")],
    saga: Annotated[str, typer.Option("--saga", metavar="SAGA", help="Only what it did for this saga.")] = "",
    target: Annotated[
        str,
        typer.Option(
            "--target", metavar="TARGET", help="Where it is. Default: where the coordinator says that it is."
        ),
    ] = "",
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """Show what a service did, oldest first, by its own ledger.

    Services that are built on the base class of this project have one.

    \b
    Example:
      saga participants ledger PaymentService --saga 01a20218-2a76-733b-8557-cb1c5225b6d4
    """
    from coordinator.cli.commands import services

    return services.ledger(address, timeout, service, saga, target, output)
