"""`python -m coordinator`: run a coordinator with the settings of the environment."""

import signal
import sys
from typing import Final, NoReturn

# What follows takes a while to load. Ctrl-C meanwhile is no error of ours to be shown with a traceback.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

NOT_STARTED: Final = 2
"""The exit code, as `bootstrap.EXIT_NOT_STARTED`, also where that cannot be loaded."""


def refuse(sentence: str) -> NoReturn:
    print(f"The coordinator did not start: {sentence}", file=sys.stderr)
    sys.exit(NOT_STARTED)


# Flags that nobody reads would seem to be obeyed.
if sys.argv[1:]:
    refuse("python -m coordinator takes no arguments, but SAGA_* variables; saga serve takes flags")
try:
    from coordinator.bootstrap import main
except ModuleNotFoundError as missing:
    package = (missing.name or "").partition(".")[0]
    if package in ("coordinator", "saga"):
        raise
    refuse(f"it needs the package {package}: run pip install 'saga-coordinator[server]'")
sys.exit(main())
