"""How an option is declared, once: its default, what it means and its bounds, as a field of a dataclass.

The command line, the check of what a program passes, the manifest and the reference all follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

from llmi2i_cli.errors import UsageError

DECLARED = "option"  # key of the field's metadata
LARGEST_SEED = 2**32 - 1  # that NumPy's generators all take
SEED_HELP = "Seed of everything random; same seed and inputs, same bytes."


@dataclass(frozen=True)
class Declared:
    """What is said of an option besides its name, type and default.

    Attributes
    ----------
    help : what it means, with its unit, in a short sentence
    min, max : the bounds, included; None where there are none
    shown : what help shows in the place of the default
    """

    help: str
    min: float | None = None
    max: float | None = None
    shown: str | None = None


def option(
    default: Any, help: str, *, min: float | None = None, max: float | None = None, shown: str | None = None
) -> Any:
    """A field of an options dataclass."""
    return field(default=default, metadata={DECLARED: Declared(help, min, max, shown)})


def declared(options: type) -> dict[str, tuple[Any, Any, Declared]]:
    """The options of a dataclass in their order, by name: type, default and what is said of each."""
    types = get_type_hints(options)
    return {each.name: (types[each.name], each.default, each.metadata[DECLARED]) for each in fields(options)}


def spelled(name: str) -> str:
    """An option as it is typed: ``user_weight`` is ``--user-weight``."""
    return f"--{name.replace('_', '-')}"


def check_bounds(options: Any) -> None:
    """UsageError for the first option that is not a finite number within its bounds; None was not given."""
    for name, (_, _, about) in declared(type(options)).items():
        if (value := getattr(options, name)) is None:
            continue
        if about.min is not None and not value >= about.min:
            raise UsageError(f"{spelled(name)} is at least {about.min:g}, not {value}")
        if about.max is not None and not value <= about.max:
            raise UsageError(f"{spelled(name)} is at most {about.max:g}, not {value}")
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise UsageError(f"{spelled(name)} is a finite number, not {value}")


def as_given(options: Any) -> Mapping[str, Any]:
    """All options of an instance with their values, as a manifest lists them."""
    return {name: getattr(options, name) for name in declared(type(options))}
