"""How long the clients keep at it. No I/O here, so that all of them keep the same rules.

Of a watch every record is shown once, in order, through whatever number of streams. A coordinator that was
never reached is told of at once; one that was reached and went away is waited for.
"""

import math
import random
from collections.abc import Iterator
from typing import Final

from coordinator.client import checks
from coordinator.client.channel import ATTEMPTS_MAX, RETRY_FACTOR, RETRY_FIRST_S, RETRY_JITTER, RETRY_MAX_S
from coordinator.client.errors import Broken, ClientError, TimedOut, Unavailable, Undecided
from coordinator.client.failures import UNDECIDED
from coordinator.client.model import SagaStatus, Watched

CALL_TIMEOUT_S: Final = 10.0
ORDER_TIMEOUT_S: Final = 60.0
WAIT_TIMEOUT_S: Final = 60.0
# The coordinator answers so long before its caller's deadline that the answer still arrives.
ASK_AGAIN_MIN_S: Final = 0.5
ASK_AGAIN_PAUSE_S: Final = 0.1
FRONT_DOOR_CLOSED: Final = "FRONT_DOOR_CLOSED"

# A stream has a deadline as every call has, and is taken up again where it ended. It is longer than
# keepalive takes to find out that the coordinator is gone, so one that lasted this long was alive.
STREAM_MAX_S: Final = 300.0
AWAY_MAX_S: Final = 60.0
PAUSE_S: Final = 0.2

# An older coordinator may give way to a newer one at any time.
STREAM_AGAIN_S: Final = 60.0


def is_worth_asking_again(error: Undecided | Unavailable, *, was_reached: bool, left_s: float) -> bool:
    """Whether the same order can still bring a decision in the time that its caller has left. Who was never
    reached may be a wrong address, and a front door that is closed is for an operator to open."""
    if left_s <= ASK_AGAIN_MIN_S:
        return False
    if isinstance(error, Undecided):
        return error.status is not SagaStatus.DEAD_LETTERED
    return was_reached and error.reason != FRONT_DOOR_CLOSED


def retry_pauses_s() -> Iterator[float]:
    """Between the attempts at a call that finds no coordinator: those that gRPC makes where it repeats it."""
    pause_s = RETRY_FIRST_S
    for _ in range(ATTEMPTS_MAX - 1):
        yield min(pause_s, RETRY_MAX_S) * random.uniform(1 - RETRY_JITTER, 1 + RETRY_JITTER)
        pause_s *= RETRY_FACTOR


class Progress:
    """What one watch has seen, by a monotonic clock of its caller's."""

    def __init__(self, saga_id: str, after_seq: int, *, timeout_s: float | None, now: float) -> None:
        self.saga_id = saga_id
        self.after_seq = after_seq
        """From where to go on."""
        self.status: SagaStatus | None = None
        self._ends_at = math.inf if timeout_s is None else now + checks.timeout_s(timeout_s)
        self._timeout_s = timeout_s
        self._reached = False
        self._away_since: float | None = None
        self._told_set_aside = False

    def stream_timeout_s(self, now: float) -> float:
        """How long the next stream may last.

        Raises:
            Undecided, TimedOut: the caller's time is over.
        """
        left_s = self._ends_at - now
        if left_s <= 0:
            raise self._timed_out() from None
        return min(left_s, STREAM_MAX_S)

    def is_news(self, message: Watched) -> bool:
        """Note what was received; whether its reader has not seen it yet."""
        self._reached, self._away_since = True, None
        self.status = message.status
        if message.entry is None:
            news, self._told_set_aside = not self._told_set_aside, True
            return news
        if message.entry.seq <= self.after_seq:
            return False
        self.after_seq, self._told_set_aside = message.entry.seq, False
        return True

    def pause_s(self, error: ClientError, now: float) -> float:
        """How long to wait before the next stream, after one that ended with *error*.

        Raises:
            Undecided, TimedOut: the caller's time is over.
            ClientError: *error* itself, where the next stream would end the same way.
        """
        if isinstance(error, TimedOut):
            self.stream_timeout_s(now)
            self._reached, self._away_since = True, None
            return 0.0
        if not self._reached or not _is_break(error):
            raise error
        if self._away_since is None:
            self._away_since = now
        elif now - self._away_since > AWAY_MAX_S:
            raise error
        return min(PAUSE_S, max(self._ends_at - now, 0.0))

    def goes_on(self, status: SagaStatus) -> bool:
        """Note what a look at the saga showed after its watch had ended; whether to watch on: a person may
        have revived it in between."""
        self.status = status
        return status in (SagaStatus.RUNNING, SagaStatus.COMPENSATING)

    def _timed_out(self) -> ClientError:
        waited = f"{self._timeout_s:g} s" if self._timeout_s is not None else "the time that it had"
        if self.status is None:
            return TimedOut(
                f"nothing was heard of saga {self.saga_id} within {waited}: check the address, or ask again",
                code="DEADLINE_EXCEEDED",
                saga_id=self.saga_id,
            )
        return Undecided(
            f"saga {self.saga_id} is still {self.status} after {waited} and goes on: wait for it again, or "
            "look at it later",
            code="DEADLINE_EXCEEDED",
            reason=UNDECIDED,
            saga_id=self.saga_id,
            status=self.status,
        )


def _is_break(error: ClientError) -> bool:
    """Whether it was the stream that ended, and not the coordinator that said no."""
    return isinstance(error, Unavailable) or (
        isinstance(error, Broken) and error.code in ("INTERNAL", "UNKNOWN") and not error.reason
    )
