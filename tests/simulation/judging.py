"""What must hold: some of it is looked at with every row of a ledger, all of it by the checker at the end."""

from collections.abc import Iterator, Sequence

from coordinator.domain.ids import SagaId
from participants import calls, ledger
from tests.checker.check import check
from tests.checker.evidence import Evidence, LedgerRow
from tests.simulation.calling import wrong_calls
from tests.simulation.notes import Happened
from tests.simulation.services import Row
from tests.simulation.world import World

_READ = (
    "SELECT local_seq, saga_id, step, operation, name, idempotency_key, outcome, request_hash, result_hash,"
    " fencing_token, arrived_ns FROM saga_ledger ORDER BY local_seq"
)


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
        if applied and row.token < newest:
            yield f"I26: {row.step} is applied under token {row.token} after token {newest}"
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
    return [*map(str, report.violations), *_unlike(world), *wrong_calls(world), *_set_aside(world)]


def _evidence(world: World) -> Evidence:
    happened = world.happened
    return Evidence(
        ledger=tuple(_rows(world)),
        calls=tuple(happened.calls),
        reads=tuple(happened.reads),
        definitions=world.definitions_read(),
        # By a clock that was set nobody can tell for how long a coordinator was up.
        restarts=max(len(happened.boots) - 1, int(_clock_was_set(world))),
        actions=tuple(happened.actions),
        dead_letters=happened.dead_letters,
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
            operation="E" if operation == calls.Operation.EXECUTE else "C",
            transaction=name,
            key=key,
            outcome=ledger.Outcome(outcome).name.lower(),
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
        "SELECT id, status, due_at FROM sagas WHERE status IN ('RUNNING', 'COMPENSATING')"
    ).fetchall()
    return (
        ", ".join(f"{saga_id} {status} due {due_at}" for saga_id, status, due_at in found) or "nobody is up"
    )


def _unlike(world: World) -> Iterator[str]:
    """I18: what stands in the services' own data is what their ledgers say."""
    stands = set(world.services.database.execute("SELECT saga_id, step FROM stands"))
    applied: dict[str, set[tuple[str, str]]] = {"E": set(), "C": set()}
    for row in world.happened.rows:
        if row.outcome == "applied":
            applied[row.op].add((row.saga_id, row.step))
    for saga_id, step in sorted(stands ^ (applied["E"] - applied["C"])):
        yield f"I18: saga {saga_id}: {step} stands, and the ledger says otherwise, or it does not"


def _set_aside(world: World) -> Iterator[str]:
    """Here a saga that cannot be read or driven is a fault of ours."""
    for saga_id, reason in world.journal.execute("SELECT saga_id, reason FROM quarantines"):
        yield f"I22: saga {SagaId(saga_id)} was set aside: {reason}"


def play(world: World) -> tuple[Happened, Sequence[str]]:
    """Play a world and judge it."""
    happened = world.play()
    try:
        return happened, judge(world)
    finally:
        world.close()
