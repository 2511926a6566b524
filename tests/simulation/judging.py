"""What must hold: some of it is looked at with every row of a ledger, all of it by the checker at the end."""

from collections.abc import Iterator, Sequence
from typing import Final

from coordinator.adapters.sqlite.words import text_of
from coordinator.simulation.chance import BORN_AT_S
from participants import calls, ledger
from tests.checker.check import check
from tests.checker.evidence import Evidence, LedgerRow
from tests.simulation.calling import wrong_calls
from tests.simulation.notes import Happened
from tests.simulation.services import OPERATIONS, OUTCOMES, Row, order_of
from tests.simulation.world import World

_READ = (
    "SELECT local_seq, saga_id, step, operation, name, idempotency_key, outcome, request_hash, result_hash,"
    " fencing_token, arrived_ns FROM saga_ledger ORDER BY local_seq"
)
_QUARANTINES = "FROM quarantines JOIN sagas ON number = saga"


GRACE_S: Final = 0.1
"""Between the moment that a quarantine names and the one at which it is durable, at most."""


class Watch:
    """Looks at each row as it is written: a run that breaks a law ends there, and its trace with it."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str, str], str] = {}
        self._contents: dict[str, str] = {}
        self._tokens: dict[tuple[str, str], int] = {}

    def __call__(self, world: World, row: Row) -> None:
        for sentence in self._wrong(row):
            world.notes.wrong(f"saga {row.saga_id}: {sentence}")

    def _wrong(self, row: Row) -> Iterator[str]:
        applied = row.outcome == "applied"
        done = self._outcomes.get((row.saga_id, row.step, "E"))
        undone = self._outcomes.get((row.saga_id, row.step, "C"))
        if applied and row.op == "E":
            if done is not None:
                yield f"I6: {row.step} is applied twice"
            if undone is not None:
                yield f"I8: {row.step} is applied after its undo"
        if applied and row.op == "C":
            if undone is not None:
                yield f"I6: {row.step} is undone twice"
            if done is None:
                yield f"I7: {row.step} is undone and was never done"
        if self._contents.setdefault(row.key, row.request_hash) != row.request_hash:
            yield f"I15: {row.key} comes with other content"
        newest = self._tokens.get((row.saga_id, row.service), 0)
        if row.token < newest:
            yield f"I26: {row.step} is {row.outcome} under token {row.token} after token {newest}"
        self._tokens[row.saga_id, row.service] = max(newest, row.token)
        if applied or row.outcome == "null":
            self._outcomes.setdefault((row.saga_id, row.step, row.op), row.outcome)


def judge(world: World) -> Sequence[str]:
    """What is wrong with the run that *world* has played, in sentences."""
    happened = world.happened
    if happened.wrong:
        return happened.wrong
    if not happened.at_rest:
        return [f"I19: still under way when everything worked again for long: {_still_open(world)}"]
    report = check(_evidence(world))
    return [
        *map(str, report.violations),
        *_unlike(world),
        *wrong_calls(world),
        *_set_aside(world),
        *_damaged(world),
    ]


def _evidence(world: World) -> Evidence:
    """All that is known of the sagas whose records can be read."""
    happened, damaged = world.happened, world.happened.damaged
    orders = {f"order-{order_of(saga_id)}" for saga_id in damaged}
    return Evidence(
        ledger=tuple(row for row in _rows(world) if row.saga_id not in damaged),
        calls=tuple(call for call in happened.calls if call.request_id not in orders),
        reads=tuple(read for read in happened.reads if read.saga_id not in damaged),
        definitions=world.definitions_read(),
        # By a clock that was set nobody can tell for how long a coordinator was up.
        restarts=max(len(happened.boots) - 1, int(_clock_was_set(world))),
        actions=tuple(action for action in happened.actions if action.saga_id not in damaged),
        dead_letters=None if happened.dead_letters is None else happened.dead_letters.difference(damaged),
        inputs=happened.inputs,
        outputs={
            (saga_id, step): output
            for saga_id, step, output in world.services.database.execute(
                "SELECT saga_id, step, output_json FROM saga_answers WHERE operation = ? AND outcome = ?",
                (calls.Operation.EXECUTE, ledger.Outcome.APPLIED),
            )
        },
        downtimes_ns=None if _clock_was_set(world) else tuple(happened.downtimes_ns),
        redeliveries=dict(world.services.delivered_again),
        at_rest=happened.at_rest,
    )


def _rows(world: World) -> Iterator[LedgerRow]:
    for number, row in enumerate(world.services.database.execute(_READ)):
        local_seq, saga_id, step, operation, name, key, outcome, request, result, token, at_ns = row
        yield LedgerRow(
            service=world.services.services_of_rows[number],
            local_seq=local_seq,
            saga_id=saga_id,
            step=step,
            operation=OPERATIONS[operation],
            transaction=name,
            key=key,
            outcome=OUTCOMES[outcome],
            request_hash=request,
            result_hash=result,
            token=token,
            arrived_ns=at_ns,
            committed_ns=at_ns,
        )


def _clock_was_set(world: World) -> bool:
    return world.happened.marks["ClockJump"] > 0


def _still_open(world: World) -> str:
    found = world.journal.execute(
        "SELECT id, status, due_at FROM sagas JOIN heads ON saga = number"
        " WHERE status IN ('RUNNING', 'COMPENSATING')"
    )
    told = [f"{text_of(kept_id)} {status} due {due_at}" for kept_id, status, due_at in found]
    return ", ".join(told) or "nobody is up"


def _unlike(world: World) -> Iterator[str]:
    """I18: what stands in the services' own data is what their ledgers say; and these say what came."""
    stands = set(world.services.database.execute("SELECT saga_id, step FROM stands"))
    applied: dict[str, set[tuple[str, str]]] = {"E": set(), "C": set()}
    for row in world.happened.rows:
        if row.outcome == "applied":
            applied[row.op].add((row.saga_id, row.step))
    for saga_id, step in sorted(stands ^ (applied["E"] - applied["C"])):
        yield f"I18: saga {saga_id}: {step} stands, and the ledger says otherwise, or it does not"
    shown = world.services.database.execute("SELECT fencing_token FROM saga_ledger ORDER BY local_seq")
    for row, (token,) in zip(world.happened.rows, shown, strict=True):
        if row.token != token:
            yield f"I26: saga {row.saga_id}: {row.step} came under token {row.token}, not under {token}"


