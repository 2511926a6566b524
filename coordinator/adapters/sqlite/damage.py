"""Damage that is made good: a page of `heads` that cannot be read, of which the records tell all but which of
them was the newest, or an old one, which their sum tells; an index that has lost entries, or has others than
its rows, which tell all; and words, each of which stands in two places.
"""

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from coordinator.adapters.sqlite.words import ADD_WORD, Words
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
_SUMS: Final = (1 << 31) - 1
"""So many of them are told apart, and 0 is none: one that is not known yet."""
_SUM: Final = f"SELECT coalesce(sum(newest % {_SUMS}), 0) FROM heads"  # noqa: S608  # our own number
_KNOWN_SUM: Final = "PRAGMA user_version"
# Nobody's record has no digest.
_DISTRUST_OPEN: Final = (
    "UPDATE heads SET digest = zeroblob(0) WHERE saga IN"  # noqa: S608  # our own names
    f" (SELECT number FROM sagas INDEXED BY sagas_open WHERE status IN ({_OPEN}))"
)
_WORDS_OF_ROWS: Final = "SELECT number, text, again FROM words NOT INDEXED"
_NEWEST_WORD: Final = "SELECT words FROM journal"
_WORDS_OF_INDEX: Final = "SELECT number, text, text FROM words INDEXED BY sqlite_autoindex_words_1"
_PUT: Final = "INSERT INTO heads VALUES (?, ?, ?, ?, ?, ?)"
# With a condition that always holds: without one SQLite would count whichever index is the smallest.
_ALL_SAGAS: Final = "FROM sagas INDEXED BY {} WHERE +number > 0"
_OPEN_SAGAS: Final = f"FROM sagas INDEXED BY {{}} WHERE status IN ({_OPEN})"
_OPEN_NUMBERS: Final = f"SELECT number FROM sagas INDEXED BY sagas_by_status WHERE status IN ({_OPEN})"  # noqa: S608  # our own names
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
# The first column of every other table is its number, which rows do not hold.
_REQUESTS: Final = "FROM requests NOT INDEXED WHERE typeof(request_id) = 'text'"
# An index, what is not wrong in it, and what should be the same: some two seconds for a million sagas in all.
_COUNTED: Final = (
    ("sqlite_autoindex_requests_1", _NOT_WRONG_REQUESTS, _REQUESTS),
    (_BY_ID, _NOT_WRONG_IDS.format("+entry.number > 0"), _ALL_SAGAS.format(_BY_START)),
    (_BY_START, _ALL_SAGAS, _ALL_SAGAS.format(_BY_ID)),
    (
        "sagas_open",
        # An old page of it has those that were open then.
        _NOT_WRONG_IDS.format(f"entry.status IN ({_OPEN}) AND entry.number IN ({_OPEN_NUMBERS})"),
        _OPEN_SAGAS.format("sagas_by_status"),
    ),
    ("sagas_by_status", _OPEN_SAGAS, _OPEN_SAGAS.format("sagas_open")),
    ("sagas_by_status", _ALL_SAGAS, _ALL_SAGAS.format(_BY_START)),
    (_BY_PEOPLE, _FOR_PEOPLE, _FOR_PEOPLE.format(_BY_SIGNATURE)),
    (_BY_SIGNATURE, _FOR_PEOPLE, _FOR_PEOPLE.format(_BY_PEOPLE)),
)
_DIFFER: Final = (
    "SELECT 1 FROM (SELECT count(*) AS n, sum(rowid) AS s {}) AS here,"
    " (SELECT count(*) AS n, sum(rowid) AS s {}) AS there WHERE (here.n, here.s) IS NOT (there.n, there.s)"
)
_SUMS_OF_STATES: Final = ", ".join(f"total(number) FILTER (WHERE status = '{status}')" for status in Status)
_BY_ROW: Final = f"SELECT {_SUMS_OF_STATES} FROM sagas NOT INDEXED"  # noqa: S608  # our own names
_BY_STATUS: Final = f"SELECT {_SUMS_OF_STATES} {_ALL_SAGAS.format('sagas_by_status')}"  # as above
# An old page has entries that stand elsewhere too. Plus: SQLite takes for granted that rowids are distinct.
_LACK: Final = (
    "SELECT there - here FROM (SELECT count(DISTINCT +rowid) AS here {}),"
    " (SELECT count(DISTINCT +rowid) AS there {}) WHERE there > here"
)


