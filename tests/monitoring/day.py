"""A day in the life of a coordinator as Prometheus sees it: the real telemetry is told, and the real page is
scraped every half minute of a clock that a story moves.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.prometheus import MetricsPage, PrometheusTelemetry
from coordinator.domain.errors import Overloaded
from coordinator.engine.dispatcher import Load
from coordinator.ports.journal import Census
from tests.monitoring.rules import ALERTS_FILE, Alert

SCRAPE_S: Final = 30
SCRAPES_A_MINUTE: Final = 60 // SCRAPE_S
TARGET: Final = {"instance": "orders:9464", "job": "saga"}
SAGA: Final = "PlaceOrder"
SERVICE: Final = "PaymentService"
SAGAS_OPEN_MAX: Final = 100
QUIET_JOURNAL: Final = Census(0, 0, 0, 0, None, None, ())

_STARTED_AT: Final = 1_800_000_000.0
_UP: Final = f'up{{instance="{TARGET["instance"]}",job="{TARGET["job"]}"}}'
_MISSING: Final = "_"
_GONE: Final = "stale"
"""What Prometheus notes where a target no longer shows a series, or shows nothing at all."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What Prometheus must say at a time: these alerts, and no others."""

    minute: float
    firing: Mapping[str, Sequence[tuple[Mapping[str, str], str]]]
    """By alert: the labels of each that fires, and its number as a person reads it."""


class Day:
    """One coordinator, its journal as a story dictates it, and all that was scraped of it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.census: Census | None = QUIET_JOURNAL
        self.loads: dict[str, Load] = {}
        self.moments: list[Moment] = []
        self._series: dict[str, list[str]] = {}
        self._scrapes = 0
        self._clock = _Clock(_STARTED_AT)
        # The page asks the journal anew when a second has passed on the loop's clock.
        loop = asyncio.get_running_loop()
        real_time = loop.time
        patch.setattr(loop, "time", lambda: real_time() + self._clock.now_s - _STARTED_AT)
        self.restarts()

    @property
    def now_s(self) -> float:
        return self._clock.now_s

    def restarts(self) -> None:
        """The process begins anew, and so do its counts."""
        self.told = PrometheusTelemetry(services=[SERVICE], clock=self._clock)
        self.told.definition_registered(SAGA)
        self.pushed: dict[tuple[str, ...], int] = {("TRACES", "SENT"): 0, ("TRACES", "LOST"): 0}
        self._page = MetricsPage(
            self.told,
            _Dictated(self),
            self._clock,
            lambda: self.loads,
            version="1.2.3",
            open_max=SAGAS_OPEN_MAX,
            pushed=lambda: self.pushed,
        )

    async def passes(self, minutes: float, happens: Callable[[], None] = lambda: None) -> None:
        """Let time pass; before each scrape *happens*."""
        for _ in range(round(minutes * SCRAPES_A_MINUTE)):
            happens()
            text, _ = await self._page.text("text/plain")
            self._noted({_UP: "1", **_samples(text.decode())})

    async def is_down(self, minutes: float) -> None:
        """Let time pass while nobody answers Prometheus."""
        for _ in range(round(minutes * SCRAPES_A_MINUTE)):
            self._noted({_UP: "0"})

    async def is_unknown(self, minutes: float) -> None:
        """Let time pass while Prometheus does not know the target."""
        for _ in range(round(minutes * SCRAPES_A_MINUTE)):
            self._noted({})

    def quiet(self) -> None:
        """Nothing fires now."""
        self.moments.append(Moment(self.minute, {}))

    def fires(self, alert: str, number: str, **labels: str) -> None:
        """*alert* fires now, and nothing else that was not said of this moment."""
        same = self.moments and self.moments[-1].minute == self.minute
        said = {**self.moments.pop().firing} if same else {}
        said[alert] = [*said.get(alert, []), ({**TARGET, **labels}, number)]
        self.moments.append(Moment(self.minute, said))

    @property
    def series(self) -> Sequence[str]:
        """The names of all series that were scraped, labels and all."""
        return list(self._series)

    @property
    def minute(self) -> float:
        """When the last scrape was, from the first one on."""
        return (self._scrapes - 1) / SCRAPES_A_MINUTE

    def as_promtool_reads_it(
        self, alerts: Sequence[Alert], answers: Sequence[Mapping[str, object]] = ()
    ) -> dict[str, object]:
        """The day as a unit test: of *alerts* at its moments, and of the *answers* to queries."""
        queries = [*(alert.expr for alert in alerts), *(str(answer["expr"]) for answer in answers)]
        asked = {name for query in queries for name in re.findall(r"\w+", query)}
        return {
            "rule_files": [str(ALERTS_FILE)] if alerts else [],
            "evaluation_interval": f"{SCRAPE_S}s",
            "tests": [
                {
                    "interval": f"{SCRAPE_S}s",
                    "input_series": [
                        {"series": series, "values": " ".join(values)}
                        for series, values in self._series.items()
                        if series.partition("{")[0] in asked
                    ],
                    "alert_rule_test": [
                        _expected(alert, moment) for moment in self.moments for alert in alerts
                    ],
                    "promql_expr_test": answers,
                }
            ],
        }

    def _noted(self, samples: Mapping[str, str]) -> None:
        for name, value in samples.items():
            self._series.setdefault(name, [_MISSING] * self._scrapes).append(value)
        self._scrapes += 1
        for values in self._series.values():
            if len(values) < self._scrapes:
                values.append(_MISSING if values[-1] in (_MISSING, _GONE) else _GONE)
        self._clock.now_s += SCRAPE_S


@dataclass(slots=True)
class _Clock:
    now_s: float

    def now(self) -> float:
        return self.now_s


class _Dictated(MemoryJournal):
    """A journal that is counted as the day says; without a census, not at all."""

    def __init__(self, day: Day) -> None:
        super().__init__()
        self._day = day

    async def census(self, now: float) -> Census:
        if self._day.census is None:
            raise Overloaded("it took too long and was stopped")
        return self._day.census


def _expected(alert: Alert, moment: Moment) -> dict[str, object]:
    return {
        "eval_time": f"{round(moment.minute * 60)}s",
        "alertname": alert.name,
        "exp_alerts": [
            {
                "exp_labels": _without_empty({**labels, "severity": alert.severity}),
                "exp_annotations": alert.annotations(labels, number),
            }
            for labels, number in moment.firing.get(alert.name, [])
        ],
    }


def _samples(page: str) -> dict[str, str]:
    """The page's series and their values. Most lines stood in the page before, and are parsed once."""
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    new = [line for line in dict.fromkeys(lines) if line not in _PARSED]
    samples = (sample for family in parse_text("\n".join(new)) for sample in family.samples)
    for line, sample in zip(new, samples, strict=True):
        _PARSED[line] = (_series(sample.name, sample.labels), repr(sample.value))
    return dict(_PARSED[line] for line in lines)


_PARSED: Final[dict[str, tuple[str, str]]] = {}


def _series(name: str, labels: Mapping[str, str]) -> str:
    matched = ",".join(f'{label}="{value}"' for label, value in {**TARGET, **_without_empty(labels)}.items())
    return f"{name}{{{matched}}}"


def _without_empty(labels: Mapping[str, str]) -> dict[str, str]:
    """To Prometheus an empty label and none are the same."""
    return {label: value for label, value in labels.items() if value}
