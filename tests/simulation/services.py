"""The services of a simulated world: the real barrier over a real database, and the wire to them.

A call goes as the message that is really sent, and comes back as the bytes that are really read: every other
one as on a stream. What becomes of it on the way stands in the plan.
"""

import asyncio
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from coordinator.adapters.grpc_participants.answers import (
    add_numbered,
    to_answer,
    to_numbered_answer,
    to_request,
)
from coordinator.domain.outcomes import Answer, NoProof, Unproved, status_kind
from coordinator.domain.values import frozen
from coordinator.ports.participants import Call, Description, ExecuteCall, Probe, Reach, Told
from coordinator.simulation.boundaries import Boundaries, Boundary
from coordinator.simulation.databases import Databases
from coordinator.simulation.loop import Process, SimulatedLoop, for_ever, pause
from participants import barrier, calls, ledger
from participants.base import Output
from participants.errors import Rejected
from participants.requests import read_compensate, read_execute
from participants.turns import TurnNotReached, Turns
from saga.v1 import participant_pb2 as pb
from tests.simulation.plan import Echo, Trick, Way

OUTPUT: Final = {"no": False, "ref": "r-1", "yes": True}
"""What every transaction answers."""
WIRE_S: Final = 0.004
WORK_S: Final = 0.010
"""How long each takes at most, if the plan does not say otherwise."""
SCHEMA: Final = "CREATE TABLE stands (saga_id TEXT, step TEXT, PRIMARY KEY (saga_id, step));"
OPERATIONS: Final = {calls.Operation.EXECUTE: "E", calls.Operation.COMPENSATE: "C"}
OUTCOMES: Final = {outcome: outcome.name.lower() for outcome in ledger.Outcome}
"""The words for what stands in a ledger as numbers."""
_REASONS: Final = {"KEY_REUSED": "ALREADY_EXISTS", "BARRED": "FAILED_PRECONDITION", "STALE_TOKEN": "ABORTED"}

Reply = bytes | NoProof


@frozen
class Row:
    """A line of the ledger, in the order of all services."""

    at_s: float
    service: str
    saga_id: str
    step: str
    op: str
    outcome: str
    key: str
    request_hash: str
    token: int


@dataclass(slots=True)
class Send:
    """One call that a coordinator sent, and what it heard."""

    at_s: float
    call: Call
    timeout_s: float
    by: str
    heard_at_s: float | None = None
    heard: str = ""
    """What an answer that proves nothing was: a status or a reason."""
    answer: Answer | None = None


