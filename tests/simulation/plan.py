"""What is to happen in one simulated world, said in full: the sagas that are asked for, and every fault.

A plan needs no seed to be played: it can be kept in a file, made smaller, and read by a person.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal

from coordinator.domain.jsontext import canonical
from coordinator.domain.values import frozen

Way = Literal["do", "undo"]


@frozen
class Again:
    """The client asks once more, so long after the first time; with *other* for something else."""

    after_s: float
    patience_s: float
    other: bool = False


@frozen
class Order:
    """A saga that a client asks for and waits for."""

    number: int
    at_s: float
    definition: int
    input: str
    """JSON."""
    patience_s: float
    again: tuple[Again, ...] = ()


@frozen
class Trick:
    """What becomes of the call of that number, from 0 on, of all that were sent for a step and a way."""

    order: int
    step: str
    way: Way
    call: int
    what: str
    """A key of `WHAT_MAY_HAPPEN`."""
    s: float = 0.0
    """How long it is delayed, or the wait that the answer names."""
    code: str = ""


WHAT_MAY_HAPPEN: Final[Mapping[str, str]] = {
    "refuse": "the business says no",
    "fault": "the business could not now",
    "pend": "the business has taken it on",
    "error": "the business code fails by a fault of its own",
    "lose the request": "the request never arrives",
    "lose the reply": "the reply never arrives",
    "late": "the request arrives late",
    "twice": "the request arrives once more, later",
    "slow": "the reply arrives late",
    "long": "the service is at it for so long",
    "status before": "a gRPC status, and nothing was done",
    "status after": "a gRPC status, and it was done",
    "other key": "an answer under another key",
    "no outcome": "an answer that says nothing",
    "garbage": "an answer that is no message",
    "not JSON": "an answer whose output is not JSON",
    "no commit": "the service could not commit what it had done",
}


@frozen
class Echo:
    """The request of that call arrives once more, so much after it was sent, whatever becomes of it."""

    order: int
    step: str
    way: Way
    call: int
    after_s: float


@frozen
class Kill:
    """kill -9 of the coordinator, at a moment or at a boundary; so much later there is another one."""

    away_s: float
    at_s: float | None = None
    boundary: int | None = None
    unsynced: Literal["lost", "kept", "torn"] = "lost"
    statements: int = 0


@frozen
class Stop:
    """SIGTERM: the coordinator parks what it is at, and ends."""

    at_s: float
    away_s: float


@frozen
class Freeze:
    """SIGSTOP, and SIGCONT so much later."""

    at_s: float
    for_s: float


@frozen
class Takeover:
    """The coordinator freezes, its disk is given to another one, and so much later it goes on."""

    at_s: float
    back_s: float
    unsynced: Literal["lost", "kept"] = "lost"


@frozen
class Outage:
    """A service is down, and what it was at is broken off; or it is up, and nothing reaches it."""

    at_s: float
    for_s: float
    service: str
    silent: bool = False


@frozen
class BadWrite:
    """The journal's write of that number, from 1 on, fails, and is kept all the same or not."""

    write: int
    kept: bool


@frozen
class FullDisk:
    """The journal's disk is nearly full."""

    at_s: float
    for_s: float


@frozen
class SlowDisk:
    """Each write and read of the journal takes so much longer."""

    at_s: float
    for_s: float
    by_s: float


@frozen
class ClockJump:
    """The clock of the coordinator's machine is set."""

    at_s: float
    by_s: float


@frozen
class Edit:
    """New sagas of that definition's name begin with another content."""

    at_s: float
    definition: int
    text: str


@frozen
class Hand:
    """An operator acts on a saga, or a client cancels it ("cancel"). `step` "?": one that needs a person, if
    any does. `stale`: they have seen an older state of it. `twice`: the same action is asked for again."""

    at_s: float
    order: int
    verb: str
    step: str = ""
    stale: bool = False
    twice: bool = False


@frozen
class Look:
    """A client reads a saga."""

    at_s: float
    order: int


@frozen
class Rot:
    """The first record of a saga is damaged on the journal's disk."""

    at_s: float
    order: int


Fault = (
    Trick
    | Echo
    | Kill
    | Stop
    | Freeze
    | Takeover
    | Outage
    | BadWrite
    | FullDisk
    | SlowDisk
    | ClockJump
    | Edit
    | Hand
    | Look
    | Rot
)
FAULTS: Final[Mapping[str, type[Fault]]] = {
    kind.__name__: kind
    for kind in (
        Trick,
        Echo,
        Kill,
        Stop,
        Freeze,
        Takeover,
        Outage,
        BadWrite,
        FullDisk,
        SlowDisk,
        ClockJump,
        Edit,
        Hand,
        Look,
        Rot,
    )
}


@dataclass(frozen=True)
class Plan:
    """One world. `salt` spreads latencies and jitter; with `shuffled` what is ready at the same time is taken
    in any order."""

    salt: str
    definitions: tuple[str, ...]
    """Their texts, as JSON."""
    orders: tuple[Order, ...]
    faults: tuple[Fault, ...]
    shuffled: bool = False
    calls_per_service_max: int = 64
    sagas_open_max: int = 1_000
    safe_until_s: float = 60.0
    """Until then faults come; after that nothing fails any more, and everything must come to rest."""
    restarts_at_rest: bool = False
    """Whether the coordinator is killed once more when all rest, and all is read again."""
    note: str = field(default="", compare=False)
    """What it shows, for people."""

    def written(self) -> str:
        """As JSON text; the inverse of `read_plan`."""
        document = asdict(self)
        document["faults"] = [{"kind": type(fault).__name__, **_said(fault)} for fault in self.faults]
        document["orders"] = [_said(order) for order in self.orders]
        document["definitions"] = [json.loads(text) for text in self.definitions]
        return json.dumps(document, indent=1) + "\n"


def read_plan(text: str) -> Plan:
    """The plan that `written` wrote."""
    document: dict[str, Any] = json.loads(text)
    return Plan(
        **{
            **document,
            "definitions": tuple(map(canonical, document["definitions"])),
            "orders": tuple(_order(order) for order in document["orders"]),
            "faults": tuple(_fault(fault) for fault in document["faults"]),
        }
    )


def _said(value: Any) -> dict[str, Any]:
    """What is not as by default."""
    defaults = {f.name: f.default for f in fields(value)}
    return {name: said for name, said in asdict(value).items() if said != defaults[name] and said != ()}


def _order(document: dict[str, Any]) -> Order:
    again = tuple(Again(**more) for more in document.pop("again", ()))
    return Order(**document, again=again)


def _fault(document: dict[str, Any]) -> Fault:
    kind = FAULTS[document.pop("kind")]
    return kind(**document)
