"""Runs of a saga that is a graph with a pivot, made by hand as those in made.py, and with its functions.

Flight and hotel are booked side by side, and an upgrade of the flight if the traveller wants one; then the
payment decides; ticket and mail follow, side by side.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from tests.checker.evidence import Definition, Evidence, StepRule
from tests.checker.made import EPOCH_NS, SECOND_NS, TTL_NS, Change, Run, Told

HOUR_NS = 3600 * SECOND_NS

_BOOKED: dict[str, Any] = {"compensation": "cancel", "attempts_max": 3}
_LASTING: dict[str, Any] = {"attempts_max": None, "wait_ns_max": 60 * SECOND_NS, "budget_ns": HOUR_NS}

FLIGHT = StepRule(
    name="flight", service="Air", transaction="fly", depends_on=(), budget_ns=HOUR_NS, **_BOOKED
)
HOTEL = StepRule(
    name="hotel",
    service="Inn",
    transaction="sleep",
    depends_on=(),
    undo_shape={"room": "outputs.hotel.room", "fee": 0},
    default_output='{"room":"any"}',
    **_BOOKED,
)
UPGRADE = StepRule(
    name="upgrade",
    service="Lounge",
    transaction="upgrade",
    depends_on=("flight",),
    when="has(input.lounge)",
    default_output='{"price":0}',
    **_BOOKED,
)
PAY = StepRule(
    name="pay",
    service="Bank",
    transaction="pay",
    compensation="repay",
    kind="pivot",
    depends_on=("hotel", "upgrade"),
    shape={"payer": "input.name", "prices": ["outputs.hotel.price", "outputs.upgrade.price"]},
    **_LASTING,
)
TICKET = StepRule(
    name="ticket",
    service="Desk",
    transaction="print",
    compensation=None,
    kind="retriable",
    depends_on=("pay",),
    inputs=frozenset({"outputs.flight", "outputs.upgrade"}),
    **_LASTING,
)
MAIL = StepRule(
    name="mail",
    service="Mail",
    transaction="mail",
    compensation=None,
    kind="retriable",
    depends_on=("pay",),
    shape={"to": "input.name + '@example.org'"},
    **_LASTING,
)
TRIP = Definition(
    name="Trip",
    digest="t1",
    ttl_ns=TTL_NS,
    steps=(PAY, MAIL, UPGRADE, TICKET, HOTEL, FLIGHT),
    parallel_max=2,
    output={"seat": "outputs.flight.seat", "price": "outputs.upgrade.price", "of": "input.name"},
)
"""Its steps stand in no order that anything could be told from."""
OUTING = Definition(
    name="Outing",
    digest="t2",
    ttl_ns=TTL_NS,
    steps=(FLIGHT, replace(HOTEL, depends_on=None)),
    output={"seat": "outputs.flight.seat"},
)
"""One without a pivot: until it has ended, everything can be undone."""
LETTER = Definition(
    name="Letter",
    digest="t3",
    ttl_ns=TTL_NS,
    steps=(replace(MAIL, kind="compensatable", depends_on=None),),
    output={"sent": "outputs.mail.sent"},
)
"""One in which nothing can be undone."""


@cache
def trips() -> Evidence:
    """One trip of every sort, all of them sound. Nobody changes it: what is otherwise is a copy."""
    run = Run()
    _completed(Told(run, "done", TRIP))
    _plain(run, Told(run, "plain", TRIP))
    _declined(Told(run, "declined", TRIP))
    _declined_late(run, Told(run, "declined-late", TRIP))
    _cut_short(Told(run, "cut-short", TRIP))
    _unasked(Told(run, "unasked", TRIP))
    _doubted(run, Told(run, "doubted", TRIP))
    _given_up(run, Told(run, "given-up", TRIP))
    _revived(run, Told(run, "revived", TRIP))
    _stuck(run, Told(run, "stuck", TRIP))
    _late(run, Told(run, "late", TRIP))
    _skipped(run, Told(run, "skipped", TRIP))
    _let_pass(Told(run, "let-pass", TRIP))
    _awaited(run, Told(run, "awaited", TRIP))
    _unable(run, Told(run, "unable", TRIP))
    _unsaid(Told(run, "unsaid", TRIP))
    _unsent(Told(run, "unsent", TRIP))
    _unsent(Told(run, "unsent-still", TRIP), helped=False)
    _vouched(Told(run, "vouched", TRIP))
    _unshaped(Told(run, "unshaped", OUTING))
    _unanswered(Told(run, "unanswered", LETTER))
    return Evidence(
        ledger=tuple(run.ledger),
        calls=tuple(run.calls),
        reads=tuple(run.reads),
        definitions={one.digest: one for one in (TRIP, OUTING, LETTER)},
        restarts=0,
        actions=tuple(run.actions),
        dead_letters=frozenset({"saga-doubted", "saga-unsent-still"}),
        redeliveries={},
    )


def _books(saga: Told) -> None:
    """Everything before the payment, side by side."""
    saga.begins("flight", "hotel")
    saga.is_done("flight")
    saga.begins("upgrade")
    saga.is_done("hotel", "upgrade")


def _delivers(saga: Told) -> None:
    """Everything after the payment, and the end."""
    saga.begins("ticket", "mail")
    saga.is_done("mail", "ticket")
    saga.says('{"seat":"1A"}')
    saga.ends("COMPLETED")


def _completed(saga: Told) -> None:
    _books(saga)
    saga.does("pay")
    _delivers(saga)


def _plain(run: Run, saga: Told) -> None:
    """Without an upgrade, and with a hotel that answers late."""
    saga.begins("hotel")
    saga.fails("hotel", wait_ns=SECOND_NS)
    run.tick(2 * SECOND_NS)
    saga.is_done("hotel", attempt=2)
    saga.does("flight")
    saga.event("STEP_OMITTED", "upgrade", "OMITTED")
    saga.does("pay")
    _delivers(saga)


def _declined(saga: Told) -> None:
    """The payment is refused, and what does not depend on each other is undone side by side."""
    _books(saga)
    saga.begins("pay")
    saga.row("pay", "E", "refused")
    saga.event("STEP_REFUSED", "pay", "REFUSED", attempt=1, code="CARD_DECLINED")
    saga.event("UNDO_BEGUN", "hotel", "UNDOING")
    saga.undoes("upgrade", "flight")
    saga.row("hotel", "C", "applied")
    saga.event("STEP_COMPENSATED", "hotel", "COMPENSATED", attempt=1)
    saga.ends("COMPENSATED")


def _declined_late(run: Run, saga: Told) -> None:
    """It is refused when it is tried again: an earlier attempt might have had its effect, and is barred."""
    saga.does("hotel", "flight")
    saga.event("STEP_OMITTED", "upgrade", "OMITTED")
    saga.begins("pay")
    saga.fails("pay", wait_ns=SECOND_NS)
    run.tick(2 * SECOND_NS)
    saga.row("pay", "E", "refused")
    saga.event("STEP_REFUSED", "pay", "REFUSED", attempt=2, code="CARD_DECLINED")
    saga.undoes("pay", outcome="null")
    saga.undoes("flight", "hotel")
    saga.ends("COMPENSATED")


def _cut_short(saga: Told) -> None:
    """One of two steps at work is refused, and the other is undone before it is answered."""
    saga.begins("flight", "hotel")
    saga.row("flight", "E", "refused")
    saga.event("STEP_REFUSED", "flight", "REFUSED", attempt=1, code="FULL")
    saga.undoes("hotel", outcome="null")
    saga.row("hotel", "E", "barred")
    saga.ends("COMPENSATED")


def _unasked(saga: Told) -> None:
    """The input of a step cannot be made while another one is at work, whose answer still counts."""
    saga.begins("flight", "hotel")
    saga.is_done("flight")
    saga.event("EXPRESSION_FAILED", "upgrade")
    saga.is_done("hotel")
    saga.undoes("hotel", "flight")
    saga.ends("COMPENSATED")


def _is_in_doubt(run: Run, saga: Told) -> None:
    """The payment gets no answer while its budget lasts, which is longer than the saga's time."""
    _books(saga)
    saga.begins("pay")
    saga.fails("pay", wait_ns=60 * SECOND_NS)
    run.tick(TTL_NS)
    saga.is_late()
    run.tick(HOUR_NS)
    saga.row("pay", "E", "applied")
    saga.fails("pay", "FAILED", attempt=2)
    run.call(saga.request_id, "DEADLINE_EXCEEDED")


