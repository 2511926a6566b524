"""Bugs of the barrier: effects that come twice, answers that are not kept, calls that are not barred."""

from functools import partial
from typing import Final

from tests.planted.bugs import Bug, Swap

_barrier = partial(Swap, "participants/barrier.py")
_rules = partial(Swap, "participants/rules.py")
_ledger = partial(Swap, "participants/ledger.py")
_turns = partial(Swap, "participants/turns.py")


BUGS: Final = (
    Bug(
        "stale-token-ignored",
        "A call of an older coordinator is performed.",
        (
            _barrier(
                """
                if found is not None and call.fencing_token < found[0]:
                    return False
                """,
                "",
            ),
        ),
    ),
    Bug(
        "token-not-remembered",
        "The first token of a saga is remembered, and no newer one.",
        (_barrier("if found is None or call.fencing_token > found[0]:", "if found is None:"),),
    ),
    Bug(
        "bar-not-stored",
        "A Compensate that finds nothing leaves nothing behind: the late Execute is performed.",
        (_barrier('return _settle(db, call, Succeeded(""), Outcome.NULL)', 'return Verdict(Succeeded(""))'),),
    ),
    Bug(
        "bar-not-looked-at",
        "An Execute is performed although its Compensate came first.",
        (
            _rules(
                """
                if unneeded is not None:
                    return Reject(Barred("The compensation of this step came first; it is never performed."))
                """,
                "",
            ),
        ),
    ),
    Bug(
        "performed-after-its-undo",
        "An Execute that comes after its undo is performed again.",
        (
            _rules(
                """
                if undone is not None:
                    return Reject(Barred("This step has been compensated; it is never performed again."))
                if effect is not None:
                    return _replay(call, effect)
                """,
                """
                if effect is not None and undone is None:
                    return _replay(call, effect)
                """,
            ),
        ),
    ),
    Bug(
        "duplicate-performed",
        "An Execute that comes again is performed again.",
        (
            _rules(
                """
                if effect is not None:
                    return _replay(call, effect)
                """,
                "",
            ),
        ),
    ),
    Bug(
        "undone-twice",
        "A Compensate that comes again is performed again.",
        (
            _rules(
                """
                if settled is not None:
                    return _replay(call, settled)
                """,
                "",
            ),
        ),
    ),
    Bug(
        "undone-without-its-effect",
        "A Compensate is performed although there was no Execute.",
        (_rules("if effect is None or not call.name:", "if not call.name:"),),
    ),
    Bug(
        "empty-name-performed",
        "A Compensate that only bars is looked for among the transactions.",
        (_rules("if effect is None or not call.name:", "if effect is None:"),),
    ),
    Bug(
        "refusal-not-stored",
        "A refused Execute is not kept: when it comes again it is performed.",
        (
            _barrier(
                "_settle(db, call, answer, Outcome.REFUSED)",
                "ledger.record(db, call, Outcome.REFUSED, None)",
            ),
        ),
    ),
    Bug(
        "refusal-not-repeated",
        "A stored refusal is not given again: the step is performed under its key.",
        (
            _rules(
                """
                if own is not None and own.outcome is Outcome.REFUSED:
                    return Replay(own)
                """,
                "",
            ),
        ),
    ),
    Bug(
        "refused-leaves-its-traces",
        "What business code had changed before it said no is kept.",
        (
            _barrier(
                """
                db.execute("ROLLBACK TO effect")
                db.execute("RELEASE effect")
                """,
                """
                db.execute("RELEASE effect")
                """,
            ),
        ),
    ),
    Bug(
        "output-not-stored",
        "A duplicate is answered without the output.",
        (
            _barrier(
                'output_json=answer.output_json if isinstance(answer, Succeeded) else "",', 'output_json="",'
            ),
        ),
    ),
    Bug(
        "effect-without-its-key",
        "An effect is committed before the key that guards it.",
        (
            _barrier(
                """
                answer = run_business(db, call, business)
                """,
                """
                answer = run_business(db, call, business)
                db.execute("COMMIT")
                db.execute("BEGIN")
                """,
            ),
        ),
    ),
    Bug(
        "duplicate-shown-as-applied",
        "The ledger shows a duplicate as one more effect.",
        (
            _barrier(
                "ledger.record(db, call, Outcome.DUPLICATE, known)",
                "ledger.record(db, call, Outcome.APPLIED, known)",
            ),
        ),
    ),
    Bug(
        "null-shown-as-applied",
        "The ledger shows an undo that found nothing as one that did something.",
        (
            _barrier(
                'return _settle(db, call, Succeeded(""), Outcome.NULL)',
                'return _settle(db, call, Succeeded(""), Outcome.APPLIED)',
            ),
        ),
    ),
    Bug(
        "answers-by-key-alone",
        "What is stored is looked up by key, and not by step: an undo finds no effect.",
        (_barrier("WHERE saga_id = ? AND step = ?", "WHERE 0 AND saga_id = ? AND step = ?"),),
    ),
    Bug(
        "ledger-without-the-token",
        "The ledger shows no token.",
        (
            _ledger(
                """
                call.fencing_token,
                call.arrived_ns,
                """,
                """
                0,
                call.arrived_ns,
                """,
            ),
        ),
    ),
)
