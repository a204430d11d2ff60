"""The table of what is tried: a further kind is a file with a function `cases`, and a row here."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
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
    together,
)
from tests.faults.place import Place

Cases = Callable[[Place, random.Random, int], Iterator[tuple[str, str]]]


@dataclass(frozen=True)
class Kind:
    """A row: what is done, the function that tries so many cases and yields what fell short, and their number."""

    about: str
    cases: Cases
    n_cases: int


KINDS: Mapping[str, Kind] = {
    "kills": Kind("kill -9", kills.cases, 300),
    "full-disk": Kind("a full disk", full_disk.cases, 150),
    "mutations": Kind("damaged files", mutations.cases, 1000),
    "tables": Kind("impossible tables", tables.cases, 200),
    "together": Kind("two runs at once", together.cases, 60),
    "permissions": Kind("permissions", permissions.cases, 150),
    "inputs": Kind("bad inputs", inputs.cases, 500),
    "surroundings": Kind("streams, environments", surroundings.cases, 250),
    "options": Kind("option values", option_values.cases, 900),
}
