"""`saga` with a real coordinator: starting sagas, looking at them, and all that can go wrong with that."""

import asyncio
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.cli.commands import sagas
from coordinator.cli.output import Form
from coordinator.client import TimedOut
from coordinator.domain.actions import Action
from coordinator.domain.events import Verb
from coordinator.domain.ids import ActionId, SagaId, StepName
from coordinator.domain.outcomes import Succeeded
from coordinator.engine.sagas import SagaView
from scripts.cluster import SERVICES, Cluster
from tests.e2e.cli_harness import ANY_ID, FATES, Shell, an_order
from tests.integration.api_harness import REFUSED, coordinator

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


def started(shell: Shell, request_id: str, user_id: str = "u-1", *options: str) -> str:
    ran = shell.saga(
        "start", "PlaceOrder", "-i", an_order(request_id, user_id), "--request-id", request_id, *options
    )
    (saga_id,) = set(ANY_ID.findall(ran.out)) or set(ANY_ID.findall(ran.err))
    return str(saga_id)


def test_a_started_saga_is_named_and_one_that_is_waited_for_ends_with_zero(shell: Shell) -> None:
    ran = shell.saga("start", "PlaceOrder", "--input", an_order("s-1"), "--request-id", "s-1", "--wait")
    assert ran.code == 0
    assert ran.err == f"started saga {ANY_ID.findall(ran.out)[0]}\n"
    heading, row = ran.out.splitlines()
    assert heading.split() == ["SAGA", "STATUS", "PERSON", "NAME", "REQUEST", "STARTED", "(UTC)", "ERROR"]
    assert row.split()[1:4] == ["COMPLETED", "PlaceOrder", "s-1"]


def test_the_same_request_joins_its_saga_and_another_one_under_its_id_is_refused(shell: Shell) -> None:
    first = shell.saga("start", "PlaceOrder", "-i", an_order("s-2"), "--request-id", "s-2", "-o", "json")
    again = shell.saga("start", "PlaceOrder", "-i", an_order("s-2"), "--request-id", "s-2", "-o", "json")
    other = shell.saga("start", "PlaceOrder", "-i", an_order("s-2", "u-2"), "--request-id", "s-2")
    assert (first.code, again.code, other.code) == (0, 0, 7)
    assert isinstance(first.json, dict)
    assert isinstance(again.json, dict)
    assert (first.json["joined"], again.json["joined"]) == (False, True)
    assert first.json["saga"]["saga_id"] == again.json["saga"]["saga_id"]
    assert "s-2" in other.sentence


@pytest.mark.parametrize("how", ["stdin", "file"])
def test_an_input_comes_from_stdin_or_a_file(shell: Shell, tmp_path: Path, how: str) -> None:
    path = tmp_path / "order.json"
    path.write_text(an_order(f"s-3-{how}"))
    given = "-" if how == "stdin" else f"@{path}"
    stdin = path.read_text() if how == "stdin" else ""
    ran = shell.saga("start", "PlaceOrder", "--input", given, "--wait", "-o", "jsonl", stdin=stdin)
    assert ran.code == 0
    (answer,) = ran.jsonl
    assert isinstance(answer["saga"], dict)
    assert answer["saga"]["status"] == "COMPLETED"


@pytest.mark.parametrize("given", ["@/dev/zero", "- </dev/zero"])
def test_an_input_without_an_end_is_not_read_to_its_end(shell: Shell, given: str) -> None:
    ran = shell.script(f"ulimit -v 4000000; saga start PlaceOrder --input {given}")
    name = given.split()[0].removeprefix("@")
    assert (ran.code, ran.sentence) == (
        2,
        f"--input: {name!r} can not be read: it is larger than 1 MiB, and a coordinator takes no more",
    )


def test_an_input_from_a_stdin_that_is_closed_is_wrong_usage(shell: Shell) -> None:
    ran = shell.script("saga start PlaceOrder --input - <&-")
    assert (ran.code, ran.sentence) == (2, "--input: '-' can not be read: stdin is closed")


