"""Reads stories. One that cannot be read is refused, with the line and a sentence on what was expected."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import InvalidDefinition
from coordinator.domain.events import Verb
from coordinator.domain.jsontext import canonical, path_of
from coordinator.domain.language.durations import parse_duration
from coordinator.domain.language.expression_rules import expression_faults
from tests.scenarios.telling.story import CANCEL, DIES, AfterCrash, Happening, Planned, Story
from tests.scenarios.telling.timeline import Line, SideBySide, Timeline, Way


class NoStory(Exception):
    """A text is no story."""


def read_story(path: Path) -> Story:
    """The story in the file at *path*.

    Raises:
        NoStory: it is none.
    """
    return story_in(path.read_text(), path.stem)


def story_in(text: str, name: str) -> Story:
    """The story that *text* tells."""
    return _Reader(name, text).story()


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the file that says something."""

    number: int
    indent: int
    text: str


@dataclass(frozen=True, slots=True)
class _Section:
    """`heading: said`, and the rows below it."""

    row: _Row
    heading: str
    said: str
    rows: Sequence[_Row]


class _Reader:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._rows = [
            _Row(number, len(line) - len(line.lstrip()), line.strip())
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip() and not line.lstrip().startswith("#")
        ]

    def story(self) -> Story:
        title, sections, crashes = self._parts()

        def said(heading: str) -> str:
            return sections[heading].said if heading in sections else ""

        def rows(heading: str) -> Sequence[_Row]:
            return sections[heading].rows if heading in sections else ()

        for heading in ("saga", "timeline", "ends", "stands"):
            if heading not in sections:
                raise NoStory(f"{self._name}: expected a section '{heading}:'")
        definition = self._definition(sections)
        story_input = self._json(sections["input"].row, said("input")) if "input" in sections else {}
        steps = [step.name for step in definition.steps]
        stands = [] if said("stands") == "nothing" else _listed(said("stands"))
        for step in stands:
            if step not in steps:
                self._refuse(sections["stands"].row, f"expected steps, or 'nothing', found {step!r}")
        return Story(
            name=self._name,
            title=title,
            definition=definition,
            input=story_input,
            given=self._given(rows("given"), steps),
            meanwhile=[self._happening(row) for row in rows("meanwhile")],
            timeline=self._timeline(rows("timeline")),
            ends=said("ends"),
            error=said("error"),
            output=canonical(self._json(sections["output"].row, said("output")))
            if "output" in sections
            else None,
            flags=_listed(said("flags"), ";"),
            stands=frozenset(stands),
            sent=self._sent(sections["sent"]) if "sent" in sections else None,
            asked=dict(map(self._asked, rows("asked"))),
            after_crash=[self._after_crash(crash) for crash in crashes],
        )

    def _refuse(self, row: _Row, sentence: str) -> NoReturn:
        raise NoStory(f"{self._name}, line {row.number}: {sentence}")

    def _parts(self) -> tuple[str, dict[str, _Section], list[_Section]]:
        """The title; the sections, by their headings; and those on crashes, of which there may be many."""
        title: list[str] = []
        found: list[tuple[_Row, str, str, list[_Row]]] = []
        for row in self._rows:
            begun = _heading(row) if row.indent == 0 else None
            if begun is not None:
                found.append((row, *begun, []))
            elif found and row.indent > 0:
                found[-1][3].append(row)
            elif found:
                self._refuse(row, f"expected one of the sections {', '.join(_SECTIONS)}, found {row.text!r}")
            else:
                title.append(row.text)
        if not title:
            raise NoStory(f"{self._name}: expected a sentence that says what the story shows")
        sections: dict[str, _Section] = {}
        crashes = []
        for row, heading, said, rows in found:
            section = _Section(row, heading, said, rows)
            if heading == _AFTER_CRASH:
                crashes.append(section)
                continue
            if heading in sections:
                self._refuse(row, f"expected {heading!r} once, found it again")
            if rows and heading not in _BLOCKS:
                self._refuse(rows[0], f"expected nothing below {heading!r}")
            if not rows and heading in _BLOCKS:
                self._refuse(row, f"expected something below {heading!r}")
            if said and heading in _BLOCKS and heading != "saga":
                self._refuse(row, f"expected nothing behind {heading!r}, but below it")
            sections[heading] = section
        return " ".join(title), sections, crashes

    def _json(self, row: _Row, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            self._refuse(row, f"expected JSON, found {text!r}")

    def _duration(self, row: _Row, text: str) -> float:
        try:
            return parse_duration(text)
        except ValueError as error:
            self._refuse(row, f"expected {error}, found {text!r}")

    # What is defined.

    def _definition(self, sections: Mapping[str, _Section]) -> SagaDefinition:
        saga = sections["saga"]
        document: dict[str, Any] = {"sagaName": "Story", "steps": []}
        for option in _listed(saga.said):
            key, _, value = option.partition(" ")
            if key not in ("ttl", "maxParallel"):
                self._refuse(saga.row, f"expected 'ttl' or 'maxParallel', found {option!r}")
            document[key] = self._json(saga.row, value) if key == "maxParallel" else value
        if "yields" in sections:
            document["output"] = self._json(sections["yields"].row, sections["yields"].said)
        for row in saga.rows:
            if row.indent == saga.rows[0].indent:
                document["steps"].append(self._step(row))
            else:
                self._attribute(row, document["steps"][-1])
        try:
            definition = parse_definition(json.dumps(document), source=self._name)
        except InvalidDefinition as error:
            raise NoStory(str(error)) from None
        faults = list(expression_faults(definition, CelExpressions().check))
        if faults:
            listed = "; ".join(f"{path_of(wrong.loc)}: {wrong.told}" for wrong in faults)
            raise NoStory(f"{self._name}: {listed}")
        return definition

    def _step(self, row: _Row) -> dict[str, Any]:
        name, *options = _listed(row.text)
        step: dict[str, Any] = {
            "service": f"{name[0].upper()}{name[1:]}Service",
            "transaction": name,
            "compensation": f"undo_{name}",
        }
        for option in options:
            self._option(row, option, step)
        return step

    def _option(self, row: _Row, option: str, step: dict[str, Any]) -> None:
        retry, undo_retry = step.setdefault("retry", {}), step.setdefault("compensationRetry", {})
        match option.split():
            case [("pivot" | "retriable") as kind]:
                step["kind"] = kind
            case ["after", "nothing"]:
                step["dependsOn"] = []
            case ["after", *names]:
                step["dependsOn"] = [name for name in names if name != "and"]
            case ["no", "undo"]:
                step["compensation"] = None
            case ["continue"]:
                step["onCompensationFailure"] = "continue"
            case ["attempts", number]:
                retry["maxAttempts"] = self._json(row, number)
            case ["budget", length]:
                retry["budget"] = length
            case ["undo", "budget", length]:
                undo_retry["budget"] = length
            case ["timeout", length]:
                step["timeout"] = length
            case _:
                self._refuse(row, f"expected {_STEP_OPTIONS}, found {option!r}")

    def _attribute(self, row: _Row, step: dict[str, Any]) -> None:
        key, _, value = row.text.partition(": ")
        match key:
            case "when":
                step["when"] = value
            case "input" | "undo input" | "default output":
                step[_ATTRIBUTES[key]] = self._json(row, value)
            case _:
                self._refuse(row, f"expected when, input, undo input or default output, found {key!r}")

    # What happens.

    def _given(self, rows: Sequence[_Row], steps: Sequence[str]) -> dict[tuple[Way, str], list[Planned]]:
        given: dict[tuple[Way, str], list[Planned]] = {}
        for row in rows:
            who, colon, what = row.text.partition(": ")
            way: Way = "undo" if who.startswith("undo ") else "do"
            step = who.removeprefix("undo ")
            if not colon or step not in steps:
                self._refuse(row, f"expected '<step>: …' or 'undo <step>: …', found {row.text!r}")
            plans = given.setdefault((way, step), [])
            if plans and plans[-1].ever_after:
                self._refuse(row, f"expected nothing more of {who!r}: it answers as before, every time")
            planned, times = self._planned(row, what)
            plans.extend([planned] * times)
        return given

    def _planned(self, row: _Row, text: str) -> tuple[Planned, int]:
        """What is planned, and how often."""
        words, _, output = text.partition(" with ")
        what, *modifiers = _listed(words)
        planned = self._answer(row, what)
        if output:
            planned = replace(planned, output=canonical(self._json(row, output)))
        times = 1
        for modifier in modifiers:
            match modifier.split():
                case ["takes", length]:
                    planned = replace(planned, takes_s=self._duration(row, length))
                case ["ask", "again", "in", length]:
                    planned = replace(planned, hint_s=self._duration(row, length))
                case ["every", "time"]:
                    planned = replace(planned, ever_after=True)
                case [number, "times"] if number.isdecimal():
                    times = int(number)
                case ["and", "the", "coordinator", "dies", *away]:
                    planned = replace(planned, dies_for_s=self._away_s(row, away))
                case _:
                    self._refuse(row, f"expected {_MODIFIERS}, found {modifier!r}")
        return planned, times

    def _answer(self, row: _Row, what: str) -> Planned:
        effect = what.endswith(_EFFECT)
        match what.removesuffix(_EFFECT).split():
            case [("succeeded" | "pending") as kind] if not effect:
                return Planned(kind)
            case [("refused" | "faulted") as kind, code] if not effect:
                return Planned(kind, code)
            case ["status", code]:
                return Planned("status", code, effect=effect)
            case [("silent" | "babbles") as kind]:
                return Planned(kind, effect=effect)
            case ["key", "reused"] | ["barred"] | ["stale", "token"] if not effect:
                return Planned(what)
            case _:
                self._refuse(row, f"expected {_ANSWERS}, found {what!r}")

    def _away_s(self, row: _Row, words: Sequence[str]) -> float:
        match words:
            case []:
                return 0.0
            case ["for", length]:
                return self._duration(row, length)
            case _:
                self._refuse(row, f"expected 'for <duration>', found {' '.join(words)!r}")

    def _happening(self, row: _Row) -> Happening:
        after, arrow, words = row.text.partition(" -> ")
        if not arrow:
            self._refuse(row, f"expected '<line of the timeline> -> <what happens>', found {row.text!r}")
        words, _, refused = words.partition(", in vain: ")
        words, _, output = words.partition(" with ")
        happening = Happening(after, "", refused=refused)
        if output:
            happening = replace(happening, output=canonical(self._json(row, output)))
        match words.split():
            case ["cancel:", *_]:
                return replace(happening, what=CANCEL, reason=words.removeprefix("cancel: "))
            case ["cancel"]:
                return replace(happening, what=CANCEL)
            case ["the", "coordinator", "dies", *away]:
                return replace(happening, what=DIES, away_s=self._away_s(row, away))
            case ["operator", verb, *step] if verb in Verb.__members__ and len(step) < 2:
                return replace(happening, what=verb, step=step[0] if step else None)
            case _:
                self._refuse(row, f"expected {_HAPPENINGS}, found {words!r}")

    # What must come of it.

    def _timeline(self, rows: Sequence[_Row]) -> Timeline:
        items: list[Line | SideBySide] = []
        lanes: list[tuple[Line, ...]] | None = None
        for row in rows:
            if lanes is not None and row.indent > rows[0].indent:
                lanes.append(tuple(self._line(row, text) for text in row.text.split("; ")))
                continue
            if lanes is not None:
                items.append(SideBySide(tuple(lanes)))
                lanes = None
            if row.indent != rows[0].indent:
                self._refuse(row, f"expected it below '{_SIDE_BY_SIDE}', or as far to the left as the others")
            if row.text == _SIDE_BY_SIDE:
                lanes = []
            else:
                items.append(self._line(row, row.text))
        return (*items, SideBySide(tuple(lanes))) if lanes is not None else tuple(items)

    def _line(self, row: _Row, text: str) -> Line:
        if (match := _AT.fullmatch(text)) is None:
            return Line(text)
        return Line(match[2], 0.0 if match[1] == "0s" else self._duration(row, match[1]))

    def _sent(self, section: _Section) -> list[frozenset[str]]:
        sent = []
        for group, one in re.findall(r"\{([^}]*)\}|([^{},]+)", section.said):
            calls = frozenset(_listed(group or one))
            for call in calls:
                if re.fullmatch(r"(do|undo) \S+", call) is None:
                    self._refuse(section.row, f"expected 'do <step>' or 'undo <step>', found {call!r}")
            if calls:
                sent.append(calls)
        return sent

    def _asked(self, row: _Row) -> tuple[str, str]:
        match = re.fullmatch(r"((?:do|undo) \S+) (with .*)", row.text)
        if match is None:
            self._refuse(row, f"expected 'do <step> with <JSON>', or the same of an undo, found {row.text!r}")
        return match[1], match[2]

    def _after_crash(self, section: _Section) -> AfterCrash:
        errors = [row for row in section.rows if row.text.startswith("error: ")]
        lines = [row for row in section.rows if row not in errors]
        return AfterCrash(
            at=section.said,
            rest=self._timeline(lines),
            error=errors[0].text.removeprefix("error: ") if errors else None,
        )


def _heading(row: _Row) -> tuple[str, str] | None:
    """The heading of a section and what is said behind it, if *row* begins one."""
    if row.text.startswith(_AFTER_CRASH) and row.text.endswith(":"):
        return _AFTER_CRASH, row.text.removeprefix(_AFTER_CRASH).removesuffix(":").strip()
    heading, colon, said = row.text.partition(":")
    return (heading, said.strip()) if colon and heading in _SECTIONS else None


def _listed(text: str, separator: str = ",") -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


_AFTER_CRASH: Final = "after a crash at"
_BLOCKS: Final = ("saga", "given", "meanwhile", "timeline", "asked")
_SECTIONS: Final = (*_BLOCKS, "yields", "input", "ends", "error", "output", "flags", "stands", "sent")
_SIDE_BY_SIDE: Final = "side by side:"
_AT: Final = re.compile(r"\+([0-9.]+(?:ms|s|m|h|d)) +(.*)")
_EFFECT: Final = " after the effect"
_ATTRIBUTES: Final = {
    "input": "input",
    "undo input": "compensationInput",
    "default output": "defaultOutput",
}
_STEP_OPTIONS: Final = (
    "pivot, retriable, 'after <steps>', 'after nothing', 'no undo', continue, 'attempts <number>', "
    "'budget <duration>', 'undo budget <duration>' or 'timeout <duration>'"
)
_ANSWERS: Final = (
    "succeeded, 'refused <code>', 'faulted <code>', pending, 'status <code>', silent, babbles, 'key reused', "
    f"barred or 'stale token'; '{_EFFECT.strip()}' goes with status, silent and babbles"
)
_MODIFIERS: Final = (
    "'takes <duration>', 'ask again in <duration>', 'every time', '<number> times' or "
    "'and the coordinator dies'"
)
_HAPPENINGS: Final = "'cancel: <reason>', 'operator <VERB> <step>' or 'the coordinator dies'"
