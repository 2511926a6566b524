"""Lengths of time as people write them: "500ms", "10s", "1.5m", "24h", "7d". A day is 24 hours."""

import re
from typing import Final

SHORTEST_S: Final = 0.001
LONGEST_S: Final = 365 * 86_400.0
WRITTEN: Final = r"([0-9]{1,12}(?:\.[0-9]{1,24})?)(ms|s|m|h|d)"
EXPECTED: Final = 'a duration from 1ms to 365d, written like "500ms", "10s", "1.5m", "24h" or "7d"'


def parse_duration(text: str) -> float:
    """The length in seconds.

    Raises:
        ValueError: *text* is no duration, or is out of bounds; `EXPECTED` says what would do.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(EXPECTED)
    number, unit = float(match[1]), match[2]
    # Dividing keeps milliseconds exact where a multiplication by 0.001 would not.
    return check_duration(number / 1000 if unit == "ms" else number * _UNIT_S[unit])


def check_duration(seconds: float) -> float:
    """Return *seconds* when it is a length that we accept.

    Raises:
        ValueError: it is out of bounds, or not a number.
    """
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise ValueError(EXPECTED)
    return seconds


def format_duration(seconds: float) -> str:
    """Write *seconds* so that `parse_duration` gives exactly the same number back."""
    for unit, length_s in _UNIT_S.items():
        if unit != "d" and seconds % length_s == 0:
            return f"{seconds // length_s:.0f}{unit}"
    milliseconds = round(seconds * 1000)
    if milliseconds / 1000 == seconds:
        return f"{milliseconds}ms"
    return f"{seconds!r}s"


_UNIT_S: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_WRITTEN: Final = re.compile(WRITTEN)