def _doubted(run: Run, saga: Told) -> None:
    _is_in_doubt(run, saga)
    saga.asks("CANCEL", "", "FAILED_PRECONDITION")
    saga.seen("DEAD_LETTERED", 3)


def _given_up(run: Run, saga: Told) -> None:
    """A person says of a payment in doubt that it is none, and all is undone."""
    _is_in_doubt(run, saga)
    saga.seen("DEAD_LETTERED", 1)
    saga.acts("FAIL", "pay", "GIVEN_UP")
    saga.undoes("pay", "hotel", "upgrade", "flight")
    saga.ends("COMPENSATED")


def _revived(run: Run, saga: Told) -> None:
    """A person has a payment in doubt tried anew, with a new budget and under its old key."""
    _is_in_doubt(run, saga)
    saga.seen("DEAD_LETTERED", 1)
    saga.acts("RETRY", "pay", "BEGUN")
    saga.fails("pay", attempt=3, wait_ns=SECOND_NS)
    run.tick(2 * SECOND_NS)
    saga.row("pay", "E", "duplicate")
    saga.event("STEP_SUCCEEDED", "pay", "SUCCEEDED", attempt=4)
    _delivers(saga)


def _stuck(run: Run, saga: Told) -> None:
    """The ticket is refused past the pivot, and the mail goes out all the same; then a person helps."""
    _books(saga)
    saga.does("pay")
    saga.begins("ticket", "mail")
    saga.row("ticket", "E", "refused")
    saga.event("STEP_REFUSED", "ticket", "FAILED", attempt=1, code="NO_PAPER")
    saga.is_done("mail")
    run.call(saga.request_id, "DEADLINE_EXCEEDED")
    saga.seen("DEAD_LETTERED", 1)
    saga.acts("RETRY", "ticket", "BEGUN")
    saga.is_done("ticket", attempt=2)
    saga.says('{"seat":"1A"}')
    saga.ends("COMPLETED")


