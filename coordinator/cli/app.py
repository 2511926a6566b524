"""The commands of `saga`: their names, their options, their help. What they do is in commands/.

Only typer and plain values are imported here, so that `saga --help` answers at once.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from coordinator.cli import dead_letters, definitions, journal, participants
from coordinator.cli.exits import table
from coordinator.cli.group import LightGroup
from coordinator.cli.options import (
    ADDRESS,
    CALL_TIMEOUT,
    WAIT_TIMEOUT,
    ActionId,
    Actor,
    Address,
    CallTimeout,
    DryRun,
    Expect,
    Limit,
    Output,
    Reason,
    SagaId,
    WaitTimeout,
    Yes,
)
from coordinator.cli.output import Form
from coordinator.cli.run import run_app

_EPILOG: Final = f"""\b
Exit codes:
{table()}"""

app = typer.Typer(
    cls=LightGroup,
    help="""Run sagas, look at them, and help the few that need a person.

    Data goes to stdout, everything else to stderr. 'saga COMMAND --help' shows how each is called.""",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(definitions.app, name="definitions")
app.add_typer(journal.app, name="journal")
app.add_typer(participants.app, name="participants")


def run(arguments: Sequence[str]) -> int:
    """Run one command line, and say how it ended."""
    return run_app(app, arguments)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"saga {version('saga-coordinator')}")
        raise typer.Exit


def _statuses(incomplete: str) -> list[str]:
    """What the shell offers behind --status."""
    from coordinator.client.model import SagaStatus

    words = [status.value for status in SagaStatus if status is not SagaStatus.UNSPECIFIED]
    return [word for word in words if word.startswith(incomplete)]


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    # gRPC reads it when it is imported. Its own remarks would stand between our sentences.
    if context.invoked_subcommand != "serve":
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")


# Its flags are made from the settings when it is called: those need pydantic.
@app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def serve(context: typer.Context) -> int:
    """Run a coordinator until SIGTERM, SIGHUP or Ctrl-C."""
    from coordinator.cli.commands import serve

    return serve.run(context.args)


@app.command()
def validate(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER", help="Definition files, or folders of them.")
    ],
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service", metavar="NAME", help="A service that exists; again for each. Default: any."
        ),
    ] = None,
    output: Output = Form.TABLE,
) -> int:
    """Check definition files as a coordinator would.

    Every fault of every file is printed; the exit code is 1 if one file is refused.

    \b
    Example:
      saga validate definitions
      saga validate trip.json --service SeatService --service HotelService
    """
    from coordinator.cli.commands import validate

    return validate.run(paths, service, output)


@app.command()
def lint(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE|FOLDER]...",
            help="Definition files, or folders of them. Default: the folder of the settings.",
        ),
    ] = None,
    participants: Annotated[
        bool,
        typer.Option(
            "--participants", help="Ask each service of the settings whether it offers what is named."
        ),
    ] = False,
    rules: Annotated[
        bool, typer.Option("--rules", help="List the rules, with what to do about each.")
    ] = False,
    output: Output = Form.TABLE,
) -> int:
    """Find what is wrong or was hardly meant in definition files.

    It is silent about sound ones; the exit code is 1 if anything is found.

    \b
    Example:
      saga lint definitions
      saga lint trip.yaml --participants
    """
    from coordinator.cli.commands import lint

    return lint.rules(output) if rules else lint.run(paths or [], output, participants=participants)


@app.command()
def simulate(
    path: Annotated[Path, typer.Argument(metavar="DEFINITION", help="A definition file.")],
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            metavar="JSON",
            help="The input: a JSON object, @file, or - for stdin. Default: one is made up.",
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            "--outputs",
            metavar="JSON",
            help="What steps answer: a JSON object by step, @file, or -. Default: what expressions read.",
        ),
    ] = None,
    runs_max: Annotated[
        int | None,
        typer.Option(
            "--runs-max",
            min=1,
            metavar="N",
            help="At most so many, evenly spread. Default: what takes about a minute.",
        ),
    ] = None,
    output: Output = Form.TABLE,
) -> int:
    """Play every bad day of a definition.

    The real engine and journal run in virtual time: each call is answered in each way, and the coordinator is
    killed at each point. Told are the worst case, what would be undone when, and what needs a person. No
    service is called; the exit code is 1 if the definition is refused.

    \b
    Example:
      saga simulate trip.json
      saga simulate trip.json --input @trip-1.json --runs-max 500
    """
    from coordinator.cli.commands import simulate

    return simulate.run(path, input, outputs, runs_max, output)


@app.command()
def start(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The sagaName of a definition.")],
    input: Annotated[
        str,
        typer.Option(
            "--input", "-i", metavar="JSON", help="The input: a JSON object, @file, or - for stdin."
        ),
    ] = "{}",
    request_id: Annotated[
        str | None,
        typer.Option(
            "--request-id", metavar="ID", help="Names at most one saga: sent again it joins that one."
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="The definition's version.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end; exit code 4 if that is not COMPLETED.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            metavar="TIME",
            help=f"How long. Default: {CALL_TIMEOUT} to be accepted, {WAIT_TIMEOUT} with --wait.",
        ),
    ] = None,
    address: Address = ADDRESS,
    output: Output = Form.TABLE,
) -> int:
    """Start a saga, or join the one that has this request id.

    \b
    Example:
      saga start OrderPlacementSaga --input @order.json --request-id r-1 --wait
      echo '{"order_id": "o-1"}' | saga start OrderPlacementSaga --input -
    """
    from coordinator.cli.commands import sagas

    return sagas.start(
        address, name, input, request_id=request_id, version=version, wait=wait, timeout=timeout, form=output
    )


@app.command(name="list")
def list_(
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="Such as RUNNING or DEAD_LETTERED.",
            autocompletion=_statuses,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Of this definition.")] = None,
    needs_person: Annotated[
        bool, typer.Option("--needs-person", help="Only those that a person must look at.")
    ] = False,
    filter: Annotated[
        str,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="Comparisons of status, saga_name, request_id, needs_person and create_time, joined by AND, "
            "such as 'create_time >= \"2026-11-22T10:00:00Z\"'.",
        ),
    ] = "",
    limit: Limit = 50,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """List sagas, newest first.

    \b
    Example:
      saga list --status COMPENSATED --limit 10
      saga list --filter 'request_id = "o-1"' -o jsonl
    """
    from coordinator.cli.commands import sagas

    return sagas.list_all(
        address,
        timeout,
        status=status,
        name=name,
        needs_person=needs_person,
        filter=filter,
        limit=limit,
        form=output,
    )


@app.command()
def show(
    saga_id: SagaId,
    inputs: Annotated[
        bool,
        typer.Option(
            "--inputs",
            help="Also what each undo would be given, but for what the definition calls sensitive.",
        ),
    ] = False,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """Show a saga with its timeline, and what would be undone.

    What was done is on the left, what was undone on the right. Below stands what would happen if it turned
    back now, and what would stay.

    \b
    Example:
      saga show 01a20218-2a76-733b-8557-cb1c5225b6d4 --inputs
    """
    from coordinator.cli.commands import sagas

    return sagas.show(address, timeout, saga_id, output, with_inputs=inputs)


@app.command()
def export(
    saga_id: SagaId,
    pytest: Annotated[
        bool, typer.Option("--pytest", help="As a test that plays it again, to the same end.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where it goes. Default: stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
) -> int:
    """Write a test of a saga that rests.

    What came to it comes again there: each answer, what people did, each restart. The real engine makes the
    rest of it, in virtual time. What the definition calls sensitive is left out. The test is run before it is
    written.

    \b
    Example:
      saga export 01a20218-2a76-733b-8557-cb1c5225b6d4 --pytest --out test_order_o_1.py
    """
    from coordinator.cli.commands import export

    return export.run(address, timeout, saga_id, as_pytest=pytest, out=out, force=force)


@app.command()
def watch(
    saga_id: SagaId,
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="SEQ", help="Begin behind this record.")
    ] = 0,
    address: Address = ADDRESS,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="How long to watch. Default: to its end.")
    ] = None,
    output: Output = Form.TABLE,
) -> int:
    """Print what happens to a saga as it happens, until it rests.

    It ends as 'saga wait' does, with exit code 4 if the saga is not COMPLETED.

    \b
    Example:
      saga watch 01a20218-2a76-733b-8557-cb1c5225b6d4 -o jsonl
    """
    from coordinator.cli.commands import sagas

    return sagas.watch(address, timeout, saga_id, after, output)


@app.command()
def wait(
    saga_id: SagaId,
    address: Address = ADDRESS,
    timeout: WaitTimeout = WAIT_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """Wait until a saga rests.

    The exit code is 0 if it is COMPLETED, 4 if it ended otherwise or needs a person, 5 if it goes on.

    \b
    Example:
      saga wait 01a20218-2a76-733b-8557-cb1c5225b6d4 --timeout 5m
    """
    from coordinator.cli.commands import sagas

    return sagas.wait(address, timeout, saga_id, output)


def _of_saga(verb: str, text: str) -> None:
    """Add what a person may do to a saga as a whole."""

    @app.command(verb, help=text)
    def act(
        saga_id: SagaId,
        reason: Reason,
        actor: Actor = None,
        expect: Expect = None,
        action_id: ActionId = None,
        dry_run: DryRun = False,
        yes: Yes = False,
        address: Address = ADDRESS,
        timeout: CallTimeout = CALL_TIMEOUT,
        output: Output = Form.TABLE,
    ) -> int:
        from coordinator.cli.commands import acts

        wanted = acts.Act(verb, actor, reason, expect, action_id, dry_run, yes)
        return acts.run(address, timeout, saga_id, None, wanted, output)


_of_saga(
    "cancel",
    """Turn a running saga back: what was begun is undone.

    \b
    Example:
      saga cancel 01a20218-2a76-733b-8557-cb1c5225b6d4 --reason "ordered twice"
    """,
)


_of_saga(
    "terminate",
    """Stop a saga for good, without undoing anything.

    \b
    Example:
      saga terminate 01a20218-2a76-733b-8557-cb1c5225b6d4 --reason "undone by hand, see ticket 12" --dry-run
    """,
)
