"""Reads docs/monitoring/alerts.yml, and of YAML no more than that file uses."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
ALERTS_FILE: Final = DOCS / "monitoring" / "alerts.yml"
ANNOTATIONS: Final = ("summary", "description", "runbook")

_KEY: Final = re.compile(r"(?P<indent> *(?:- )?)(?P<key>[a-z]+):(?: (?P<value>.+))?")
_VALUE: Final = re.compile(r"\{\{[^}]*\$value[^}]*\}\}")
_LABEL: Final = re.compile(r"\{\{ \$labels\.(\w+) \}\}")


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. `said` has its annotations as they are written, templates and all."""

    name: str
    expr: str
    for_: str
    severity: str
    said: Mapping[str, str]

    def annotations(self, labels: Mapping[str, str], value: str) -> dict[str, str]:
        """What a person reads where the alert fires with *labels*; *value* is how its number is written."""
        return {
            name: _LABEL.sub(lambda found: labels[found[1]], _VALUE.sub(lambda _: value, text))
            for name, text in self.said.items()
        }


def read_alerts() -> list[Alert]:
    """The alerts in the order of the file."""
    rules: list[dict[str, str]] = []
    folded: tuple[int, str] | None = None
    for line in ALERTS_FILE.read_text().splitlines():
        indent = len(line) - len(line.lstrip())
        if folded is not None and line.strip() and indent > folded[0]:
            rules[-1][folded[1]] = f"{rules[-1][folded[1]]} {line.strip()}".strip()
            continue
        folded = None
        found = _KEY.fullmatch(line)
        if found is None:
            continue
        key, value = found["key"], found["value"] or ""
        if key == "alert":
            rules.append({})
        if rules and value:
            if value == ">-":
                folded, value = (len(found["indent"]), key), ""
            rules[-1][key] = json.loads(value) if value.startswith('"') else value
    return [
        Alert(
            rule["alert"],
            rule["expr"],
            rule["for"],
            rule["severity"],
            {name: rule[name] for name in ANNOTATIONS},
        )
        for rule in rules
    ]
