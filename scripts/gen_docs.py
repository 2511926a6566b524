"""Writes what the documents list and the schema of definitions out of the code that means it: `make docs`;
`--check` only compares.

Of a document, what stands between a pair of markers is generated, and nothing else is touched.
"""

import re
import sys
from typing import Final

from coordinator.adapters.prometheus import METRICS
from coordinator.domain.language.rules import RULES
from coordinator.settings import PREFIX, Settings, flag_of
from scripts.cluster import ROOT
from scripts.definition_schema import schema_text

README: Final = ROOT / "README.md"
LANGUAGE: Final = ROOT / "docs" / "language.md"
SCHEMA: Final = ROOT / "definitions" / "schema.json"


def main(arguments: list[str]) -> int:
    """Bring what is generated up to date, or say that it is not."""
    readme = with_part(README.read_text(), "settings", settings_table())
    readme = with_part(readme, "metrics", metrics_table())
    language = with_part(LANGUAGE.read_text(), "rules", rules_table())
    stale = 0
    for path, text in {README: readme, LANGUAGE: language, SCHEMA: schema_text()}.items():
        if path.exists() and path.read_text() == text:
            continue
        if "--check" in arguments:
            stale = 1
            print(
                f"docs: {path.relative_to(ROOT)} is not what the code says; run 'make docs'", file=sys.stderr
            )
        else:
            path.write_text(text)
    return stale


def with_part(text: str, name: str, part: str) -> str:
    """*text* with *part* between the markers called *name*."""
    begin, end = f"<!-- {name}: made by `make docs` -->\n", f"<!-- {name}: end -->\n"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"docs: there must be one pair of markers called {name}")
    return pattern.sub(lambda _: begin + part + end, text)


def settings_table() -> str:
    """Every setting in a row."""
    defaults = Settings().describe()
    lines = [
        "| variable | flag | default | what it does | what is expected |",
        "|---|---|---|---|---|",
    ]
    for name, field in Settings.fields().items():
        variable = PREFIX + name.upper()
        cells = (
            f"`{variable}`",
            f"`{flag_of(name)}`",
            f"`{defaults[variable]}`" if defaults[variable] else "",
            field.title or "",
            field.description or "",
        )
        lines.append(
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |".replace("  ", " ")
        )
    return "\n".join(lines) + "\n"


def metrics_table() -> str:
    """Every metric in a row."""
    rows = (
        f"| `{metric.name}` | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in METRICS
    )
    return "\n".join(["| metric | labels | meaning |", "|---|---|---|", *rows]) + "\n"


def rules_table() -> str:
    """Every rule of definitions in a row."""
    rows = (f"| `{name}` | {rule.sentence} | {rule.cure} |" for name, rule in RULES.items())
    return "\n".join(["| rule | what holds, or is amiss | cure |", "|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
