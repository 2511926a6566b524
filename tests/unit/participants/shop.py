"""Example services without a server, for tests of their business code and of their books."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from participants import barrier
from participants.calls import CompensateCall, ExecuteCall, Refused, Succeeded, request_hash
from participants.hosting import open_file
from participants.services import EXAMPLES
from participants.strict_json import encode, parse


class Shop:
    """The services of *steps*, each on its file; every call is a transaction of its own."""

    def __init__(self, directory: Path, steps: Mapping[str, tuple[str, str]], given: object) -> None:
        """*steps* says which step runs where, and what undoes it; *given* is what each gets unless told."""
        self.directory = directory
        self.steps = steps
        self.given = given
        names = {service for service, _ in steps.values()}
        self.services = {name: EXAMPLES[name]() for name in names}
        self.files = {name: open_file(EXAMPLES[name], directory) for name in names}

    def execute(self, name: str, given: object = None, saga: str = "s-1") -> object:
        """Perform one step, and return its output or its refusal's code and message."""
        return self._call(ExecuteCall, name, name, given or self.given, saga)

    def undo(self, name: str, given: object = None, saga: str = "s-1") -> object:
        return self._call(CompensateCall, name, self.steps[name][1], given or self.given, saga)

    def _call(self, kind: Any, step: str, name: str, given: Any, saga: str) -> object:
        service = self.steps[step][0]
        call = kind(
            idempotency_key=f"{saga}/{step}/{kind.__name__}",
            saga_id=saga,
            saga_name="Test",
            service=service,
            step=step,
            name=name,
            attempt=1,
            fencing_token=1,
            input=given,
            request_hash=request_hash(service, step, name, encode(given)),
            arrived_ns=1,
        )
        db = self.files[service].connection
        db.execute("BEGIN IMMEDIATE")
        answer = barrier.perform(db, call, self.services[service].business(call)).answer
        db.execute("COMMIT")
        if isinstance(answer, Refused):
            return answer.code, answer.message
        assert isinstance(answer, Succeeded)
        return parse(answer.output_json) if answer.output_json else None

    def close(self) -> None:
        for file in self.files.values():
            file.close()
