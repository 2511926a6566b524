"""What a participant says of itself. Of its words only names that a definition can hold come through, and
never more of them than the contract allows: they are shown to people.
"""

import re
from collections.abc import Sequence
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from coordinator.adapters.grpc_participants.words import exceeds_limit, reason_of
from coordinator.domain.language.relations import NAME
from coordinator.ports.participants import Description, Told
from saga.v1 import participant_pb2 as pb

NAMES_MAX: Final = 1_000
# One service that offers as much as it may is smaller.
BYTES_MAX: Final = 256 * 1024
_NAME: Final = re.compile(NAME)
_UNKNOWN_SERVICE: Final = "no service of this name is hosted at its address"


def to_description(service: str, raw: bytes) -> Description:
    """What *raw* says of *service*."""
    if len(raw) > BYTES_MAX:
        return broken_description(f"the description is larger than {BYTES_MAX} bytes")
    try:
        told = pb.DescribeResponse.FromString(raw).services
    except DecodeError:
        return broken_description("the description is no message of this protocol")
    # A server that describes all that it hosts, whatever it is asked, is understood too.
    found = [description for description in told if description.service == service]
    if not found:
        return Description(Told.UNKNOWN_SERVICE, _UNKNOWN_SERVICE)
    if len(found) > 1:
        return broken_description("the service is described more than once")
    (offer,) = found
    if max(len(offer.transactions), len(offer.compensations)) > NAMES_MAX:
        return broken_description(f"the service claims more than {NAMES_MAX} transactions or compensations")
    return Description(
        Told.OFFER,
        transactions=_names(offer.transactions),
        compensations=_names(offer.compensations),
        barrier=offer.barrier,
    )


def undescribed(error: grpc.aio.AioRpcError) -> Description:
    """What a status in place of a description means. Its words stay here: nobody knows what they quote."""
    if reason_of(error) == "UNKNOWN_SERVICE":
        return Description(Told.UNKNOWN_SERVICE, _UNKNOWN_SERVICE)
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return Description(Told.UNIMPLEMENTED, "it answers, but does not say what it offers")
    if exceeds_limit(error):
        return broken_description(f"the description is larger than {BYTES_MAX} bytes")
    return Description(Told.NO_ANSWER, f"it was asked in vain: {error.code().name}")


def broken_description(sentence: str) -> Description:
    """A description that breaks the contract, and says nothing."""
    return Description(Told.BROKEN_CONTRACT, sentence)


def _names(told: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name in told if _NAME.fullmatch(name))