def _late(run: Run, saga: Told) -> None:
    """Its time ends past the pivot, where no status ends the attempts; and a person has to write the mail."""
    _books(saga)
    saga.begins("pay")
    run.tick(TTL_NS + 5 * SECOND_NS)
    saga.is_late()
    saga.is_done("pay")
    saga.event("EXPRESSION_FAILED", "mail", "FAILED")
    saga.begins("ticket")
    saga.fails("ticket", code="UNIMPLEMENTED", wait_ns=SECOND_NS)
    run.tick(2 * SECOND_NS)
    saga.is_done("ticket", attempt=2)
    saga.seen("DEAD_LETTERED", 1)
    saga.acts("RETRY", "mail", "NOT_BEGUN")
    saga.event("EXPRESSION_FAILED", "mail", "FAILED")
    saga.acts("COMPLETE", "mail", "SUCCEEDED", output='{"sent":true}')
    saga.says('{"seat":"1A"}')
    saga.ends("COMPLETED")


def _skipped(run: Run, saga: Told) -> None:
    """A mail that waits is given up by hand, which turns nothing back, and then done without."""
    _books(saga)
    saga.does("pay")
    saga.begins("ticket", "mail")
    saga.fails("mail", wait_ns=60 * SECOND_NS)
    saga.acts("FAIL", "mail", "FAILED")
    saga.is_done("ticket")
    run.call(saga.request_id, "DEADLINE_EXCEEDED")
    saga.seen("DEAD_LETTERED", 1)
    saga.acts("SKIP", "mail", "SKIPPED")
    saga.says('{"seat":"1A"}')
    saga.ends("COMPLETED")


