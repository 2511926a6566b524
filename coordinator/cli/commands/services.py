"""The services that sagas call, and what they say they did."""

from typing import Final

from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.options import seconds
from coordinator.cli.output import Column, Form, as_data, print_many
from coordinator.client import Broken, Operator, Participant
from coordinator.client.ledger import Ledger

_COLUMNS: Final = (
    Column("SERVICE", "service"),
    Column("STATE", "state"),
    Column("TARGET", "target"),
    Column("TRANSACTIONS", "transactions"),
    Column("BARRIER", "barrier"),
    Column("STEPS", "steps"),
    Column("MESSAGE", "message"),
)
_LEDGER_COLUMNS: Final = (
    Column("SEQ", "local_seq"),
    Column("SAGA", "saga_id"),
    Column("STEP", "step"),
    Column("OPERATION", "operation"),
    Column("TRANSACTION", "transaction"),
    Column("OUTCOME", "outcome"),
)


def list_all(address: str, timeout: str, form: Form) -> int:
    """Print the services that sagas call."""
    with Operator(address, timeout_s=seconds(timeout)) as operator:
        if form is Form.TABLE:
            print_many(map(_in_words, operator.participants()), _COLUMNS, form)
        else:
            print_many(operator.participants(), (), form)
    return Exit.OK


def ledger(address: str, timeout: str, service: str, saga_id: str, target: str, form: Form) -> int:
    """Print what a service did."""
    timeout_s = seconds(timeout)
    target = target or _target(address, timeout_s, service)
    with Ledger(target, timeout_s=timeout_s) as at:
        try:
            print_many(at.entries(service, saga_id=saga_id), _LEDGER_COLUMNS, form)
        except Broken as error:
            if error.code != "UNIMPLEMENTED":
                raise
            sentence = f"what answers at {target} keeps no ledger that can be read: check the target"
            raise CommandFailed(Exit.ERROR, sentence) from None
    return Exit.OK


def _in_words(participant: Participant) -> dict[str, object]:
    """A service's row in the table: one that has no barrier is told from one that does not say."""
    row = as_data(participant)
    assert isinstance(row, dict)
    return {**row, "barrier": {None: "?", False: "no", True: "yes"}[participant.barrier]}


def _target(address: str, timeout_s: float, service: str) -> str:
    with Operator(address, timeout_s=timeout_s) as operator:
        targets = {participant.service: participant.target for participant in operator.participants()}
    if service not in targets:
        known = ", ".join(targets) or "none"
        raise CommandFailed(
            Exit.NOT_FOUND, f"the coordinator knows no service {service!r}: known are {known}"
        )
    if not targets[service]:
        sentence = f"the coordinator has no address of {service}: give --target"
        raise CommandFailed(Exit.NOT_FOUND, sentence)
    return targets[service]