class Services:
    """All services of a world. *row* is told of each line of their ledger."""

    def __init__(
        self,
        loop: SimulatedLoop,
        salt: str,
        tricks: Mapping[tuple[int, str, Way, int], Trick],
        echoes: Mapping[tuple[int, str, Way, int], Echo],
        row: Callable[[Row], None],
    ) -> None:
        self._loop = loop
        self._salted = zlib.crc32(f"({salt!r}, ".encode())
        self._tricks = tricks
        self._echoes = echoes
        self._row = row
        self._processes: dict[str, Process] = {}
        self._turns: dict[str, Turns] = {}
        self._serving: dict[str, dict[int, Callable[[Reply], None]]] = {}
        self._sends: Counter[tuple[int, str, str]] = Counter()
        self._arrivals = 0
        self._now_ns = 0
        self._rows_known = 0
        self.database = _DATABASES.take()
        self.services_of_rows: list[str] = []
        self.down: set[str] = set()
        self.silent: set[str] = set()
        self.healed = False
        """Whether nothing goes wrong any more."""
        self.met: Counter[str] = Counter()
        """How often each kind of trick has come to pass."""
        self.delivered_again: Counter[str] = Counter()
        """By service."""

    def trick_for(self, call: Call) -> Trick | None:
        """What the plan says of this call, which is counted."""
        order, way = order_of(call.saga_id), _way(call)
        number = self._sends[order, call.step, way]
        self._sends[order, call.step, way] += 1
        trick = None if self.healed else self._tricks.get((order, call.step, way, number))
        if trick is not None:
            self.met[trick.what] += 1
        return trick

    def spread(self, longest_s: float, *about: object) -> float:
        """How long something takes: the same whenever it is asked about the same."""
        return longest_s * (zlib.crc32(f"{about!r})".encode(), self._salted) / 2**32)

    def spreading(self, longest_s: float, about: object) -> Callable[[int], float]:
        """`spread` of *about* and a number, for what is asked about very often."""
        salted = zlib.crc32(f"({about!r}, ".encode(), self._salted)
        return lambda number: longest_s * (zlib.crc32(b"%d))" % number, salted) / 2**32)

    def is_on_stream(self, call: Call) -> bool:
        """Whether this attempt goes on a stream, and not alone."""
        return self.spread(1.0, call.key, call.attempt, "on a stream") < 0.5

    def read(self, call: Call, came: Reply) -> Answer:
        """What *came* answers to *call*, by whatever way both went."""
        return _read_on_stream(call, came) if self.is_on_stream(call) else _read_alone(call, came)

    def deliver(
        self, call: Call, trick: Trick | None, answered: Callable[[Reply], None], *, timeout_s: float
    ) -> None:
        """Put a request on the wire; *answered* is called with what comes back, if anything does."""
        order, way = order_of(call.saga_id), _way(call)
        count = self._sends[order, call.step, way]
        delay_s = self.spread(WIRE_S, call.key, count)
        what = "" if trick is None else trick.what
        if not self.healed and (echo := self._echoes.get((order, call.step, way, count - 1))) is not None:
            self.met["Echo"] += 1
            self._arrive_again(call, delay_s + echo.after_s, timeout_s)
        if what == "lose the request":
            return
        if trick is not None and what == "late":
            delay_s += trick.s
        if trick is not None and what == "twice":
            self._arrive_again(call, delay_s + trick.s, timeout_s)
        if trick is not None and what == "status before":
            status = NoProof(status_kind(trick.code, None), trick.code, "")
            self._loop.tell_later(None, delay_s, answered, status)
            return
        self._loop.tell_later(None, delay_s, self._arrive, call, trick, answered, timeout_s)

    def _arrive_again(self, call: Call, after_s: float, timeout_s: float) -> None:
        self.delivered_again[call.service] += 1
        self._loop.tell_later(None, after_s, self._arrive, call, None, _nobody, timeout_s)

    def kill(self, service: str) -> None:
        """The service dies: what it was at is broken off, and whoever waits learns that the line is dead."""
        self.down.add(service)
        if (process := self._processes.pop(service, None)) is not None:
            process.kill()
        del_serving = self._serving.pop(service, {})
        for answered in del_serving.values():
            self._loop.tell_later(None, WIRE_S, answered, _UNAVAILABLE)

    def close(self) -> None:
        """Call it once, when nothing looks at their database any more: those of another world has it."""
        _DATABASES.give_back(self.database)

    def _arrive(
        self, call: Call, trick: Trick | None, answered: Callable[[Reply], None], timeout_s: float
    ) -> None:
        if call.service in self.silent:
            return
        if call.service in self.down:
            answered(_UNAVAILABLE)
            return
        if call.service not in self._processes:
            self._processes[call.service] = self._loop.process(call.service)
            self._turns[call.service] = Turns()
            self._serving[call.service] = {}
        self._arrivals += 1
        number = self._arrivals
        self._serving[call.service][number] = answered
        self._loop.own(self._processes[call.service], self._serve(call, trick, number, timeout_s))

    async def _serve(self, call: Call, trick: Trick | None, number: int, timeout_s: float) -> None:
        what = "" if trick is None else trick.what
        try:
            async with self._turns[call.service].take(call.saga_id, call.step, timeout_s):
                longer_s = trick.s if trick is not None and what == "long" else 0.0
                await pause(self.spread(WORK_S, number) + longer_s)
                reply = self._perform(call, trick)
        except TurnNotReached:
            reply = _response(call, calls.Faulted("STEP_BUSY", "an earlier call is still being performed"))
        answered = self._serving[call.service].pop(number)
        if what == "lose the reply":
            return
        back_s = self.spread(WIRE_S, number, "back")
        if trick is not None and what == "slow":
            back_s += trick.s
        if trick is not None and what == "status after":
            reply = NoProof(status_kind(trick.code, None), trick.code, "")
        if isinstance(reply, bytes):
            reply = _garbled(call, what, reply)
        self._loop.tell_later(None, back_s, answered, reply)

    def _perform(self, call: Call, trick: Trick | None) -> Reply:
        """Put the call through the barrier, in one transaction, as a service's store does."""
        request = _heard_on_stream(call) if self.is_on_stream(call) else to_request(call)
        asked: calls.Call
        match request:
            case pb.ExecuteRequest():
                asked = read_execute(request)
            case _:
                asked = read_compensate(request)
        # No two things happen at the same moment here: evidence is ordered by it.
        self._now_ns = max(self._now_ns + 1, round(self._loop.time() * 1e9))
        # It was made just now, and for us alone: `replace` would take as long as the call itself.
        object.__setattr__(asked, "arrived_ns", self._now_ns)
        business = partial(_business, trick) if asked.name or isinstance(call, ExecuteCall) else None
        db = self.database
        db.execute("BEGIN")
        try:
            verdict = barrier.perform(db, asked, business)
        except _BusinessFails:
            db.execute("ROLLBACK")
            return NoProof(Unproved.TRANSIENT, "INTERNAL", "")
        if trick is not None and trick.what == "no commit":
            db.execute("ROLLBACK")
            return _UNAVAILABLE
        db.execute("COMMIT")
        self._tell(call)
        if isinstance(verdict.answer, Rejected):
            reason = verdict.answer.reason
            return NoProof(status_kind(_REASONS[reason], reason), reason, str(verdict.answer))
        return _response(call, verdict.answer)

    def _tell(self, call: Call) -> None:
        newest = self.database.execute(
            "SELECT local_seq, operation, outcome, request_hash FROM saga_ledger"
            " ORDER BY local_seq DESC LIMIT 1"
        ).fetchone()
        if newest is None or newest[0] == self._rows_known:
            return
        self._rows_known = newest[0]
        self.services_of_rows.append(call.service)
        self._row(
            Row(
                self._loop.time(),
                call.service,
                call.saga_id,
                call.step,
                OPERATIONS[newest[1]],
                OUTCOMES[newest[2]],
                call.key,
                newest[3],
                call.token,
            )
        )


