"""For every test: gRPC's C core keeps its remarks to itself. It reads this when it is imported."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
