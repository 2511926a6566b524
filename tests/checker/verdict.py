"""What a judgement is made of: violations with the facts that prove them, one verdict for each invariant.

An invariant that found nothing to look at is "not yet" judged: silence proves nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.checker.evidence import ClientCall, LedgerRow, OperatorCall, SagaRead, TimelineRead

SHOWN_MAX = 5
"""So many violations of one invariant are printed; all of them are in the report."""

Fact = LedgerRow | TimelineRead | ClientCall | OperatorCall | SagaRead


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant is broken: by which saga (empty: by none alone), how, and what proves it."""

    invariant: str
    saga_id: str
    sentence: str
    rows: tuple[Fact, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        about = f"saga {self.saga_id}: " if self.saga_id else ""
        return f"{self.invariant}: {about}{self.sentence}"


@dataclass(slots=True)
class Finding:
    """One invariant's result in the making: it counts what it looks at, and notes what is wrong."""

    invariant: str
    facts: int = 0
    violations: list[Violation] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Sagas or orders that it does not speak of, for a person to look at."""

    def look(self, holds: bool, saga_id: str, sentence: str, *rows: Fact) -> None:
        """One more fact was looked at; unless it *holds*, it is a violation."""
        self.facts += 1
        if not holds:
            self.violations.append(Violation(self.invariant, saga_id, sentence, rows))


@dataclass(frozen=True, slots=True)
class NotYet:
    """Why this evidence cannot tell whether an invariant holds."""

    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out for one invariant: the number of facts looked at, or why it was not judged."""

    invariant: str
    title: str
    judged: int | NotYet
    violations: tuple[Violation, ...] = ()
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.invariant:<4}{self.title:<28}{self._outcome()}"

    def _outcome(self) -> str:
        if isinstance(self.judged, NotYet):
            return f"not yet: {self.judged.reason}"
        facts = f"{self.judged} fact" + ("" if self.judged == 1 else "s")
        text = f"VIOLATED {len(self.violations)} of {facts}" if self.violations else f"judged {facts}"
        return f"{text}; left out: {_listed(self.left_out)}" if self.left_out else text


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts on one run, I1 to I32."""

    verdicts: tuple[Verdict, ...]

    @property
    def violations(self) -> tuple[Violation, ...]:
        return tuple(violation for verdict in self.verdicts for violation in verdict.violations)

    @property
    def broken(self) -> frozenset[str]:
        """The invariants that do not hold."""
        return frozenset(violation.invariant for violation in self.violations)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from map(str, self.verdicts)
        for verdict in self.verdicts:
            yield from (f"  {violation}" for violation in verdict.violations[:SHOWN_MAX])
            if (more := len(verdict.violations) - SHOWN_MAX) > 0:
                yield f"  {verdict.invariant}: and {more} more"


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN_MAX
    return ", ".join(names[:SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
