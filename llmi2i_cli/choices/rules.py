"""A shop's rules about what may be shown beside what, as options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.choices.options import option
from llmi2i_cli.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class RuleOptions:
    """Rules hold for neighbours: an item that may not be shown keeps its own row, for who looks at it all the same."""

    allow: Path | None = option(
        None, "Only items of this file are neighbours (in stock, ...): one id per line, or a table with item_id."
    )
    deny: Path | None = option(None, "Items of this file are not neighbours (adult, ...): a file as for --allow.")
    same: str | None = option(None, "Column of the catalogue in which neighbours have the item's own value.")
    different: str | None = option(None, "Column of the catalogue in which neighbours have another value.")
    catalogue: Path | None = option(
        None, "File with the columns of --same and --different; by default those that prepare has read."
    )
    fill: Literal[*MODELS] | None = option(  # type: ignore[valid-type]
        None, "Model whose table fills the rows that are short, behind what is in them, under the same rules."
    )

    def __post_init__(self) -> None:
        if self.catalogue is not None and not self.columns:
            raise UsageError("--catalogue has the columns of --same and --different: add one of them, or leave it out")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the catalogue that are named."""
        return tuple(name for name in (self.same, self.different) if name is not None)

    def given(self) -> dict[str, str]:
        """What was given, as a manifest lists it: paths in full."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: str(value.resolve() if isinstance(value, Path) else value)
            for name, value in found.items()
            if value is not None
        }

    @classmethod
    def from_manifest(cls, options: Mapping[str, Any]) -> Self:
        """The rules among a stage's options."""
        own: dict[str, Any] = {each.name: options[each.name] for each in fields(cls) if each.name in options}
        own |= {name: Path(own[name]) for name in ("allow", "deny", "catalogue") if name in own}
        return cls(**own)


NO_RULES = RuleOptions()
