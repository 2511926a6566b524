"""The protocol without one of its rules, each where that soon breaks a law."""

from typing import NamedTuple

from tests.model.configurations import NOTE, ORDER, OWNERS, PIVOT, TRIP, Configuration
from tests.model.protocol import Protocol
from tests.model.rules import ALL_RULES


class Twin(NamedTuple):
    """Where a twin is explored, and the law that it breaks first."""

    configuration: Configuration
    law: str

    def protocol(self, rule: str) -> Protocol:
        """The protocol without *rule*."""
        return self.configuration.protocol(ALL_RULES._replace(**{rule: False}))


TWINS = {
    "begun_before_sent": Twin(ORDER, "I10"),
    "answer_before_next": Twin(ORDER, "I12"),
    "abort_before_undo": Twin(ORDER, "I13"),
    "run_has_new_token": Twin(OWNERS, "I21"),
    "journal_fences": Twin(OWNERS, "I26"),
    "turned_away_stops": Twin(OWNERS, "I19"),
    "restart_resumes": Twin(ORDER, "I19"),
    "parents_before_step": Twin(ORDER, "I12"),
    "abort_begins_nothing": Twin(TRIP, "I11"),
    "later_before_undo": Twin(ORDER, "I13"),
    "unknown_is_undone": Twin(ORDER, "I10"),
    "unknown_is_barred": Twin(NOTE, "I13"),
    "receipt_is_frozen": Twin(ORDER, "I15"),
    "failed_undo_needs_person": Twin(ORDER, "I17"),
    "deadline_stops_begins": Twin(ORDER, "I23"),
    "late_refusal_proves_nothing": Twin(ORDER, "I23"),
    "pivot_ends_deadline": Twin(PIVOT, "I11"),
    "pivot_ends_cancel": Twin(PIVOT, "I11"),
    "pivot_ends_giving_up": Twin(PIVOT, "I11"),
    "unfinished_needs_person": Twin(PIVOT, "I9"),
    "person_outranks_answer": Twin(ORDER, "I27"),
    "one_key_per_step": Twin(ORDER, "I6"),
    "only_refusal_changes_key": Twin(PIVOT, "I6"),
    "success_is_stored": Twin(ORDER, "I6"),
    "refusal_is_stored": Twin(ORDER, "I21"),
    "undo_looks_for_effect": Twin(ORDER, "I7"),
    "nothing_undone_bars": Twin(ORDER, "I8"),
    "undone_bars": Twin(ORDER, "I8"),
    "undo_is_known_by_step": Twin(ORDER, "I6"),
    "participants_fence": Twin(ORDER, "I26"),
}
"""By the rule that is left out."""