def test_a_saga_that_is_undone_ends_with_four_and_says_why(shell: Shell) -> None:
    saga_id = started(shell, "s-4", "u-undone")
    ran = shell.saga("wait", saga_id)
    assert ran.code == 4
    assert ran.sentence.startswith(
        f"saga {saga_id} is COMPENSATED: scheduleShipment at ShippingService was refused"
    )
    drawn = shell.saga("show", saga_id)
    assert drawn.code == 0
    lines = drawn.out.splitlines()
    assert lines[0] == f"saga     {saga_id}"
    assert any(
        re.fullmatch(r"\+\d+\.\d{3}s  scheduleShipment refused NO_CARRIER: .*", line) for line in lines
    )
    undone = [line for line in lines if "undone (" in line]
    assert [line.split()[1] for line in undone] == ["processPayment", "reserveInventory", "createOrder"]
    assert all(line.index("undone") > 50 for line in undone)


def test_retries_and_their_waits_are_drawn(shell: Shell) -> None:
    saga_id = started(shell, "s-5", "u-flaky", "--wait")
    drawn = shell.saga("show", saga_id).out
    assert "createOrder failed DATABASE_BUSY" in drawn
    assert "until retry" in drawn
    assert "createOrder ×3 succeeded" in drawn


def test_a_saga_is_shown_as_json_with_its_steps_and_its_timeline(shell: Shell) -> None:
    saga_id = started(shell, "s-6", "u-1", "--wait")
    saga = shell.saga("show", saga_id, "-o", "json").json
    assert isinstance(saga, dict)
    assert saga["status"] == "COMPLETED"
    assert [step["status"] for step in saga["steps"]] == ["SUCCEEDED"] * 4
    assert saga["timeline"][0]["type"] == "SAGA_STARTED"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", saga["create_time"])
    assert "tok-canary-77" not in json.dumps(saga)


def test_what_would_be_undone_is_shown_before_it_is_and_what_is_sensitive_never(shell: Shell) -> None:
    saga_id = started(shell, "s-10", "u-slow", "--wait", "--timeout", "1s")
    assert shell.saga("show", saga_id).out.splitlines()[-5:] == [
        "if it turned back now",
        "  1. ShippingService.cancelShipment(items, order_id, outputs, user_id), undoing scheduleShipment",
        "  2. PaymentService.refundPayment(order_id, payment_info, user_id), undoing processPayment",
        "  3. InventoryService.releaseInventory(items, order_id), undoing reserveInventory",
        "  4. OrderService.cancelOrder(items, order_id, user_id), undoing createOrder",
    ]
    shown = shell.saga("show", saga_id, "--inputs").out
    assert '     input    {"order_id":"s-10","payment_info":"***","user_id":"u-slow"}' in shown.splitlines()
    assert "tok-canary-77" not in shown + shell.saga("show", saga_id, "--inputs", "-o", "json").out
    shell.saga("cancel", saga_id, "--reason", "a drill", "--yes")
    shell.saga("wait", saga_id)
    assert shell.saga("show", saga_id).out.splitlines()[-1] == "nothing is left to be undone"


def test_a_watch_prints_each_record_as_it_comes_and_ends_as_the_saga_does(shell: Shell) -> None:
    saga_id = started(shell, "s-7", "u-undone")
    ran = shell.saga("watch", saga_id, "-o", "jsonl")
    assert ran.code == 4
    entries = [line["entry"] for line in ran.jsonl]
    assert [entry["seq"] for entry in entries if isinstance(entry, dict)] == list(range(1, len(entries) + 1))
    assert ran.jsonl[-1]["status"] == "COMPENSATED"
    late = shell.saga("watch", saga_id, "--after", "3")
    assert late.out.splitlines()[0].split()[1] == "4"
    assert "reserveInventory asked" in late.out.splitlines()[0]


def test_a_watch_of_a_running_saga_prints_before_the_saga_ends(shell: Shell) -> None:
    saga_id = started(shell, "s-8", "u-slow")
    child = shell.popen("watch", saga_id, "-o", "jsonl")
    try:
        assert child.stdout is not None
        first = json.loads(child.stdout.readline())
        assert first["entry"]["type"] == "SAGA_STARTED"
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert (child.returncode, err) == (130, "")


