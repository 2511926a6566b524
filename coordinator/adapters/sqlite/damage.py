"""Damage that is made good: a page of `heads` that cannot be read, of which the records tell all but which of
them was the newest; and an index of `requests` that has lost entries, of which the rows tell all.
"""

import logging
import sqlite3
from typing import Final

from coordinator.adapters.sqlite.rows import Parameters
from coordinator.domain.ids import FencingToken
from coordinator.domain.saga import Status

_log = logging.getLogger(__name__)

_OPEN: Final = ", ".join(f"'{status}'" for status in Status if status.is_open)
_ALL: Final = "SELECT count(*), total(seq + updated_at + length(digest)), count(due_at) FROM heads"
_LAYOUT: Final = "SELECT sql FROM sqlite_schema WHERE name = 'heads'"
_SAGAS: Final = f"SELECT number, status IN ({_OPEN}) FROM sagas"  # noqa: S608  # our own names
_HEAD: Final = "SELECT * FROM heads WHERE saga = ?"
_NEWEST: Final = "SELECT saga, at, NULL, seq, digest FROM records WHERE saga = ? ORDER BY seq DESC LIMIT 1"
_PUT: Final = "INSERT INTO heads VALUES (?, ?, ?, ?, ?)"
_REQUESTS_LOST: Final = """
    SELECT stored - indexed FROM
        (SELECT count(*) AS stored FROM requests NOT INDEXED),
        (SELECT count(*) AS indexed FROM requests INDEXED BY sqlite_autoindex_requests_1)
    WHERE stored > indexed
"""


def is_damage(error: BaseException) -> bool:
    """Whether SQLite found something in the file that makes no sense."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def mend_heads(db: sqlite3.Connection, token: FencingToken) -> bool:
    """Put the heads anew, in a transaction of their own, if they cannot all be read. Whether that was so.

    An ended saga whose head is lost gets the one that its records tell. An open one gets none, for nobody
    knows whether its newest record is still there: so whoever takes it up finds it damaged.
    """
    # All of it first: once it has met damage, SQLite writes nothing more in that transaction.
    sagas, sound = db.execute(_SAGAS).fetchall(), _first(db, _ALL)
    if sound is not None and sound[0] == len(sagas):
        return False
    heads, lost = [], 0
    for number, is_open in sagas:
        head = _first(db, _HEAD, number)
        if head is None:
            lost += 1
            head = None if is_open else _first(db, _NEWEST, number)
        if head is not None:
            heads.append(head)
    db.execute("BEGIN IMMEDIATE")
    (layout,) = db.execute(_LAYOUT).fetchone()
    # The old ones stay in the file: to drop them, SQLite would have to read them.
    db.execute(f"ALTER TABLE heads RENAME TO damaged_heads_{token}")
    db.execute(layout)
    db.executemany(_PUT, heads)
    db.execute("COMMIT")
    _log.error(
        "the journal is damaged: of %d sagas it does not tell any more which record is the newest, and those "
        "of them that are open are set aside; put back a copy of it",
        lost,
    )
    return True


def mend_requests(db: sqlite3.Connection) -> None:
    """Index the requests anew if there are more of them than the index knows.

    It alone tells that a request id is taken: one that it has lost would start a second saga, without a word.
    Counting takes a fifth of a second for a million.

    Raises:
        sqlite3.IntegrityError: that has happened.
    """
    # A page that cannot be read says so to whoever asks for what is on it, and is no reason to start nothing.
    lost = _first(db, _REQUESTS_LOST)
    if lost is None:
        return
    db.execute("REINDEX requests")
    _log.error(
        "the journal is damaged: the index of request ids had lost %d of them, and was made anew; check the "
        "disk, and the journal by `saga journal verify`",
        *lost,
    )


def _first(db: sqlite3.Connection, sql: str, *values: int) -> Parameters | None:
    """The first row; None where there is none, or none that can be read."""
    try:
        row: Parameters | None = db.execute(sql, values).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return None
    return row
