"""`python -m coordinator`: run a coordinator with the settings of the environment."""

import sys

from coordinator.bootstrap import EXIT_NOT_STARTED, main

# Flags that nobody reads would seem to be obeyed.
if sys.argv[1:]:
    print(
        "The coordinator did not start: python -m coordinator takes no arguments, but SAGA_* variables; "
        "saga serve takes flags",
        file=sys.stderr,
    )
    sys.exit(EXIT_NOT_STARTED)
sys.exit(main())
