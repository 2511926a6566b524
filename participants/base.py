"""What a service author subclasses: business code only.

    class PaymentService(Participant):
        schema = ("CREATE TABLE payments (…)",)

        @transaction("processPayment")
        def process_payment(self, db, call): …

A business function is plain and synchronous.  It runs on the service's one writer thread, inside the
barrier's transaction: it reads and writes through *db*, never commits, and never waits for anything.
It returns its output (a mapping that JSON can hold, or None), or raises Refused, Pending or Faulted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

from participants.calls import Call, CompensateCall, ExecuteCall, Operation

Output: TypeAlias = Mapping[str, object] | None
Business: TypeAlias = Callable[[sqlite3.Connection, Any], Output]
TransactionT = TypeVar("TransactionT", bound=Callable[[Any, sqlite3.Connection, ExecuteCall], Output])
CompensationT = TypeVar("CompensationT", bound=Callable[[Any, sqlite3.Connection, CompensateCall], Output])
MARK = "_saga_business"


def transaction(name: str) -> Callable[[TransactionT], TransactionT]:
    """Mark the method that performs the transaction *name*."""

    def marked(method: TransactionT) -> TransactionT:
        setattr(method, MARK, (Operation.EXECUTE, name))
        return method

    return marked


def compensation(name: str) -> Callable[[CompensationT], CompensationT]:
    """Mark the method that performs the compensation *name*; it runs only where there is an effect."""

    def marked(method: CompensationT) -> CompensationT:
        setattr(method, MARK, (Operation.COMPENSATE, name))
        return method

    return marked


@dataclass(frozen=True, slots=True)
class Offer:
    """What a service says of itself: what it can perform, and whether the barrier stands around it."""

    service: str
    transactions: frozenset[str]
    compensations: frozenset[str]
    barrier: bool


class Participant:
    """One service: its name, its tables, its transactions and compensations."""

    # The name that definitions use; the class's own where it is left empty.
    name: ClassVar[str] = ""
    # SQL scripts, run once each and in order: append one to change the tables, never edit an old one.
    schema: ClassVar[tuple[str, ...]] = ()
    _methods: ClassVar[Mapping[tuple[Operation, str], str]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.name = cls.__dict__.get("name") or cls.__name__
        methods = dict(cls._methods)
        declared: set[tuple[Operation, str]] = set()
        for attribute, value in vars(cls).items():
            mark: tuple[Operation, str] | None = getattr(value, MARK, None)
            if mark is None:
                continue
            if mark in declared:
                raise TypeError(f"{cls.name} declares {mark[1]} twice")
            declared.add(mark)
            methods[mark] = attribute
        cls._methods = methods

    @classmethod
    def names(cls, operation: Operation) -> frozenset[str]:
        """What this service can perform in one direction."""
        return frozenset(name for direction, name in cls._methods if direction is operation)

    def business(self, call: Call) -> Business | None:
        """The business code that *call* asks for; None where there is none of that name."""
        attribute = self._methods.get((call.operation, call.name))
        if attribute is None:
            return None
        found: Business = getattr(self, attribute)
        return found
