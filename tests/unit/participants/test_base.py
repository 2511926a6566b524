"""What a service author writes, and what is told when it is written wrongly."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from participants import ExecuteCall, Faulted, Participant, Pending, Refused, compensation, transaction
from participants.calls import Operation
from tests.unit.participants.kit import TillService, a_compensate, an_execute


class Plain(Participant):
    @transaction("do")
    def do(self, db: sqlite3.Connection, call: ExecuteCall) -> None: ...


class Renamed(Plain):
    name = "OtherService"

    @compensation("undo")
    def undo(self, db: sqlite3.Connection, call: object) -> None: ...


def test_a_service_is_called_by_its_class_unless_it_says_otherwise() -> None:
    assert Plain.name == "Plain"
    assert Renamed.name == "OtherService"


def test_business_code_is_found_by_direction_and_name() -> None:
    till = TillService()
    assert till.business(an_execute()) == till.put
    assert till.business(a_compensate()) == till.take
    assert till.business(an_execute(name="take")) is None
    assert till.business(a_compensate(name="")) is None


def test_a_subclass_inherits_what_its_base_can_do() -> None:
    assert Renamed.names(Operation.EXECUTE) == {"do"}
    assert Renamed.names(Operation.COMPENSATE) == {"undo"}
    assert Plain.names(Operation.COMPENSATE) == set()


def test_a_name_that_is_declared_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="declares do twice"):

        class Twice(Participant):
            @transaction("do")
            def one(self, db: sqlite3.Connection, call: ExecuteCall) -> None: ...

            @transaction("do")
            def two(self, db: sqlite3.Connection, call: ExecuteCall) -> None: ...


@pytest.mark.parametrize("code", ["", "out of stock", "out_of_stock", "1ST", "A" * 65])
def test_a_code_that_machines_cannot_rely_on_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="upper-case name"):
        Refused(code, "no")
    with pytest.raises(ValueError, match="upper-case name"):
        Faulted(code, "no")


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_wait_that_cannot_be_waited_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="a wait is"):
        Pending(seconds)
    with pytest.raises(ValueError, match="a wait is"):
        Faulted("BUSY", "no", seconds)


def test_no_repr_shows_a_payload() -> None:
    call = an_execute(given={"token": "tok-canary"})
    assert "tok-canary" not in f"{call!r} {call}"


def test_a_server_of_ones_own_needs_the_base_install_only() -> None:
    code = (
        "import sys, participants.register;"
        "assert not {'grpc_health.v1', 'grpc_reflection.v1alpha', 'aiosqlite'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_business_code_needs_neither_grpc_nor_the_generated_code() -> None:
    code = "import sys, participants; assert not {'grpc', 'google', 'saga'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