def _set_aside(world: World) -> Iterator[str]:
    """Here a saga that cannot be read or driven is a fault of ours, if it is not damaged."""
    for kept_id, reason in world.journal.execute(f"SELECT id, reason {_QUARANTINES}"):
        saga_id = text_of(kept_id)
        if saga_id not in world.happened.damaged:
            yield f"I22: saga {saga_id} was set aside: {reason}"


def _damaged(world: World) -> Iterator[str]:
    """I22: a damaged saga that has to be taken up is put before a person instead, and nothing of it is sent
    any more. Only whoever drives it already may bring it to its end."""
    happened = world.happened
    quarantines = world.journal.execute(f"SELECT id, at {_QUARANTINES}")
    set_aside = {text_of(kept_id): at for kept_id, at in quarantines}
    sagas = world.journal.execute("SELECT id, status, needs_person FROM sagas")
    rows = {text_of(kept_id): row for kept_id, *row in sagas}
    for saga_id, was_taken_up in happened.damaged.items():
        status, needs_person = rows[saga_id]
        if saga_id not in set_aside:
            if was_taken_up and status != "TERMINATED":
                yield f"I22: saga {saga_id} is damaged, and was taken up all the same: it is {status}"
            continue
        if (status, needs_person) != ("DEAD_LETTERED", 1) or saga_id not in (happened.dead_letters or ()):
            yield f"I22: saga {saga_id} was set aside, and nobody is told: it is {status}"
        if not _clock_was_set(world):
            since_s = set_aside[saga_id] - BORN_AT_S
            # Whoever lost its disk without knowing it goes on until it writes: its token is an older one.
            lost_it = {name for at_s, name in happened.boots if at_s <= since_s}
            lost_it.discard(
                max((boot for boot in happened.boots if boot[0] <= since_s), default=(0.0, ""))[1]
            )
            sends = [send for send in happened.sends if send.call.saga_id == saga_id]
            if any(send.at_s > since_s + GRACE_S and send.by not in lost_it for send in sends):
                yield f"I22: saga {saga_id} was set aside, and is driven on"


def play(world: World) -> tuple[Happened, Sequence[str]]:
    """Play a world and judge it."""
    happened = world.play()
    try:
        return happened, judge(world)
    finally:
        world.close()
