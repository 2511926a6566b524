"""Bugs of the rules: what a saga may do next, what an answer means, what a person changes."""

from functools import partial
from typing import Final

from tests.planted.bugs import Bug, Swap

_machine = partial(Swap, "coordinator/domain/machine.py")
_saga = partial(Swap, "coordinator/domain/saga.py")
_by_hand = partial(Swap, "coordinator/domain/by_hand.py")
_verdicts = partial(Swap, "coordinator/domain/verdicts.py")
_outcomes = partial(Swap, "coordinator/domain/outcomes.py")
_retry = partial(Swap, "coordinator/domain/retry.py")
_shaping = partial(Swap, "coordinator/domain/shaping.py")
_inputs = partial(Swap, "coordinator/domain/inputs.py")
_actions = partial(Swap, "coordinator/domain/actions.py")
_ids = partial(Swap, "coordinator/domain/ids.py")
_summary = partial(Swap, "coordinator/domain/summary.py")
_copies = partial(Swap, "coordinator/domain/values.py")
_jsontext = partial(Swap, "coordinator/domain/jsontext.py")


_TURNING_BACK: Final = (
    Bug(
        "undo-order-swapped",
        "The step that was done first is undone first.",
        (
            _saga(
                "for place in places(self.definition.graph.descendants[step.place]):",
                "for place in places(self.definition.graph.ancestors[step.place]):",
            ),
            _saga(
                """
                for place in reversed(graph.order):
                    step = steps[place]
                    if not _blocks(step):
                """,
                """
                for place in graph.order:
                    step = steps[place]
                    if not _blocks(step):
                """,
            ),
            _saga(
                "blocked |= graph.ancestors[place]",
                "blocked |= graph.descendants[place]",
            ),
        ),
    ),
    Bug(
        "undo-not-awaited",
        "The undo of a step begins as soon as that of the step behind it has begun.",
        (
            _saga(
                """
                if step.undo.outcome is None:
                    return True
                """,
                """
                if step.undo.outcome is None:
                    return False
                """,
            ),
        ),
    ),
    Bug(
        "failed-undo-passed-over",
        "What a failed undo should halt is undone all the same.",
        (
            _saga(
                "return is_failed and step.definition.on_compensation_failure is OnCompensationFailure.HALT",
                "return False",
            ),
        ),
    ),
    Bug(
        "failed-undo-always-halts",
        "onCompensationFailure is not looked at: what depends on nothing that failed stays undone.",
        (
            _saga(
                "return is_failed and step.definition.on_compensation_failure is OnCompensationFailure.HALT",
                "return is_failed",
            ),
        ),
    ),
    Bug(
        "refused-is-never-undone",
        "A refused step is not undone, although an earlier attempt of it may have had its effect.",
        (
            _saga(
                """
                return self.attempt > 1
                """,
                """
                return False
                """,
            ),
        ),
    ),
    Bug(
        "refused-is-always-undone",
        "A step that was refused at its only attempt is undone, though nothing was applied.",
        (
            _saga(
                """
                return self.attempt > 1
                """,
                """
                return True
                """,
            ),
        ),
    ),
    Bug(
        "unknown-is-not-barred",
        "A step without a compensation is left alone also when nobody knows whether it happened.",
        (
            _saga(
                "return not (self.outcome is StepOutcome.SUCCEEDED and self.definition.compensation is None)",
                "return self.definition.compensation is not None",
            ),
        ),
    ),
    Bug(
        "undone-once-begun",
        "An undo counts as done when it begins, and nobody is asked for it.",
        (
            _machine(
                "copied(Undo(event.receipt, event.at, event.input))",
                "Undo(event.receipt, event.at, event.input, outcome=UndoOutcome.COMPENSATED)",
            ),
        ),
    ),
    Bug(
        "late-answer-dropped",
        "An answer that comes after the saga has turned back is thrown away, and the output with it.",
        (
            _machine(
                """
                step = _known(saga, event)
                if saga.termination is not None or not step.begun or step.outcome is not None:
                """,
                """
                step = _known(saga, event)
                if saga.heading is Heading.BACKWARD:
                    return saga
                if saga.termination is not None or not step.begun or step.outcome is not None:
                """,
            ),
        ),
    ),
    Bug(
        "late-output-dropped",
        "Of a success that comes after the saga has turned back the output is not kept.",
        (
            _machine(
                "outcome=StepOutcome.SUCCEEDED, output=output, due_at=None",
                "outcome=StepOutcome.SUCCEEDED, output=output if forward else None, due_at=None",
            ),
        ),
    ),
    Bug(
        "receipt-not-kept",
        "A Compensate goes out without what the step had answered.",
        (
            _machine(
                "copied(Undo(event.receipt, event.at, event.input))", "Undo(None, event.at, event.input)"
            ),
        ),
    ),
    Bug(
        "failed-execute-tried-again",
        "An Execute that fails after the saga has turned back is put down to be tried again.",
        (
            _verdicts(
                "again = means is Meaning.RETRY and saga.heading is Heading.FORWARD",
                "again = means is Meaning.RETRY",
            ),
        ),
    ),
)


