"""Puts hosted participants on a gRPC server of one's own; needs the base install only.

hosted = open_hosted(PaymentService(), Path("data"))
server = grpc.aio.server()
registered = register(server, [hosted])
…
registered.end_streams()  # which would else be kept open for all of the grace
await server.stop(grace)
await hosted.close()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc

from participants.hosting import Hosted, Performer
from participants.ledger_servicer import LedgerServicer
from participants.servicer import ParticipantServicer
from saga.v1 import ledger_pb2_grpc, participant_pb2_grpc


def register(
    server: grpc.aio.Server, services: Sequence[Hosted], *, faulty: Mapping[str, Performer] | None = None
) -> ParticipantServicer:
    """Add ParticipantService and LedgerService for *services*; calls go to *faulty* ones if given."""
    by_name = {hosted.name: hosted for hosted in services}
    performers = ParticipantServicer(by_name if faulty is None else faulty)
    participant_pb2_grpc.add_ParticipantServiceServicer_to_server(performers, server)
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(LedgerServicer(by_name), server)
    return performers
