"""What a saga does: its steps, who performs them and how often they are tried.

A definition that exists is right: `parse_definition` refuses a wrong one whole, with every fault it
finds. Its `text`, defaults filled in, is what sagas are pinned to.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from coordinator.domain import durations, jsontext
from coordinator.domain.errors import InvalidDefinition, InvalidJson, Violation
from coordinator.domain.ids import Digest, StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.relations import NAME, Sketch, is_output, relation_faults, sketch
from coordinator.domain.sentences import Entries, Loc, fault, found, sentences

STEPS_MAX: Final = 1_000
VIOLATIONS_MAX: Final = 100

_A_NAME: Final = "a letter, then up to 99 letters, digits, '_', '.' or '-'"
_FROM_JSON: Final = "the value comes from JSON, where only camelCase keys and written durations are taken"


def _json_key(field_name: str) -> str:
    """`initial_backoff_s` in code, where units are in names, is `initialBackoff` in JSON."""
    first, *others = field_name.removesuffix("_s").split("_")
    return first + "".join(map(str.capitalize, others))


def _read_duration(value: object, info: ValidationInfo) -> float:
    if isinstance(value, str):
        return durations.parse_duration(value)
    if info.context == _FROM_JSON or isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(durations.EXPECTED)
    return durations.check_duration(value)


_Duration = Annotated[
    float,
    BeforeValidator(_read_duration),
    PlainSerializer(durations.format_duration, return_type=str),
]
_Multiplier = Annotated[float, Field(strict=True, ge=1, le=100, allow_inf_nan=False)]
_Name = Annotated[str, Field(strict=True, pattern=f"^{NAME}$")]
_StepName = Annotated[StepName, Field(strict=True, pattern=f"^{NAME}$")]
_Version = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$")]
_InputEntry = Annotated[str, Field(strict=True, min_length=1, max_length=200)]


class _Document(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=_json_key,
        validate_by_alias=True,
        validate_by_name=True,
    )


class OnCompensationFailure(StrEnum):
    """What a compensation that fails for good means to the compensations after it."""

    HALT = "halt"
    CONTINUE = "continue"


class _Backoff(_Document):
    initial_backoff_s: float
    max_backoff_s: float

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.max_backoff_s < self.initial_backoff_s:
            least = durations.format_duration(self.initial_backoff_s)
            most = durations.format_duration(self.max_backoff_s)
            given = "" if "max_backoff_s" in self.model_fields_set else " (the default)"
            expected = f"expected a maxBackoff not below the initialBackoff of {least}"
            raise fault(f"{expected}, found {most}{given}")
        return self


class RetryPolicy(_Backoff):
    """How often a forward transaction is tried; the first attempt counts."""

    max_attempts: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(
        5, description="a whole number from 1 to 1000"
    )
    initial_backoff_s: _Duration = Field(0.2, description=durations.EXPECTED)
    multiplier: _Multiplier = Field(2.0, description="a number from 1 to 100")
    max_backoff_s: _Duration = Field(5.0, description=durations.EXPECTED)


class CompensationRetryPolicy(_Backoff):
    """How long a compensation is tried before a person is needed."""

    initial_backoff_s: _Duration = Field(1.0, description=durations.EXPECTED)
    multiplier: _Multiplier = Field(2.0, description="a number from 1 to 100")
    max_backoff_s: _Duration = Field(60.0, description=durations.EXPECTED)
    budget_s: _Duration = Field(86_400.0, description=durations.EXPECTED)


class StepDefinition(_Document):
    """One step: a transaction of one service, and the compensation that undoes it."""

    service: _Name = Field(description=f"the name of a service: {_A_NAME}")
    transaction: _Name = Field(description=f"the name of a transaction: {_A_NAME}")
    compensation: _Name | None = Field(
        description=f"null where there is nothing to undo, or the name of a compensation: {_A_NAME}"
    )
    name: _StepName = Field(
        default_factory=lambda fields: StepName(fields["transaction"]),
        description=f"the name of a step: {_A_NAME}",
    )
    timeout_s: _Duration = Field(10.0, description=durations.EXPECTED)
    retry: RetryPolicy = Field(RetryPolicy(), description="an object that holds a retry policy")
    compensation_retry: CompensationRetryPolicy = Field(
        CompensationRetryPolicy(), description="an object that holds a retry policy"
    )
    on_compensation_failure: OnCompensationFailure = Field(
        OnCompensationFailure.HALT, description='"halt" or "continue"'
    )
    input: Annotated[
        tuple[_InputEntry, ...] | None,
        Entries("the name of an input field (1 to 200 characters), 'outputs' or 'outputs.<step>'"),
    ] = Field(None, description="a list of names of input fields")


class SagaDefinition(_Document):
    """A saga as it is defined: its steps in order."""

    name: _Name = Field(alias="sagaName", description=f"the name of a saga: {_A_NAME}")
    version: _Version | None = Field(
        None, description="a version in quotes: up to 100 letters, digits, '_', '.', '+' or '-'"
    )
    ttl_s: _Duration | None = Field(None, description=durations.EXPECTED)
    steps: Annotated[
        tuple[StepDefinition, ...],
        Field(min_length=1, max_length=STEPS_MAX),
        Entries("an object that describes a step"),
    ] = Field(description=f"a list of 1 to {STEPS_MAX} steps")

    @model_validator(mode="after")
    def _steps_fit_together(self, info: ValidationInfo) -> Self:
        # A definition made in code is held to the same rules; from JSON they were checked before.
        if info.context != _FROM_JSON:
            for loc, sentence in relation_faults([_checked(step) for step in self.steps], None):
                raise fault(f"{_path(loc)} {sentence}")
        return self

    @cached_property
    def text(self) -> str:
        """Canonical JSON with all defaults filled in; parsed, it is this definition again."""
        return jsontext.canonical(self.model_dump(mode="json", by_alias=True))

    @cached_property
    def digest(self) -> Digest:
        """What a saga is pinned to."""
        return jsontext.digest(self.text)

    @cached_property
    def positions(self) -> Mapping[StepName, int]:
        """Each step's place in `steps`, by its name."""
        return {step.name: position for position, step in enumerate(self.steps)}

    @cached_property
    def needed_fields(self) -> Mapping[str, tuple[StepName, ...]]:
        """The fields that the saga's input must have, and the steps that ask for each."""
        needed: dict[str, tuple[StepName, ...]] = {}
        for step in self.steps:
            for entry in step.input or ():
                if not is_output(entry):
                    needed[entry] = (*needed.get(entry, ()), step.name)
        return needed

    def step(self, name: StepName) -> StepDefinition:
        """The step of that name; KeyError where there is none."""
        return self.steps[self.positions[name]]


