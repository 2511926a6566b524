"""Reads what the example services need from a step's input; what is missing or wrong is refused by name.

Money is an exact integer of nanos (1 EUR = 1,000,000,000), never a float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from participants.calls import Refused

NANOS = 1_000_000_000
QUANTITY_MAX = 1_000_000_000
DIGITS = re.compile(r"-?[0-9]{1,19}")
CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Payment:
    """What is to be paid.  The token is checked to be there and is kept nowhere."""

    method: str
    currency_code: str
    amount_nanos: int


def read_text(given: Mapping[str, object], field: str, within: str = "") -> str:
    value = given.get(field)
    if not isinstance(value, str) or not value:
        raise _invalid(within + field, "must be a text that is not empty")
    return value


def read_texts(given: Mapping[str, object], field: str) -> list[str]:
    listed = given.get(field)
    if not isinstance(listed, list) or not listed:
        raise _invalid(field, "must be a list that is not empty")
    for number, value in enumerate(listed):
        if not isinstance(value, str) or not value:
            raise _invalid(f"{field}[{number}]", "must be a text that is not empty")
    return listed


def read_number(given: Mapping[str, object], field: str, most: int, within: str = "") -> int:
    number = _whole(given.get(field))
    if number is None or not 1 <= number <= most:
        raise _invalid(within + field, f"must be a whole number from 1 to {most}")
    return number


def read_items(given: Mapping[str, object]) -> dict[str, int]:
    """The quantity of each item; one that is listed twice is added up."""
    listed = given.get("items")
    if not isinstance(listed, list) or not listed:
        raise _invalid("items", "must be a list that is not empty")
    quantities: dict[str, int] = {}
    for number, item in enumerate(listed):
        within = f"items[{number}]."
        if not isinstance(item, dict):
            raise _invalid(within[:-1], "must be an object")
        item_id = read_text(item, "item_id", within)
        quantity = read_number(item, "quantity", QUANTITY_MAX, within)
        quantities[item_id] = quantities.get(item_id, 0) + quantity
    return quantities


def read_payment(given: Mapping[str, object]) -> Payment:
    info = _object(given, "payment_info", "")
    amount = _object(info, "amount", "payment_info.")
    read_text(info, "token", "payment_info.")
    currency_code = read_text(amount, "currency_code", "payment_info.amount.")
    if not CURRENCY.fullmatch(currency_code):
        raise _invalid("payment_info.amount.currency_code", "must be three capital letters")
    units = _whole(amount.get("units", 0))
    nanos = _whole(amount.get("nanos", 0))
    if units is None or nanos is None or units < 0 or not 0 <= nanos < NANOS or units + nanos == 0:
        raise _invalid("payment_info.amount", "must be above zero, in whole units and nanos")
    method = read_text(info, "method", "payment_info.")
    return Payment(method, currency_code, units * NANOS + nanos)


def show_money(amount_nanos: int) -> dict[str, object]:
    """As google.type.Money has it in JSON, where 64-bit integers are text."""
    units, nanos = divmod(amount_nanos, NANOS)
    return {"units": str(units), "nanos": nanos}


def _object(given: Mapping[str, object], field: str, within: str) -> Mapping[str, object]:
    value = given.get(field)
    if not isinstance(value, dict):
        raise _invalid(within + field, "must be an object")
    return value


def _whole(value: object) -> int | None:
    """A whole number, also as the text in which JSON carries 64-bit integers."""
    if isinstance(value, str) and DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return None


def _invalid(field: str, sentence: str) -> Refused:
    return Refused("INVALID_INPUT", f"{field} {sentence}.")
