"""When to try again: capped exponential backoff with full jitter. Chance comes in as an argument.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from typing import Final

PENDING_DEFAULT_S: Final = 1.0
PENDING_MIN_S: Final = 0.02
PENDING_MAX_S: Final = 3600.0


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


def ask_again_s(hint_s: float | None) -> float:
    """How long to wait before a pending call is asked again, in seconds."""
    if hint_s is None:
        return PENDING_DEFAULT_S
    # The bounds come first, so that a hint that is no number (NaN) is not taken for a wait.
    return max(PENDING_MIN_S, min(PENDING_MAX_S, hint_s))
