"""What stands around every call, where no real caller can be made to leave at the right moment."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import grpc
import pytest
from grpc._cython.cygrpc import ExecuteBatchError  # type: ignore[import-not-found]

from coordinator.api.interceptor import CallInterceptor


class Details(NamedTuple):
    method: str = "/saga.v1.CoordinatorService/WatchSaga"


class Leaving:
    """The context of a caller who leaves while the first message is written."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.status: grpc.Status | None = None

    async def write(self, message: object) -> None:
        raise self._error

    async def abort_with_status(self, status: grpc.Status) -> None:
        self.status = status


async def watched(context: Leaving) -> None:
    async def watch(request: object, context: object) -> AsyncIterator[str]:
        yield "news"

    async def given(_: object) -> Any:
        return grpc.unary_stream_rpc_method_handler(watch)

    around = CallInterceptor(calls_open_max=1)
    around.is_open = True
    details: Any = Details()
    handler: Any = await around.intercept_service(given, details)
    await handler.unary_stream("a request", context)


async def test_a_watcher_who_leaves_while_it_is_told_something_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    context = Leaving(ExecuteBatchError('Failed "execute_batch"'))
    # As gRPC itself ends the call of a caller who has left.
    with pytest.raises(asyncio.CancelledError):
        await watched(context)
    assert (caplog.messages, context.status) == ([], None)


async def test_any_other_error_of_a_write_is_told(caplog: pytest.LogCaptureFixture) -> None:
    context = Leaving(ValueError("canary-1"))
    await watched(context)
    assert context.status is not None
    assert context.status.code is grpc.StatusCode.INTERNAL
    assert caplog.messages == ["a call failed by a fault of ours: ValueError"]
