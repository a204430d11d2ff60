"""The options of `llmi2i prepare`, by the step that they belong to: read, clean, split, mark the long tail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from llmi2i_cli.choices.formats import AUTO, FORMATS
from llmi2i_cli.choices.options import LARGEST_SEED, SEED_HELP, as_given, check_bounds, option, spelled
from llmi2i_cli.errors import UsageError

Unit = Literal["s", "ms", "us", "ns"]
Scheme = Literal["leave-last-two", "last-day", "none"]
Split = Literal["train", "valid", "test"]

_FORMATS = "; ".join(f"{row.name}: {row.about}" for row in FORMATS.values())  # in the help of --format


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How log files are read; None takes the first of a column's usual names."""

    format: Literal[AUTO, *FORMATS] = option(  # type: ignore[valid-type]
        AUTO,
        f"Format of the logs; auto recognises it by name and content; {_FORMATS}. Text may be compressed (gzip, zstd).",
    )
    user_column: str | None = option(None, "Column of user ids; by default user_id or the like.")
    item_column: str | None = option(None, "Column of item ids; by default item_id or the like.")
    time_column: str | None = option(None, "Column of times; by default timestamp or the like.")
    time_unit: Literal["auto", Unit] = option(
        "auto", "What numeric times count since 1970; auto tells it by their size, which has to fit one unit."
    )
    event_column: str | None = option(None, "Column of events (view, buy), for --event-weight and --target-event.")
    event_weight: tuple[str, ...] = option(
        (), "EVENT=WEIGHT: what an interaction with it counts; 0 leaves it out. Repeatable: all events need one."
    )
    weight_column: str | None = option(None, "Column of the weights of interactions; 0 leaves an interaction out.")
    min_rating: float | None = option(None, "Interactions with a lower rating are left out.")
    rating_column: str | None = option(None, "Column of ratings, for --min-rating; by default rating or the like.")
    bucket_mib: int = option(512, "MiB of text worked on at a time; lower it when memory is short.", min=1)

    @property
    def event_weights(self) -> dict[str, float]:
        """Weight by event. UsageError for what is not ``EVENT=WEIGHT``, or an event twice."""
        weights: dict[str, float] = {}
        for given in self.event_weight:
            event, _, weight = given.rpartition("=")
            try:
                number = float(weight)
            except ValueError:
                number = math.nan
            if not event or not 0 <= number < math.inf:
                raise UsageError(f"--event-weight is EVENT=WEIGHT with a number of at least 0, not {given!r}")
            if event in weights:
                raise UsageError(f"--event-weight gives {event!r} two weights")
            weights[event] = number
        return weights

    @property
    def are_weighted(self) -> bool:
        """Whether interactions have weights other than 1."""
        return bool(self.event_weight or self.weight_column)

    @property
    def leave_out(self) -> bool:
        """Whether some interactions may not be read."""
        return self.are_weighted or self.min_rating is not None


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """What leaves the log: by its time, by the minima of the k-core (0 and 1 keep everything), by a history's cap."""

    since: str | None = option(None, "Only interactions from this time on: a date (UTC), or a number as in the log.")
    until: str | None = option(None, "Only interactions before this time: a date (UTC), or a number as in the log.")
    days: int | None = option(
        None, "Only interactions of this many days before --until, or up to the latest one.", min=1
    )
    min_user_items: int = option(0, "k-core: fewest different items per user.", min=0)
    min_item_users: int = option(
        0, "k-core: fewest different users per item; items of the catalogue with fewer are dropped.", min=0
    )
    max_user_items: int = option(1000, "Most recent interactions kept per user.", min=1)

    @property
    def has_window(self) -> bool:
        return not (self.since is self.until is self.days is None)

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
        "train", "Last split that train takes in: valid leaves test held out, test leaves nothing."
    )
    eval_users: int | None = option(None, "Hold out those of this many random users per day, for last-day.", min=1)
    split_column: str | None = option(None, "Column of your own split (train, valid, test), instead of --split.")
    target_event: tuple[str, ...] = option(
        (), "Hold out only interactions with this event of --event-column. Repeatable."
    )
    seed: int = option(42, SEED_HELP, min=0, max=LARGEST_SEED)


@dataclass(frozen=True, kw_only=True)
class TailOptions:
    """Which items are marked as long tail."""

    tail_max_count: int = option(5, "Long tail in reports: items with one to this many interactions in all.", min=0)
    tail_fraction: float = option(
        0.2,
        "Long tail in training: the least bought items, this share of those bought, and the never bought.",
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
                step: kind(**{each.name: _hashable(given[each.name]) for each in fields(kind) if each.name in given})
                for step, kind in STEPS.items()
            }
        )

    def flat(self) -> dict[str, Any]:
        """All options by name, as a manifest lists them."""
        return {name: value for step in STEPS for name, value in as_given(getattr(self, step)).items()}

    @property
    def named_columns(self) -> dict[str, str]:
        """The columns of logs that are named, by option."""
        return {spelled(name): value for name, value in self.flat().items() if name.endswith("_column") and value}

    def check(self) -> None:
        """UsageError for an option out of its bounds, or options that contradict each other."""
        for step in STEPS:
            check_bounds(getattr(self, step))
        read, clean, split = self.read, self.clean, self.split
        if split.split != "last-day" and split.eval_users is not None:
            raise UsageError("--eval-users samples users for --split last-day; leave it out, or split so")
        if clean.since is not None and clean.days is not None:
            raise UsageError("--since and --days both say where the log begins: leave out one of them")
        if read.rating_column is not None and read.min_rating is None:
            raise UsageError("--rating-column is for --min-rating: add it, or leave the column out")
        if split.split_column is not None and split.split != "leave-last-two":
            raise UsageError(f"--split-column stands in the place of --split {split.split}: leave out one of them")
        self._check_events()
        self._check_columns()

    def _check_events(self) -> None:
        weights, targets = self.read.event_weights, self.split.target_event
        asking = "--event-weight" if weights else "--target-event" if targets else None
        if self.read.event_column is None and asking:
            raise UsageError(f"{asking} needs the column of the events: name it with --event-column")
        if self.read.event_column is not None and not asking:
            raise UsageError("--event-column is for --event-weight or --target-event: add one, or leave it out")
        left_out = next((event for event in targets if weights and not weights.get(event)), None)
        if left_out is not None:
            raise UsageError(f"--target-event {left_out} is left out of the log: give it an --event-weight above 0")

    def _check_columns(self) -> None:
        """No column is two things at once."""
        options_of: dict[str, list[str]] = {}
        for asked_by, column in self.named_columns.items():
            options_of.setdefault(column, []).append(asked_by)
        for column, options in options_of.items():
            if len(options) > 1:
                raise UsageError(f"{' and '.join(options)} name the same column {column!r}")


def _hashable(value: Any) -> Any:
    """JSON and the command line have lists."""
    return tuple(value) if isinstance(value, list) else value


STEPS: Mapping[str, type] = {"read": ReadOptions, "clean": CleanOptions, "split": SplitOptions, "tail": TailOptions}
