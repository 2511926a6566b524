"""What CoordinatorService says of definitions, and what it is told: requests checked, answers made.

What is wrong with a request is an InvalidRequest that names each field.
"""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from coordinator.api.convert import as_many_as_fit, to_timestamp
from coordinator.api.filters import decoded_token
from coordinator.api.requests import NAME_CHARS_MAX, Violations
from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidRequest, Violation
from coordinator.domain.language.documents import Format
from coordinator.domain.language.registration import Registration
from coordinator.engine.definitions import LocatedFinding, RegistrationAnswer
from coordinator.engine.shown_definitions import DefinitionCursor, ShownDefinition
from saga.v1 import coordinator_pb2 as pb

PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 100
_TOKEN_VERSION: Final = 1


class WantedPage(NamedTuple):
    """Which definitions a list shows."""

    saga_name: str | None
    all_states: bool
    after: DefinitionCursor | None
    limit: int


class Text(NamedTuple):
    """A definition as it came, and the field that it came in."""

    text: str
    written: Format
    field: str


def wanted_page(request: pb.ListDefinitionsRequest) -> WantedPage:
    """What a ListDefinitions asks for."""
    violations = Violations()
    violations.text("saga_name", request.saga_name, chars_min=0, chars_max=NAME_CHARS_MAX)
    if request.page_size < 0:
        violations.add("page_size", f"expected 0 or more, found {request.page_size}")
    violations.settle()
    limit = min(request.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
    return WantedPage(request.saga_name or None, request.all_states, _after(request), limit)


def cut_page(
    rows: Sequence[ShownDefinition], limit: int, request: pb.ListDefinitionsRequest
) -> pb.ListDefinitionsResponse:
    """The page of at most *limit* of *rows*, which hold one more where there is another page."""
    token = ""
    shown = as_many_as_fit(to_definition(row, with_text=False) for row in rows[:limit])
    last = rows[len(shown) - 1].registration if len(rows) > len(shown) else None
    if last is not None:
        text = jsontext.canonical([_TOKEN_VERSION, _filter(request), last.name, last.number])
        token = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return pb.ListDefinitionsResponse(definitions=shown, next_page_token=token)


def wanted_definition(field: str, name: str, version: str) -> tuple[str, str | None]:
    """The name, which is the request's *field*, and the version if one is named."""
    violations = Violations()
    violations.text(field, name, chars_max=NAME_CHARS_MAX)
    violations.text("definition_version", version, chars_min=0, chars_max=NAME_CHARS_MAX)
    violations.settle()
    return name, version or None


def wanted_text(request: pb.RegisterDefinitionRequest) -> Text:
    """What a RegisterDefinition brings."""
    match request.WhichOneof("form"):
        case "definition_json":
            return Text(request.definition_json, Format.JSON, "definition_json")
        case "definition_yaml":
            return Text(request.definition_yaml, Format.YAML, "definition_yaml")
        case _:
            sentence = "is missing; expected a definition here, or in definition_yaml"
            raise InvalidRequest([Violation("definition_json", sentence)])


def at_field(violation: Violation, field: str) -> Violation:
    """*violation* of a text, as one of the request's field that it came in."""
    return replace(violation, path=field + violation.path.removeprefix("$"))


def to_answer(answer: RegistrationAnswer) -> pb.RegisterDefinitionResponse:
    return pb.RegisterDefinitionResponse(
        definition=to_definition(answer.shown, with_text=False),
        outcome=pb.RegistrationOutcome.Value(f"REGISTRATION_OUTCOME_{answer.outcome}"),
        findings=[_to_finding(located) for located in answer.findings],
        findings_left_out=answer.findings_left_out,
    )


def to_definition(shown: ShownDefinition, *, with_text: bool) -> pb.Definition:
    """A definition, in lists without its text."""
    made = pb.Definition(
        saga_name=shown.name,
        version=shown.version or "",
        digest=shown.digest,
        steps=shown.steps,
        definition_json=shown.text if shown.text is not None and with_text else "",
        source=_source(shown.registration),
        state=pb.DefinitionState.Value(f"DEFINITION_STATE_{shown.state}"),
        newest=shown.is_newest,
        open_sagas=shown.open_sagas,
    )
    if shown.registration is not None:
        made.register_time.CopyFrom(to_timestamp(shown.registration.registered_at))
        if shown.registration.retired_at is not None:
            made.retire_time.CopyFrom(to_timestamp(shown.registration.retired_at))
        if shown.registration.used_at is not None:
            made.first_start_time.CopyFrom(to_timestamp(shown.registration.used_at))
    return made


def _source(registration: Registration | None) -> pb.DefinitionSource.ValueType:
    if registration is not None and registration.through_api:
        return pb.DEFINITION_SOURCE_API
    if registration is not None and registration.file_digest is not None:
        return pb.DEFINITION_SOURCE_FILE
    return pb.DEFINITION_SOURCE_UNSPECIFIED


def _to_finding(located: LocatedFinding) -> pb.Finding:
    finding, (line, column) = located
    return pb.Finding(
        rule=finding.rule,
        path=finding.path,
        line=line,
        column=column,
        sentence=finding.sentence,
        cure=finding.cure,
    )


def _after(request: pb.ListDefinitionsRequest) -> DefinitionCursor | None:
    if not request.page_token:
        return None
    match decoded_token(request.page_token):
        case [int(version), str(filtered), str(name), int(number)] if version == _TOKEN_VERSION:
            if filtered != _filter(request):
                sentence = "belongs to a list with other fields; send those that it was made with"
                raise InvalidRequest([Violation("page_token", sentence)])
            return DefinitionCursor(name, number)
        case _:
            sentence = "expected the next_page_token of the page before, or nothing for the first"
            raise InvalidRequest([Violation("page_token", sentence)])


def _filter(request: pb.ListDefinitionsRequest) -> str:
    return jsontext.digest(jsontext.canonical([request.saga_name, request.all_states]))
