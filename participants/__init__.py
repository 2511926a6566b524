"""Take part in sagas: write business code in a `Participant`, and let the barrier do the rest.

Importing this package loads no gRPC: a service author's business code and its tests need only the
standard library.
"""

from participants.base import Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall, Faulted, Pending, Refused

__all__ = [
    "CompensateCall",
    "ExecuteCall",
    "Faulted",
    "Participant",
    "Pending",
    "Refused",
    "compensation",
    "transaction",
]
