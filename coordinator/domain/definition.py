"""What a saga does: its steps, who performs them and how often they are tried.

A definition that exists is right: `parse_definition` refuses a wrong one whole, with every fault it
finds. Its `text`, defaults filled in, is what sagas are pinned to. A field's title says what it means, for
those who write definitions in an editor (scripts/definition_schema.py), and its description what is expected.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidDefinition, InvalidJson, InvalidText, Violation
from coordinator.domain.ids import Digest, StepName
from coordinator.domain.language import durations
from coordinator.domain.language.documents import Document, Places, read_json
from coordinator.domain.language.expressions import EXPRESSION_CHARS_MAX
from coordinator.domain.language.graph import Graph, graph, places
from coordinator.domain.language.relations import (
    NAME,
    Sketch,
    dependencies,
    is_output,
    relation_faults,
    sketch,
)
from coordinator.domain.language.sentences import INVALID, TAG, Entries, Fault, fault, found, sentences

STEPS_MAX: Final = 1_000
VIOLATIONS_MAX: Final = 100
PARALLEL_DEFAULT: Final = 10

_SCHEMA_KEY: Final = "$schema"
"""Tells an editor which schema it can help with; it says nothing of the saga."""
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


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise fault(f"expected each entry once, found {found(name)} again")
        seen.add(name)
    return names


_Duration = Annotated[
    float,
    BeforeValidator(_read_duration),
    PlainSerializer(durations.format_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{durations.WRITTEN}$"}),
]
_Multiplier = Annotated[float, Field(strict=True, ge=1, le=100)]
_Name = Annotated[str, Field(strict=True, pattern=f"^{NAME}$")]
_StepName = Annotated[StepName, Field(strict=True, pattern=f"^{NAME}$")]
_Version = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$")]
_InputEntry = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
_InputFields = Annotated[tuple[_InputEntry, ...], AfterValidator(_each_once)]
_RuleIds = Annotated[tuple[str, ...], AfterValidator(_each_once)]
_Expression = Annotated[str, Field(strict=True, min_length=1, max_length=EXPRESSION_CHARS_MAX)]

_A_MAPPING: Final = "an object whose texts are expressions"
Shape = dict[str, Any]
"""A mapping: JSON whose texts are expressions (expressions.py); what they yield stands in their places."""


def _form_of_input(value: object) -> str:
    return TAG + ("object" if isinstance(value, dict) else "list")


_Input = Annotated[
    Annotated[tuple[_InputEntry, ...], Tag(TAG + "list")] | Annotated[Shape, Tag(TAG + "object")],
    Discriminator(_form_of_input),
]


class _Document(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=_json_key,
        validate_by_name=True,
    )


_FIRST_PAUSE: Final = (
    "the pause after the first attempt that failed, at most: each is drawn from zero to its limit"
)
_GROWTH: Final = "how much longer each pause may be than the one before"
_LONGEST_PAUSE: Final = "the longest that a pause may be"


class OnCompensationFailure(StrEnum):
    """What a compensation that fails for good means to the compensations after it."""

    HALT = "halt"
    CONTINUE = "continue"


class StepKind(StrEnum):
    """Whether a step can be undone, is the decision, or must succeed in the end."""

    COMPENSATABLE = "compensatable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"


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
    """How often a forward transaction is tried; the first attempt counts.

    Its defaults are those of a compensatable step. A pivot or a retriable one is not given up in favour of an
    undo, so `LASTING` holds what is different there.
    """

    max_attempts: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = Field(
        5,
        title="how many attempts are made, the first one counted",
        description="a whole number from 1 to 1000",
    )
    initial_backoff_s: _Duration = Field(0.2, title=_FIRST_PAUSE, description=durations.EXPECTED)
    multiplier: _Multiplier = Field(2.0, title=_GROWTH, description="a number from 1 to 100")
    max_backoff_s: _Duration = Field(5.0, title=_LONGEST_PAUSE, description=durations.EXPECTED)
    budget_s: _Duration | None = Field(
        None, title="for how long attempts are made, from the first one on", description=durations.EXPECTED
    )

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.max_attempts is None and self.budget_s is None:
            raise fault("expected a number of maxAttempts or a budget: tried without end, it would never end")
        return self


LASTING: Final[Mapping[str, object]] = {"max_attempts": None, "max_backoff_s": 60.0, "budget_s": 86_400.0}


class CompensationRetryPolicy(_Backoff):
    """How long a compensation is tried before a person is needed."""

    initial_backoff_s: _Duration = Field(1.0, title=_FIRST_PAUSE, description=durations.EXPECTED)
    multiplier: _Multiplier = Field(2.0, title=_GROWTH, description="a number from 1 to 100")
    max_backoff_s: _Duration = Field(60.0, title=_LONGEST_PAUSE, description=durations.EXPECTED)
    budget_s: _Duration = Field(
        86_400.0, title="for how long it is tried; then a person is needed", description=durations.EXPECTED
    )


class StepDefinition(_Document):
    """One step: a transaction of one service, and the compensation that undoes it."""

    service: _Name = Field(
        title="who performs it: a service that the coordinator is configured with",
        description=f"the name of a service: {_A_NAME}",
    )
    transaction: _Name = Field(
        title="what that service does when the saga goes forward",
        description=f"the name of a transaction: {_A_NAME}",
    )
    compensation: _Name | None = Field(
        title="what that service does to undo it",
        description=f"null where there is nothing to undo, or the name of a compensation: {_A_NAME}",
    )
    name: _StepName = Field(
        default_factory=lambda fields: StepName(fields["transaction"]),
        title="what it is called in this definition; its transaction unless said",
        description=f"the name of a step: {_A_NAME}",
    )
    depends_on: Annotated[tuple[_StepName, ...] | None, Entries("the name of a step")] = Field(
        None,
        title="the steps that it waits for; the one before it unless said, and none if empty",
        description="a list of names of steps",
    )
    kind: StepKind = Field(
        StepKind.COMPENSATABLE,
        title="whether it can be undone, decides that there is no turning back, or comes after that",
        description='"compensatable", "pivot" or "retriable"',
    )
    when: _Expression | None = Field(
        None,
        title="its condition: if it yields false, the step is omitted and the saga goes on without it",
        description=f"an expression that yields true or false, of 1 to {EXPRESSION_CHARS_MAX} characters",
    )
    timeout_s: _Duration = Field(
        10.0,
        title="how long one attempt may take, of the transaction or of the compensation",
        description=durations.EXPECTED,
    )
    retry: RetryPolicy = Field(
        default_factory=lambda fields: _default_retry(fields.get("kind")),
        title="how often its transaction is tried; of a pivot or a retriable step, for 24h unless said",
        description="an object that holds a retry policy",
    )
    compensation_retry: CompensationRetryPolicy = Field(
        CompensationRetryPolicy(),
        title="for how long its compensation is tried",
        description="an object that holds a retry policy",
    )
    on_compensation_failure: OnCompensationFailure = Field(
        OnCompensationFailure.HALT,
        title="whether earlier steps are undone all the same when its own undo has failed for good",
        description='"halt" or "continue"',
    )
    input: Annotated[
        _Input | None,
        Entries("the name of an input field (1 to 200 characters), 'outputs' or 'outputs.<step>'"),
    ] = Field(
        None,
        title="what its transaction is given; the saga's input and the outputs of earlier steps unless said",
        description=f"a list of names of input fields, or {_A_MAPPING}",
    )
    compensation_input: Shape | None = Field(
        None,
        title="what its compensation is given; what its transaction was unless said",
        description=_A_MAPPING,
    )
    default_output: Any = Field(
        None,
        title="what expressions see where it was omitted or its output is not known",
        description="any value",
    )
    allow: Annotated[_RuleIds | None, Entries("the id of a rule of the linter")] = Field(
        None,
        title="what the linter is not to find fault with at this step",
        description="a list of ids of the linter's rules",
    )

    @field_validator("retry", mode="before")
    @classmethod
    def _lasts(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, dict) and _is_lasting(info.data.get("kind")):
            return {**_default_retry(info.data["kind"]).model_dump(by_alias=True), **value}
        return value

    @property
    def has_default_output(self) -> bool:
        """Whether it says what stands for its output where none is known; null counts."""
        return "default_output" in self.model_fields_set

    @property
    def input_shape(self) -> Shape | None:
        """Its input as a mapping, if it is one."""
        return self.input if isinstance(self.input, dict) else None

    @property
    def input_entries(self) -> tuple[str, ...]:
        """Its input as a list, if it is one; else nothing."""
        return self.input if isinstance(self.input, tuple) else ()


class SagaDefinition(_Document):
    """A saga as it is defined: its steps in order."""

    name: _Name = Field(
        alias="sagaName",
        title="what sagas of this definition are started by",
        description=f"the name of a saga: {_A_NAME}",
    )
    version: _Version | None = Field(
        None,
        title="which definition of this name it is; once a saga was started with it, it does not change",
        description="a version in quotes: up to 100 letters, digits, '_', '.', '+' or '-'",
    )
    ttl_s: _Duration | None = Field(
        None,
        title="how long a saga may go forward; after it, what was begun is undone",
        description=durations.EXPECTED,
    )
    max_parallel: Annotated[int, Field(strict=True, ge=1, le=STEPS_MAX)] | None = Field(
        None,
        title=f"how many steps of one saga may be at work at the same time; {PARALLEL_DEFAULT} unless said",
        description=f"a whole number from 1 to {STEPS_MAX}",
    )
    sensitive: Annotated[_InputFields | None, Entries("the name of an input field")] = Field(
        None,
        title="what of the saga's input is never shown to anybody",
        description="a list of names of input fields",
    )
    output: Shape | None = Field(
        None, title="what a saga yields when its last step has passed", description=_A_MAPPING
    )
    steps: Annotated[
        tuple[StepDefinition, ...],
        Field(min_length=1, max_length=STEPS_MAX),
        Entries("an object that describes a step"),
    ] = Field(
        title="what is done, each after the one before it unless it says otherwise",
        description=f"a list of 1 to {STEPS_MAX} steps",
    )

    @model_validator(mode="after")
    def _steps_fit_together(self, info: ValidationInfo) -> Self:
        # A definition made in code is held to the same rules; from JSON they were checked before.
        if info.context != _FROM_JSON:
            for wrong in relation_faults([_checked(step) for step in self.steps], None):
                raise fault(f"{jsontext.path_of(wrong.loc)} {wrong.sentence}")
        return self

    @cached_property
    def text(self) -> str:
        """Canonical JSON with its defaults filled in; parsed, it is this definition again.

        What came to the language later is left out where nothing is said of it: so the text, and the digest
        that sagas are pinned to, of a definition that does not use it stay what they were.
        """
        document = self.model_dump(mode="json", by_alias=True)
        _drop_unsaid(document, ("maxParallel", "sensitive", "output"))
        for step, written in zip(self.steps, document["steps"], strict=True):
            _drop_unsaid(written, ("dependsOn", "when", "compensationInput", "allow"))
            if not step.has_default_output:
                del written["defaultOutput"]
            if step.kind is StepKind.COMPENSATABLE:
                del written["kind"]
                _drop_unsaid(written["retry"], ("budget",))
        return jsontext.canonical(document)

    @cached_property
    def digest(self) -> Digest:
        """What a saga is pinned to."""
        return jsontext.digest(self.text)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        # Asked often of one that was read twice: pydantic's own would compare all that stands in them.
        return isinstance(other, SagaDefinition) and self.digest == other.digest

    @cached_property
    def positions(self) -> Mapping[StepName, int]:
        """Each step's place in `steps`, by its name."""
        return {step.name: position for position, step in enumerate(self.steps)}

    @cached_property
    def graph(self) -> Graph:
        """Which of its steps depends on which."""
        drawn = graph(dependencies([_checked(step) for step in self.steps]))
        if drawn is None:
            raise ValueError("a definition without its checks has no graph")
        return drawn

    @cached_property
    def pivot(self) -> int | None:
        """The place of its pivot among the steps."""
        kinds = [step.kind for step in self.steps]
        return kinds.index(StepKind.PIVOT) if StepKind.PIVOT in kinds else None

    @cached_property
    def has_conditions(self) -> bool:
        """Whether any of its steps is omitted at times."""
        return any(step.when is not None for step in self.steps)

    @cached_property
    def parallel_max(self) -> int:
        """How many of its steps may be at work at the same time."""
        return PARALLEL_DEFAULT if self.max_parallel is None else self.max_parallel

    def ancestors(self, name: StepName) -> tuple[StepDefinition, ...]:
        """The steps that *name* depends on, directly or through others, in the definition's order."""
        return tuple(self.steps[place] for place in places(self.graph.ancestors[self.positions[name]]))

    @cached_property
    def needed_fields(self) -> Mapping[str, tuple[StepName, ...]]:
        """The fields that the saga's input must have, and the steps that ask for each."""
        needed: dict[str, tuple[StepName, ...]] = {}
        for step in self.steps:
            for entry in step.input_entries:
                if not is_output(entry):
                    needed[entry] = (*needed.get(entry, ()), step.name)
        return needed

    def step(self, name: StepName) -> StepDefinition:
        """The step of that name; KeyError where there is none."""
        return self.steps[self.positions[name]]


