"""The command `saga`. What it needs beyond the base install is imported when it is called, and not before."""

import sys
from typing import Final

_EXTRA: Final = "saga needs typer and rich: run pip install 'saga-coordinator[cli]'"


def main() -> int:
    """Run the command line of this process, and say how it ended."""
    try:
        from coordinator.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(_EXTRA, file=sys.stderr)
        return 1
    return run(sys.argv[1:])
