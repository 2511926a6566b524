"""Which lines are written and which are held back and counted. It reads no clock and writes nothing itself.

A line is written when it first comes, and opens a window; what says the same within the window is counted.
Where the window ends with a count, the last of those lines is written with it (`repeated`), and the next
window begins. So whatever comes is written or counted, exactly once.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from math import inf

from coordinator.adapters.logs.line import Line
from coordinator.domain.values import replace


@dataclass(slots=True)
class _Held:
    """Lines that were not written, by the last of them."""

    ends_at: float
    count: int
    last: Line

    def counted(self) -> Line:
        return replace(self.last, fields={**self.last.fields, "repeated": self.count})


class Repeats:
    """At most *windows_max* windows are open. Beyond them the oldest line that has not come again is
    forgotten, and would be written again; where all have come again, the oldest is written with its count.
    """

    def __init__(self, *, window_s: float, windows_max: int) -> None:
        self._window_s = window_s
        self._windows_max = windows_max
        # When the window of a line ends that has not come again; the first to end comes first. It loses the
        # first ones all the time, behind which a dict would look for the next among all that were lost.
        self._once: OrderedDict[Hashable, float] = OrderedDict()
        self._again: dict[Hashable, _Held] = {}
        # No window of _again ends before it.
        self._due_at = inf

    @property
    def holds(self) -> bool:
        """Whether anything is held back that will have to be written."""
        return bool(self._again)

    def take(self, line: Line, now: float) -> list[Line]:
        """What is to be written now that *line* has come."""
        written = self.ended(now)
        kind = line.kind
        if (held := self._again.get(kind)) is not None:
            held.count, held.last = held.count + 1, line
        elif (ends_at := self._once.pop(kind, None)) is not None:
            self._again[kind] = _Held(ends_at, 1, line)
            self._due_at = min(self._due_at, ends_at)
        else:
            written += self._make_room()
            self._once[kind] = now + self._window_s
            written.append(line)
        return written

    def ended(self, now: float) -> list[Line]:
        """What is to be written of the windows that have ended."""
        while self._once and self._once[next(iter(self._once))] <= now:
            self._once.popitem(last=False)
        if now < self._due_at:
            return []
        over = [kind for kind, held in self._again.items() if held.ends_at <= now]
        written = [self._again.pop(kind).counted() for kind in over]
        self._once |= dict.fromkeys(over, now + self._window_s)
        self._due_at = min((held.ends_at for held in self._again.values()), default=inf)
        return written

    def flush(self) -> list[Line]:
        """End all windows: what is to be written of them."""
        written = [held.counted() for held in self._again.values()]
        self._once.clear()
        self._again.clear()
        self._due_at = inf
        return written

    def _make_room(self) -> list[Line]:
        if len(self._once) + len(self._again) < self._windows_max:
            return []
        if self._once:
            self._once.popitem(last=False)
            return []
        return [self._again.pop(next(iter(self._again))).counted()]
