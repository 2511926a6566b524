"""What alerts, dashboard and docs/monitoring.md speak of exists: metrics, labels, commands, each other."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from coordinator.adapters.prometheus import METRICS
from coordinator.cli.app import app
from tests.monitoring.day import Day
from tests.monitoring.promtool import needs_promtool, promtool, write_yaml
from tests.monitoring.rules import ALERTS_FILE, DOCS, read_alerts
from tests.monitoring.stories import a_busy_day

PAGE: Final = (DOCS / "monitoring.md").read_text()
DASHBOARD: Final[dict[str, Any]] = json.loads((DOCS / "monitoring" / "dashboard.json").read_text())
PANELS: Final[list[dict[str, Any]]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES: Final[list[dict[str, Any]]] = DASHBOARD["templating"]["list"]

LABELS: Final = {metric.name: {*metric.labels} for metric in METRICS} | {
    f"{metric.name}_{part}": {*metric.labels, *(["le"] if part == "bucket" else [])}
    for metric in METRICS
    if metric.kind == "histogram"
    for part in ("bucket", "count", "sum")
}
HISTOGRAMS: Final = {metric.name for metric in METRICS if metric.kind == "histogram"}

_NAME: Final = re.compile(r"\bsaga_[a-z_]+")
_MATCHER: Final = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING: Final = re.compile(r"\b(?:by|without) \(([^)]*)\)")
_SELECTOR: Final = re.compile(r"\b(saga_[a-z_]+)\{([^}]*)\}")
_LEGEND: Final = re.compile(r"\{\{(\w+)\}\}")


def alert_queries() -> list[str]:
    return [alert.expr for alert in read_alerts()]


def page_queries() -> list[str]:
    return [query.strip() for query in re.findall(r"^```promql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


def panel_queries() -> list[str]:
    """As Grafana sends them where nothing is chosen."""
    return [
        target["expr"].replace("$__rate_interval", "2m").replace("$job", ".+").replace("$instance", ".+")
        for panel in PANELS
        for target in panel["targets"]
    ]


QUERIES: Final = [*alert_queries(), *page_queries(), *panel_queries()]


def labels_of(query: str) -> set[str]:
    grouped = (label.strip() for labels in _GROUPING.findall(query) for label in labels.split(","))
    return {*(label for label, _ in _MATCHER.findall(query)), *grouped}


def known_labels(query: str) -> set[str]:
    return {"job", "instance"} | {label for name in _NAME.findall(query) for label in LABELS[name]}


def test_every_query_asks_for_metrics_and_labels_that_exist() -> None:
    asked = {name for query in QUERIES for name in _NAME.findall(query)}
    assert asked - (LABELS.keys() - HISTOGRAMS) == set()
    assert {query: labels_of(query) - known_labels(query) for query in QUERIES} == {
        query: set() for query in QUERIES
    }


def test_every_legend_variable_and_sentence_names_metrics_and_labels_that_exist() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            shown = set(_LEGEND.findall(target["legendFormat"]))
            assert shown <= known_labels(target["expr"]), target
    for variable in VARIABLES:
        assert set(_NAME.findall(json.dumps(variable))) <= LABELS.keys()
    told = PAGE + ALERTS_FILE.read_text() + "".join(panel["description"] for panel in PANELS)
    assert set(_NAME.findall(told)) - LABELS.keys() == set()


async def test_every_value_that_a_query_picks_is_one_that_the_page_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        day = Day(patch)
        await a_busy_day(day)
    shown = {
        (name, label, value)
        for series in day.series
        for name, labels in _SELECTOR.findall(series)
        for label, value in _MATCHER.findall(labels)
    }
    for query in QUERIES:
        for name, matchers in _SELECTOR.findall(query):
            for label, wanted in _MATCHER.findall(matchers):
                for value in wanted.split("|") if wanted != ".+" else []:
                    assert (name, label, value) in shown, query


@needs_promtool
async def test_on_a_busy_day_every_question_and_every_panel_has_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        day = Day(patch)
        await a_busy_day(day)
    answered = [
        {
            "expr": f"count({query}) > bool 0",
            "eval_time": f"{day.minute:.0f}m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for query in (*page_queries(), *panel_queries())
    ]
    content = day.as_promtool_reads_it([], answered)
    promtool("test", "rules", write_yaml(tmp_path / "busy.json", content))


@needs_promtool
def test_prometheus_takes_the_scrape_configuration_shown(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(shown)
    (tmp_path / ALERTS_FILE.name).write_text(ALERTS_FILE.read_text())
    assert f"{len(read_alerts())} rules found" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_every_alert_has_its_paragraph_and_no_other_is_spoken_of() -> None:
    names = [alert.name for alert in read_alerts()]
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == names
    assert set(re.findall(r"\bSagas?[A-Z]\w+", PAGE)) == set(names)
    for alert in read_alerts():
        assert alert.said["runbook"] == f"docs/monitoring.md#{alert.name.lower()}"
        assert alert.severity in ("page", "ticket")
        assert re.fullmatch(r"\d+m", alert.for_), alert.name


def test_the_numbers_that_a_team_should_change_are_those_of_the_rules() -> None:
    expressions = {alert.name: alert.expr for alert in read_alerts()}
    rows = re.findall(r"^\| `(\w+)` \| `([\d.]+)` \|", PAGE, re.MULTILINE)
    assert len(rows) > 5
    for name, number in rows:
        assert re.search(rf"[<>]=? {re.escape(number)}(?!\S)", expressions[name]), name


def test_every_command_that_is_named_can_be_typed() -> None:
    sentences = " ".join(text for alert in read_alerts() for text in alert.said.values())
    typed = [
        *re.findall(r"`(saga [^`]+)`", re.sub(r"\s+", " ", PAGE)),
        *re.findall(r'"(saga [^"]+)"', sentences),
    ]
    assert len(typed) > 10
    for line in typed:
        command: Any = typer.main.get_command(app)
        options: set[str] = set()
        for word in line.split()[1:]:
            if word.startswith("--"):
                assert word in options, line
            elif isinstance(command, typer.core.TyperGroup):
                assert word in command.commands, line
                command = command.commands[word]
                options = {option for parameter in command.params for option in parameter.opts}


def test_the_dashboard_asks_for_its_data_source_and_each_panel_says_what_it_shows() -> None:
    assert VARIABLES[0]["type"] == "datasource"
    source = {"type": "prometheus", "uid": f"${{{VARIABLES[0]['name']}}}"}
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert [target["datasource"] for target in panel["targets"]] == [source] * len(panel["targets"])
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(set(titles)) == len(titles)
    assert {"How many", "How fast", "How often wrong", "What is stuck"} < set(titles)


def test_no_panel_of_the_dashboard_lies_over_another() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


def test_the_durations_show_exemplars_and_nothing_else_does() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            leads_to_traces = "_duration_seconds_bucket" in target["expr"] and "journal" not in target["expr"]
            assert target.get("exemplar", False) == leads_to_traces, panel["title"]


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }
