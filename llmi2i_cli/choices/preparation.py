"""The options of `llmi2i prepare`, by the step that they belong to: read, clean, split, mark the long tail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from llmi2i_cli.choices.formats import AUTO, FORMATS
from llmi2i_cli.choices.options import LARGEST_SEED, SEED_HELP, as_given, check_bounds, option
from llmi2i_cli.errors import UsageError

Unit = Literal["s", "ms", "us", "ns"]
Scheme = Literal["leave-last-two", "last-day", "none"]
Split = Literal["train", "valid", "test"]

_FORMATS = "; ".join(f"{row.name}: {row.about}" for row in FORMATS.values())


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How log files are read; None takes the first of a column's usual names."""

    format: Literal[AUTO, *FORMATS] = option(  # type: ignore[valid-type]
        AUTO, f"Format of the logs; auto tells it by names and contents; {_FORMATS}. Text may be gzipped."
    )
    user_column: str | None = option(None, "Column of user ids; by default user_id or the like.")
    item_column: str | None = option(None, "Column of item ids; by default item_id or the like.")
    time_column: str | None = option(None, "Column of times; by default timestamp or the like.")
    time_unit: Literal["auto", Unit] = option(
        "auto", "What numeric times count since 1970, for last-day; auto tells it by their size."
    )
    bucket_mib: int = option(512, "MiB of text worked on at a time; lower it when memory is short.", min=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are named."""
        return tuple(name for name in (self.user_column, self.item_column, self.time_column) if name is not None)


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """What leaves the log: the minima of the k-core (0 and 1 keep everything) and the cap of a user's history."""

    min_user_items: int = option(0, "k-core: different items a user has at least.", min=0)
    min_item_users: int = option(
        0, "k-core: different users an item has at least; items of the catalogue with fewer leave, too.", min=0
    )
    max_user_items: int = option(1000, "Most recent interactions kept of a user.", min=1)

    @property
    def has_core(self) -> bool:
        return self.min_user_items > 1 or self.min_item_users > 1


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How interactions are held out."""

    split: Scheme = option(
        "leave-last-two", "Hold out each user's last two interactions, or the log's last two days (UTC), or nothing."
    )
    to_split: Split = option(
        "train", "Train takes in all up to this split: valid leaves test held out, test leaves nothing."
    )
    eval_users: int | None = option(None, "Held-out interactions of this many random users a day, for last-day.", min=1)
    seed: int = option(42, SEED_HELP, min=0, max=LARGEST_SEED)


@dataclass(frozen=True, kw_only=True)
class TailOptions:
    """Which items are marked as long tail."""

    tail_max_count: int = option(5, "Long tail in reports: items with one to this many interactions in all.", min=0)
    tail_fraction: float = option(
        0.2,
        "Long tail in training: this share of the bought items, the least bought (and the never bought).",
        min=0,
        max=1,
    )


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """All options of a run, by step."""

    read: ReadOptions = field(default_factory=ReadOptions)
    clean: CleanOptions = field(default_factory=CleanOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    tail: TailOptions = field(default_factory=TailOptions)

    @classmethod
    def from_flat(cls, given: Mapping[str, Any]) -> Self:
        """Deal options out to the steps by their names, as the command line and a manifest have them.

        What is no option of a step is left out; what is not given has its default.
        """
        return cls(
            **{
                step: kind(**{each.name: given[each.name] for each in fields(kind) if each.name in given})
                for step, kind in STEPS.items()
            }
        )

    def flat(self) -> dict[str, Any]:
        """All options by name, as a manifest lists them."""
        return {name: value for step in STEPS for name, value in as_given(getattr(self, step)).items()}

    def check(self) -> None:
        """UsageError for an option out of its bounds, or options that contradict each other."""
        for step in STEPS:
            check_bounds(getattr(self, step))
        if self.split.split != "last-day" and self.split.eval_users is not None:
            raise UsageError("--eval-users samples users for --split last-day; leave it out, or split so")
        if self.split.split != "last-day" and self.read.time_unit != "auto":
            raise UsageError("--time-unit matters for --split last-day alone; leave it out, or split so")
        named = self.read.columns
        if len(set(named)) < len(named):
            raise UsageError(f"two of --user-column, --item-column and --time-column name {named[0]!r}")


STEPS: Mapping[str, type] = {"read": ReadOptions, "clean": CleanOptions, "split": SplitOptions, "tail": TailOptions}
