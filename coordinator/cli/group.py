"""A group of commands that does not make their help slow."""

from typing import Any

from typer.core import TyperGroup


class LightGroup(TyperGroup):
    """A flag of the group that was not given is False.

    typer would leave it None, and load pydantic to see what to make of that: it takes as long as all the rest
    of a verb's help.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)
        for param in params:
            if param.default is None and getattr(param, "is_flag", False):
                param.default = False
        return params
