"""`saga` in the hands of a person whom a saga needs: look, be told what it leads to, act, be refused."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.adapters.sqlite.words import packed
from scripts.cluster import SERVICES, Cluster
from tests.e2e.cli_harness import ANY_ID, FATES, Shell, an_order

# Each test starts several processes, on cores that others load.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cli") / "cluster", listen="127.0.0.1:0", faults=FATES) as running:
        running.start()
        yield running


@pytest.fixture(scope="module")
def shell(cluster: Cluster) -> Shell:
    return Shell(cluster.address)


def a_dead_letter(shell: Shell, request_id: str) -> str:
    ran = shell.saga("start", "PlaceOrder", "-i", an_order(request_id, "u-dead"), "--wait")
    assert ran.code == 4
    return str(ANY_ID.findall(ran.out)[0])


def a_running_saga(shell: Shell, request_id: str) -> str:
    ran = shell.saga("start", "PlaceOrder", "-i", an_order(request_id, "u-slow"))
    assert ran.code == 0
    return str(ANY_ID.findall(ran.out)[0])


def seq_of(shell: Shell, saga_id: str) -> int:
    saga = shell.saga("show", saga_id, "-o", "json").json
    assert isinstance(saga, dict)
    return int(saga["seq"])


def timeline_of(shell: Shell, saga_id: str) -> list[dict[str, object]]:
    saga = shell.saga("show", saga_id, "-o", "json").json
    assert isinstance(saga, dict)
    return list(saga["timeline"])


def test_a_dead_letter_is_listed_and_shown_with_the_lines_to_type(shell: Shell) -> None:
    saga_id = a_dead_letter(shell, "p-1")
    listed = shell.saga("dead-letters", "list")
    assert listed.code == 0
    assert saga_id in listed.out
    assert listed.sentence == "'saga dead-letters show SAGA' tells what can be done"
    assert saga_id in [saga["saga_id"] for saga in shell.saga("dead-letters", "list", "-o", "jsonl").jsonl]
    shown = shell.saga("dead-letters", "show", saga_id)
    assert shown.code == 0
    assert (
        "processPayment (PaymentService) UNDO_FAILED: processPayment undo refused CARD_EXPIRED" in shown.out
    )
    for verb in ("retry", "skip", "complete"):
        assert f"  saga dead-letters {verb} {saga_id} processPayment --reason …" in shown.out.splitlines()
    lines = shown.out.splitlines()
    assert f"  saga terminate {saga_id} --reason …" in lines
    # No call is planned, so none can fail.
    assert lines[-1] == "      ends  TERMINATED, as decided by a person"
    data = shell.saga("dead-letters", "show", saga_id, "-o", "json").json
    assert isinstance(data, dict)
    assert {action["verb"] for action in data["possible_actions"]} >= {
        "RETRY",
        "SKIP",
        "COMPLETE",
        "TERMINATE",
    }


def test_a_dry_run_tells_the_effect_and_does_nothing(shell: Shell) -> None:
    saga_id = a_dead_letter(shell, "p-2")
    before = seq_of(shell, saga_id)
    ran = shell.saga("dead-letters", "skip", saga_id, "--reason", "told by phone", "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines()[1:] == [
        "  then  InventoryService.releaseInventory, undoing reserveInventory",
        "  then  OrderService.cancelOrder, undoing createOrder",
        "  ends  COMPENSATED if every call succeeds, as decided by a person",
    ]
    assert ran.sentence == f"nothing was done: saga {saga_id} stays DEAD_LETTERED at seq {before}"
    assert seq_of(shell, saga_id) == before


def test_an_action_is_done_once_under_its_id_and_stands_in_the_journal_with_who_and_why(shell: Shell) -> None:
    saga_id = a_dead_letter(shell, "p-3")
    line = ("dead-letters", "skip", saga_id, "--reason", "told by phone", "--action-id", "a-1", "--yes")
    first = shell.saga(*line)
    assert first.code == 0
    assert shell.saga("wait", saga_id).code == 4
    again = shell.saga(*line)
    assert again.code == 0
    assert again.sentence == "this action was done before: nothing was done again by action id a-1"
    actions = [entry["operator_action"] for entry in timeline_of(shell, saga_id) if entry["operator_action"]]
    assert actions == [{"verb": "SKIP", "action_id": "a-1", "actor": "anna", "reason": "told by phone"}]
    other = shell.saga(
        "dead-letters", "skip", saga_id, "createOrder", "--reason", "x", "--action-id", "a-1", "-y"
    )
    assert (other.code, len(other.sentence) > 10) == (7, True)


def test_on_a_terminal_the_effect_is_shown_and_asked_about(shell: Shell) -> None:
    saga_id = a_dead_letter(shell, "p-4")
    seq = seq_of(shell, saga_id)
    line = ("dead-letters", "complete", saga_id, "--reason", "paid back by hand", "--actor", "ben")
    question = f"Complete processPayment of saga {saga_id} at seq {seq}? [y/N]: "
    no = shell.typed(*line, answer="n\n", after=question)
    assert no.code == 1
    assert "  ends  COMPENSATED if every call succeeds, as decided by a person" in no.out.splitlines()
    assert no.out.splitlines()[-1] == "nothing was done"
    stopped = shell.typed(*line, answer="\x03", after=question)
    assert stopped.code == 130
    assert seq_of(shell, saga_id) == seq
    yes = shell.typed(*line, answer="y\n", after=question)
    assert yes.code == 0
    shell.saga("wait", saga_id)
    assert [entry["operator_action"] for entry in timeline_of(shell, saga_id)][seq]["actor"] == "ben"  # type: ignore[index]


def test_the_effect_that_was_agreed_to_is_not_done_to_a_saga_that_moved_since(shell: Shell) -> None:
    saga_id = a_dead_letter(shell, "p-5")
    seq = seq_of(shell, saga_id)
    line = ("dead-letters", "skip", saga_id, "--reason", "late")
    # Somebody else acts while the question stands on the screen.
    question = f"at seq {seq}? [y/N]: "
    asked = shell.typed(
        *line,
        answer="y\n",
        after=question,
        meanwhile=lambda: shell.saga("dead-letters", "retry", saga_id, "--reason", "first", "--yes"),
    )
    assert asked.code == 7
    assert "moved" in asked.out
    old = shell.saga("dead-letters", "retry", saga_id, "--reason", "x", "--expect", str(seq), "--yes")
    assert (old.code, "moved" in old.sentence) == (7, True)


def test_where_nobody_can_be_asked_yes_must_be_given(shell: Shell) -> None:
    saga_id = a_dead_letter(shell, "p-6")
    before = seq_of(shell, saga_id)
    for verb in (("dead-letters", "retry"), ("dead-letters", "fail"), ("cancel",), ("terminate",)):
        ran = shell.saga(*verb, saga_id, "--reason", "x")
        assert (ran.code, "--yes" in ran.sentence) == (2, True)
        ran = shell.saga(*verb, saga_id, "--yes")
        assert (ran.code, "--reason" in ran.sentence) == (2, True)
        ran = shell.script(f"saga {' '.join(verb)} {saga_id} --reason x <&-")
        assert (ran.code, "--yes" in ran.sentence) == (2, True)
    assert seq_of(shell, saga_id) == before


def test_what_cannot_be_done_to_a_saga_that_stands_as_it_does_is_refused(shell: Shell) -> None:
    saga_id = a_dead_letter(shell, "p-7")
    for line in (
        ("cancel", saga_id),
        ("dead-letters", "retry", saga_id, "createOrder"),
        ("dead-letters", "fail", saga_id),
    ):
        ran = shell.saga(*line, "--reason", "x", "--yes")
        assert (ran.code, ran.out, len(ran.sentence) > 10) == (7, "", True)
    wrong = shell.saga("dead-letters", "complete", saga_id, "--step-output", "{", "--reason", "x", "--yes")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.sentence.startswith("--step-output: ")
    blank = shell.saga("terminate", saga_id, "--reason", " ", "--action-id", "a\tb", "--yes")
    assert blank.sentence == (
        "--action-id: holds a character that cannot be shown; --reason: is blank; nothing was written, "
        "send it corrected"
    )
    absent = shell.saga("dead-letters", "show", "no-such-saga")
    assert (absent.code, len(absent.sentence) > 10) == (3, True)


def test_a_running_saga_is_cancelled_and_another_one_terminated(shell: Shell) -> None:
    cancelled = a_running_saga(shell, "p-8")
    ran = shell.saga("cancel", cancelled, "--reason", "ordered twice", "--yes", "-o", "json")
    assert ran.code == 0
    assert isinstance(ran.json, dict)
    assert ran.json["effect"]["status_in_the_end"] == "COMPENSATED"
    assert shell.saga("wait", cancelled).code == 4
    terminated = a_running_saga(shell, "p-9")
    ran = shell.saga("terminate", terminated, "--reason", "a drill", "--yes")
    assert ran.out.splitlines()[-1].startswith(f"saga {terminated} is TERMINATED")
    assert "anna: terminate, because: a drill" in shell.saga("show", terminated).out


def test_a_copy_of_the_journal_is_whole_and_replaces_nothing_unasked(shell: Shell, tmp_path: Path) -> None:
    saga_id = a_dead_letter(shell, "p-10")
    copy = tmp_path / "copy.sqlite3"
    ran = shell.saga("journal", "backup", str(copy))
    assert (ran.code, ran.out) == (0, "")
    assert ran.sentence.startswith(f"wrote {copy}, ")
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert (packed(saga_id),) in database.execute("SELECT id FROM sagas").fetchall()
    before = copy.read_bytes()
    again = shell.saga("journal", "backup", str(copy))
    assert (again.code, "--force" in again.sentence) == (2, True)
    assert copy.read_bytes() == before
    assert shell.saga("journal", "backup", str(copy), "--force").code == 0
    nowhere = shell.saga("journal", "backup", str(tmp_path / "no" / "folder.sqlite3"))
    assert (nowhere.code, "No such file or directory" in nowhere.sentence) == (1, True)
    assert shell.saga("journal", "backup", str(tmp_path)).code == 2
    gone = Shell("unix:/no/such/socket").saga("journal", "backup", str(tmp_path / "other.sqlite3"))
    assert gone.code == 6
    assert [path.name for path in tmp_path.iterdir()] == ["copy.sqlite3"]


def test_the_journal_that_is_copied_is_not_replaced_by_its_copy(shell: Shell, cluster: Cluster) -> None:
    journal = cluster.journal
    inode = journal.stat().st_ino
    ran = shell.saga("journal", "backup", str(journal), "--force")
    assert (ran.code, ran.out) == (2, "")
    assert ran.sentence.startswith(f"{journal} is a coordinator's journal, in use or once used (")
    assert journal.stat().st_ino == inode


def test_the_journal_is_verified(shell: Shell) -> None:
    ran = shell.saga("journal", "verify")
    assert (ran.code, ran.out) == (0, "")
    assert ran.sentence.startswith("read ")
    assert ran.sentence.endswith(": no fault")
    assert shell.saga("journal", "verify", "-o", "json").json == []


def test_participants_are_listed_and_tell_what_they_did(shell: Shell, cluster: Cluster) -> None:
    saga_id = a_dead_letter(shell, "p-11")
    listed = shell.saga("participants", "list", "-o", "jsonl").jsonl
    assert {str(row["service"]): row["state"] for row in listed}["PaymentService"] == "SERVING"
    assert {row["target"] for row in listed} == {cluster.participants_address}
    assert {
        (row["transactions"], row["barrier"]) for row in listed if row["service"] == "PaymentService"
    } == {(2, True)}
    ledger = shell.saga("participants", "ledger", "PaymentService", "--saga", saga_id, "-o", "jsonl").jsonl
    assert [(row["operation"], row["outcome"]) for row in ledger] == [
        ("EXECUTE", "APPLIED"),
        ("COMPENSATE", "REFUSED"),
    ]
    table = shell.saga("participants", "ledger", "PaymentService", "--target", cluster.participants_address)
    assert table.code == 0
    assert saga_id in table.out
    unknown = shell.saga("participants", "ledger", "NoService")
    assert (unknown.code, "PaymentService" in unknown.sentence) == (3, True)
    nobody = shell.saga("participants", "ledger", "PaymentService", "--target", "unix:/no/such/socket")
    assert nobody.code == 6
    keeps_none = shell.saga("participants", "ledger", "PaymentService", "--target", cluster.address)
    assert (keeps_none.code, "keeps no ledger" in keeps_none.sentence) == (1, True)


def test_a_service_that_is_gone_is_listed_as_unreachable(shell: Shell, cluster: Cluster) -> None:
    assert cluster.participants is not None
    cluster.participants.kill()
    try:
        table = shell.saga("participants", "list")
        assert table.code == 0
        states = [line.split()[1] for line in table.out.splitlines()[1:]]
        assert states == ["UNREACHABLE"] * len(SERVICES)
    finally:
        cluster.start_participants()


def test_a_damaged_record_is_found_and_named(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0", faults=FATES) as damaged:
        damaged.start()
        shell = Shell(damaged.address)
        saga_id = a_dead_letter(shell, "p-12")
        with closing(sqlite3.connect(damaged.journal)) as database, database:
            database.execute(
                "UPDATE records SET at = at + 1"
                " WHERE seq = 2 AND saga = (SELECT number FROM sagas WHERE id = ?)",
                (packed(saga_id),),
            )
        table = shell.saga("journal", "verify")
        assert table.code == 1
        assert saga_id in table.out
        assert table.sentence.endswith(": 1 fault")
        (fault,) = shell.saga("journal", "verify", "-o", "jsonl").jsonl
        assert fault["saga_id"] == saga_id
        assert fault["sentence"]
        for form in ("table", "json", "jsonl"):
            # The reader is gone before the first fault is found.
            ran = shell.script(f"(saga journal verify -o {form}; echo $? >&2) | true")
            assert ran.err.splitlines()[-1] == "1", form
