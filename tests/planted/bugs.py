"""What a planted bug is, and how it gets into a text. A patch that does not fit is red: it is stale."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent


class Stale(Exception):
    """The text that a bug replaces is not there, or more than once: the product has changed since."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A text that occurs once in a file, and what stands there instead. A text with line breaks is whole
    lines, however deep the file has them; one without is any part of a line."""

    file: str
    old: str
    new: str

    def planted(self, text: str) -> str:
        """*text* with the bug in it.

        Raises:
            Stale: what is to be replaced does not occur exactly once.
        """
        found = list(self._pattern().finditer(text))
        if len(found) != 1:
            raise Stale(f"{self.file} holds this {len(found)} times, and not once:\n{_lines(self.old)}")
        (place,) = found
        new = indent(_lines(self.new), place["deep"]) if self._is_lines else self.new
        return text[: place.start()] + new + text[place.end() :]

    @property
    def _is_lines(self) -> bool:
        return "\n" in self.old

    def _pattern(self) -> re.Pattern[str]:
        if not self._is_lines:
            return re.compile(re.escape(self.old))
        first, *others = _lines(self.old).split("\n")
        behind = "".join(rf"\n(?P=deep){re.escape(line)}" if line else r"\n" for line in others)
        return re.compile(rf"^(?P<deep> *){re.escape(first)}{behind}$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake. It is looked for by simulation, or with *shape* by killing that shape of saga first, and
    then the others, or with *tests* by those in that file: what is simulated has no gRPC."""

    name: str
    breaks: str
    """What is wrong then, in a sentence."""
    swaps: tuple[Swap, ...]
    seeds: tuple[int, ...] = ()
    """The seeds to begin with, where it takes many others to meet it."""
    shape: str = ""
    tests: str = ""

    @property
    def looked_among(self) -> str:
        """What it is looked for among, for people."""
        return "tests" if self.tests else "shapes" if self.shape else "seeds"

    def plant(self, folder: Path) -> None:
        """Change the product's copy in *folder*.

        Raises:
            Stale: what is to be replaced does not occur exactly once.
        """
        for swap in self.swaps:
            path = folder / swap.file
            path.write_text(swap.planted(path.read_text()))


def _lines(text: str) -> str:
    return dedent(text).strip("\n")
