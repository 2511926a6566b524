"""What is taken of a participant's word about itself, and what is not."""

import pytest

from coordinator.adapters.grpc_participants.descriptions import BYTES_MAX, NAMES_MAX, to_description
from coordinator.ports.participants import Description, Told
from saga.v1 import participant_pb2 as pb

HOTEL = pb.ServiceDescription(
    service="Hotel", transactions=["bookTable", "bookRoom"], compensations=["cancelRoom"], barrier=True
)
OFFER = Description(
    Told.OFFER,
    transactions=frozenset({"bookRoom", "bookTable"}),
    compensations=frozenset({"cancelRoom"}),
    barrier=True,
)


def told(*services: pb.ServiceDescription) -> Description:
    return to_description("Hotel", pb.DescribeResponse(services=services).SerializeToString())


def test_a_service_is_found_among_all_that_its_server_describes() -> None:
    spa = pb.ServiceDescription(service="Spa", transactions=["heat"])
    assert told(spa, HOTEL) == OFFER


@pytest.mark.parametrize("others", [[], [pb.ServiceDescription(service="hotel")]])
def test_a_service_that_is_not_described_is_not_hosted(others: list[pb.ServiceDescription]) -> None:
    description = told(*others)
    assert description.told is Told.UNKNOWN_SERVICE
    assert "no service of this name" in description.message


def test_a_service_may_offer_nothing() -> None:
    assert told(pb.ServiceDescription(service="Hotel")) == Description(Told.OFFER)


def test_names_that_no_definition_can_hold_are_passed_over() -> None:
    bad = ["", "book room", "1st", "a" * 101, "x\x1b[2J", "bookRoom\n", "büchen"]
    bad_hotel = pb.ServiceDescription(service="Hotel", transactions=[*bad, "ok"], compensations=[*bad, "ok"])
    ok = frozenset({"ok"})
    assert told(bad_hotel) == Description(Told.OFFER, transactions=ok, compensations=ok)


def test_as_many_and_as_long_names_as_are_allowed_are_taken() -> None:
    names = [f"{number:a>100}" for number in range(NAMES_MAX)]
    full = pb.ServiceDescription(service="H" + "o" * 99, transactions=names, compensations=names)
    raw = pb.DescribeResponse(services=[full]).SerializeToString()
    description = to_description(full.service, raw)
    assert description.transactions == description.compensations == frozenset(names)


@pytest.mark.parametrize(("transactions", "compensations"), [(NAMES_MAX + 1, 0), (0, NAMES_MAX + 1)])
def test_a_service_that_claims_too_much_is_not_believed(transactions: int, compensations: int) -> None:
    hotel = pb.ServiceDescription(service="Hotel")
    hotel.transactions.extend(["a"] * transactions)
    hotel.compensations.extend(["a"] * compensations)
    description = told(hotel)
    assert description.told is Told.BROKEN_CONTRACT
    assert description.transactions == frozenset()


def test_a_service_that_is_described_twice_is_not_believed() -> None:
    assert told(HOTEL, HOTEL).told is Told.BROKEN_CONTRACT


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff",
        HOTEL.SerializeToString(),
        pb.DescribeResponse(services=[HOTEL]).SerializeToString().replace(b"bookRoom", b"\xff" * 8),
        # Unknown fields are no error of their own, so that it is the size that counts.
        pb.DescribeResponse(services=[HOTEL]).SerializeToString() + b"\x78\x01" * (BYTES_MAX // 2),
    ],
)
def test_what_is_no_description_says_nothing(raw: bytes) -> None:
    description = to_description("Hotel", raw)
    assert description == Description(Told.BROKEN_CONTRACT, description.message)
    assert description.message
