"""A front door: a typed call that starts the newest version of one saga, always with the same fields.

Whoever registers or retires a version of that saga can shut it for every caller at once, so what is asked
here is asked whenever its newest version may have become another one.
"""

from typing import Final

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.inputs import check_input
from coordinator.domain.language.sentences import listed
from coordinator.domain.values import frozen

FAULTS_SHOWN_MAX: Final = 3


@frozen
class FrontDoor:
    """What is called, the setting that says which saga this starts, and with which fields."""

    call: str
    setting: str
    saga_name: str
    fields: tuple[str, ...]

    def fault(self, newest: SagaDefinition) -> str | None:
        """Why *newest* cannot be started by this call; None where it can."""
        violations = [str(one) for one in check_input(newest, dict.fromkeys(self.fields))]
        if not violations:
            return None
        rest = len(violations) - FAULTS_SHOWN_MAX
        shown = "; ".join(violations[:FAULTS_SHOWN_MAX]) + (f"; and {rest} more" if rest > 0 else "")
        version = "" if newest.version is None else f" (version {newest.version})"
        return f"the newest {newest.name}{version} asks for more than this call has: {shown}"

    def shut(self, fault: str) -> str:
        """What is said aloud, and told to callers, while *fault* is the case."""
        return (
            f"{self.call} cannot be served ({self.setting}): {fault}. "
            f"Register a version of {self.saga_name} that takes {listed(self.fields)}"
        )
