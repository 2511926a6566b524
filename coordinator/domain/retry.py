"""When to try again: capped exponential backoff with full jitter. Chance comes in as an argument.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from typing import Final

PENDING_DEFAULT_S: Final = 1.0
PENDING_MIN_S: Final = 0.02
PENDING_MAX_S: Final = 3600.0
PENDING_OFTEN_S: Final = 1.0
"""The shortest wait for one that has said "pending" again and again: each time is a journal record."""


def backoff_s(
    *,
    initial_s: float,
    multiplier: float,
    max_s: float,
    failures: int,
    draw: float,
    hint_s: float | None = None,
) -> float:
    """The wait after the *failures*-th failure, in seconds, at most *max_s*.

    *draw* is uniform in [0, 1). The callee's hint is honoured as a lower bound, inside the cap.
    """
    try:
        ceiling_s = min(max_s, initial_s * multiplier ** (failures - 1))
    except OverflowError:  # 2.0 ** 1100 raises: it is not infinity
        ceiling_s = max_s
    return max(draw * ceiling_s, min(max(hint_s or 0.0, 0.0), max_s))


def ask_again_s(hint_s: float | None, pendings: int) -> float:
    """How long to wait before a call that was pending *pendings* times before is asked again, in seconds.

    The callee's hint is honoured, but the shortest wait doubles with each time, up to a second.
    """
    if hint_s is None:
        return PENDING_DEFAULT_S
    least_s = min(PENDING_OFTEN_S, PENDING_MIN_S * 2.0 ** min(pendings, 10))
    # The bounds come first, so that a hint that is no number (NaN) is not taken for a wait.
    return max(least_s, min(PENDING_MAX_S, hint_s))
