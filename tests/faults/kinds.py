"""The table of what is tried: a further kind is a file with a function `case`, and a row here."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.faults import (
    full_disk,
    inputs,
    kills,
    mutations,
    option_values,
    permissions,
    surroundings,
    tables,
    tiny_logs,
    together,
)
from tests.faults.place import Place

Case = Callable[[Place, random.Random, int], tuple[str, str]]


@dataclass(frozen=True)
class Kind:
    """A row: what is done, the function that tries the case of a number, and how many cases there are.

    The function gives the case's name and what fell short in it, empty if it held.
    """

    about: str
    case: Case
    n_cases: int


KINDS: Mapping[str, Kind] = {
    "kills": Kind("kill -9", kills.case, 300),
    "full-disk": Kind("a full disk", full_disk.case, 150),
    "mutations": Kind("damaged files", mutations.case, 1000),
    "tables": Kind("impossible tables", tables.case, 200),
    "together": Kind("two runs at once", together.case, 60),
    "permissions": Kind("permissions", permissions.case, 150),
    "inputs": Kind(f"{inputs.LOGS} bad inputs each", inputs.case, 120),
    "tiny-logs": Kind("tiny logs", tiny_logs.case, 40),
    "surroundings": Kind("streams, environments", surroundings.case, 250),
    "options": Kind("option values", option_values.case, 900),
}
