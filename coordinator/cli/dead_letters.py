"""`saga dead-letters`: names, options and help. What it does is in commands/acts.py."""

from typing import Annotated

import typer

from coordinator.cli.group import LightGroup
from coordinator.cli.options import (
    ADDRESS,
    CALL_TIMEOUT,
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
    StepName,
    Yes,
)
from coordinator.cli.output import Form

app = typer.Typer(
    help="See the sagas that need a person, and help them.",
    cls=LightGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(name="list")
def list_(
    limit: Limit = 50,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """List the sagas that need a person, newest first.

    \b
    Example:
      saga dead-letters list
    """
    from coordinator.cli.commands import acts

    return acts.list_all(address, timeout, limit, output)


@app.command()
def show(
    saga_id: SagaId,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """Show what failed, and what can be done about it.

    Each action is shown with what it would lead to, and with the line to type.

    \b
    Example:
      saga dead-letters show 01a20218-2a76-733b-8557-cb1c5225b6d4
    """
    from coordinator.cli.commands import acts

    return acts.show(address, timeout, saga_id, output)


def _of_step(verb: str, text: str) -> None:
    """Add what a person may do to a step, by saying no more than why."""

    @app.command(verb, help=text)
    def act(
        saga_id: SagaId,
        reason: Reason,
        step: StepName = None,
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
        return acts.run(address, timeout, saga_id, step, wanted, output)


_of_step(
    "retry",
    """Ask a step's participant again.

    What failed for good, an undo or a step past the pivot, gets a new budget. A saga that was set aside as a
    whole is driven on.

    \b
    Example:
      saga dead-letters retry 01a20218-2a76-733b-8557-cb1c5225b6d4 --reason "the bank is back"
    """,
)


_of_step(
    "skip",
    """Go on without a step.

    Its effect, if there is one, is left in place. What depends on it goes on.

    \b
    Example:
      saga dead-letters skip 01a20218-2a76-733b-8557-cb1c5225b6d4 sendMail --reason "told by phone"
    """,
)


@app.command()
def complete(
    saga_id: SagaId,
    reason: Reason,
    step: StepName = None,
    step_output: Annotated[
        str | None,
        typer.Option(
            "--step-output",
            metavar="JSON",
            help="What the step answered, going forward: JSON, @file, or - for stdin. Default: null.",
        ),
    ] = None,
    actor: Actor = None,
    expect: Expect = None,
    action_id: ActionId = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    address: Address = ADDRESS,
    timeout: CallTimeout = CALL_TIMEOUT,
    output: Output = Form.TABLE,
) -> int:
    """Vouch for a step.

    Going forward: its effect stands; of a pivot in doubt: it happened. Undoing: its effect is undone.

    \b
    Example:
      saga dead-letters complete 01a20218-2a76-733b-8557-cb1c5225b6d4 refundCard --reason "paid back by hand"
    """
    from coordinator.cli.commands import acts

    act = acts.Act("complete", actor, reason, expect, action_id, dry_run, yes, step_output)
    return acts.run(address, timeout, saga_id, step, act, output)


_of_step(
    "fail",
    """Give a step up now.

    Going forward the saga turns back; of a pivot in doubt: it did not happen. Past the pivot, and undoing,
    the step becomes a dead letter.

    \b
    Example:
      saga dead-letters fail 01a20218-2a76-733b-8557-cb1c5225b6d4 shipOrder --reason "the carrier is gone"
    """,
)