def test_a_wait_that_is_over_too_early_ends_with_five_and_leaves_the_saga_running(shell: Shell) -> None:
    ran = shell.saga(
        "start",
        "PlaceOrder",
        "-i",
        an_order("s-9", "u-slow"),
        "--request-id",
        "s-9",
        "--wait",
        "--timeout",
        "1s",
    )
    assert ran.code == 5
    assert ran.out == ""
    named, why = ran.err.splitlines()
    (saga_id,) = ANY_ID.findall(named)
    assert f"saga {saga_id} is still RUNNING" in why
    for verb in ("wait", "watch"):
        ran = shell.saga(verb, saga_id, "--timeout", "300ms")
        assert (ran.code, "goes on" in ran.sentence) == (5, True)
    assert shell.saga("list", "--filter", 'request_id = "s-9"').out.splitlines()[1].split()[1] == "RUNNING"


def test_sagas_are_listed_by_what_is_asked_for(shell: Shell) -> None:
    for number in range(3):
        started(shell, f"s-10-{number}", "u-1", "--wait")
    newest = shell.saga(
        "list", "--limit", "1", "--status", "completed", "--name", "PlaceOrder", "-o", "jsonl"
    )
    assert [saga["request_id"] for saga in newest.jsonl] == ["s-10-2"]
    assert newest.sentence == "these are the newest 1: there are more, see --limit"
    assert shell.saga("list", "--name", "NoSuchSaga", "-o", "json").json == []
    assert shell.saga("list", "--needs-person", "-o", "jsonl").out == ""
    table = shell.saga("list", "--name", "NoSuchSaga")
    assert len(table.out.splitlines()) == 1


def test_a_reader_that_has_had_enough_is_no_error(shell: Shell) -> None:
    started(shell, "s-11", "u-1", "--wait")
    ran = shell.script("saga list | head -1")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("SAGA ")
    for form in ("table", "json", "jsonl"):
        # The reader is gone long before the first byte comes.
        ran = shell.script(f"(saga list -o {form}; echo $? >&2) | true")
        assert (ran.out, ran.err) == ("", "0\n")


def test_a_reader_that_is_gone_does_not_hide_how_a_command_ended(shell: Shell, tmp_path: Path) -> None:
    saga_id = started(shell, "s-14", "u-undone")
    assert shell.saga("wait", saga_id).code == 4
    steps = [{"service": "A", "transaction": f"t{number}"} for number in range(200)]
    wrong = tmp_path / "trip.json"
    wrong.write_text(json.dumps({"sagaName": "Trip", "steps": steps}))
    lines = {
        f"saga wait {saga_id}": 4,
        f"saga start PlaceOrder -i '{an_order('s-14', 'u-undone')}' --request-id s-14 --wait": 4,
        # More than a pipe's buffer of ours holds, so that printing fails and not only the last flush.
        f"saga validate {wrong}": 1,
    }
    for line, code in lines.items():
        for form in ("table", "json", "jsonl"):
            ran = shell.script(f"({line} -o {form}; echo $? >&2) | true")
            assert (ran.out, ran.err.splitlines()[-1]) == ("", str(code)), (line, form)


def test_output_into_a_file_is_plain_text(shell: Shell, tmp_path: Path) -> None:
    started(shell, "s-12", "u-1", "--wait")
    path = tmp_path / "sagas.txt"
    assert shell.script(f"saga list > {path}").code == 0
    assert "\x1b" not in path.read_text()
    assert "COMPLETED" in path.read_text()
    full = shell.script("saga list > /dev/full")
    assert (full.code, full.sentence) == (1, "the output: No space left on device")


def test_a_command_that_can_print_nowhere_says_so(shell: Shell) -> None:
    started(shell, "s-31", "u-1", "--wait")  # a list of none, as lines, prints nothing and loses nothing
    for line in ("list", "list -o jsonl", "participants list -o json", "--help", "serve --help", "--version"):
        ran = shell.script(f"saga {line} >&-")
        assert (ran.code, ran.sentence) == (
            1,
            "the output: stdout is closed, and what was to be printed is lost",
        )


