"""Participants over gRPC. What a participant or the network does becomes an answer, never an exception."""

from coordinator.adapters.grpc_participants.participants import GrpcParticipants

__all__ = ["GrpcParticipants"]
