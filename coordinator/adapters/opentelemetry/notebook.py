"""What happens to recorded sagas, noted as it is and written up by the dozen.

Where one saga of a hundred is recorded, what is done for it finds nothing where it looks: code and data have
left the processor's caches since the last one, and all takes three to five times as long as where it is done
over and over. So on the way of a saga as little is done as can be, and the rest for many at one go.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from coordinator.adapters.opentelemetry.drafts import Draft

HELD_S_MAX: Final = 0.5
NOTES_MAX: Final = 32
"""A note holds on to all that it is about, also to what participants were sent and have answered."""

Note = Callable[[], Draft]
"""Makes the draft of a span that has ended."""


class Notebook:
    """Used on the event loop. What is noted there is written up when there is enough of it, or soon."""

    def __init__(
        self,
        keep: Callable[[Draft], None],
        spoilt: Callable[[Exception], None],
        *,
        held_s: float = HELD_S_MAX,
    ) -> None:
        """*keep* gets each draft, and *spoilt* what was raised where one could not be made. A note waits for
        *held_s* at most, and no longer than `HELD_S_MAX`."""
        self._keep = keep
        self._spoilt = spoilt
        self._held_s = min(held_s, HELD_S_MAX)
        self._notes: list[Note] = []
        self._timer: asyncio.TimerHandle | None = None

    def note(self, note: Note) -> None:
        """Keep *note* until it is written up."""
        self._notes.append(note)
        if len(self._notes) >= NOTES_MAX:
            self.write_up()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._held_s, self._in_time)

    def write_up(self) -> None:
        """Make the drafts of all that is noted."""
        notes, self._notes = self._notes, []
        for note in notes:
            try:
                draft = note()
            except Exception as error:  # a bug of ours: it costs this span, and not whichever saga is next
                self._spoilt(error)
                continue
            self._keep(draft)

    def _in_time(self) -> None:
        self._timer = None
        self.write_up()