def _let_pass(saga: Told) -> None:
    """A person lets the payment pass before it has begun: that decides as well."""
    _books(saga)
    saga.acts("SKIP", "pay", "SKIPPED")
    saga.begins("ticket", "mail")
    saga.is_done("mail")
    saga.row("ticket", "E", "refused")
    saga.event("STEP_REFUSED", "ticket", "FAILED", attempt=1, code="NOT_PAID")
    saga.acts("SKIP", "ticket", "SKIPPED")
    saga.says('{"seat":"1A"}')
    saga.ends("COMPLETED")


def _awaited(run: Run, saga: Told) -> None:
    """The payment is taken on for longer than its budget, which that does not use up."""
    _books(saga)
    saga.begins("pay")
    saga.event("STEP_PENDING", "pay", attempt=1, retry_ns=EPOCH_NS + run.now_ns + 2 * HOUR_NS)
    run.tick(TTL_NS)
    saga.is_late()
    run.tick(2 * HOUR_NS)
    saga.fails("pay", wait_ns=SECOND_NS)
    run.tick(2 * SECOND_NS)
    saga.is_done("pay", attempt=2)
    _delivers(saga)


def _unable(run: Run, saga: Told) -> None:
    """A flight cannot be booked at all: it is given up at once, whatever its budget, and the hotel undone."""
    saga.begins("flight", "hotel")
    saga.fails("flight", "GIVEN_UP", code="UNIMPLEMENTED")
    saga.fails("hotel")
    saga.undoes("flight", "hotel", outcome="null")
    saga.ends("COMPENSATED")


def _unsaid(saga: Told) -> None:
    """Its output cannot be shaped when nothing can be undone any more: it has none."""
    _books(saga)
    saga.does("pay", "ticket", "mail")
    saga.event("EXPRESSION_FAILED")
    saga.ends("COMPLETED")


def _unsent(saga: Told, *, helped: bool = True) -> None:
    """The input of an undo cannot be made, nor the second time; what does not wait for it is undone."""
    saga.begins("flight", "hotel")
    saga.is_done("flight", "hotel")
    saga.event("CANCEL_REQUESTED")
    saga.event("EXPRESSION_FAILED", "hotel", "UNDO_FAILED")
    saga.undoes("flight")
    if not helped:
        saga.ends("DEAD_LETTERED")
        return
    saga.seen("DEAD_LETTERED", 1)
    saga.acts("RETRY", "hotel", "UNDOING")
    saga.event("EXPRESSION_FAILED", "hotel", "UNDO_FAILED")
    saga.acts("COMPLETE", "hotel", "COMPENSATED")
    saga.ends("COMPENSATED")


def _vouched(saga: Told) -> None:
    """A person vouches for a hotel before it is asked for; the input of its undo cannot be made."""
    saga.does("flight")
    saga.acts("COMPLETE", "hotel", "SUCCEEDED")
    saga.event("CANCEL_REQUESTED")
    saga.event("EXPRESSION_FAILED", "hotel", "UNDO_FAILED")
    saga.undoes("flight")
    saga.seen("DEAD_LETTERED", 1)
    saga.acts("SKIP", "hotel", "UNDO_SKIPPED")
    saga.ends("COMPENSATED")


def _unshaped(saga: Told) -> None:
    """Without a pivot an output that cannot be shaped is one more reason to undo everything."""
    saga.does("flight", "hotel")
    saga.event("EXPRESSION_FAILED")
    saga.undoes("hotel", "flight")
    saga.ends("COMPENSATED")


def _unanswered(saga: Told) -> None:
    """The same where nothing can be undone: all that was done stands."""
    saga.does("mail")
    saga.event("EXPRESSION_FAILED")
    saga.ends("COMPENSATED")


def defined(definition: Definition = TRIP, /, **changes: Any) -> Change:
    """A definition says something else, as if it had always."""

    def change(run: Evidence) -> Evidence:
        definitions = {**run.definitions, definition.digest: replace(definition, **changes)}
        return replace(run, definitions=definitions)

    return change


def rule(step: str, /, **changes: Any) -> Change:
    """What a trip's definition says of one step is another, as if it had always been."""
    steps = tuple(replace(each, **changes) if each.name == step else each for each in TRIP.steps)
    return defined(steps=steps)
