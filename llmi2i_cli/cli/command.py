"""A command of the program: what all of them ask of the numbers that they are given."""

from __future__ import annotations

import math
import sys
from typing import Any

import typer
from typer.core import TyperCommand


class Command(TyperCommand):
    """A Typer command that refuses numbers which are infinite, or too large for any array."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        parameter: Any
        for parameter in self.params:
            given = ctx.params.get(parameter.name or "")
            for value in given if isinstance(given, list | tuple) else [given]:
                if isinstance(value, float) and not math.isfinite(value):
                    raise typer.BadParameter(f"{value} is not a finite number", ctx=ctx, param=parameter)
                if isinstance(value, int) and abs(value) > sys.maxsize:
                    raise typer.BadParameter(f"{value} is too large a number", ctx=ctx, param=parameter)
        return rest
