"""Which calls are recorded is what the sampler says, and of the others nothing reaches the library."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import grpc
import pytest
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)

from coordinator.adapters.opentelemetry import server
from coordinator.adapters.opentelemetry.environment import SAMPLERS
from coordinator.adapters.opentelemetry.sampling import Bounds, under_caller
from coordinator.adapters.opentelemetry.server import (
    CallerContext,
    SampledCalls,
    call_follower,
    current_trace,
)
from coordinator.adapters.opentelemetry.spans import SagaSpans
from coordinator.domain.trace import parse_trace
from tests.recorded_spans import Recorded, header, parent

METHOD = "/saga.orders.v1.OrderPlacementService/PlaceOrder"
FOLLOWED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNFOLLOWED = FOLLOWED.removesuffix("01") + "00"
SHARE = 0.3
CALLERS = (None, parse_trace(FOLLOWED), parse_trace(UNFOLLOWED))


class Details(NamedTuple):
    method: str = METHOD
    invocation_metadata: tuple[()] = ()


class Header(NamedTuple):
    key: str
    value: object


class Served:
    """The context of a call."""

    def __init__(self, **headers: object) -> None:
        self._headers = [Header(*item) for item in {"user-agent": "a test", **headers}.items()]

    def invocation_metadata(self) -> list[Header]:
        return self._headers

    def peer(self) -> str:
        return "unix:"


class Calls:
    """Calls that each begin a saga, and what was known of them meanwhile."""

    def __init__(
        self, sampler: Sampler, monkeypatch: pytest.MonkeyPatch, *, are_entries: bool = False
    ) -> None:
        self.ignored: list[str] = []
        self.places: list[str] = []
        self.followers: list[object] = []
        self.recorded = Recorded(sampler)
        self._spans = SagaSpans(self.recorded.provider, self.recorded.ids, {}, self.recorded.note)
        headers = CallerContext(self.ignored.append)
        monkeypatch.setattr(propagate, "get_global_textmap", lambda: headers)
        around = SampledCalls(
            self.recorded.provider, self.recorded.ids, [METHOD], headers, self.recorded.note
        )
        self._around = around.for_entries() if are_entries else around

    async def call(self, method: str = METHOD, **headers: object) -> str:
        """The trace that a saga gets which the call begins."""

        async def given(_: object) -> Any:
            return grpc.unary_unary_rpc_method_handler(self._begin)

        details: Any = Details(method)
        handler: Any = await self._around.intercept_service(given, details)
        behaviour: Callable[..., Awaitable[str]] = handler.unary_unary
        return await behaviour("a request", Served(**headers))

    async def _begin(self, request: str, context: object) -> str:
        assert request == "a request"
        self.places.append(current_trace())
        self.followers.append(call_follower())
        return self._spans.begin()


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, SHARE, 1.0])
def test_a_trace_is_recorded_if_the_sampler_says_so(
    name: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", str(share))
    sampler = TracerProvider(shutdown_on_exit=False).sampler
    bounds, bound = Bounds(sampler), TraceIdRatioBased.get_bound_for_rate(share)
    chance = random.Random(name)
    low = [max(bound - 1, 0), bound % (1 << 64), (1 << 64) - 1, *(chance.getrandbits(64) for _ in range(40))]
    for trace_id in (chance.getrandbits(63) + 1 << 64 | half for half in low):
        for caller in CALLERS:
            context = None if caller is None else under_caller(caller)
            asked = sampler.should_sample(context, trace_id, METHOD).decision
            assert bounds.take(trace_id, caller) is (asked is Decision.RECORD_AND_SAMPLE), (trace_id, caller)


async def test_of_a_call_that_is_not_recorded_the_library_hears_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "aio_server_interceptor", lambda provider: None)
    calls = Calls(ALWAYS_OFF, monkeypatch)
    # Somebody may have started the server within a span, which is no call's.
    with Recorded().provider.get_tracer("a test").start_as_current_span("around"):
        first, second = await calls.call(), await calls.call()
        theirs, known = await calls.call(traceparent=UNFOLLOWED), await calls.call(traceparent=FOLLOWED)
    assert [first, second, theirs, known] == calls.places
    assert calls.followers == [None] * 4
    # A caller's trace is gone on with; others are in none.
    assert [first, second] == ["", ""]
    places = [parse_trace(text) for text in (theirs, known)]
    assert [place and place.sampled for place in places] == [False] * 2
    assert len({place.span_id for place in places if place}) == 2
    for text in (theirs, known):
        assert text.startswith(FOLLOWED[:36])
        assert text[36:52] != FOLLOWED[36:52]
    assert current_trace() == ""


async def test_a_caller_decides_and_else_the_share_of_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(ParentBasedTraceIdRatio(SHARE), monkeypatch)
    assert (await calls.call(traceparent=FOLLOWED)).startswith(FOLLOWED[:36])
    assert (await calls.call(traceparent=UNFOLLOWED)).endswith("-00")
    (span,) = calls.recorded.spans
    assert parent(span) == FOLLOWED
    assert calls.places[0] == header(span)
    assert [follower is None for follower in calls.followers] == [False, True]
    random.seed(7)
    begun = [await calls.call() for _ in range(400)]
    spans = calls.recorded.spans[1:]
    assert len(spans) == sum(text.endswith("-01") for text in begun)
    # An id that was asked about, and another one that the library asks about again: 9 in 100 would be left.
    assert 0.2 < len(spans) / len(begun) < 0.4
    assert set(begun) - {text for text in begun if text.endswith("-01")} == {""}
    assert len({text[3:35] for text in begun if text}) == len(spans)
    assert {span.context.trace_id for span in spans if span.context} == {
        int(text[3:35], 16) for text in begun if text.endswith("-01")
    }


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBasedTraceIdRatio(1.0)], ids=["off", "on"])
@pytest.mark.parametrize("are_entries", [False, True], ids=["calls", "entries"])
async def test_a_header_that_breaks_its_rules_is_counted_once(
    sampler: Sampler, are_entries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(sampler, monkeypatch, are_entries=are_entries)
    await calls.call(traceparent=FOLLOWED, baggage="a=b")
    await calls.call()
    assert calls.ignored == []
    await calls.call(traceparent=f"{FOLLOWED}-more", baggage="nonsense")
    await calls.call(traceparent=b"\xff\xfe")
    assert sorted(calls.ignored) == ["baggage", "traceparent", "traceparent"]


async def test_a_method_that_is_not_followed_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(ParentBasedTraceIdRatio(1.0), monkeypatch)
    await calls.call("/grpc.health.v1.Health/Check", traceparent=UNFOLLOWED)
    assert calls.places == [""]
    assert not calls.recorded.spans