class Wire:
    """Keeps the port `Participants` for one coordinator."""

    def __init__(
        self,
        process: Process,
        services: Services,
        boundaries: Boundaries,
        sent: Callable[[Send], None],
    ) -> None:
        self._process = process
        self._services = services
        self._boundaries = boundaries
        self._sent = sent

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        process = self._process
        self._reach(Boundary.UNSENT, call)
        if process.is_dead:
            await for_ever()
        loop = asyncio.get_running_loop()
        send = Send(loop.time(), call, timeout_s, process.name)
        self._sent(send)
        reply: asyncio.Future[Reply] = loop.create_future()
        self._services.deliver(
            call, self._services.trick_for(call), partial(_answer_once, reply), timeout_s=timeout_s
        )
        late = loop.call_later(timeout_s, _answer_once, reply, _TOO_LATE)
        came = await reply
        late.cancel()
        answer = came if came is _TOO_LATE else self._services.read(call, came)
        self._reach(Boundary.UNTAKEN, call)
        if process.is_dead:
            await for_ever()
        send.heard_at_s = loop.time()
        send.heard = getattr(answer, "code", "")
        send.answer = answer
        return answer

    async def probe(self, service: str) -> Probe:
        return Probe("", Reach.SERVING)

    async def describe(self, service: str) -> Description:
        return Description(Told.UNIMPLEMENTED)

    def _reach(self, boundary: Boundary, call: Call) -> None:
        self._boundaries.reach(self._process, boundary, lambda: f"{call.key}, attempt {call.attempt}")


_UNAVAILABLE: Final = NoProof(Unproved.TRANSIENT, "UNAVAILABLE", "")
_TOO_LATE: Final = NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer in time")


def _heard_on_stream(call: Call) -> pb.ExecuteRequest | pb.CompensateRequest:
    """*call* as its service has it from a stream."""
    request = pb.PerformRequest()
    add_numbered(request, call, 1, 1.0)
    (numbered,) = pb.PerformRequest.FromString(request.SerializeToString()).calls
    return numbered.execute if numbered.HasField("execute") else numbered.compensate


def _read_alone(call: Call, came: Reply) -> Answer:
    return to_answer(call, came) if isinstance(came, bytes) else came


