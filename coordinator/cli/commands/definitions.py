"""What sagas can be started with."""

import json
from collections.abc import Iterator
from typing import Final

from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.options import seconds, text_in
from coordinator.cli.output import Column, Form, print_many, print_one, put, tell
from coordinator.cli.text import one_line
from coordinator.client import BlockingClient, Definition, InvalidRequest
from coordinator.client.model import DefinitionState, RegisteredDefinition, RegistrationOutcome

_COLUMNS: Final = (
    Column("NAME", "saga_name", is_whole=True),
    Column("VERSION", "version", is_whole=True),
    Column("STATE", "state", is_whole=True),
    Column("NEWEST", "newest"),
    Column("SOURCE", "source"),
    Column("OPEN", "open_sagas"),
    Column("REGISTERED (UTC)", "register_time"),
    Column("FIRST STARTED (UTC)", "first_start_time"),
    Column("STEPS", "steps"),
)
_IN_YAML: Final = (".yaml", ".yml")
_CAME_TO: Final = {
    RegistrationOutcome.CREATED: "is registered",
    RegistrationOutcome.REPLACED: "is registered in the place of other content",
    RegistrationOutcome.RESTORED: "can be started again",
    RegistrationOutcome.UNCHANGED: "was registered already",
}
_WOULD_COME_TO: Final = {
    RegistrationOutcome.CREATED: "would be registered",
    RegistrationOutcome.REPLACED: "would be registered in the place of other content",
    RegistrationOutcome.RESTORED: "could be started again",
    RegistrationOutcome.UNCHANGED: "is registered already",
}


def list_all(address: str, timeout: str, name: str, form: Form, *, all_states: bool) -> int:
    """Print the definitions."""
    with BlockingClient(address, timeout_s=seconds(timeout)) as client:
        print_many(client.definitions(saga_name=name or None, all_states=all_states), _COLUMNS, form)
    return Exit.OK


def show(address: str, timeout: str, name: str, version: str | None, form: Form) -> int:
    """Print a definition with its text."""
    with BlockingClient(address, timeout_s=seconds(timeout)) as client:
        definition = client.definition(name, version=version)
    if form is Form.TABLE:
        for line in (*_heading(definition), "", *_text(definition)):
            put(line)
    else:
        print_one(definition, form)
    return Exit.OK


def register(address: str, timeout: str, file: str, form: Form, *, dry_run: bool) -> int:
    """Register a definition, and print what that came to; or every fault of a wrong one."""
    text = text_in(file, "FILE")
    with BlockingClient(address, timeout_s=seconds(timeout)) as client:
        try:
            registered = client.register_definition(
                text, is_yaml=file.endswith(_IN_YAML), validate_only=dry_run
            )
        except InvalidRequest as error:
            if error.reason != "INVALID_DEFINITION":
                raise
            for field, sentence in error.violations:
                place = field.removeprefix("definition_json").removeprefix("definition_yaml")
                tell(f"{file}: ${place}: {sentence}")
            raise CommandFailed(
                Exit.ERROR, f"{file} is not a saga definition and is not registered"
            ) from None
    if form is Form.TABLE:
        for line in _findings(file, registered):
            put(line)
        says = _WOULD_COME_TO if dry_run else _CAME_TO
        tell(f"{_named(registered.definition)} {says.get(registered.outcome, registered.outcome)}")
    else:
        print_one(registered, form)
    return Exit.OK


def retire(address: str, timeout: str, name: str, version: str, form: Form, *, if_no_open_sagas: bool) -> int:
    """Retire a version, and say what it leaves behind."""
    with BlockingClient(address, timeout_s=seconds(timeout)) as client:
        retired = client.retire_definition(name, version, if_no_open_sagas=if_no_open_sagas)
    if form is Form.TABLE:
        left = f"; open sagas that go on: {retired.open_sagas}" if retired.open_sagas else ""
        tell(f"{_named(retired)} is retired{left}")
    else:
        print_one(retired, form)
    return Exit.OK


def _heading(definition: Definition) -> Iterator[str]:
    """What there is to know of a definition but its text."""
    marks = [definition.state, *(["the newest"] if definition.newest else [])]
    yield f"name        {one_line(_named(definition))}"
    yield f"digest      {definition.digest}"
    yield f"state       {', '.join(marks)}"
    for label, moment in (
        ("registered", definition.register_time),
        ("retired", definition.retire_time),
        ("in use", definition.first_start_time),
    ):
        if moment is not None:
            since = "since " if label == "in use" else ""
            yield f"{label:<11} {since}{moment:%Y-%m-%d %H:%M:%S} UTC"
    yield f"open sagas  {definition.open_sagas}"


def _text(definition: Definition) -> Iterator[str]:
    if not definition.definition_json and definition.state is DefinitionState.UNAVAILABLE:
        yield "its text cannot be read any more"
        return
    # In ASCII: nothing in it commands the terminal.
    yield json.dumps(json.loads(definition.definition_json), indent=2)


def _findings(file: str, registered: RegisteredDefinition) -> Iterator[str]:
    for one in registered.findings:
        place = f"{file}:{one.line}:{one.column}" if one.line else file
        # As the linter writes it, for whatever reads that.
        parts = (place, one.rule, one.path, f"{one.sentence}.", f"Cure: {one.cure}")
        yield "  ".join(map(one_line, parts))
    if registered.findings_left_out:
        yield f"and {registered.findings_left_out} more; saga lint shows all"


def _named(definition: Definition) -> str:
    return (
        f"{definition.saga_name} (version {definition.version})"
        if definition.version
        else definition.saga_name
    )
