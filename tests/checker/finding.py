"""What a law's function hands back: how many facts it looked at, and what breaks the law."""

from dataclasses import dataclass, field

from tests.checker.evidence import Entry, Holding, Movement, NotFound, Read, Row, StartCall, Text

Fact = Row | StartCall | Read | NotFound | Entry | Holding | Movement | Text
"""What can prove a violation. None of them prints a payload."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A law is broken: by which saga (empty: by none alone), how, and the facts that prove it."""

    law: str
    saga_id: str
    sentence: str
    proof: tuple[Fact, ...]

    def __str__(self) -> str:
        about = f"{self.law}: saga {self.saga_id}: " if self.saga_id else f"{self.law}: "
        return "\n".join((about + self.sentence, *(f"    {fact}" for fact in self.proof)))


@dataclass(slots=True)
class Finding:
    """One law's result in the making."""

    law: str
    looked_at: int = 0
    violations: list[Violation] = field(default_factory=list)

    def look(self, facts: int = 1) -> None:
        """Count facts that the law was held against: a law that looked at nothing says nothing."""
        self.looked_at += facts

    def breach(self, saga_id: str, sentence: str, *proof: Fact) -> None:
        self.violations.append(Violation(self.law, saga_id, sentence, proof))