def test_a_terminal_gets_colours_unless_they_are_not_wanted(shell: Shell) -> None:
    started(shell, "s-13", "u-1", "--wait")
    assert "\x1b[32mCOMPLETED\x1b[0m" in shell.typed("list", answer="", after="").out
    assert "\x1b" not in shell.typed("list", answer="", after="", environ={"NO_COLOR": "1"}).out


def test_an_unknown_saga_or_definition_ends_with_three(shell: Shell) -> None:
    for verb in ("show", "watch", "wait"):
        ran = shell.saga(verb, "no-such-saga")
        assert (ran.code, ran.out) == (3, "")
        assert ran.sentence.startswith("there is no saga 'no-such-saga'")
    ran = shell.saga("start", "Nothing")
    assert (ran.code, "Nothing" in ran.sentence) == (3, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "PlaceOrder", "--input", "{"),
        ("start", "PlaceOrder", "--input", "@/no/such/file"),
        ("start", "PlaceOrder", "--request-id", "x" * 129),
        ("start", "PlaceOrder", "--timeout", "soon"),
        ("list", "--status", "ASLEEP"),
        ("list", "--filter", "colour = red"),
        ("list", "--limit", "0"),
        ("list", "--limit", "99999999999999999999"),
        ("dead-letters", "list", "--limit", "99999999999999999999"),
        ("watch", "x", "--after", "99999999999999999999"),
        ("list", "--output", "xml"),
        ("list", "--address", "nowhere"),
        ("list", "--adress", "127.0.0.1:1"),
        ("lst",),
        ("show",),
        ("wait", "x", "--timeout", "0"),
    ],
)
def test_what_cannot_be_right_ends_with_two_and_one_sentence(
    shell: Shell, arguments: tuple[str, ...]
) -> None:
    ran = shell.saga(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.sentence) > 10


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("start", "PlaceOrder", "--request-id", "x" * 129), "--request-id: expected "),
        (("start", "PlaceOrder", "--input", "[]"), "--input: expected an object"),
        (("start", "PlaceOrder", "--input", '{"a":1,"a":2}'), "--input $.a: "),
        (("start", ""), "NAME: expected 1 to 128 characters, found none"),
        (("start", "Trip", "--version", "x" * 129), "--version: expected "),
        (("list", "--filter", "colour = red"), "--filter: 'colour' is no field of a filter"),
        (("list", "--status", "asleep"), "--status: expected one of RUNNING, COMPENSATING, "),
        (("show", "x" * 200), "SAGA: expected 1 to 128 characters, found 200; send it corrected"),
    ],
)
def test_what_is_wrong_is_called_what_was_typed(
    shell: Shell, arguments: tuple[str, ...], sentence: str
) -> None:
    ran = shell.saga(*arguments)
    assert ran.code == 2
    assert ran.sentence.startswith(sentence)


def test_a_coordinator_that_is_not_there_ends_with_six() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = Shell(address).saga("list")
    assert (ran.code, ran.out) == (6, "")
    assert address in ran.sentence
    assert Shell().saga("list", "--address", "no-such-host.invalid:1", "--timeout", "5s").code in (5, 6)
    assert Shell().saga("list", "--address", "unix:/no/such/socket").code == 6


def test_what_answers_but_is_no_coordinator_is_told(cluster: Cluster) -> None:
    ran = Shell(cluster.participants_address).saga("list")
    assert ran.code == 1
    assert "no coordinator" in ran.sentence


def test_a_server_of_something_else_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            try:
                while True:
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(100)
                        peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        ran = Shell(f"127.0.0.1:{server.getsockname()[1]}").saga("list")
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert ran.code == 6
    assert len(ran.sentence) > 10


def test_a_coordinator_that_does_not_answer_in_time_ends_with_five() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ran = Shell(f"127.0.0.1:{silent.getsockname()[1]}").saga("list", "--timeout", "500ms")
    assert ran.code in (5, 6)
    assert len(ran.sentence) > 10


