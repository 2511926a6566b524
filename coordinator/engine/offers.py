"""Whether participants offer what definitions ask of them: the linter's rules that need an answer."""

import asyncio
from collections.abc import Collection, Iterator, Mapping

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.language.lint import Finding
from coordinator.ports.participants import Description, Participants, Told

_RULE_OF_TOLD = {
    Told.UNKNOWN_ADDRESS: "unknown-service",
    Told.UNKNOWN_SERVICE: "unknown-service",
    Told.NO_ANSWER: "participant-silent",
    Told.BROKEN_CONTRACT: "participant-silent",
    Told.UNIMPLEMENTED: "participant-undescribed",
}


async def offers(participants: Participants, services: Collection[str]) -> Mapping[str, Description]:
    """What each of *services* says that it offers; all are asked at once."""
    asked = sorted(services)
    return dict(zip(asked, await asyncio.gather(*map(participants.describe, asked)), strict=True))


def offer_findings(definition: SagaDefinition, told: Mapping[str, Description]) -> Iterator[Finding]:
    """Where *definition* asks for what is not offered, as *told* by each of its services.

    What is about a service as a whole stands at the first step that it performs.
    """
    seen = set[str]()
    for place, step in enumerate(definition.steps):
        description = told[step.service]
        is_first = step.service not in seen
        seen.add(step.service)
        if description.told is not Told.OFFER:
            if is_first:
                sentence = f"{step.service}: {description.message}"
                yield Finding(_RULE_OF_TOLD[description.told], ("steps", place, "service"), sentence)
            continue
        if is_first and not description.barrier:
            sentence = f"{step.service} does not say that it keeps the barrier's rules"
            yield Finding("no-barrier", ("steps", place, "service"), sentence)
        if step.transaction not in description.transactions:
            sentence = f"{step.service} does not offer the transaction {step.transaction}"
            yield Finding("unknown-transaction", ("steps", place, "transaction"), sentence)
        if step.compensation is not None and step.compensation not in description.compensations:
            sentence = f"{step.service} does not offer the compensation {step.compensation}"
            yield Finding("unknown-compensation", ("steps", place, "compensation"), sentence)