_PIVOT: Final = (
    Bug(
        "pivot-decides-late",
        "That the pivot has begun decides nothing: only its success does.",
        (
            _saga(
                "return self.steps[pivot].begun or self.steps[pivot].is_passed",
                "return self.steps[pivot].is_passed",
            ),
        ),
    ),
    Bug(
        "cancel-past-the-pivot",
        "A client's cancel turns a saga back that is past its pivot.",
        (
            _machine(
                """
                refuse_past_pivot(saga)
                return replace(saga, abort=Abort(AbortKind.CANCELLED, event.at, message=reason))
                """,
                """
                return replace(saga, abort=Abort(AbortKind.CANCELLED, event.at, message=reason))
                """,
            ),
        ),
    ),
    Bug(
        "cancel-past-the-pivot-by-hand",
        "An operator's cancel turns a saga back that is past its pivot.",
        (
            _by_hand(
                """
                refuse_past_pivot(saga)
                return replace(saga, abort=Abort(AbortKind.CANCELLED, event.at, message=event.reason))
                """,
                """
                return replace(saga, abort=Abort(AbortKind.CANCELLED, event.at, message=event.reason))
                """,
            ),
        ),
    ),
    Bug(
        "deadline-past-the-pivot",
        "The deadline turns a saga back that is past its pivot.",
        (
            _machine(
                """
                if saga.is_decided:
                    return replace(saga, is_overdue=True)
                """,
                "",
            ),
        ),
    ),
    Bug(
        "retriable-turns-back",
        "A step past the pivot that is tried in vain turns the saga back.",
        (
            _machine(
                "outcome = StepOutcome.FAILED if saga.is_decided else StepOutcome.GIVEN_UP",
                "outcome = StepOutcome.GIVEN_UP",
            ),
        ),
    ),
    Bug(
        "refused-retriable-turns-back",
        "A step past the pivot that is refused turns the saga back.",
        (
            _machine(
                "case StepRefused() if saga.is_decided and step.definition.kind is not StepKind.PIVOT:",
                "case StepRefused() if saga.is_decided and step.definition.kind is StepKind.COMPENSATABLE:",
            ),
        ),
    ),
    Bug(
        "refused-pivot-needs-a-person",
        "A pivot that is refused is put before a person, and nothing is undone.",
        (
            _machine(
                "case StepRefused() if saga.is_decided and step.definition.kind is not StepKind.PIVOT:",
                "case StepRefused() if saga.is_decided:",
            ),
        ),
    ),
    Bug(
        "overdue-forgotten",
        "That a saga past its pivot is late is noted again and again.",
        (_machine("return replace(saga, is_overdue=True)", "return saga"),),
    ),
)


