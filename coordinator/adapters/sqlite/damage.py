"""Damage that is made good: a page of `heads` that cannot be read, of which the records tell all but which of
them was the newest, or an old one, which their sum tells; an index that has lost entries, or has others than
its rows, which tell all; and words, each of which stands in two places.
"""

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from coordinator.adapters.sqlite.rows import Parameters
from coordinator.adapters.sqlite.words import ADD_WORD
from coordinator.domain.saga import Status

_log = logging.getLogger(__name__)

_OPEN: Final = ", ".join(f"'{status}'" for status in Status if status.is_open)
_ALL: Final = "SELECT count(*), total(seq + updated_at + length(digest) + newest), count(due_at) FROM heads"
_LAYOUT: Final = "SELECT sql FROM sqlite_schema WHERE name = ?"
# By one of two places, each of which has them all.
_SAGAS: Final = tuple(
    f"SELECT number, status IN ({_OPEN}) FROM sagas {place}"  # noqa: S608  # our own names
    for place in ("NOT INDEXED", "INDEXED BY sagas_by_status WHERE +number > 0")
)
_HEAD: Final = "SELECT * FROM heads WHERE saga = ?"
# The columns beside max() are those of the newest record.
_NEWEST: Final = "SELECT saga, at, NULL, seq, digest, max(number) FROM records GROUP BY saga"
_POINT_TO_NEWEST: Final = (
    "UPDATE heads SET newest = found.newest"
    " FROM (SELECT saga, max(number) AS newest FROM records GROUP BY saga) AS found"
    " WHERE heads.saga = found.saga AND heads.newest < found.newest"
)
_DAMAGED: Final = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB 'damaged_*'"
_SUM: Final = "SELECT total(newest) FROM heads"
_SUMS: Final = (1 << 31) - 1
"""So many of them are told apart, and 0 is none: one that is not known yet."""
_WORDS_OF_ROWS: Final = "SELECT number, text, again FROM words NOT INDEXED"
_WORDS_OF_INDEX: Final = "SELECT number, text, text FROM words INDEXED BY sqlite_autoindex_words_1"
_PUT: Final = "INSERT INTO heads VALUES (?, ?, ?, ?, ?, ?)"
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


def read_words(db: sqlite3.Connection) -> dict[str, int]:
    """The words that the journal holds, and their numbers. Where it is damaged there, they are put anew."""
    by_row, by_index = _words(db, _WORDS_OF_ROWS), _words(db, _WORDS_OF_INDEX)
    # A row says twice what it says.
    words = by_index | by_row
    if by_row != by_index:
        db.execute("BEGIN IMMEDIATE")
        _put_anew(db, "words")
        db.executemany(ADD_WORD, words.items())
        db.execute("COMMIT")
        _log.error(
            "the journal is damaged: its words could not be read in both of their places, and those that "
            "were found (%d) were put anew; check the disk, and the journal by `saga journal verify`",
            len(words),
        )
    return {text: number for number, text in words.items()}


def moved_sum(known: int, by: int) -> int:
    """What stands in the file for the sum of what heads lead to, where *known* stood there and some of them
    lead further now, together *by* so much."""
    return (max(known - 1, 0) + by) % _SUMS + 1


def mend_old_heads(db: sqlite3.Connection) -> None:
    """Let heads that are older than they should be, as those of a page that was lost on its way to the disk,
    lead to the newest records of their sagas, and put anew what else is lost of them. Whoever takes up such a
    saga finds it damaged: it has more records than its head says.
    """
    (known,) = db.execute("PRAGMA user_version").fetchone()
    found = _first(db, _SUM)
    # What cannot be read is made good when it is met.
    if found is None or _kept(*found) == known:
        return
    mended, old = mend_heads(db), 0
    db.execute("BEGIN IMMEDIATE")
    try:
        old = db.execute(_POINT_TO_NEWEST).rowcount
        _put_sum(db)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        db.execute("ROLLBACK")
    else:
        db.execute("COMMIT")
    # An older release wrote no sum.
    if old or (known and not mended):
        _log.error(
            "the journal is damaged: what tells the newest records of its sagas is not as it was written "
            "last. %d sagas have newer ones, and are set aside when they are taken up; put back a copy of it",
            old,
        )


def mend_heads(db: sqlite3.Connection) -> bool:
    """Put the heads anew, in a transaction of their own, if they cannot all be read. Whether that was so.

    An ended saga whose head is lost gets the one that its records tell. An open one gets none, for nobody
    knows whether its newest record is still there: so whoever takes it up finds it damaged.
    """
    # All of it first: once it has met damage, SQLite writes nothing more in that transaction.
    sagas, sound = _all(db, *_SAGAS), _first(db, _ALL)
    if not sagas or (sound is not None and sound[0] == len(sagas)):
        return False
    heads, lost = [], {}
    for number, is_open in sagas:
        head = _first(db, _HEAD, number)
        if head is None:
            lost[number] = is_open
        else:
            heads.append(head)
    # None where not all records can be read: then older ones may seem the newest.
    found = [head for head in _all(db, _NEWEST) if lost.get(head[0]) == 0]
    if sound is not None and not found:
        return False
    # Their rows were there, and may be on another page that cannot be read.
    db.execute("PRAGMA foreign_keys = off").close()
    db.execute("BEGIN IMMEDIATE")
    _put_anew(db, "heads")
    db.executemany(_PUT, heads + found)
    _put_sum(db)
    db.execute("COMMIT")
    db.execute("PRAGMA foreign_keys = on").close()
    _log.error(
        "the journal is damaged: of %d sagas it does not tell any more which record is the newest, and those "
        "of them that are open are set aside; put back a copy of it",
        len(lost),
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


def _put_anew(db: sqlite3.Connection, table: str) -> None:
    """Let *table* be empty. What it held stays in the file: to drop that, SQLite would have to read it."""
    (layout,) = db.execute(_LAYOUT, (table,)).fetchone()
    (damaged,) = db.execute(_DAMAGED).fetchone()
    db.execute(f"ALTER TABLE {table} RENAME TO damaged_{table}_{damaged + 1}")
    db.execute(layout)


def _put_sum(db: sqlite3.Connection) -> None:
    found = db.execute(_SUM).fetchone()
    db.execute(f"PRAGMA user_version = {_kept(*found)}")


def _kept(total: Any) -> int:
    """How the sum *total* stands in the file."""
    return moved_sum(0, int(total))


def _all(db: sqlite3.Connection, *statements: str) -> Sequence[Parameters]:
    """What the first of *statements* finds that can be read to its end; nothing where none can."""
    for sql in statements:
        try:
            return db.execute(sql).fetchall()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
    return ()


def _words(db: sqlite3.Connection, sql: str) -> dict[int, str]:
    """What can be read of the words in one of their places."""
    found = {}
    try:
        for number, text, again in db.execute(sql):
            if text == again:
                found[number] = text
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    return found


def _first(db: sqlite3.Connection, sql: str, *values: object) -> Parameters | None:
    """The first row; None where there is none, or none that can be read."""
    try:
        row: Parameters | None = db.execute(sql, values).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return None
    return row
