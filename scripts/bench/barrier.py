"""`python -m scripts.bench.barrier`: performs every step as a real service does, by our base class.

Each call inserts or updates one row of its own, in one transaction with what the barrier keeps.
"""

import argparse
import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Final

from participants import CompensateCall, ExecuteCall, Participant, Refused, compensation, transaction
from participants.base import Output
from participants.server import serving
from scripts.bench.orders import SHIPPED
from scripts.bench.serving import stopped

SCHEMA: Final = """
CREATE TABLE work (
    saga_id TEXT NOT NULL,
    step    TEXT NOT NULL,
    undone  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (saga_id, step)
) WITHOUT ROWID;
"""


def participant(step: dict[str, str], refuses: str) -> Participant:
    """The service of *step*, which says no if it performs what *refuses* names."""

    class Service(Participant):
        name = step["service"]
        schema = (SCHEMA,)

        @transaction(step["transaction"])
        def work(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
            if call.name == refuses:
                raise Refused("NOT_TODAY", "The benchmark asks for a refusal.")
            db.execute("INSERT INTO work (saga_id, step) VALUES (?, ?)", (call.saga_id, call.step))
            return {"reference": "r-1"}

        @compensation(step["compensation"])
        def undo(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
            db.execute("UPDATE work SET undone = 1 WHERE saga_id = ? AND step = ?", (call.saga_id, call.step))
            return None

    return Service()


async def serve(port: int, data: Path, refuses: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    told = stopped()
    steps = json.loads(SHIPPED.read_text())["steps"]
    async with serving([participant(step, refuses) for step in steps], data=data, port=port) as served:
        print(f"participants ready {served.address}", flush=True)
        await told.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", nargs="*", help="those of the order that ships are served")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True, help="the folder of their files")
    parser.add_argument("--refuses", default="", help="the transaction that is refused")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.data, given.refuses))


if __name__ == "__main__":
    main()
