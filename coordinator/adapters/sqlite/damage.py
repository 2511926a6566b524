"""Damage that is made good: a page of `heads` that cannot be read, of which the records tell all but which of
them was the newest; and an index that has lost entries, or has others than its rows, which tell all.
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
# With a condition that always holds: without one SQLite would count whichever index is the smallest.
_ALL_SAGAS: Final = "FROM sagas INDEXED BY {} WHERE +number > 0"
_OPEN_SAGAS: Final = f"FROM sagas INDEXED BY {{}} WHERE status IN ({_OPEN})"
_FOR_PEOPLE: Final = "FROM sagas INDEXED BY {} WHERE needs_person = 1"
_BY_ID, _BY_START = "sqlite_autoindex_sagas_1", "sagas_by_start"
_BY_PEOPLE, _BY_SIGNATURE = "sagas_for_people", "sagas_by_signature"
# Without those that are others than their rows: such an entry is as good as lost, and leads astray whoever
# looks for those beside it. But only where the saga and its request agree on the row: else that is what is
# damaged, and the index may be all that is left of many.
_NOT_WRONG_REQUESTS: Final = """
    FROM requests AS entry INDEXED BY {} WHERE NOT EXISTS (
        SELECT 1 FROM requests AS row NOT INDEXED CROSS JOIN sagas ON sagas.id = row.saga_id
        WHERE row.rowid = entry.rowid
            AND (row.request_id IS NOT entry.request_id OR row.front_door IS NOT entry.front_door)
            AND sagas.request_id = row.request_id AND sagas.front_door = row.front_door
    )
"""
_NOT_WRONG_IDS: Final = """
    FROM sagas AS entry INDEXED BY {{}} WHERE {} AND NOT EXISTS (
        SELECT 1 FROM sagas AS row NOT INDEXED
        CROSS JOIN requests ON requests.request_id = row.request_id AND requests.front_door = row.front_door
        WHERE row.number = entry.number AND row.id IS NOT entry.id AND requests.saga_id = row.id
    )
"""
# An index, what is not wrong in it, and what should be as many: some two seconds for a million sagas in all.
_COUNTED: Final = (
    ("sqlite_autoindex_requests_1", _NOT_WRONG_REQUESTS, "FROM requests NOT INDEXED"),
    (_BY_ID, _NOT_WRONG_IDS.format("+entry.number > 0"), _ALL_SAGAS.format(_BY_START)),
    (_BY_START, _ALL_SAGAS, _ALL_SAGAS.format(_BY_ID)),
    (
        "sagas_open",
        _NOT_WRONG_IDS.format(f"entry.status IN ({_OPEN})"),
        _OPEN_SAGAS.format("sagas_by_status"),
    ),
    ("sagas_by_status", _OPEN_SAGAS, _OPEN_SAGAS.format("sagas_open")),
    (_BY_PEOPLE, _FOR_PEOPLE, _FOR_PEOPLE.format(_BY_SIGNATURE)),
    (_BY_SIGNATURE, _FOR_PEOPLE, _FOR_PEOPLE.format(_BY_PEOPLE)),
)
_LACK: Final = (
    "SELECT there - here FROM (SELECT count(*) AS here {}), (SELECT count(*) AS there {}) WHERE there > here"
)


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


def mend_indexes(db: sqlite3.Connection) -> None:
    """Make an index anew that has lost entries, or of the ids has others than its rows.

    Nobody would hear of it: a request id that is not in its index starts a second saga, a saga is not found,
    or not taken up, and a dead letter is not listed. The place that knows more is left as it is.

    Raises:
        sqlite3.IntegrityError: a second saga was started.
    """
    for index, here, there in _COUNTED:
        # A page that cannot be read says so to whoever asks for what is on it: no reason to start nothing.
        lack = _first(db, _LACK.format(here.format(index), there))
        if lack is not None:
            db.execute(f"REINDEX {index}")
            _log.error(
                "the journal is damaged: its index %s lacked entries (%d), and was made anew; check the "
                "disk, and the journal by `saga journal verify`",
                index,
                *lack,
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