def parse_definition(
    text: str | bytes, *, source: str, services: Collection[str] | None = None
) -> SagaDefinition:
    """Read one definition that is written in JSON, as those in the journal are, and check it."""
    return check_definition(read_document(text, source=source), source=source, services=services)


def read_document(
    text: str | bytes, *, source: str, read: Callable[[str | bytes], Document] = read_json
) -> Document:
    """What *text* says, right or wrong.

    Raises:
        InvalidDefinition: *read* cannot read it. *source* names it in the error.
    """
    try:
        return read(text)
    except InvalidText as error:
        wrong = Violation(error.path, error.sentence, INVALID, error.line, error.column)
        raise InvalidDefinition(source, [wrong]) from None


def check_definition(
    document: Document, *, source: str, services: Collection[str] | None = None
) -> SagaDefinition:
    """The definition that *document* is.

    *source* names it in the error. A step of a service that is not in *services* is a fault, unless
    *services* is None, as for a definition that comes out of the journal.

    Raises:
        InvalidDefinition: with every fault that was found, and where.
    """
    faults: list[Fault] = []
    value = document.value
    if not isinstance(value, dict):
        wrong = Fault((), f"expected an object, found {found(value)}")
        raise InvalidDefinition(source, _violations([wrong], document.places))
    if isinstance(value.get(_SCHEMA_KEY), str):
        value = {key: entry for key, entry in value.items() if key != _SCHEMA_KEY}
    steps = value.get("steps")
    if isinstance(steps, list) and len(steps) > STEPS_MAX:
        faults.append(Fault(("steps",), f"expected a list of 1 to {STEPS_MAX} steps, found {found(steps)}"))
        steps = steps[:STEPS_MAX]
        value = {**value, "steps": steps}
    definition: SagaDefinition | None = None
    try:
        definition = SagaDefinition.model_validate(value, by_name=False, context=_FROM_JSON)
        faults += _pinned_text_faults(definition)
    except ValidationError as error:
        faults += [Fault(loc, sentence) for loc, sentence in sentences(SagaDefinition, error)]
    if isinstance(steps, list):
        faults += relation_faults([sketch(step) for step in steps], services)
    if definition is None or faults:
        raise InvalidDefinition(source, _violations(faults, document.places))
    return definition


