"""What understands the expressions of definitions."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import Effort, Wanted, Wrong


class Expressions(Protocol):
    """Pure functions, written in CEL. They see what they are given: no clock, no chance, no file.

    Both verbs are quick enough for the event loop: what could take long is refused. Neither lets a value that
    an expression was given into a sentence.
    """

    def check(self, source: str, wanted: Wanted) -> Sequence[Wrong]:
        """What is wrong with *source*; nothing where it may be evaluated.

        Every step is known here: which of them an expression may name is the definition's affair.
        """
        ...

    def evaluate(self, source: str, variables: Mapping[str, JsonValue], effort: Effort) -> JsonValue:
        """What *source* yields over `input` and each `outputs.<step>` that it names.

        The same for the same variables, in every process. What it takes is taken from *effort*.

        Raises:
            NotEvaluated: it yields nothing, or nothing that is JSON, or it would take more than is left.
        """
        ...
