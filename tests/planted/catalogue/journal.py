"""Bugs of the journal: groups that are torn, rows that lag behind, writes that are answered too soon."""

from functools import partial
from typing import Final

from tests.planted.bugs import Bug, Swap

_writer = partial(Swap, "coordinator/adapters/sqlite/writer.py")
_deferred = partial(Swap, "coordinator/ports/deferred.py")
_group = partial(Swap, "coordinator/adapters/sqlite/group.py")
_rows = partial(Swap, "coordinator/adapters/sqlite/rows.py")
_reader = partial(Swap, "coordinator/adapters/sqlite/reader.py")
_damage = partial(Swap, "coordinator/adapters/sqlite/damage.py")
_journal = partial(Swap, "coordinator/adapters/sqlite/journal.py")


BUGS: Final = (
    Bug(
        "early-acknowledgement",
        "A start is acknowledged when it is queued, not when it is synced.",
        (
            _writer(
                """
                self._news.set()
                return waiter
                """,
                """
                self._news.set()
                if isinstance(entry, Start):
                    (waiter := Deferred()).settle(None)
                return waiter
                """,
            ),
        ),
    ),
    Bug(
        "acted-upon-before-the-sync",
        "Records count as written when they are queued.",
        (
            _writer(
                """
                self._news.set()
                return waiter
                """,
                """
                self._news.set()
                if isinstance(entry, Append):
                    (waiter := Deferred()).settle(entry.row.seq)
                return waiter
                """,
            ),
        ),
    ),
    Bug(
        "group-torn",
        "A group's rows are committed before its records.",
        (
            _group(
                """
                self._many(_ADD_RECORDS, self._records)
                """,
                """
                self._db.execute("COMMIT")
                self._db.execute("BEGIN IMMEDIATE")
                self._many(_ADD_RECORDS, self._records)
                """,
            ),
        ),
        shape="one step",
    ),
    Bug(
        "group-without-a-transaction",
        "Each statement of a group is committed by itself.",
        (
            _group(
                """
                _begin(db, token)
                group = _Group(db, token, shortage, heads)
                try:
                    outcomes = group.take_all(entries)
                """,
                """
                group = _Group(db, token, shortage, heads)
                try:
                    outcomes = group.take_all(entries)
                """,
            ),
            _group(
                """
                db.execute("COMMIT")
                group.keep_heads()
                return outcomes
                """,
                """
                group.keep_heads()
                return outcomes
                """,
            ),
        ),
        shape="one step",
    ),
    Bug(
        "failed-write-tried-again",
        "A write that failed is tried again, although it may have been kept.",
        (
            _writer(
                """
                outcomes, duration_s = await self._db.run(self._work(group))
                """,
                """
                try:
                    outcomes, duration_s = await self._db.run(self._work(group))
                except sqlite3.OperationalError:
                    outcomes, duration_s = await self._db.run(self._work(group))
                """,
            ),
        ),
        seeds=(196,),
    ),
    Bug(
        "row-keeps-its-status",
        "The row of a saga keeps its first status.",
        (
            _group(
                "[(heads[saga_id].number, *standing) for",
                '[(heads[saga_id].number, "RUNNING", *standing[1:]) for',
            ),
        ),
    ),
    Bug(
        "row-forgets-its-person",
        "That a saga needs a person is not written to its row.",
        (_rows("int(summary.needs_person),", "0,"),),
    ),
    Bug(
        "quarantine-not-shown",
        "A saga that is set aside keeps the row that it had, as if it were driven.",
        (
            _group(
                "for head in heads.values() if head.quarantine is not None]",
                "for head in heads.values() if head.quarantine and head.quarantine.at < 0]",
            ),
        ),
    ),
    Bug(
        "quarantine-lost",
        "A quarantine changes the saga's row and is not kept itself.",
        (
            _group(
                """
                self._each(_ADD_QUARANTINE, [(heads[q.saga_id].number, q.reason, q.at) for q in new])
                """,
                "",
            ),
        ),
    ),
    Bug(
        "digests-not-compared",
        "A record that was damaged on the disk is believed.",
        (
            _reader(
                """
                if digest != kept:
                """,
                """
                digest = kept
                if digest != kept:
                """,
            ),
        ),
    ),
    Bug(
        "token-not-raised",
        "A coordinator that starts takes the token of the one before.",
        (
            _journal(
                "token = FencingToken(max(kept, token_before) + 1)",
                "token = FencingToken(max(kept, token_before, 1))",
            ),
        ),
    ),
    Bug(
        "recovery-of-the-first-page",
        "Recovery reads one page of the open sagas.",
        (
            _reader(
                "ORDER BY due_at, id",
                "ORDER BY due_at, id LIMIT 5",
            ),
        ),
    ),
    Bug(
        "undoing-not-recovered",
        "Recovery takes up what goes forward alone.",
        (
            _reader(
                "ORDER BY due_at, id",
                "AND status <> 'COMPENSATING' ORDER BY due_at, id",
            ),
        ),
    ),
    Bug(
        "list-of-the-wrong-ones",
        "The list of those that need a person holds those that need none.",
        (
            _reader(
                'clauses.append("needs_person = 1" if condition.needs_person else "needs_person = 0")',
                'clauses.append("needs_person = 0" if condition.needs_person else "needs_person = 1")',
            ),
        ),
    ),
    Bug(
        "first-of-the-group-only",
        "Of a group only the first is woken.",
        (
            _writer(
                "for (_, waiter), outcome in zip(group, outcomes, strict=True):",
                "for (_, waiter), outcome in zip(group[:1], outcomes[:1], strict=True):",
            ),
        ),
    ),
    Bug(
        "one-batch-of-each-size",
        "Of many rows those are dropped that fill a second batch of one size.",
        (_group("while len(rows) - at >= many:", "if len(rows) - at >= many:"),),
    ),
    Bug(
        "whole-batches-only",
        "The last rows, too few for a batch, are dropped.",
        (_group("_ROWS_AT_ONCE: Final = (64, 16, 4, 1)", "_ROWS_AT_ONCE: Final = (64, 16, 4)"),),
    ),
    Bug(
        "change-written-as-an-advance",
        "A saga's row keeps its status when only that is news, until it is read from the file again.",
        (
            _group(
                "if head.standing != row.standing:",
                "if head.standing is None:",
            ),
        ),
    ),
    Bug(
        "head-of-the-first-write",
        "What tells a saga's newest record stays as its first write left it.",
        (_group('"INSERT INTO heads VALUES {rows}"', '"INSERT OR IGNORE INTO heads VALUES {rows} --"'),),
    ),
    Bug(
        "index-counted-and-not-read",
        "The index of request ids is believed where it has as many entries as there are rows.",
        (
            _damage(
                '("sqlite_autoindex_requests_1", _NOT_WRONG_REQUESTS, _REQUESTS)',
                '("sqlite_autoindex_requests_1", "FROM requests INDEXED BY {}", _REQUESTS)',
            ),
        ),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "index-before-the-row",
        "What an index and a saga agree on gives way to a row that is damaged.",
        (_damage("AND row.id IS NOT entry.id AND requests.saga_id = row.id", "AND row.id IS NOT entry.id"),),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "number-of-what-lost-its-row",
        "A new saga gets the number of one that lost its row, and with it what is left of it.",
        (
            _group("coalesce((SELECT max(saga) FROM heads), 0)", "0"),
            _group("coalesce((SELECT max(rowid) FROM requests), 0)", "0"),
        ),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "head-behind-its-records",
        "A head that is behind what is in the file is believed where no number is taken twice.",
        (_group("if head.seq_found > head.seq:", "if head.seq_found > head.seq + 1_000:"),),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "old-heads-believed",
        "Heads that are older than they should be are not looked for.",
        (_damage("if found is not None and _kept_sum(found[0]) == known:", "if found is None or known:"),),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "head-made-of-what-is-left",
        "A lost head is made of the records that are left, whether or not that is all of them.",
        (_damage("is_whole = known in (0, _kept_sum(total))", "is_whole = total >= 0"),),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "old-page-of-an-index-believed",
        "An index is believed that has as many entries as there are rows, of which some stand there twice.",
        (_damage("count(DISTINCT +rowid) AS here", "count(+rowid) AS here"),),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "row-of-another-request",
        "A request takes the place of one that has lost its row, whose id then leads to it.",
        (
            _group(
                '"INSERT INTO requests (rowid, front_door, request_id, content, saga_id) VALUES {rows}"',
                '"INSERT INTO requests (rowid, front_door, request_id, content, saga_id)'
                " SELECT (SELECT max(rowid) FROM requests NOT INDEXED) + row_number() OVER (), column2,"
                ' column3, column4, column5 FROM (VALUES {rows})"',
            ),
        ),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "sum-of-heads-not-moved",
        "What tells that heads are as they were written last stays as it was.",
        (_group("if self._moved_by:", "if self._moved_by < 0:"),),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "way-back-forgotten",
        "Of rows that are written together the later ones do not lead to those before them.",
        (_group("back, record = 1, record + 1", "back, record = 0, record + 1"),),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "number-of-a-lost-word",
        "The next new word gets the number of one that is lost, and is read wherever that was said.",
        (
            Swap(
                "coordinator/adapters/sqlite/words.py",
                "self._newest + 1",
                "max(self._texts, default=0) + 1",
            ),
        ),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "words-of-one-place",
        "Words that their rows have lost are not read in their index.",
        (_damage("words = by_index | by_row", "words = by_row"),),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "word-not-written",
        "A word that is new is known to whoever writes it, and not to the journal.",
        (
            _writer(
                "words = [NewWord(*word) for word in self._words.take_new()]",
                "words: list[NewWord] = []",
            ),
        ),
        tests="tests/integration/test_sqlite_writer.py",
    ),
    Bug(
        "head-without-its-quarantine",
        "The row of a saga that leaves its quarantine is believed to say what it said before.",
        (_group("head.quarantine = head.standing = None", "head.quarantine = None"),),
        tests="tests/contract/test_journal_contract.py",
    ),
    Bug(
        "heads-of-what-was-rolled-back",
        "The heads of sagas are believed as a group left them that was rolled back.",
        (
            _group(
                """
                heads.forget()
                """,
                "",
            ),
        ),
        tests="tests/integration/test_sqlite_damage.py",
    ),
    Bug(
        "end-not-told",
        "A writer that has nothing to write is not told of the end: closing does not end.",
        (
            _writer(
                """
                self._closing = True
                self._news.set()
                """,
                """
                self._closing = True
                """,
            ),
        ),
        tests="tests/unit/test_writer.py",
    ),
    Bug(
        "who-left-stops-the-journal",
        "A caller that was cancelled before its group is written takes the journal down.",
        (
            _deferred(
                """
                if self._outcome is not _PENDING:
                    return
                """,
                """
                if self._outcome is not _PENDING:
                    raise asyncio.InvalidStateError
                """,
            ),
        ),
        tests="tests/unit/test_writer.py",
    ),
    Bug(
        "group-left-waiting",
        "When a group fails those who are in it are told nothing.",
        (
            _writer(
                """
                self.fail(error)
                for _, waiter in group:
                    self._wake_in_vain(waiter)
                """,
                """
                self.fail(error)
                """,
            ),
        ),
        tests="tests/unit/test_writer.py",
    ),
)