_ATTEMPTS: Final = (
    Bug(
        "key-per-attempt",
        "Each attempt of a step has a key of its own.",
        (
            _machine(
                "execute_key(saga.id, step.name, step.round)", "execute_key(saga.id, step.name, step.attempt)"
            ),
        ),
    ),
    Bug(
        "undo-key-per-attempt",
        "Each attempt of an undo has a key of its own.",
        (
            _machine(
                "compensate_key(saga.id, step.name, round_number)",
                "compensate_key(saga.id, step.name, 1 if step.undo is None else step.undo.attempt)",
            ),
        ),
    ),
    Bug(
        "key-without-the-step",
        "All steps of a saga share one key for each direction.",
        (
            _ids('f"{saga_id}/{step}/execute"', 'f"{saga_id}/execute"'),
            _ids('f"{saga_id}/{step}/compensate"', 'f"{saga_id}/compensate"'),
        ),
    ),
    Bug(
        "key-without-the-direction",
        "A step and its undo share one key.",
        (
            _ids('f"{saga_id}/{step}/execute"', 'f"{saga_id}/{step}"'),
            _ids('f"{saga_id}/{step}/compensate"', 'f"{saga_id}/{step}"'),
        ),
    ),
    Bug(
        "pending-is-an-attempt",
        "To be pending uses up an attempt.",
        (
            _machine(
                "waiting = replace(step, pendings=step.pendings + 1, due_at=ask_at, budget_from=spent_from)",
                "waiting = replace(step, failures=step.failures + 1, due_at=ask_at, budget_from=spent_from)",
            ),
        ),
    ),
    Bug(
        "pending-spends-the-budget",
        "While a participant has taken the undo on and says so, its budget runs out.",
        (
            _machine(
                "undo = replace(undo, pendings=undo.pendings + 1, due_at=ask_at, budget_from=spent_from)",
                "undo = replace(undo, pendings=undo.pendings + 1, due_at=ask_at)",
            ),
        ),
        shape="an undo is pending for longer than its budget, and then tried",
    ),
    Bug(
        "attempts-from-one-after-a-restart",
        "After a restart the attempts of a step are numbered as if none had been under way.",
        (
            _saga(
                """
                    return self.attempts_before + self.failures + self.lost + 1

                @property
                def calls(self) -> int:
                """,
                """
                    return self.attempts_before + self.failures + 1

                @property
                def calls(self) -> int:
                """,
            ),
        ),
        shape="two steps",
    ),
    Bug(
        "undo-attempts-from-one-after-a-restart",
        "After a restart the attempts of an undo are numbered as if none had been under way.",
        (_by_hand("return replace(step, undo=replace(step.undo, lost=step.undo.lost + 1))", "return step"),),
        shape="the last is refused",
    ),
    Bug(
        "one-attempt-too-many",
        "maxAttempts counts the retries, and not the first attempt.",
        (_verdicts("step.failures + 1 >= policy.max_attempts", "step.failures >= policy.max_attempts"),),
    ),
    Bug(
        "budget-never-spent",
        "An undo is tried for ever.",
        (
            _verdicts(
                """
                spent_at = undo.budget_from + policy.budget_s
                if at >= spent_at:
                    return None
                """,
                """
                spent_at = math.inf
                """,
            ),
        ),
    ),
    Bug(
        "retry-after-the-budget",
        "The last attempt of an undo comes when its wait is over, and not when its budget ends.",
        (
            _verdicts(
                """
                    hint_s=_hint_s(failure),
                )
                return min(retry_at, spent_at)
                """,
                """
                    hint_s=_hint_s(failure),
                )
                return retry_at
                """,
            ),
        ),
    ),
    Bug(
        "wait-without-a-cap",
        "Waits between attempts double without an end.",
        (
            _retry(
                "ceiling_s = min(max_s, initial_s * multiplier ** (failures - 1))",
                "ceiling_s = initial_s * multiplier ** (failures - 1)",
            ),
        ),
    ),
    Bug(
        "hint-without-a-cap",
        "A participant's hint may make the wait as long as it likes.",
        (
            _retry(
                "return max(draw * ceiling_s, min(max(hint_s or 0.0, 0.0), max_s))",
                "return max(draw * ceiling_s, hint_s or 0.0)",
            ),
        ),
    ),
    Bug(
        "hint-ignored",
        "A participant that says when to ask again is asked sooner.",
        (
            _retry(
                "return max(draw * ceiling_s, min(max(hint_s or 0.0, 0.0), max_s))", "return draw * ceiling_s"
            ),
        ),
    ),
    Bug(
        "pending-asked-at-once",
        "What is pending is asked again at once, whatever the participant says.",
        (_retry("return max(least_s, min(PENDING_MAX_S, hint_s))", "return 0.0"),),
    ),
)