def _read_on_stream(call: Call, came: Reply) -> Answer:
    numbered = pb.NumberedAnswer(number=1)
    if isinstance(came, NoProof):
        numbered.status.CopyFrom(_status_of(came))
        return to_numbered_answer(call, numbered)
    response = numbered.execute if isinstance(call, ExecuteCall) else numbered.compensate
    try:
        response.MergeFromString(came)
    except DecodeError:
        # It would break the stream for all that are on it, and then come alone.
        return to_answer(call, came)
    response.SetInParent()
    return to_numbered_answer(call, numbered)


def _status_of(said: NoProof) -> status_pb2.Status:
    """The status that stands for *said*: under its reason, if it has one."""
    code = grpc.StatusCode[_REASONS.get(said.code, said.code)]
    status = status_pb2.Status(code=code.value[0], message=said.message)
    if said.code in _REASONS:
        status.details.add().Pack(error_details_pb2.ErrorInfo(domain="saga.v1", reason=said.code))
    return status


def order_of(saga_id: str) -> int:
    """The number of the order that a saga was made for: its id begins with it."""
    return int(saga_id.partition(".")[0])


def _way(call: Call) -> Way:
    return "do" if isinstance(call, ExecuteCall) else "undo"


class _BusinessFails(Exception):
    """What business code should not raise."""


def _business(trick: Trick | None, db: sqlite3.Connection, call: calls.Call) -> Output:
    """Something stands for each step that is done; and the plan may say no, but only after the change."""
    if call.operation is calls.Operation.EXECUTE:
        db.execute("INSERT INTO stands VALUES (?, ?)", (call.saga_id, call.step))
    elif (
        db.execute("DELETE FROM stands WHERE saga_id = ? AND step = ?", (call.saga_id, call.step)).rowcount
        != 1
    ):
        raise AssertionError(f"{call.step} of {call.saga_id} is undone and does not stand")
    match trick:
        case Trick(what="refuse", code=code):
            raise calls.Refused(code or "SOLD_OUT", "no more of it")
        case Trick(what="fault", s=hint_s):
            raise calls.Faulted("BUSY", "later", hint_s or None)
        case Trick(what="pend", s=wait_s):
            raise calls.Pending(wait_s or None)
        case Trick(what="error"):
            raise _BusinessFails
    return OUTPUT if call.operation is calls.Operation.EXECUTE else None


def _response(call: Call, answer: calls.Answer) -> bytes:
    kind = pb.ExecuteResponse if isinstance(call, ExecuteCall) else pb.CompensateResponse
    response = kind(idempotency_key=call.key)
    match answer:
        case calls.Succeeded(output_json):
            response.succeeded.output_json = output_json
        case calls.Refused():
            response.refused.code, response.refused.message = answer.code, answer.message
        case calls.Pending():
            response.pending.SetInParent()
            if answer.ask_again_after_s is not None:
                response.pending.ask_again_after.CopyFrom(_duration(answer.ask_again_after_s))
        case calls.Faulted():
            response.faulted.code, response.faulted.message = answer.code, answer.message
            if answer.retry_after_s is not None:
                response.faulted.retry_after.CopyFrom(_duration(answer.retry_after_s))
    return response.SerializeToString()


def _garbled(call: Call, what: str, reply: bytes) -> bytes:
    kind = pb.ExecuteResponse if isinstance(call, ExecuteCall) else pb.CompensateResponse
    match what:
        case "other key":
            response = kind.FromString(reply)
            response.idempotency_key += "-other"
            return response.SerializeToString()
        case "no outcome":
            return kind(idempotency_key=call.key).SerializeToString()
        case "garbage":
            return b"\xff" + reply
        case "not JSON":
            response = kind.FromString(reply)
            response.succeeded.output_json = '{"a": NaN}'
            return response.SerializeToString()
    return reply


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _answer_once(reply: asyncio.Future[Reply], came: Reply) -> None:
    if not reply.done():
        reply.set_result(came)


def _nobody(_: Reply) -> None:
    """Whoever asked has an answer."""


def _lay_out(database: sqlite3.Connection) -> None:
    database.executescript(barrier.SCHEMA + ledger.SCHEMA + SCHEMA)


_DATABASES: Final = Databases(sqlite3.Connection, _lay_out)
