"""`python -m coordinator`: run a coordinator with the settings of the environment."""

import sys

from coordinator.bootstrap import main

sys.exit(main())
