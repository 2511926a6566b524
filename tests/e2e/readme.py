"""The README, for tests that run what it shows."""

import re
from typing import Final

from scripts.cluster import ROOT

README: Final = (ROOT / "README.md").read_text()
ADDRESS: Final = "127.0.0.1:50051"


def blocks(language: str) -> list[str]:
    """What the README shows in *language*."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def example(text: str, *, address: str = ADDRESS) -> str:
    """The one Python example that holds *text*, as printed but for the coordinator's address."""
    (shown,) = [block for block in blocks("python") if text in block]
    return shown.replace(ADDRESS, address)
