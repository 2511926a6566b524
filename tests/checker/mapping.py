"""What a mapping yields, as far as it can be told without an evaluator of CEL: of plain paths, of constants
and of `has`. Whatever else an expression says is not judged."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_PATH: Final = re.compile(r"(?:input|outputs\.[A-Za-z_][A-Za-z0-9_]*)(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_HAS: Final = re.compile(rf"has\(\s*({_PATH.pattern}\.[A-Za-z_][A-Za-z0-9_]*)\s*\)")
_QUOTED: Final = re.compile(r"""'([^'"\\]*)'|"([^'"\\]*)\"""")
_CONSTANT: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})|true|false|null")


class NotTold(Exception):
    """What it yields is not for us to tell."""


class Fails(Exception):
    """It yields nothing: an expression names what is not there."""


def shaped(shape: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    """What *shape* yields. *outputs* holds those that are known, by step.

    Raises:
        Fails: an expression in it surely does.
        NotTold: otherwise, where an expression in it is not plain, or names an output that is not known.
    """
    untold: NotTold | None = None

    def told(part: Any) -> Any:
        nonlocal untold
        try:
            return shaped(part, inputs, outputs)
        except NotTold as error:
            untold = error  # another part may still fail, and then the whole does
            return None

    if isinstance(shape, str):
        return evaluated(shape, inputs, outputs)
    if isinstance(shape, Mapping):
        found: Any = {key: told(part) for key, part in shape.items()}
    elif isinstance(shape, list):
        found = [told(part) for part in shape]
    else:
        return shape
    if untold is not None:
        raise untold
    return found


def evaluated(expression: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    """What one expression yields; raises as `shaped`."""
    text = expression.strip()
    if _CONSTANT.fullmatch(text):
        return json.loads(text)
    if (quoted := _QUOTED.fullmatch(text)) is not None:
        return quoted[1] or quoted[2] or ""
    if (asked := _HAS.fullmatch(text)) is not None:
        path, _, last = asked[1].rpartition(".")
        holder = _followed(path, inputs, outputs)
        if not isinstance(holder, Mapping):
            raise Fails(f"{path} is no object")
        return last in holder
    if _PATH.fullmatch(text) is None:
        raise NotTold
    return _followed(text, inputs, outputs)


def _followed(path: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    root, *names = path.split(".")
    value: Any = inputs
    if root == "outputs":
        step, *names = names
        if step not in outputs:
            raise NotTold
        value = outputs[step]
    for name in names:
        if not isinstance(value, Mapping) or name not in value:
            raise Fails(f"{path} names nothing")
        value = value[name]
    return value
