"""The one judge: evidence in, a verdict on every invariant out. It asks nobody and changes nothing."""

from collections.abc import Callable

from tests.checker.evidence import Evidence
from tests.checker.index import Index
from tests.checker.laws import admission, content, effects, ending, flow, operators, patience, people
from tests.checker.verdict import Finding, NotYet, Report, Verdict

Law = Callable[[Index], Finding | NotYet]

NOTHING_TO_JUDGE = NotYet("nothing in this run that it speaks of")

LAWS: tuple[tuple[str, Law], ...] = (
    ("accepted is never lost", admission.i1_accepted_is_never_lost),
    ("one request, one saga", admission.i2_one_request_one_saga),
    ("other content is refused", admission.i3_other_content_is_refused),
    ("a no leaves nothing", admission.i4_a_no_leaves_nothing),
    ("no orphans", admission.i5_no_orphans),
    ("effects at most once", effects.i6_effects_at_most_once),
    ("only effects are undone", effects.i7_only_effects_are_undone),
    ("no effect after its undo", effects.i8_nothing_comes_after_its_undo),
    ("COMPLETED: all done", effects.i9_completed_means_all_done),
    ("COMPENSATED: all undone", effects.i10_compensated_means_all_undone),
    ("never mixed", effects.i11_never_mixed),
    ("dependencies", effects.i12_after_what_it_depends_on),
    ("reverse order", content.i13_undone_in_reverse_order),
    ("stable identity", content.i14_stable_identity),
    ("stable content", content.i15_stable_content),
    ("data flow", flow.i16_data_flow),
    ("no phantom progress", content.i17_no_phantom_progress),
    ("conservation", content.i18_conservation),
    ("everything ends", ending.i19_everything_ends),
    ("nothing forgotten", ending.i20_nothing_forgotten),
    ("terminal is final", ending.i21_terminal_is_final),
    ("dead letters are exact", ending.i22_dead_letters_are_exact),
    ("deadline", patience.i23_deadline),
    ("retry discipline", patience.i24_retry_discipline),
    ("single history", ending.i25_single_history),
    ("fencing", people.i26_fencing),
    ("operator actions", operators.i27_operator_actions),
    ("reads never go back", people.i28_reads_never_go_back),
    ("pinning", people.i29_pinning),
    ("replay", people.i30_replay),
    ("bounds", people.i31_bounds),
    ("secrecy", people.i32_secrecy),
)
"""I1 to I32, in order."""


def check(evidence: Evidence) -> Report:
    """Judge *evidence* by every invariant."""
    index = Index(evidence)
    return Report(
        tuple(_verdict(f"I{number}", title, law(index)) for number, (title, law) in enumerate(LAWS, start=1))
    )


def _verdict(invariant: str, title: str, found: Finding | NotYet) -> Verdict:
    if isinstance(found, NotYet):
        return Verdict(invariant, title, found)
    judged: int | NotYet = found.facts or NOTHING_TO_JUDGE
    return Verdict(invariant, title, judged, tuple(found.violations), tuple(found.left_out))
