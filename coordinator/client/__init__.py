"""The client of a coordinator, for use in another service: base dependencies only, nothing of the server.

Whoever only names a saga's status or an error loads no gRPC: the clients are imported when they are asked
for.
"""

from typing import TYPE_CHECKING

from coordinator.client.errors import (
    Broken,
    ClientError,
    Closed,
    Conflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    Refused,
    TimedOut,
    Unavailable,
    Undecided,
    Violation,
)
from coordinator.client.model import (
    ActionEffect,
    ActionResult,
    BackupPiece,
    Definition,
    DefinitionSource,
    DefinitionState,
    EventType,
    ExportedRecord,
    ExportedSaga,
    Finding,
    Item,
    JournalFault,
    Money,
    OperatorAction,
    OperatorVerb,
    Order,
    OrderStatus,
    Participant,
    ParticipantState,
    Payment,
    PlannedCall,
    PlannedUndo,
    PossibleAction,
    RegisteredDefinition,
    RegistrationOutcome,
    Saga,
    SagaStatus,
    Standing,
    StandingReason,
    Started,
    Step,
    StepKind,
    StepStatus,
    TimelineEntry,
    UndoPlan,
    VerifyProgress,
    Watched,
)

if TYPE_CHECKING:
    from coordinator.client.aio import Client
    from coordinator.client.blocking import BlockingClient
    from coordinator.client.operator import Operator

__all__ = [
    "ActionEffect",
    "ActionResult",
    "BackupPiece",
    "BlockingClient",
    "Broken",
    "Client",
    "ClientError",
    "Closed",
    "Conflict",
    "Definition",
    "DefinitionSource",
    "DefinitionState",
    "EventType",
    "ExportedRecord",
    "ExportedSaga",
    "Finding",
    "InvalidRequest",
    "Item",
    "JournalFault",
    "Money",
    "NotFound",
    "Operator",
    "OperatorAction",
    "OperatorVerb",
    "Order",
    "OrderStatus",
    "Overloaded",
    "Participant",
    "ParticipantState",
    "Payment",
    "PlannedCall",
    "PlannedUndo",
    "PossibleAction",
    "Refused",
    "RegisteredDefinition",
    "RegistrationOutcome",
    "Saga",
    "SagaStatus",
    "Standing",
    "StandingReason",
    "Started",
    "Step",
    "StepKind",
    "StepStatus",
    "TimedOut",
    "TimelineEntry",
    "Unavailable",
    "Undecided",
    "UndoPlan",
    "VerifyProgress",
    "Violation",
    "Watched",
]


def __getattr__(name: str) -> object:
    match name:
        case "Client":
            from coordinator.client.aio import Client

            return Client
        case "BlockingClient":
            from coordinator.client.blocking import BlockingClient

            return BlockingClient
        case "Operator":
            from coordinator.client.operator import Operator

            return Operator
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