_ANSWERS: Final = (
    Bug(
        "refusal-is-a-fault",
        "A refusal is taken for a fault, and the step is tried again.",
        (
            _verdicts(
                """
                attempt = step.attempt
                if isinstance(answer, Succeeded):
                """,
                """
                attempt = step.attempt
                if isinstance(answer, Refused):
                    answer = Faulted(answer.code, answer.message, None)
                if isinstance(answer, Succeeded):
                """,
            ),
        ),
    ),
    Bug(
        "refused-undo-tried-again",
        "A refused undo is tried again, in place of being put before a person.",
        (
            _verdicts(
                """
                return UndoRefused(at, step.name, attempt, code, message)
                """,
                """
                why = cause(Faulted(code, message, None))
                return UndoFaulted(at, step.name, attempt, why, code, message, at + 1.0)
                """,
            ),
        ),
    ),
    Bug(
        "permanent-status-retried",
        "A step is tried again after a status that does not pass.",
        (
            _outcomes(
                "Unproved.PERMANENT: (Meaning.GIVE_UP, Meaning.RETRY),",
                "Unproved.PERMANENT: (Meaning.RETRY, Meaning.RETRY),",
            ),
        ),
    ),
    Bug(
        "broken-contract-retried",
        "A participant that breaks the contract is asked again.",
        (
            _outcomes(
                "Unproved.BROKEN_CONTRACT: (Meaning.GIVE_UP, Meaning.RETRY),",
                "Unproved.BROKEN_CONTRACT: (Meaning.RETRY, Meaning.RETRY),",
            ),
        ),
    ),
    Bug(
        "permanent-status-ends-an-undo",
        "An undo that meets a status that does not pass is set aside.",
        (
            _outcomes(
                "Unproved.PERMANENT: (Meaning.GIVE_UP, Meaning.RETRY),",
                "Unproved.PERMANENT: (Meaning.GIVE_UP, Meaning.GIVE_UP),",
            ),
        ),
    ),
    Bug(
        "permanent-status-past-the-pivot",
        "A permanent status past the pivot is judged as before it.",
        (
            _outcomes(
                "return turning_back_helps if direction is Direction.FORWARD and not decided else lasting",
                "return turning_back_helps if direction is Direction.FORWARD else lasting",
            ),
        ),
    ),
    Bug(
        "contradiction-not-flagged",
        "A participant that breaks the contract is told of to nobody.",
        (
            _machine(
                "_CONTRADICTIONS = frozenset({Cause.BROKEN_CONTRACT, Cause.KEY_REUSED, Cause.BARRED})",
                "_CONTRADICTIONS = frozenset({Cause.KEY_REUSED, Cause.BARRED})",
            ),
        ),
    ),
)