def test_definitions_are_registered_shown_listed_and_retired(
    cluster: Cluster, shell: Shell, tmp_path: Path
) -> None:
    step = "{service: OrderService, transaction: createOrder, compensation: cancelOrder}"
    (file := tmp_path / "trip.yaml").write_text(f"sagaName: Trip\nversion: '1'\nttl: 1s\nsteps: [{step}]\n")
    (wrong := tmp_path / "wrong.json").write_text('{"sagaName": "Trip", "steps": [], "undo": 1}')

    foreseen = shell.saga("definitions", "register", str(file), "--dry-run")
    assert (foreseen.code, foreseen.err) == (0, "Trip (version 1) would be registered\n")
    assert foreseen.out.startswith(f"{file}:3:1  ttl-too-short  $.ttl  ")
    assert shell.saga("definitions", "register", str(file)).err == "Trip (version 1) is registered\n"
    refused = shell.saga("definitions", "register", str(wrong))
    assert refused.code == 1
    assert [line.split(": ")[1] for line in refused.err.splitlines()[:-1]] == ["$.steps", "$.undo"]
    assert refused.err.endswith("wrong.json is not a saga definition and is not registered\n")

    assert shell.saga("start", "Trip", "-i", an_order("d-1"), "--version", "1", "--wait").code == 0
    file.write_text(file.read_text().replace("ttl: 1s", "ttl: 1h"))
    taken = shell.saga("definitions", "register", str(file))
    assert taken.code == 7
    assert "'Trip' in version '1' cannot get other content" in taken.sentence

    # Whatever is killed, it is durable.
    assert cluster.coordinator is not None
    cluster.coordinator.kill()
    cluster.start_coordinator()
    heading, row = shell.saga("definitions", "list", "--name", "Trip").out.splitlines()
    assert heading.split()[:6] == ["NAME", "VERSION", "STATE", "NEWEST", "SOURCE", "OPEN"]
    assert row.split()[:6] == ["Trip", "1", "STARTABLE", "yes", "API", "0"]
    shown = shell.saga("definitions", "show", "Trip", "--version", "1").out
    assert "state       STARTABLE, the newest\n" in shown
    assert '"transaction": "createOrder"' in shown
    retired = shell.saga("definitions", "retire", "Trip", "1", "--if-no-open-sagas")
    assert (retired.code, retired.err) == (0, "Trip (version 1) is retired\n")
    (listed,) = shell.saga("definitions", "list", "--name", "Trip", "--all", "-o", "jsonl").jsonl
    assert (listed["state"], listed["steps"]) == ("RETIRED", ["createOrder"])