def _pinned_text_faults(definition: SagaDefinition) -> Iterator[Fault]:
    """Its text is longer than the file; if it could not be read again, its sagas could not go on."""
    try:
        jsontext.loads(definition.text)
    except InvalidJson as error:
        yield Fault((), f"{error.violation.sentence} once the defaults are filled in")


def _is_lasting(kind: object) -> bool:
    return kind in (StepKind.PIVOT, StepKind.RETRIABLE)


def _default_retry(kind: object) -> RetryPolicy:
    return RetryPolicy.model_validate(LASTING) if _is_lasting(kind) else RetryPolicy()


def _drop_unsaid(document: dict[str, Any], keys: Collection[str]) -> None:
    for key in keys:
        if document[key] is None:
            del document[key]


def _checked(step: StepDefinition) -> Sketch:
    return Sketch(
        step.name,
        "name",
        step.service,
        step.input_entries,
        step.depends_on,
        step.kind,
        has_when=step.when is not None,
    )


def _violations(faults: Sequence[Fault], places: Places) -> list[Violation]:
    """In the order of the text, bounded: a text of a megabyte can hold very many faults."""
    first = sorted(
        faults,
        key=lambda fault: fault.loc[1] if len(fault.loc) > 1 and isinstance(fault.loc[1], int) else -1,
    )[:VIOLATIONS_MAX]
    shown = [
        Violation(jsontext.path_of(wrong.loc), wrong.sentence, wrong.rule, *places.position(wrong.loc))
        for wrong in first
    ]
    shown.sort(key=lambda violation: (violation.line, violation.column))
    if len(faults) > VIOLATIONS_MAX:
        shown.append(Violation("$", f"has {len(faults) - VIOLATIONS_MAX} more faults, which are not listed"))
    return shown