_GRAPH: Final = (
    Bug(
        "max-parallel-ignored",
        "As many steps are at work as there are.",
        (_saga("room = self.definition.parallel_max - begun", "room = len(self.reached)"),),
    ),
    Bug(
        "one-parent-is-enough",
        "A step begins when one of those that it depends on is passed.",
        (
            _saga(
                "if not graph.parents[place] & open_places:",
                "if not graph.parents[place] or graph.parents[place] & ~open_places:",
            ),
            _saga(
                """
                for place in places(self.definition.graph.parents[step.place]):
                    parent = self.steps[place]
                    if parent.outcome not in _PASSED:
                        return False
                return True
                """,
                """
                parents = self.definition.graph.parents[step.place]
                return not parents or any(self.steps[at].outcome in _PASSED for at in places(parents))
                """,
            ),
        ),
    ),
    Bug(
        "omitted-holds-up",
        "What depends on a step that was omitted waits for ever.",
        (
            _saga(
                "_PASSED: Final = (StepOutcome.SUCCEEDED, StepOutcome.SKIPPED, StepOutcome.OMITTED)",
                "_PASSED: Final = (StepOutcome.SUCCEEDED, StepOutcome.SKIPPED)",
            ),
        ),
    ),
    Bug(
        "side-by-side-outputs",
        "A step gets the outputs of all steps that have answered, also of those beside it.",
        (
            _inputs(
                "earlier.name for earlier in definition.ancestors(step.name)",
                "other.name for other in definition.steps",
            ),
        ),
    ),
    Bug(
        "only-parents-are-seen",
        "Expressions see what a step depends on directly, and nothing behind that.",
        (
            _shaping(
                "seen = saga.definition.graph.ancestors[step.place] | itself << step.place",
                "seen = saga.definition.graph.parents[step.place] | itself << step.place",
            ),
        ),
    ),
    Bug(
        "condition-the-wrong-way",
        "A step is omitted when its condition is true.",
        (
            _shaping(
                'if holds(step.definition.when, _scope(saga, step), evaluate, place="when"):',
                'if not holds(step.definition.when, _scope(saga, step), evaluate, place="when"):',
            ),
        ),
    ),
    Bug(
        "default-output-always",
        "Expressions see a step's default output also where its own is known.",
        (
            _shaping(
                "if step.output is not None:",
                "if step.output is not None and not step.definition.has_default_output:",
            ),
        ),
    ),
    Bug(
        "undo-gets-the-execute-input",
        "compensationInput is not looked at: an undo gets what its Execute got.",
        (
            _shaping(
                "return step.input if step.undo is None or step.undo.input is None else step.undo.input",
                "return step.input",
            ),
        ),
    ),
    Bug(
        "undo-input-shaped-anew",
        "What an undo is given is made again at each attempt, from what is known by then.",
        (
            _shaping(
                "shaped = made_for_undo(step) if undo else step.input",
                "shaped = None if undo else step.input",
            ),
        ),
    ),
    Bug(
        "skipped-output-is-null",
        "The expressions of a saga's output see the first steps alone.",
        (
            _shaping(
                "_Outputs(saga, (1 << len(saga.steps)) - 1)", "_Outputs(saga, (1 << len(saga.steps) - 1) - 1)"
            ),
        ),
    ),
)