def test_definitions_are_checked_without_a_coordinator(tmp_path: Path) -> None:
    shell = Shell()
    right = shell.saga("validate", "definitions")
    assert right.code == 0
    assert right.out == (
        "BookTrip (version 1): 6 steps\nOrderPlacementSaga: 5 steps\nPlaceOrder (version 2): 4 steps\n"
    )
    assert right.err == "3 definitions would be loaded, no file refused\n"
    wrong = tmp_path / "trip.json"
    wrong.write_text('{"sagaName": "Trip", "ttl": "soon", "steps": [{"service": "A", "transaction": "a"}]}')
    ran = shell.saga("validate", "definitions", str(wrong))
    assert ran.code == 1
    assert ran.out.splitlines()[3] == "trip.json is not a saga definition and is not loaded:"
    assert [line.split(":")[:2] for line in ran.out.splitlines()[4:]] == [
        ["  line 1, column 22", " $.ttl"],
        ["  line 1, column 47", " $.steps[0].compensation"],
    ]
    data = shell.saga("validate", str(wrong), "-o", "json").json
    assert isinstance(data, dict)
    assert [(fault["path"], fault["column"]) for fault in data["refused"][0]["violations"]] == [
        ("$.ttl", 22),
        ("$.steps[0].compensation", 47),
    ]
    assert shell.saga("validate", "definitions", "--service", "OrderService").code == 1
    assert shell.saga("validate", str(tmp_path / "absent.json")).code == 2
    (tmp_path / "empty").mkdir()
    assert shell.saga("validate", str(tmp_path / "empty")).code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("listen = ", "is not TOML"),
        ("listn = 'x'", "is not a setting; the nearest one is listen"),
        ("sagas_open_max = 'many'", "expected a whole number"),
        (None, "No such file or directory"),
        ("", "Is a directory"),
    ],
)
def test_a_broken_settings_file_stops_the_start_with_two(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "saga.toml"
    if text:
        path.write_text(text)
    elif text is not None:
        path.mkdir()
    by_flag = Shell().saga("serve", "--settings-file", str(path), cwd=tmp_path)
    by_variable = Shell().saga("serve", environ={"SAGA_SETTINGS_FILE": str(path)}, cwd=tmp_path)
    for ran in (by_flag, by_variable):
        assert (ran.code, ran.out) == (2, "")
        assert told in ran.sentence
    assert list(tmp_path.glob("*.sqlite3*")) == []


def test_a_wrong_flag_or_variable_stops_the_start_with_its_name(tmp_path: Path) -> None:
    shell = Shell()
    for arguments, name in (
        (("--listen", "5"), "--listen: "),
        (("--service", "A"), "--service: "),
        (("--service", "A=b"), "--services: "),
        (("--lisen", "5"), "--lisen"),
        (("--services", "{}", "--service", "A=a:1"), "give one of them"),
    ):
        ran = shell.saga("serve", *arguments, cwd=tmp_path)
        assert (ran.code, name in ran.sentence) == (2, True)
    ran = shell.saga("serve", environ={"SAGA_WAIT_MAX": "soon"}, cwd=tmp_path)
    assert (ran.code, "SAGA_WAIT_MAX: " in ran.sentence) == (2, True)


def test_a_coordinator_is_served_by_flags_and_stops_when_asked_to(cluster: Cluster, tmp_path: Path) -> None:
    places = [f"--service={name}={cluster.participants_address}" for name in SERVICES]
    child = Shell().popen(
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--journal",
        str(tmp_path / "j.sqlite3"),
        "--definitions",
        "definitions",
        *places,
    )
    try:
        assert child.stdout is not None
        ready = child.stdout.readline()
        assert ready.startswith("coordinator ready 127.0.0.1:")
        shell = Shell(ready.split()[-1])
        ran = shell.saga("start", "PlaceOrder", "-i", an_order("by-flags"), "--wait")
        assert ran.code == 0
        child.send_signal(signal.SIGTERM)
        _, log = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
    assert "Traceback" not in log


def test_a_start_is_waited_for_as_long_as_its_timeout_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.cli.commands.sagas.CALL_TIMEOUT", "100ms")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimedOut, match=r"within 0\.3 s"):
        sagas.start(
            f"127.0.0.1:{silent.getsockname()[1]}",
            "Trip",
            "{}",
            request_id=None,
            version=None,
            wait=False,
            timeout="300ms",
            form=Form.TABLE,
        )


async def test_a_watch_that_saw_a_saga_rest_ends_so_though_a_person_was_faster_than_its_last_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with coordinator() as c:
        c.participants.answer("bookSeat", REFUSED)
        c.participants.answer("cancelRoom", REFUSED, Succeeded("null"))
        saga_id = await c.start()
        seq = (await c.ended(saga_id)).seq
        look = c.sagas.get

        async def revived(asked: SagaId) -> SagaView:
            monkeypatch.setattr(c.sagas, "get", look)
            c.participants.hold("cancelRoom")
            retry = Action(ActionId("a-1"), "jo", "they are back", seq, Verb.RETRY, StepName("bookRoom"))
            await c.sagas.act(asked, retry)
            return await look(asked)

        monkeypatch.setattr(c.sagas, "get", revived)
        code = await asyncio.to_thread(sagas.watch, c.address, "30s", saga_id, 0, Form.JSONL)
        c.participants.release("cancelRoom")
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["status"] == "DEAD_LETTERED"
    assert (code, f"saga {saga_id} is COMPENSATING again, after it had come to rest: " in err) == (4, True)
