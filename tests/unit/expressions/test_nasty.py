"""Expressions that would end, stop or fill a process, or yield another thing in each, do none of that."""

import json
import subprocess
import sys
import time
from typing import Final

NASTY: Final = [
    # Optional values in a list or an object end the process.
    "{'a': input.?a, 'b': [input.?o.?b]}", "[optional.of(1)]", "{?'a': input.?a}", "[?input.?a]",
    # Messages.
    "google.protobuf.Any{}", "[google.protobuf.Any{}]", "google.protobuf.Value{}.string_value",
    "google.protobuf.Struct{fields: {'a': google.protobuf.Value{}}}", "google.protobuf.NullValue.NULL_VALUE",
    # Files of this machine.
    "timestamp(0).getHours('/dev/zero')", "timestamp(0).getHours('../../../dev/stdin')",
    "timestamp(0).getHours(input.s)",
    # Regular expressions.
    "input.s.matches(input.s)", "input.s.matches('((a{100}){100}){100}')",
    "input.s.matches('(a|b|ab|ba|aa){1000}c')", "input.l.all(x, !input.s.matches('[ab]*a[ab]{500}c'))",
    # What grows.
    "[input.s].map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a+a+a+a+a)",
    "[input.s].map(a, ((a+a+a+a)+(a+a+a+a))+((a+a+a+a)+(a+a+a+a))).map(a, ((a+a+a+a)+(a+a+a+a))+(a+a+a+a))",
    "input.l.map(x, input.s + 'a')", "input.l.map(x, input.l.map(y, input.s + string(x)))",
    "input.l.map(x, input.l + input.l + input.l + input.l)",
    "(input.l+input.l+input.l+input.l+input.l+input.l+input.l+input.l+input.l).map(x, x)",
    # What takes long.
    "input.l.map(x, input.l.map(y, input.l.map(z, 1)))", "input.l.all(x, input.l.all(y, input.l == input.l))",
    "input.l.all(x, !input.s.contains(input.s + 'c'))",
    # Objects, whose keys come in an order of chance.
    "input.m.map(k, k)", "input.m.filter(k, input.m[k] > 3)", "input.m.all(k, input.m[k] >= 0)",
    "input.m.exists(k, 1 / input.m[k] == 1)", "input.m", "[input.m, input.m]", "input.l.map(x, input.m)",
    "{'a': 1, 'b': 2, 'c': 3, 'd': 4}.map(k, k)",
    # What is deep, or long.
    "(" * 200 + "1" + ")" * 200, "[" * 200 + "]" * 200, "{'a':" * 80 + "1" + "}" * 80, "-" * 400 + "1",
    "!" * 400 + "true", "input" + ".a" * 200, "1" + "+1" * 200, "true" + "&&true" * 80, "1" * 500,
    "0x" + "f" * 400, "'" * 499, "`" * 499,
    # What belongs to the library.
    "[1].map(__result__, 1)", "[1].map(@r, 1)", "__not_strictly_false__(true)",
    # Numbers, moments, keys and texts at their ends.
    "[1][9223372036854775807]", "-9223372036854775808 / -1", "-9223372036854775808 % -1",
    "-(-9223372036854775808)", "int(1e300)", "uint(-1)", "double('nan')", "double('inf')", "0.0 / 0.0",
    r"'\ud800'", r"b'\xff'", r"string(b'\xff')", r"'\x00'", "dyn(type(1))", "type(type(1))", "[type(1)]",
    "{type(1): 1}", "{1: 1, 1u: 2}", "{1.5: 1}", "{null: 1}", "duration('1s') + timestamp(0)",
    "string(timestamp('9999-12-31T23:59:59Z') + duration('24h'))", "duration('-9223372036854775808s')",
    "timestamp(253402300800)", "input.l.map(x, x == 0 ? 1 / 0 : x)", "input.l.exists_one(x, 1 / x == 1)",
    "has(input.m.a.b)", "outputs.step.x.y",
    # Characters.
    "\0", "1\0", "\ud800", "\U0001f600", "'\U0001f600' + foo", "\u00a01",
]  # fmt: skip

SCRIPT: Final = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from coordinator.adapters.cel import CelExpressions
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.language.expressions import Effort, Wanted

given = [{}, {"a": 1, "o": {"b": 2}}]
for length, entries in ((20, 60), (30_000, 900)):
    given.append(
        {"s": "ab" * length, "l": list(range(entries)), "m": {str(n): n for n in range(entries)}}
    )
cel = CelExpressions()
for source in json.load(sys.stdin):
    print([(fault.rule, fault.sentence) for fault in cel.check(source, Wanted.JSON)])
    # What is refused when it is loaded is evaluated all the same: it must come to nothing worse.
    for fields in given:
        try:
            value = cel.evaluate(source, {"input": fields, "outputs.step": None}, Effort())
            print(json.dumps(value, sort_keys=True))
        except NotEvaluated as error:
            print(error.sentence)
"""


def run() -> str:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(NASTY),
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    ).stdout


def test_nasty_expressions_end_no_process_and_mean_the_same_in_each() -> None:
    began = time.monotonic()
    first = run()
    assert time.monotonic() - began < 20
    assert len(first.splitlines()) == 5 * len(NASTY)
    assert run() == first
