"""Laws of the linter, over any definition that loads."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.definition import SagaDefinition, check_definition, parse_definition
from coordinator.domain.language.documents import Document
from coordinator.domain.language.expression_rules import expression_faults
from coordinator.domain.language.lint import lint
from coordinator.domain.language.rules import RULES, Stage
from coordinator.engine.offers import offer_findings
from coordinator.ports.participants import Description, Told
from tests.unit.lint.documents import documents
from tests.unit.lint.test_lint import stands

CEL = CelExpressions()
DESCRIPTIONS = st.builds(
    Description,
    st.sampled_from(Told),
    st.just("so"),
    transactions=st.frozensets(st.sampled_from(["s0", "s1"])),
    compensations=st.frozensets(st.just("undo")),
    barrier=st.booleans(),
)


def loaded(document: Document) -> SagaDefinition:
    definition = check_definition(document, source="any.json")
    assert list(expression_faults(definition, CEL.check)) == []
    return definition


@settings(deadline=None, max_examples=25)
@given(documents(), DESCRIPTIONS)
def test_what_is_found_has_a_rule_a_sentence_and_a_place(document: Document, said: Description) -> None:
    definition = loaded(document)
    for finding in lint(definition, CEL.evaluate, list(offer_findings(definition, {"S": said}))):
        assert RULES[finding.rule].stage is not Stage.LOAD
        assert finding.cure == RULES[finding.rule].cure
        assert finding.sentence.isprintable()
        assert stands(document.value, finding.loc), finding
        assert finding.path.startswith("$.")


@settings(deadline=None, max_examples=15)
@given(documents())
def test_a_definition_is_judged_as_the_text_that_its_sagas_are_pinned_to(document: Document) -> None:
    written = loaded(document)
    pinned = parse_definition(written.text, source="pinned")
    assert rules(written) == rules(pinned)


@settings(deadline=None, max_examples=15)
@given(documents())
def test_less_is_known_without_an_evaluator_and_nothing_else_is_found(document: Document) -> None:
    definition = loaded(document)
    known = set(lint(definition, CEL.evaluate))
    guessed = set(lint(definition))
    assert guessed <= known
    assert {finding.rule for finding in known - guessed} <= {
        "dead-branch",
        "unreachable-step",
        "default-output-lacks",
        "allow-unused",
    }


def rules(definition: SagaDefinition) -> Counter[tuple[str, str]]:
    return Counter((finding.rule, finding.sentence) for finding in lint(definition, CEL.evaluate))
