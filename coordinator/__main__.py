"""`python -m coordinator`: run a coordinator with the settings of the environment."""

import sys

try:
    from coordinator.bootstrap import main
except ModuleNotFoundError as missing:
    package = (missing.name or "").partition(".")[0]
    if package in ("coordinator", "saga"):
        raise
    print(
        f"The coordinator did not start: it needs the package {package}: "
        "run pip install 'saga-coordinator[server]'",
        file=sys.stderr,
    )
    sys.exit(2)

sys.exit(main())
