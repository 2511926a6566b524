"""Whether a write-ahead log that was left behind is whole, by SQLite's file format (section 4).

SQLite takes the log as far as its checksums go, and drops what is behind without a word: so it deals with a
transaction that was being written when the power went. One flipped bit does the same to all that was recorded
since. But each transaction is synced before the next one begins: so one that makes no sense and has another
one behind it was whole once.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_MAGIC: Final = 0x377F0682
"""With its lowest bit set where the words of checksums are big-endian."""
_PAGE_BYTES: Final = frozenset(1 << power for power in range(9, 17))
_WORD: Final = 0xFFFFFFFF

_Sums = tuple[int, int]


class _Frame(NamedTuple):
    at: int
    salts: _Sums
    ends_transaction: bool
    sums: _Sums
    begins_with: bytes
    """What its checksums cover of its header."""
    page: bytes


class Found(NamedTuple):
    """What there is in a log."""

    damaged_at: int | None
    """The byte behind which SQLite would forget what was durable; None: there is none."""
    whole_until: int
    """Where the last transaction ends that SQLite takes. What is behind it was not yet durable, or is left
    over, if nothing is damaged."""


def look_through(path: Path) -> Found:
    """What there is in the log at *path*.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as log:
        return _looked_through(log)


def _looked_through(log: BinaryIO) -> Found:
    raw = log.read(_HEADER.size)
    if len(raw) < _HEADER.size:
        return Found(None, 0)
    magic, _, page_bytes, _, *rest = _HEADER.unpack(raw)
    salts, sums = (rest[0], rest[1]), (rest[2], rest[3])
    words = ">" if magic & 1 else "<"
    is_sound = magic & ~1 == _MAGIC and _summed((0, 0), raw[:24], words) == sums
    if page_bytes not in _PAGE_BYTES:
        # No frame can be found in it. Of one that is all zeros nothing was synced yet.
        return Found(0 if any(raw) else None, 0)
    damage_at = None if is_sound else 0
    whole_until = _HEADER.size if is_sound else 0
    is_behind = False
    for frame in _frames(log, page_bytes):
        if damage_at == 0 and frame.at == _HEADER.size:
            salts = frame.salts  # the header's own may be what is wrong with it
        if damage_at is None:
            sums = _summed(_summed(sums, frame.begins_with, words), frame.page, words)
            if frame.salts == salts and frame.sums == sums:
                if frame.ends_transaction:
                    whole_until = frame.at + _FRAME.size + page_bytes
                continue
            damage_at = frame.at
        # Frames of other salts are left over from before the log was begun anew.
        if frame.salts == salts:
            if is_behind:
                return Found(damage_at, whole_until)
            is_behind = frame.ends_transaction
    return Found(None, whole_until)


def _frames(log: BinaryIO, page_bytes: int) -> Iterator[_Frame]:
    at = _HEADER.size
    while len(raw := log.read(_FRAME.size + page_bytes)) == _FRAME.size + page_bytes:
        _, pages, *rest = _FRAME.unpack_from(raw)
        yield _Frame(at, (rest[0], rest[1]), pages > 0, (rest[2], rest[3]), raw[:8], raw[_FRAME.size :])
        at += len(raw)


def _summed(sums: _Sums, raw: bytes, words: str) -> _Sums:
    """The checksums after *raw*, which were *sums* before it."""
    first, second = sums
    numbers = iter(struct.unpack(f"{words}{len(raw) // 4}I", raw))
    for one, other in zip(numbers, numbers, strict=True):
        first = (first + one + second) & _WORD
        second = (second + other + first) & _WORD
    return first, second
