"""For every test: gRPC's C core keeps its remarks to itself; where all is required, a skip is a failure."""

import logging
import os
from collections.abc import Generator

import pytest

# gRPC reads this when it is imported, which comes later.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# At DEBUG it logs a server while that is freed: whoever formats the record later ends the process.
logging.getLogger("grpc").setLevel(logging.INFO)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be (REQUIRE_ALL): {report.longrepr}"
    return report
