"""How long a handler may wait for a saga: as long as the caller does, less the way back, within our limit."""

import math
from typing import Any, Final

from grpc import aio

MARGIN_SHARE: Final = 0.1
MARGIN_MIN_S: Final = 0.05
MARGIN_MAX_S: Final = 0.5


def patience_s(context: aio.ServicerContext[Any, Any], wait_max_s: float) -> float:
    """The wait that still lets our answer arrive before the caller's deadline, in seconds."""
    remaining_s: float | None = context.time_remaining()
    if remaining_s is None or not math.isfinite(remaining_s):
        return wait_max_s
    margin_s = min(max(remaining_s * MARGIN_SHARE, MARGIN_MIN_S), MARGIN_MAX_S)
    return max(min(wait_max_s, remaining_s - margin_s), 0.0)
