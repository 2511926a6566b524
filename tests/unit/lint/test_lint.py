"""The linter by example: a file of faulty/ raises what its first line says, one of sound/ raises nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.definition_files import files_in
from coordinator.adapters.definition_text import definition_document, format_of, read_with_places
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import InvalidDefinition, Loc
from coordinator.domain.language.front_door import FrontDoor
from coordinator.domain.language.lint import lint
from coordinator.domain.language.rules import RULES
from coordinator.engine.offers import offer_findings
from coordinator.ports.participants import Description, Told

HERE: Final = Path(__file__).parent
DEFINITIONS: Final = HERE.parents[2] / "definitions"
FAULTY: Final = sorted((HERE / "faulty").iterdir())
SOUND: Final = [*sorted((HERE / "sound").iterdir()), *files_in(DEFINITIONS)]
RAISES: Final = "# raises: "
CEL: Final = CelExpressions()

DOOR: Final = FrontDoor("PlaceOrder", "SAGA_PLACE_ORDER_SAGA", "ThroughTheDoor", ("order_id", "items"))
TOLD: Final[Mapping[str, Description]] = {
    "UnknownService": Description(Told.UNKNOWN_SERVICE, "no service of this name is hosted at its address"),
    "SilentService": Description(Told.NO_ANSWER, "it was asked in vain: UNAVAILABLE"),
    "OldService": Description(Told.UNIMPLEMENTED, "it answers, but does not say what it offers"),
    "PickyService": Description(
        Told.OFFER, "", frozenset({"createOrder"}), frozenset({"cancelOrder"}), barrier=True
    ),
    "CarelessService": Description(
        Told.OFFER, "", frozenset({"createOrder"}), frozenset({"cancelOrder"}), barrier=False
    ),
}


def found_in(path: Path) -> list[tuple[str, Loc | None]]:
    try:
        read = read_with_places(
            path.read_bytes(), format_of(path), source=path.name, services=None, check=CEL.check
        )
    except InvalidDefinition as error:
        return [(violation.rule, None) for violation in error.violations]
    offered = list(offer_findings(read.definition, told(read.definition)))
    return [(finding.rule, finding.loc) for finding in lint(read.definition, CEL.evaluate, offered, DOOR)]


def told(definition: SagaDefinition) -> Mapping[str, Description]:
    """What each service says: those of `TOLD` what stands there, all others that they offer everything."""
    transactions = frozenset(step.transaction for step in definition.steps)
    compensations = frozenset(step.compensation for step in definition.steps if step.compensation)
    obliging = Description(Told.OFFER, "", transactions, compensations, barrier=True)
    return {step.service: TOLD.get(step.service, obliging) for step in definition.steps}


def raised(path: Path) -> list[str]:
    first, _, _ = path.read_text().partition("\n")
    assert first.startswith(RAISES), f"{path.name}: the first line says what it raises"
    return sorted(first.removeprefix(RAISES).split(", "))


@pytest.mark.parametrize("path", FAULTY, ids=lambda path: path.stem)
def test_a_faulty_definition_raises_what_it_says_and_nothing_else(path: Path) -> None:
    assert sorted(rule for rule, _ in found_in(path)) == raised(path)


@pytest.mark.parametrize("path", FAULTY, ids=lambda path: path.stem)
def test_what_is_found_stands_where_it_is_said_to_stand(path: Path) -> None:
    document = definition_document(path.read_bytes(), format_of(path), source=path.name)
    for _, loc in found_in(path):
        if loc is not None:
            assert stands(document.value, loc), loc


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_a_sound_definition_raises_nothing(path: Path) -> None:
    assert found_in(path) == []


def test_every_rule_is_raised_by_a_file_that_bears_its_name() -> None:
    named = {rule for path in FAULTY for rule in raised(path) if path.stem.startswith(f"{rule}-")}
    assert named == RULES.keys()
    assert len(FAULTY) >= 40
    assert len(SOUND) >= 10


def stands(value: object, loc: Loc) -> bool:
    for part in loc:
        match value, part:
            case dict(), str() if part in value:
                value = value[part]
            case list(), int() if part < len(value):
                value = value[part]
            case _:
                return False
    return True
