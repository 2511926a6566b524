"""The rules of the protocol, each of which can be left out: what is then explored is a twin that lacks it."""

from typing import NamedTuple


class Rules(NamedTuple):
    """What holds."""

    begun_before_sent: bool = True
    """That a step has begun is durable before its Execute is sent."""
    answer_before_next: bool = True
    """An answer is durable before anything is built on it."""
    abort_before_undo: bool = True
    """That the saga turns back is durable before anything is undone."""
    run_has_new_token: bool = True
    """Each run takes a higher token than any before it."""
    journal_fences: bool = True
    """The journal takes nothing from a run once a newer one has begun."""
    turned_away_stops: bool = True
    """A run that the journal turns away stops."""
    restart_resumes: bool = True
    """A new run takes up what was begun and is not settled."""
    parents_before_step: bool = True
    """A step begins when all that it depends on is passed."""
    abort_begins_nothing: bool = True
    """A saga that has turned back begins no step."""
    later_before_undo: bool = True
    """A step is undone when all that depends on it is settled."""
    unknown_is_undone: bool = True
    """A step that has begun is undone also when no answer is known."""
    unknown_is_barred: bool = True
    """So is one that has no compensation: to bar its late Execute."""
    receipt_is_frozen: bool = True
    """All Compensates of a step say the same of its output, whatever is learned in between."""
    failed_undo_needs_person: bool = True
    """An undo that cannot be done is never taken for done."""
    deadline_stops_begins: bool = True
    """No step begins after the deadline, whether or not that is journaled."""
    late_refusal_proves_nothing: bool = True
    """A refusal that comes after the deadline does not spare the step its undo."""
    pivot_ends_deadline: bool = True
    """Past the pivot the deadline turns nothing back."""
    pivot_ends_cancel: bool = True
    """Past the pivot no person can cancel."""
    pivot_ends_giving_up: bool = True
    """Past the pivot spent attempts turn nothing back."""
    unfinished_needs_person: bool = True
    """Past the pivot a step that cannot be done is never passed over."""
    person_outranks_answer: bool = True
    """An answer that comes after a person has settled the matter changes nothing."""
    one_key_per_step: bool = True
    """Each attempt carries the same key."""
    only_refusal_changes_key: bool = True
    """A person who asks again does so under the same key, unless a refusal is stored under that."""
    success_is_stored: bool = True
    """A participant performs no Execute a second time under its key."""
    refusal_is_stored: bool = True
    """A participant that has refused an Execute stays with that."""
    undo_looks_for_effect: bool = True
    """A Compensate of what was never applied changes nothing."""
    nothing_undone_bars: bool = True
    """A Compensate that found nothing to undo bars the Execute."""
    undone_bars: bool = True
    """What was undone is never performed again."""
    undo_is_known_by_step: bool = True
    """A step is undone once, also when it is asked again under another key."""
    participants_fence: bool = True
    """A participant does nothing for a run once it has seen a newer one."""


ALL_RULES = Rules()
"""The protocol."""
