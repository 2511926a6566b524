"""Percentiles, medians and how far they can be trusted. Nothing is assumed of how the values are spread."""

from collections.abc import Sequence
from math import comb
from statistics import median
from typing import Final

CONFIDENCE: Final = 0.95


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of *values* that at least that *share* of them does not exceed."""
    ordered = sorted(values)
    place = -(-len(ordered) * share // 1)
    return ordered[max(int(place), 1) - 1]


def spread(values: Sequence[float]) -> float:
    """Half the way from the smallest to the largest, as a share of the median."""
    middle = median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Where the median of all that could have been measured is, by the order of those that were.

    As many are cut off at each end as can be without its falling outside more often than *confidence* allows;
    of a few values none can, and the interval is all of them.
    """
    ordered, number = sorted(values), len(values)
    cut, outside = 0, 2 * 0.5**number
    while cut + 1 <= (number - 1) // 2:
        outside += 2 * comb(number, cut + 1) * 0.5**number
        if outside > 1 - confidence:
            break
        cut += 1
    return ordered[cut], ordered[number - 1 - cut]
