"""Reads a fault plan from JSON: nothing unknown passes, and every fault is named by path and sentence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from participants.calls import CODE, Operation
from participants.errors import InvalidRequest, Violation
from participants.fault_plan import (
    ANY,
    CODE_DEFAULT,
    MESSAGE_DEFAULT,
    STAGES,
    Condition,
    Delay,
    FaultPlan,
    Known,
    Rule,
)
from participants.strict_json import BadJson, parse_object

RULES_MAX = 1000
DELAY_MS_MAX = 3_600_000
SIGMA_MAX = 10
TIMES_MAX = 1_000_000_000
SEED_MAX = 2**63 - 1
OVERSIZED_BYTES = 5 * 1024 * 1024
SIZE_BYTES_MAX = 64 * 1024 * 1024
STATUSES = (
    *("CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)
DISTRIBUTIONS = ("fixed", "uniform", "exponential", "lognormal")


def parse_plan(text: str, known: Known | None = None) -> FaultPlan:
    """Read a plan; raises InvalidRequest with all that is wrong with it.

    With *known* services, a rule for any other is a mistake in writing and is refused.
    """
    try:
        given = parse_object(text)
    except BadJson as error:
        raise InvalidRequest([Violation("$", str(error))]) from None
    top = Reader("$", given, [])
    seed = top.whole("seed", 0, SEED_MAX, 0)
    listed = top.take("rules", [])
    rules: list[Rule] = []
    if not isinstance(listed, list) or len(listed) > RULES_MAX:
        top.wrong("rules", f"must be a list of at most {RULES_MAX} rules")
    else:
        for number, item in enumerate(listed):
            path = f"$.rules[{number}]"
            if isinstance(item, dict):
                rules.append(_read_rule(Reader(path, item, top.violations), known))
            else:
                top.violations.append(Violation(path, "must be an object"))
    top.end()
    if top.violations:
        raise InvalidRequest(top.violations)
    return FaultPlan(text, seed, tuple(rules), known)


class Reader:
    """Takes the fields of one object, one by one; what is wrong is noted, and a default goes on."""

    def __init__(self, path: str, given: Mapping[str, object], violations: list[Violation]) -> None:
        self.violations = violations
        self._path = path
        self._left = dict(given)

    def has(self, field: str) -> bool:
        return field in self._left

    def take(self, field: str, default: object = None) -> object:
        return self._left.pop(field, default)

    def wrong(self, field: str, sentence: str) -> None:
        self.violations.append(Violation(f"{self._path}.{field}", sentence))

    def whole(self, field: str, least: int, most: int, default: int) -> int:
        value = self.take(field, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong(field, f"must be a whole number from {least} to {most}")
        return default

    def number(self, field: str, least: float, most: float, default: float | None) -> float:
        """Without a default the field must be there."""
        value = self.take(field, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
            return float(value)
        self.wrong(field, f"must be a number from {least:g} to {most:g}")
        return least

    def text(self, field: str, default: str, fits: Callable[[str], object], sentence: str) -> str:
        value = self.take(field, default)
        if isinstance(value, str) and fits(value):
            return value
        self.wrong(field, sentence)
        return default

    def choice(self, field: str, choices: Collection[str]) -> str | None:
        value = self.take(field)
        if isinstance(value, str) and value in choices:
            return value
        self.wrong(field, f"must be one of {', '.join(choices)}")
        return None

    def inner(self, field: str) -> Reader | None:
        value = self.take(field)
        if isinstance(value, dict):
            return Reader(f"{self._path}.{field}", value, self.violations)
        self.wrong(field, "must be an object")
        return None

    def end(self) -> None:
        for field in self._left:
            self.wrong(field, "is not known here")


def _read_rule(rule: Reader, known: Known | None) -> Rule:
    service = rule.text("service", ANY, bool, "must be a service's name, or * for all")
    if known is not None and service != ANY and service not in known:
        rule.wrong("service", f"names no service; there are {', '.join(known)}")
    transaction = _read_name(rule, "transaction", service, Operation.EXECUTE, known)
    compensation = _read_name(rule, "compensation", service, Operation.COMPENSATE, known)
    if transaction is None and compensation is None:
        rule.wrong("transaction", "is missing, and so is compensation: say which, or * for all")
    when = _read_when(rule) if rule.has("when") else None
    probability = rule.number("probability", 0, 1, 1)
    times = rule.whole("times", 1, TIMES_MAX, 1) if rule.has("times") else None
    kind = rule.choice("fault", STAGES)
    if kind is None:
        # Which other fields belong here depends on the kind, so nothing is said about them.
        return Rule(kind="hang")
    made = Rule(
        kind=kind,
        service=service,
        transaction=transaction,
        compensation=compensation,
        when=when,
        probability=probability,
        times=times,
        delay=_read_delay(rule) if kind == "latency" else None,
        code=_read_code(rule) if kind in ("refused", "faulted") else CODE_DEFAULT,
        message=_read_message(rule) if kind in ("refused", "faulted") else MESSAGE_DEFAULT,
        after_s=_read_after(rule, kind),
        status=_read_status(rule, kind),
        size_bytes=_read_size(rule) if kind == "oversized_answer" else 0,
    )
    rule.end()
    return made


def _read_name(
    rule: Reader, field: str, service: str, operation: Operation, known: Known | None
) -> str | None:
    if not rule.has(field):
        return None
    name = rule.text(field, ANY, bool, f"must be a {field}'s name, or * for all")
    if known is None or name == ANY:
        return name
    of_all = {service: known[service]} if service in known else known
    names = sorted(name for one in of_all.values() for name in one[operation])
    if name not in names:
        rule.wrong(field, f"names no {field}; there are {', '.join(names)}")
    return name


def _read_when(rule: Reader) -> Condition | None:
    when = rule.inner("when")
    if when is None:
        return None
    path = when.text("field", "", bool, "must be a field's name, as user_id or items.item_id")
    if when.has("equals") == when.has("one_of"):
        when.wrong("equals", "or one_of must be there, and not both")
    values = when.take("one_of", [])
    if not isinstance(values, list):
        when.wrong("one_of", "must be a list")
        values = []
    if when.has("equals"):
        values = [when.take("equals")]
    when.end()
    return Condition(tuple(path.split(".")), tuple(values))


def _read_delay(rule: Reader) -> Delay | None:
    match rule.choice("distribution", DISTRIBUTIONS):
        case "fixed":
            fixed_s = _seconds(rule, "ms")
            return Delay("fixed", fixed_s, fixed_s)
        case "uniform":
            least_s, most_s = _seconds(rule, "min_ms"), _seconds(rule, "max_ms")
            if most_s < least_s:
                rule.wrong("max_ms", "must not be less than min_ms")
            return Delay("uniform", least_s, most_s)
        case "exponential":
            return Delay("exponential", _seconds(rule, "mean_ms", 0.001), _seconds(rule, "max_ms"))
        case "lognormal":
            median_s, most_s = _seconds(rule, "median_ms", 0.001), _seconds(rule, "max_ms")
            return Delay("lognormal", median_s, most_s, rule.number("sigma", 0, SIGMA_MAX, None))
    return None


def _seconds(rule: Reader, field: str, least_ms: float = 0) -> float:
    return rule.number(field, least_ms, DELAY_MS_MAX, None) / 1000


def _read_code(rule: Reader) -> str:
    return rule.text("code", CODE_DEFAULT, CODE.fullmatch, "must be an upper-case name, as OUT_OF_STOCK")


def _read_message(rule: Reader) -> str:
    return rule.text("message", MESSAGE_DEFAULT, bool, "must be a text that is not empty")


def _read_after(rule: Reader, kind: str) -> float | None:
    field = {"faulted": "retry_after_ms", "pending": "ask_again_after_ms", "redeliver": "after_ms"}
    if kind not in field or (kind != "redeliver" and not rule.has(field[kind])):
        return None
    return _seconds(rule, field[kind])


def _read_status(rule: Reader, kind: str) -> str | None:
    # A lost reply has a status only where it is not to leave the caller waiting.
    if kind == "status" or (kind == "reply_lost" and rule.has("status")):
        return rule.choice("status", STATUSES)
    return None


def _read_size(rule: Reader) -> int:
    return rule.whole("bytes", 1, SIZE_BYTES_MAX, OVERSIZED_BYTES)
