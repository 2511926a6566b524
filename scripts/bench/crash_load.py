"""`python -m scripts.bench.crash_load`: each caller places one order, and waits for its end, whatever comes.

It says when the last of them was answered, as it must be: perhaps by a coordinator started meanwhile.
"""

import asyncio
import json
import sys
import time
from typing import Final

from scripts.bench.load import CLIENTS, EXPECTED, Crowd, Task, task_of

ANSWERED: Final = "answered "


async def run(task: Task) -> None:
    async with CLIENTS[task.caller](task) as place, asyncio.TaskGroup() as callers:
        crowd = Crowd(place, EXPECTED[task.ending], task.prefix)
        for _ in range(task.concurrency):
            callers.create_task(crowd.order())


def main() -> None:
    asyncio.run(run(task_of(json.loads(sys.argv[1]))))
    print(f"{ANSWERED}{time.monotonic()}", flush=True)


if __name__ == "__main__":
    main()