_PEOPLE: Final = (
    Bug(
        "forgotten-action",
        "No action's id is kept: who asks twice acts twice.",
        (_by_hand("return replace(after, actions=(*saga.actions, event))", "return after"),),
    ),
    Bug(
        "blind-action",
        "An operator may act whatever they have seen.",
        (_actions("return action.seq_seen != seq", "return action.seq_seen > seq"),),
    ),
    Bug(
        "rounds-for-anything",
        "An undo that failed is asked for under another key also where no refusal is stored.",
        (_by_hand("round=undo.round + 1 if undo.refused else undo.round,", "round=undo.round + 1,"),),
    ),
    Bug(
        "rounds-past-the-pivot-for-anything",
        "A step past the pivot is asked again under another key also where no refusal is stored.",
        (_by_hand("round=step.round + 1 if step.refused else step.round,", "round=step.round + 1,"),),
    ),
    Bug(
        "no-round-after-a-refusal",
        "A refused step is asked again under the key that its refusal is stored under.",
        (_by_hand("round=step.round + 1 if step.refused else step.round,", "round=step.round,"),),
    ),
    Bug(
        "no-undo-round-after-a-refusal",
        "A refused undo is asked again under its old key.",
        (_by_hand("round=undo.round + 1 if undo.refused else undo.round,", "round=undo.round,"),),
    ),
    Bug(
        "retry-without-a-budget",
        "An undo that is tried again by hand has the budget of the first time, which is spent.",
        (
            _by_hand(
                """
                attempts_before=undo.attempt - 1,
                failures=0,
                lost=0,
                budget_from=at,
                """,
                """
                attempts_before=undo.attempt - 1,
                failures=0,
                lost=0,
                """,
            ),
        ),
    ),
    Bug(
        "retry-numbered-from-one",
        "The attempts of an undo that is tried again by hand are numbered from one.",
        (_by_hand("attempts_before=undo.attempt - 1,", "attempts_before=0,"),),
    ),
    Bug(
        "completed-by-hand-not-undone",
        "What a person vouched for before it had begun is not undone when the saga turns back.",
        (
            _by_hand(
                """
                cut_off,
                begun=True,
                outcome=StepOutcome.SUCCEEDED,
                """,
                """
                cut_off,
                outcome=StepOutcome.SUCCEEDED,
                """,
            ),
        ),
        shape="a step is completed by hand before its turn, and undone later",
    ),
    Bug(
        "cut-off-call-not-counted",
        "A call that is cut off by a person leaves no trace: an undo of it may be left out.",
        (
            _by_hand(
                "if _is_under_way(step, at):\n    return replace(step, lost=step.lost + 1)",
                "if _is_under_way(step, at):\n    return step",
            ),
        ),
        shape="past the pivot a step is given up by hand during its call, and then asked again",
    ),
    Bug(
        "acts-on-the-settled",
        "A person may settle an undo that is settled.",
        (
            _by_hand(
                "if step.undo.outcome in (UndoOutcome.COMPENSATED, UndoOutcome.SKIPPED):",
                "if step.undo.outcome is UndoOutcome.SKIPPED:",
            ),
        ),
    ),
    Bug(
        "failed-by-hand-not-counted",
        "An attempt of an undo that a person gives up has its number taken again.",
        (
            _by_hand(
                "failures = undo.failures + 1 if under_way or undo.pendings else undo.failures",
                "failures = undo.failures + 1 if undo.pendings else undo.failures",
            ),
        ),
        shape="an undo is given up by hand during its call, and then asked again",
    ),
    Bug(
        "pending-undo-given-up-not-counted",
        "An undo that was pending when a person gave it up is asked for under its number again.",
        (_by_hand("1 if under_way or undo.pendings else", "1 if under_way else"),),
        shape="an undo is given up by hand while it is pending, and then asked again",
    ),
    Bug(
        "pending-given-up-not-counted",
        "What was pending when a person gave it up is asked for under its number again.",
        (_by_hand("if step.pendings:", "if step.pendings and step.undo is not None:"),),
        shape="past the pivot a step is given up by hand while it is pending, and then asked again",
    ),
)


_SHOWN: Final = (
    Bug(
        "nothing-to-say-past-the-pivot",
        "Of a saga past its pivot nobody is told that it needs a person.",
        (_summary("None and not saga.is_decided", "None"),),
    ),
)


_TEXTS: Final = (
    Bug(
        "remembered-of-what-was",
        "What was worked out of a saga is believed of what it has become.",
        (_copies("content.popitem()", "size = len(content)"),),
    ),
    Bug(
        "fields-as-they-came",
        "A step's input has its fields in the order in which they were chosen.",
        (
            _inputs("names = sorted((*entries, OUTPUTS))", "names = [*entries, OUTPUTS]"),
            _inputs("return sorted(fields), None", "return fields, None"),
        ),
    ),
    Bug(
        "twice-and-taken",
        "A short text in which a key stands twice is taken as it is.",
        (
            _jsontext(
                "if again.decode() == text and not _has_float(again):",
                "if not _has_float(again):",
            ),
        ),
        tests="tests/unit/test_jsontext.py",
    ),
    Bug(
        "numbers-as-they-came",
        "A number that can be written in two ways has two canonical texts.",
        (
            _jsontext(
                "if again.decode() == text and not _has_float(again):",
                "if again.decode() == text:",
            ),
        ),
        tests="tests/unit/test_jsontext.py",
    ),
    Bug(
        "numbers-written-anew",
        "A number with a fraction has another canonical text than it has had since the first release.",
        (
            _jsontext(
                'is_alike = text.find(b"null") < 0 and not _has_float(text)',
                'is_alike = text.find(b"null") < 0',
            ),
        ),
        tests="tests/unit/test_jsontext.py",
    ),
)

BUGS: Final = (*_TURNING_BACK, *_PIVOT, *_ATTEMPTS, *_ANSWERS, *_GRAPH, *_PEOPLE, *_SHOWN, *_TEXTS)
