"""What a collector answers over HTTP, and no more of it than an answer may be.

The library reads an answer to its end, however long that takes and however much it is; and it takes one that
leads elsewhere for success, and does not go there.
"""

from collections.abc import Iterator
from typing import Any, Final

import requests

from coordinator.adapters.clock import stopwatch_s

ANSWER_BYTES_MAX: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 16


class BoundedSession(requests.Session):
    """Gives up on an answer that is not there in time, is too large, or leads elsewhere."""

    def request(self, *given: Any, **named: Any) -> requests.Response:
        timeout_s = named.get("timeout")
        ends_at = None if timeout_s is None else stopwatch_s() + timeout_s
        response = super().request(*given, **{**named, "stream": True})
        try:
            if response.is_redirect:
                raise requests.RequestException("what was sent is wanted elsewhere")
            # Whoever asks for its content from here on has what was read.
            response._content = b"".join(_pieces(response, ends_at))
        except BaseException:
            response.close()
            raise
        return response


def _pieces(response: requests.Response, ends_at: float | None) -> Iterator[bytes]:
    """What comes of *response*, as it comes."""
    bytes_left = ANSWER_BYTES_MAX
    while piece := response.raw.read1(_PIECE_BYTES):
        bytes_left -= len(piece)
        if bytes_left < 0:
            raise requests.RequestException(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
        if ends_at is not None and stopwatch_s() > ends_at:
            raise requests.RequestException("the answer does not end in time")
        yield piece
