"""What a planted bug is, and how it gets into a text. A patch that does not fit is red: it is stale."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent


class Stale(Exception):
    """The text that a bug replaces is not there, or more than once: the product has changed since."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A text that occurs once in a file, and what stands there instead. If it does not occur as it is, it is
    taken for whole lines, as deep in the file as the file has them."""

    file: str
    old: str
    new: str

    def planted(self, text: str) -> str:
        """*text* with the bug in it.

        Raises:
            Stale: what is to be replaced does not occur exactly once.
        """
        if text.count(self.old) == 1:
            return text.replace(self.old, self.new)
        found = list(self._pattern().finditer(text))
        if len(found) != 1:
            raise Stale(f"{self.file} holds this {len(found)} times, and not once:\n{_lines(self.old)}")
        (place,) = found
        deep = place.groupdict().get("deep", "")
        return text[: place.start()] + indent(_lines(self.new), deep) + text[place.end() :]

    def _pattern(self) -> re.Pattern[str]:
        first, *others = _lines(self.old).split("\n")
        if not others:
            return re.compile(re.escape(first))
        behind = "".join(rf"\n(?P=deep){re.escape(line)}" if line else r"\n" for line in others)
        return re.compile(rf"^(?P<deep> *){re.escape(first)}{behind}$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake. It is looked for by simulation, or with *shape* by killing that shape of saga first, and
    then the others."""

    name: str
    breaks: str
    """What is wrong then, in a sentence."""
    swaps: tuple[Swap, ...]
    seeds: tuple[int, ...] = ()
    """The seeds to begin with, where it takes many others to meet it."""
    shape: str = ""

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
