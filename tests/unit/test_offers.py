"""Asking participants what they offer."""

import asyncio

from coordinator.domain.outcomes import Answer
from coordinator.engine.offers import offers
from coordinator.ports.participants import Call, Description, Probe, Told


class Together:
    """Participants that answer once so many of them have been asked."""

    def __init__(self, many: int) -> None:
        self.asked: list[str] = []
        self._all = asyncio.Barrier(many)

    async def describe(self, service: str) -> Description:
        self.asked.append(service)
        await self._all.wait()
        return Description(Told.OFFER, service)

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        raise AssertionError("nobody asked for that")

    async def probe(self, service: str) -> Probe:
        raise AssertionError("nobody asked for that")


async def test_each_service_is_asked_once_and_all_at_once() -> None:
    participants = Together(3)
    async with asyncio.timeout(10):
        told = await offers(participants, {"Hotel", "Car", "Flight"})
    assert participants.asked == ["Car", "Flight", "Hotel"]
    assert {service: description.message for service, description in told.items()} == {
        "Car": "Car",
        "Flight": "Flight",
        "Hotel": "Hotel",
    }