def parse_definition(
    text: str | bytes, *, source: str, services: Collection[str] | None = None
) -> SagaDefinition:
    """Read one definition.

    *source* names it in the error. A step of a service that is not in *services* is a fault, unless
    *services* is None, as for a definition that comes out of the journal.

    Raises:
        InvalidDefinition: with every fault that was found.
    """
    value = _object(text, source)
    faults: list[tuple[Loc, str]] = []
    steps = value.get("steps")
    if isinstance(steps, list) and len(steps) > STEPS_MAX:
        faults.append((("steps",), f"expected a list of 1 to {STEPS_MAX} steps, found {found(steps)}"))
        steps = steps[:STEPS_MAX]
        value = {**value, "steps": steps}
    definition: SagaDefinition | None = None
    try:
        definition = SagaDefinition.model_validate(value, by_alias=True, by_name=False, context=_FROM_JSON)
        faults += _pinned_text_faults(definition)
    except ValidationError as error:
        faults += sentences(SagaDefinition, error)
    if isinstance(steps, list):
        faults += relation_faults([sketch(step) for step in steps], services)
    if definition is None or faults:
        raise InvalidDefinition(source, _violations(faults))
    return definition


def _object(text: str | bytes, source: str) -> dict[str, JsonValue]:
    try:
        value = jsontext.loads(text)
    except InvalidJson as error:
        raise InvalidDefinition(source, [error.violation]) from None
    if not isinstance(value, dict):
        raise InvalidDefinition(source, [Violation("$", f"expected an object, found {found(value)}")])
    return value


def _pinned_text_faults(definition: SagaDefinition) -> Iterator[tuple[Loc, str]]:
    """Its text is longer than the file; if it could not be read again, its sagas could not go on."""
    try:
        jsontext.loads(definition.text)
    except InvalidJson as error:
        yield (), f"{error.violation.sentence} once the defaults are filled in"


def _checked(step: StepDefinition) -> Sketch:
    return Sketch(step.name, "name", step.service, step.input or ())


def _violations(faults: Sequence[tuple[Loc, str]]) -> list[Violation]:
    """In the order of the steps, bounded: a text of a megabyte can hold very many faults."""
    ordered = sorted(
        faults,
        key=lambda fault: fault[0][1] if len(fault[0]) > 1 and isinstance(fault[0][1], int) else -1,
    )
    shown = [Violation(_path(loc), sentence) for loc, sentence in ordered[:VIOLATIONS_MAX]]
    if len(ordered) > VIOLATIONS_MAX:
        shown.append(Violation("$", f"has {len(ordered) - VIOLATIONS_MAX} more faults, which are not listed"))
    return shown


def _path(loc: Loc) -> str:
    path = "$"
    for part in loc:
        path = jsontext.child(path, part)
    return path
