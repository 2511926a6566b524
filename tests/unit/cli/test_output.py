"""What programs read stays as it is; what people read is plain, and no text of others commands a terminal."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from coordinator.cli.commands.sagas import SAGA_COLUMNS
from coordinator.cli.output import Column, Form, as_data, print_many, tell
from coordinator.cli.text import counted
from coordinator.client.model import (
    EventType,
    OperatorAction,
    OperatorVerb,
    Saga,
    SagaStatus,
    Step,
    StepStatus,
    TimelineEntry,
    Watched,
)

TIME = datetime(2026, 11, 22, 8, 0, 1, 5, tzinfo=UTC)
ACTION = OperatorAction(OperatorVerb.RETRY, "a-1", "anna", "why")
ENTRY = TimelineEntry(3, TIME, EventType.OPERATOR_ACTED, "pay", retry_time=None, operator_action=ACTION)
STEP = Step("pay", "PaymentService", "pay", None, StepStatus.UNDO_FAILED, attempts=1)
SAGA = Saga(
    saga_id="s-1",
    saga_name="Trip",
    definition_version="",
    definition_digest="ab",
    request_id="r-1",
    status=SagaStatus.DEAD_LETTERED,
    error_message="no\n\x1b[2Jway",
    create_time=TIME,
    update_time=TIME,
    expire_time=None,
    seq=3,
    steps=(STEP,),
    timeline=(ENTRY,),
    needs_person=True,
)
COLUMNS = (Column("SAGA", "saga_id"), Column("PERSON", "needs_person"), Column("AT", "create_time"))


def test_json_has_the_clients_fields_short_enums_and_times_in_utc() -> None:
    assert as_data(SAGA) == {
        "saga_id": "s-1",
        "saga_name": "Trip",
        "definition_version": "",
        "definition_digest": "ab",
        "request_id": "r-1",
        "status": "DEAD_LETTERED",
        "error_message": "no\n\x1b[2Jway",
        "create_time": "2026-11-22T08:00:01.000005Z",
        "update_time": "2026-11-22T08:00:01.000005Z",
        "expire_time": None,
        "seq": 3,
        "steps": [
            {
                "name": "pay",
                "service": "PaymentService",
                "transaction": "pay",
                "compensation": None,
                "status": "UNDO_FAILED",
                "attempts": 1,
                "undo_attempts": 0,
                "by_hand": False,
                "depends_on": [],
                "kind": "UNSPECIFIED",
            }
        ],
        "timeline": [
            {
                "seq": 3,
                "time": "2026-11-22T08:00:01.000005Z",
                "type": "OPERATOR_ACTED",
                "step": "pay",
                "attempt": 0,
                "code": "",
                "message": "",
                "retry_time": None,
                "fencing_token": 0,
                "operator_action": {"verb": "RETRY", "action_id": "a-1", "actor": "anna", "reason": "why"},
            }
        ],
        "flags": [],
        "needs_person": True,
        "forced": False,
        "trace_id": "",
        "overdue": False,
        "output_json": "",
        "undo_plan": None,
        "timeline_left_out": 0,
    }


def test_json_of_a_watched_record_names_its_parts() -> None:
    watched = as_data(Watched(None, SagaStatus.RUNNING))
    assert watched == {"entry": None, "status": "RUNNING"}


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    there = datetime(2026, 11, 22, 10, 0, tzinfo=timezone(timedelta(hours=2)))
    assert as_data(there) == "2026-11-22T08:00:00.000000Z"


@pytest.mark.parametrize("form", [Form.JSON, Form.JSONL])
def test_what_a_program_reads_is_parsed_back(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_many([SAGA, SAGA], COLUMNS, form) == 2
    out = capsys.readouterr().out
    read = json.loads(out) if form is Form.JSON else [json.loads(line) for line in out.splitlines()]
    assert read == [as_data(SAGA)] * 2


def test_a_table_is_aligned_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_many([SAGA], COLUMNS, Form.TABLE)
    assert capsys.readouterr().out == (
        "SAGA  PERSON  AT\n"  #
        "s-1   yes     2026-11-22 08:00:01\n"
    )


@pytest.mark.parametrize(
    ("chars", "lines"),
    [
        (40, ["SAGA                                  STATUS", f"{'x' * 36}  DEAD_LETTERED"]),
        (55, ["SAGA                                  STATUS         N…", f"{'x' * 36}  DEAD_LETTERED  T…"]),
        (
            80,
            ["SAGA                                  STATUS         NAME", f"{'x' * 36}  DEAD_LETTERED  Trip"],
        ),
    ],
)
def test_a_terminal_however_narrow_shows_the_id_and_the_status_whole(
    chars: int, lines: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(chars))
    saga = replace(SAGA, saga_id="x" * 36, status=SagaStatus.DEAD_LETTERED, saga_name="Trip")
    print_many([saga], SAGA_COLUMNS[:2] + SAGA_COLUMNS[3:4], Form.TABLE)
    assert capsys.readouterr().out.splitlines() == lines


def test_an_empty_list_is_a_heading_a_pair_of_brackets_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for form in Form:
        assert print_many([], COLUMNS, form) == 0
        shown.append(capsys.readouterr().out)
    assert shown == ["SAGA  PERSON  AT\n", "[]\n", ""]


def test_a_text_of_others_stays_in_its_cell_and_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_many([SAGA], (Column("ERROR", "error_message"),), Form.TABLE)
    tell("a\nb\x07")
    assert capsys.readouterr() == ("ERROR\nno �[2Jway\n", "a b�\n")


def test_what_is_counted_has_its_plural_and_none_is_said_in_words() -> None:
    assert [counted(count, "run") for count in (0, 1, 2, 2500)] == ["no run", "1 run", "2 runs", "2,500 runs"]
