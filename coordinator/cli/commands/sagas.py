"""Starting sagas and looking at them."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Final

from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.options import CALL_TIMEOUT, WAIT_TIMEOUT, seconds, text_of
from coordinator.cli.output import Column, Form, print_line, print_many, print_one, put, put_now, tell, width
from coordinator.cli.steps import step_lines
from coordinator.cli.text import one_line
from coordinator.cli.timeline import draw, said, steps_by_name, wait_after
from coordinator.cli.undo import undo_lines
from coordinator.client import BlockingClient
from coordinator.client.model import Saga, SagaStatus, Started, Step, Watched

SAGA_COLUMNS: Final = (
    Column("SAGA", "saga_id", is_whole=True),
    Column("STATUS", "status", is_whole=True),
    Column("PERSON", "needs_person"),
    Column("NAME", "saga_name"),
    Column("REQUEST", "request_id"),
    Column("STARTED (UTC)", "create_time"),
    Column("ERROR", "error_message"),
)
# It becomes a part of the filter: the coordinator would not know that it was typed by itself.
_STATUSES: Final = tuple(status.value for status in SagaStatus if status is not SagaStatus.UNSPECIFIED)


def start(
    address: str,
    name: str,
    input: str,
    *,
    request_id: str | None,
    version: str | None,
    wait: bool,
    timeout: str | None,
    form: Form,
) -> int:
    """Start or join a saga, and print it; with *wait*, once it rests."""
    timeout_s = seconds(timeout or (WAIT_TIMEOUT if wait else CALL_TIMEOUT))
    text = text_of(input, "--input")
    accept_s = min(timeout_s, seconds(CALL_TIMEOUT)) if wait else timeout_s
    with BlockingClient(address, timeout_s=accept_s) as client:
        started = client.start(name, text, request_id=request_id, version=version, timeout_s=None)
        if wait and not started.saga.status.rests:
            # Told before the wait: whoever runs out of time, or of patience, still has the id.
            tell(f"{'joined' if started.joined else 'started'} saga {started.saga.saga_id}")
            started = Started(client.wait(started.saga.saga_id, timeout_s=timeout_s), started.joined)
    if form is Form.TABLE:
        print_many([started.saga], SAGA_COLUMNS, form)
    else:
        print_one(started, form)
    return _ended(started.saga) if wait else Exit.OK


def list_all(
    address: str,
    timeout: str,
    *,
    status: str | None,
    name: str | None,
    needs_person: bool,
    filter: str,
    limit: int,
    form: Form,
) -> int:
    """Print sagas."""
    if status is not None and status.upper() not in _STATUSES:
        raise CommandFailed(Exit.USAGE, f"--status: expected one of {', '.join(_STATUSES)}")
    with BlockingClient(address, timeout_s=seconds(timeout)) as client:
        sagas = client.list(
            filter=filter,
            status=None if status is None else status.upper(),
            saga_name=name,
            needs_person=True if needs_person else None,
            limit=limit + 1,
        )
        print_many(islice(sagas, limit), SAGA_COLUMNS, form)
        if next(sagas, None) is not None:
            tell(f"these are the newest {limit}: there are more, see --limit")
    return Exit.OK


def show(address: str, timeout: str, saga_id: str, form: Form, *, with_inputs: bool) -> int:
    """Print a saga with its timeline, and what would be undone."""
    with BlockingClient(address, timeout_s=seconds(timeout)) as client:
        saga = client.get(saga_id, undo_inputs=with_inputs)
    if form is Form.TABLE:
        output = [f"output   {one_line(saga.output_json)}"] if saga.output_json else []
        parts = (
            (*heading(saga), *output),
            step_lines(saga),
            draw(saga, width=width()),
            undo_lines(saga, with_inputs=with_inputs),
        )
        put("\n\n".join(text for part in parts if (text := "\n".join(part))))
    else:
        print_one(saga, form)
    return Exit.OK


def watch(address: str, timeout: str | None, saga_id: str, after_seq: int, form: Form) -> int:
    """Print each record as it comes."""
    timeout_s = None if timeout is None else seconds(timeout)
    with BlockingClient(address) as client:
        step_of: Mapping[str, Step] | None = None
        with closing(client.watch(saga_id, after_seq, timeout_s=timeout_s)) as watched:
            if form is Form.JSON:
                print_many(watched, (), form)
            for one in watched:
                if form is Form.JSONL:
                    print_line(one)
                else:
                    # Not before something comes: until then only the watch knows how long to wait.
                    if step_of is None:
                        step_of = steps_by_name(client.get(saga_id))
                    for line in _watched_lines(one, step_of):
                        put_now(line)
        return _ended(client.get(saga_id))


def wait(address: str, timeout: str, saga_id: str, form: Form) -> int:
    """Print a saga once it rests."""
    with BlockingClient(address) as client:
        saga = client.wait(saga_id, timeout_s=seconds(timeout))
    if form is Form.TABLE:
        print_many([saga], SAGA_COLUMNS, form)
    else:
        print_one(saga, form)
    return _ended(saga)


def heading(saga: Saga) -> Iterator[str]:
    """What there is to know of a saga but its timeline."""
    version = f" (version {saga.definition_version})" if saga.definition_version else ""
    possible = (("needs a person", saga.needs_person), ("forced", saga.forced), ("overdue", saga.overdue))
    marks = [mark for mark, is_so in possible if is_so]
    yield f"saga     {saga.saga_id}"
    yield f"name     {one_line(saga.saga_name + version)}, definition {saga.definition_digest[:12]}"
    yield f"request  {one_line(saga.request_id)}"
    yield f"status   {', '.join([saga.status, *marks])}"
    yield f"started  {saga.create_time:%Y-%m-%d %H:%M:%S} UTC, seq {saga.seq}"
    if saga.trace_id:
        yield f"trace    {saga.trace_id}"
    if saga.error_message:
        yield f"error    {one_line(saga.error_message)}"
    for flag in saga.flags:
        yield f"flag     {one_line(flag)}"


def _watched_lines(watched: Watched, step_of: Mapping[str, Step]) -> Iterator[str]:
    entry = watched.entry
    if entry is None:
        yield f"{watched.status}: set aside for a person"
        return
    told = one_line(said(entry, step_of))
    yield f"{entry.time:%H:%M:%S.%f}"[:-3] + f"  {entry.seq:>4}  {watched.status:<13}  {told}"
    if wait := wait_after(entry):
        yield f"{'':35}{wait}"


def _ended(saga: Saga) -> Exit:
    if saga.status is SagaStatus.COMPLETED:
        return Exit.OK
    about = f": {saga.error_message}" if saga.error_message else ""
    # A watch has shown the rest; a person may have revived it before it was looked at.
    again = "" if saga.status.rests else " again, after it had come to rest"
    tell(f"saga {saga.saga_id} is {saga.status}{again}{about}")
    return Exit.NOT_COMPLETED