def is_damage(error: BaseException) -> bool:
    """Whether SQLite found something in the file that makes no sense."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def read_words(db: sqlite3.Connection) -> Words:
    """The words that the journal holds. Where it is damaged there, they are put anew."""
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
    (given,) = db.execute(_NEWEST_WORD).fetchone()
    # The row that says so may be an old one.
    newest = max(given, *words, 0)
    if lost := newest - len(words):
        _log.error(
            "the journal is damaged: of its words %d are lost, and sagas that have them can be neither shown "
            "nor driven; put back a copy of it",
            lost,
        )
    return Words({text: number for number, text in words.items()}, newest)


def move_sum(db: sqlite3.Connection, by: int) -> None:
    """Let the file say, in this transaction, that some heads lead further, together *by* so much."""
    (known,) = db.execute(_KNOWN_SUM).fetchone()
    db.execute(f"{_KNOWN_SUM} = {_kept_sum(max(known - 1, 0) + by)}")


def mend_old_heads(db: sqlite3.Connection) -> None:
    """Let heads that are older than they should be, as those of a page that was lost on its way to the disk,
    lead to the newest records of their sagas, and put anew what else is lost of them. Whoever takes up such a
    saga finds it damaged: it has more records than its head says.
    """
    (known,) = db.execute(_KNOWN_SUM).fetchone()
    found = _first(db, _SUM)
    if found is not None and _kept_sum(found[0]) == known:
        return
    mended = mend_heads(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        old = db.execute(_POINT_TO_NEWEST).rowcount
        _put_sum(db)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        # The newest one may be among those that cannot be read.
        db.execute("ROLLBACK")
        db.execute("BEGIN IMMEDIATE")
        old = db.execute(_DISTRUST_OPEN).rowcount
        _put_sum(db)
    db.execute("COMMIT")
    # An older release wrote no sum.
    if old or (known and not mended):
        _log.error(
            "the journal is damaged: what tells the newest records of its sagas is not as it was written "
            "last. %d sagas have newer ones, or may have, and are set aside when they are taken up; put back "
            "a copy of it",
            old,
        )


def mend_heads(db: sqlite3.Connection) -> bool:
    """Put the heads anew, in a transaction of their own, if they cannot all be read. Whether that was so.

    An ended saga whose head is lost gets the one that its records tell, if nothing is lost of them: the sum
    tells that. An open one gets none, so whoever takes it up finds it damaged.
    """
    # All of it first: once it has met damage, SQLite writes nothing more in that transaction.
    sagas: dict[int, bool] = {number: bool(is_open) for number, is_open in _all(db, *_SAGAS)}
    sound = _first(db, _ALL)
    if not sagas or (sound is not None and sound[0] == len(sagas)):
        return False
    (known,) = db.execute(_KNOWN_SUM).fetchone()
    heads = {number: head for number in sagas if (head := _first(db, _HEAD, number)) is not None}
    lost = sagas.keys() - heads.keys()
    found = {head[0]: head for head in _all(db, _NEWEST) if head[0] in lost}
    total = sum(head[-1] for head in (*heads.values(), *found.values()) if isinstance(head[-1], int))
    is_whole = known in (0, _kept_sum(total))
    restored = {number: head for number, head in found.items() if is_whole and not sagas[number]}
    if sound is not None and not restored:
        return False
    # Their rows were there, and may be on another page that cannot be read.
    db.execute("PRAGMA foreign_keys = off").close()
    db.execute("BEGIN IMMEDIATE")
    _put_anew(db, "heads")
    db.executemany(_PUT, (heads | restored).values())
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
        both = here.format(index), there
        if _first(db, _DIFFER.format(*both)) and (lack := _first(db, _LACK.format(*both))):
            db.execute(f"REINDEX {index}")
            _log.error(
                "the journal is damaged: its index %s lacked entries (%d), and was made anew; check the "
                "disk, and the journal by `saga journal verify`",
                index,
                *lack,
            )


def tell_old_rows(db: sqlite3.Connection) -> None:
    """Say so where rows of sagas are in another state than their index says, as those of a page are that was
    lost on its way to the disk. Nothing else would: a saga that is over would be listed as one that runs."""
    by_row, by_index = _first(db, _BY_ROW), _first(db, _BY_STATUS)
    if by_row != by_index and None not in (by_row, by_index):
        _log.error(
            "the journal is damaged: rows of its table sagas are not as its index of their states says, so "
            "some may be listed in a state that they are not in; `saga journal verify` names them; put back "
            "a copy of it"
        )


def _put_anew(db: sqlite3.Connection, table: str) -> None:
    """Let *table* be empty. What it held stays in the file: to drop that, SQLite would have to read it."""
    (layout,) = db.execute(_LAYOUT, (table,)).fetchone()
    (damaged,) = db.execute(_DAMAGED).fetchone()
    db.execute(f"ALTER TABLE {table} RENAME TO damaged_{table}_{damaged + 1}")
    db.execute(layout)


def _put_sum(db: sqlite3.Connection) -> None:
    (found,) = db.execute(_SUM).fetchone()
    db.execute(f"{_KNOWN_SUM} = {_kept_sum(found)}")


def _kept_sum(of_heads: int) -> int:
    """What stands in the file for the sum of what heads lead to."""
    return of_heads % _SUMS + 1


def _all(db: sqlite3.Connection, *statements: str) -> Sequence[Sequence[Any]]:
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
            # Of another table's page neither is a text.
            if text == again and isinstance(text, str):
                found[number] = text
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    return found


def _first(db: sqlite3.Connection, sql: str, *values: object) -> Sequence[Any] | None:
    """The first row; None where there is none, or none that can be read."""
    try:
        row: Sequence[Any] | None = db.execute(sql, values).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return None
    return row
