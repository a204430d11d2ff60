"""`llmi2i prepare`: read logs, clean and split them, mark the long tail.

    input files -> buckets of whole users -> order, dedupe, k-core, cap -> split -> one file, and counts of items

The buckets bound the memory by the size of one bucket and what is known per item, not by the size of the log.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from llmi2i_cli.artifacts.schemas import INTERACTIONS, ITEMS, USERS
from llmi2i_cli.choices.formats import AUTO, FORMATS, InputFormat
from llmi2i_cli.data.bucketed_log import BucketedLog, Filters
from llmi2i_cli.data.buckets import concatenate, n_buckets_for, read_bucket, write_buckets
from llmi2i_cli.data.catalogue import read_catalogue
from llmi2i_cli.data.clean import add_counts
from llmi2i_cli.data.counts import TAIL_MAX_COUNT, item_counts, mark_long_tail, user_counts
from llmi2i_cli.data.formats import resolve_formats
from llmi2i_cli.data.inputs import Inputs, expand_inputs, sort_inputs
from llmi2i_cli.data.interactions import LogReader
from llmi2i_cli.data.profiles import profile_chunks, with_profiles
from llmi2i_cli.data.splits import EvalUsers, LastDay, Split, leave_last_two, split_none, train_up_to
from llmi2i_cli.data.times import Unit, infer_unit
from llmi2i_cli.errors import InputError, Llmi2iError, UsageError
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.runs.progress import ProgressBar, notice
from llmi2i_cli.runs.workdir import StageRun, stage_run

Scheme = Literal["leave-last-two", "last-day", "none"]


def prepare(
    inputs: Sequence[Path],
    *,
    workdir: Path,
    format: str = AUTO,
    items: Sequence[Path] = (),
    users: Sequence[Path] = (),
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    time_unit: Unit | Literal["auto"] = "auto",
    split: Scheme = "leave-last-two",
    to_split: Split = "train",
    eval_users: int | None = None,
    min_user_items: int = 0,
    min_item_users: int = 0,
    max_user_items: int = 1000,
    tail_max_count: int = TAIL_MAX_COUNT,
    tail_fraction: float = 0.2,
    bucket_mib: int = 512,
    seed: int = 42,
    force: bool = False,
) -> dict[str, Any]:
    """Write ``prepare/interactions.parquet``, ``prepare/items.parquet`` and ``prepare/users.parquet``.

    The catalogue is what `items` holds and what train holds: an item that held-out interactions alone name is unknown
    to every model, so it has no row in ``items.parquet``. Interactions are grouped by user, oldest first; users come in
    the order of ``users.parquet``, which is sorted by id within each bucket (a log of less than `bucket_mib` has one).
    Items are sorted by id. Counts of the "whole log" are counts of ``interactions.parquet``, whatever the split.

    Parameters
    ----------
    inputs : log files, or directories of them; their rows follow each other. Files among them that their format's names
        tell to be about items or users (RecBole's ``.item`` and ``.user``) stand in for `items` and `users`
    format : of the logs, a name of `choices.formats`; "auto" tells each file's own
    items, users : catalogues and profiles, in any format with named columns
    user_column, item_column, time_column : names of the columns; None takes the first of the usual names
    time_unit : what whole numbers count since 1970, for the split by days; "auto" tells it by their magnitude
    split : how interactions are held out
    to_split : train takes in all interactions up to this split, for a last training with choices that were made before;
        what is held out after it are the same interactions as without
    eval_users : with the split by days, the number of random users whose held-out interactions are kept
    min_user_items, min_item_users : the k-core: different items a user has, different users an item has, at least;
        with `min_item_users`, items of the catalogue that have fewer are left out as well
    max_user_items : only the most recent interactions of a user are kept
    tail_max_count : is_long_tail marks items with one to this many interactions in the whole log
    tail_fraction : is_train_tail marks this share of the items that train bought, those with the fewest interactions,
        and the items that it never bought
    bucket_mib : size, in MiB of text, of the part of the log that is in memory at a time

    Returns
    -------
    users, items, interactions, train, valid, test (counts), density, long_tail_items, long_tail_share,
    train_tail_items (bought), never_bought_items (in train), unknown_targets (held-out interactions
    with items outside the catalogue), up_to_date (whether there was nothing to do)

    Raises
    ------
    InputError : a file is missing, damaged or has the wrong content, or no interaction is left
    UsageError : options that contradict each other
    """
    _check_options(split, eval_users, time_unit, user_column, item_column, time_column)
    asked = None if format == AUTO else FORMATS[format]
    _once(expand_inputs(inputs), "INPUT")
    found = sort_inputs(inputs, asked)
    logs = resolve_formats(found.logs, asked)
    _check_format([form for _, form in logs], split, user_column, item_column, time_column)
    item_files = _once(expand_inputs(items), "--items") or found.items
    user_files = _once(expand_inputs(users), "--users") or found.users
    options = {
        # Their order decides about rows of equal time.
        "logs": [(str(path.resolve()), form.name) for path, form in logs],
        "items": [str(path.resolve()) for path in item_files],
        "users": [str(path.resolve()) for path in user_files],
        "user_column": user_column,
        "item_column": item_column,
        "time_column": time_column,
        "time_unit": time_unit,
        "split": split,
        "to_split": to_split,
        "eval_users": eval_users,
        "min_user_items": min_user_items,
        "min_item_users": min_item_users,
        "max_user_items": max_user_items,
        "tail_max_count": tail_max_count,
        "tail_fraction": tail_fraction,
        "bucket_mib": bucket_mib,
        "seed": seed,
    }
    files = [*(path for path, _ in logs), *item_files, *user_files]
    with stage_run(workdir, "prepare", options=options, files=files, force=force) as run:
        if run.up_to_date:
            notice("prepare: up to date")
            assert run.manifest is not None  # there is one, or it would not be up to date
            return {**run.manifest["summary"], "up_to_date": True}
        _tell(found, item_files, user_files)
        scratch = run.partial / "scratch"
        n_buckets = n_buckets_for((path for path, _ in logs), bucket_mib * 2**20)
        log = BucketedLog(scratch, n_buckets, Filters(min_user_items, min_item_users, max_user_items))
        reader = LogReader(user_column, item_column, time_column)
        try:
            catalogue = read_catalogue(item_files, item_column) if item_files else None
            profiles = _cut_profiles(user_files, user_column, scratch, n_buckets)
            with run.progress_bar("prepare", total=len(logs) + 2 * n_buckets) as bar:
                unit = _read(log, logs, reader, time_unit, bar)
                log.clean(len(logs), on_bucket=bar.advance)
                _find_core(log)
                assign_splits = _splitter(log, split, to_split, unit, eval_users, seed)
                _write_parts(log, assign_splits, profiles, bar)
            _concatenate_parts(log, run)
            table = _items(log, catalogue, tail_max_count, tail_fraction)
        except Llmi2iError:
            run.discard()  # a mistake in the input leaves nothing behind; a kill leaves what it had done
            raise
        write_table(table, run.output("items.parquet"), ITEMS)
        summary = _summary(run, table)
        rows = {f"{name}.parquet": summary[name] for name in ("interactions", "items", "users")}
        run.publish(rows=rows, summary=summary)
        return {**summary, "up_to_date": False}


def _once(files: Sequence[Path], option: str) -> Sequence[Path]:
    if len({file.resolve() for file in files}) < len(files):
        raise UsageError(f"a file of {option} is given twice")
    return files


def _tell(found: Inputs, item_files: Sequence[Path], user_files: Sequence[Path]) -> None:
    """Say what became of the files that lay beside the logs."""
    left_out = list(found.others)
    for beside, taken, what, option in (
        (found.items, item_files, "catalogue", "--items"),
        (found.users, user_files, "users' profiles", "--users"),
    ):
        if beside and taken is beside:
            notice(f"{_names(beside)}: read as the {what}; {option} takes another file")
        left_out += [path for path in beside if path not in taken]
    if left_out:
        notice(f"{_names(left_out)}: left out, no log")


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)


def _check_options(
    split: Scheme,
    eval_users: int | None,
    time_unit: Unit | Literal["auto"],
    *columns: str | None,
) -> None:
    if split != "last-day" and eval_users is not None:
        raise UsageError("--eval-users samples users for --split last-day; leave it out, or split so")
    if split != "last-day" and time_unit != "auto":
        raise UsageError("--time-unit matters for --split last-day alone; leave it out, or split so")
    named = [column for column in columns if column is not None]
    if len(set(named)) < len(named):
        raise UsageError(f"two of --user-column, --item-column and --time-column name {named[0]!r}")


def _check_format(forms: Sequence[InputFormat], split: Scheme, *columns: str | None) -> None:
    if split == "last-day" and not forms[0].has_times:  # none has times where one has none
        raise UsageError(f"{forms[0].name} have no times, so there is no last day: use --split leave-last-two")
    if any(columns) and not any(form.has_named_columns for form in forms):
        raise UsageError(f"{forms[0].name} name no columns: leave out --user-column, --item-column and --time-column")


def _read(
    log: BucketedLog,
    logs: Sequence[tuple[Path, InputFormat]],
    reader: LogReader,
    time_unit: Unit | Literal["auto"],
    bar: ProgressBar,
) -> Unit | None:
    """Cut all inputs into buckets; returns the unit of their times, None when they have none."""
    units: dict[Unit, Path] = {}
    n_rows = 0
    for number, (path, form) in enumerate(logs):
        cut = log.cut(number, reader.chunks(path, form))
        n_rows += cut.n_rows
        if cut.latest is not None:
            units[infer_unit(cut.latest) if time_unit == "auto" else time_unit] = path
        bar.advance(text=f"{n_rows:,} interactions")
    if n_rows == 0:
        raise InputError(f"{logs[0][0]}{' and the other inputs hold' if len(logs) > 1 else ' holds'} no interaction")
    if len(units) > 1:
        (unit, path), (other_unit, other_path) = list(units.items())[:2]
        raise InputError(f"{path} has times in {unit}, {other_path} in {other_unit}: convert one of them")
    return next(iter(units), None)


def _find_core(log: BucketedLog) -> None:
    log.find_core()
    if log.core_items is not None and log.core_items.is_empty():
        filters = log.filters
        raise InputError(
            f"no interaction is left: --min-user-items {filters.min_user_items} and --min-item-users "
            f"{filters.min_item_users} together remove all {log.count_clean():,}; lower them"
        )


def _splitter(
    log: BucketedLog, split: Scheme, to_split: Split, unit: Unit | None, eval_users: int | None, seed: int
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """The function that adds the column split to a bucket; for a split by days it first looks at all of them."""
    if split == "none":
        return split_none
    if split == "leave-last-two":
        return lambda rows: train_up_to(leave_last_two(rows), to_split)
    assert unit is not None  # sequence files were refused
    last_day = LastDay.of(max(_latest(log)), unit)
    if eval_users is None:
        return lambda rows: train_up_to(last_day.split(rows), to_split)
    sample = EvalUsers(eval_users, seed)
    for bucket in log.buckets:
        sample.add(last_day.split(log.bucket(bucket)))
    return lambda rows: sample.keep(train_up_to(last_day.split(rows), to_split))


def _latest(log: BucketedLog) -> Iterator[int]:
    for bucket in log.buckets:
        latest = log.bucket(bucket)["timestamp"].max()
        if isinstance(latest, int):
            yield latest


def _cut_profiles(files: Sequence[Path], user_column: str | None, scratch: Path, n_buckets: int) -> Path:
    folder = scratch / "profiles"
    shutil.rmtree(folder, ignore_errors=True)
    write_buckets(profile_chunks(files, user_column), folder, n_buckets)
    return folder


def _write_parts(
    log: BucketedLog, assign_splits: Callable[[pl.DataFrame], pl.DataFrame], profiles: Path, bar: ProgressBar
) -> None:
    """Write each bucket's interactions and users, and its counts of items (the last, so that it marks the bucket)."""
    for bucket in log.buckets:
        interactions, users, items = (_part(log, name, bucket) for name in ("interactions", "users", "items"))
        if not items.exists():
            rows = assign_splits(log.bucket(bucket))
            write_table(rows, interactions, INTERACTIONS)
            write_table(with_profiles(user_counts(rows), read_bucket([profiles], bucket)), users, USERS)
            write_table(item_counts(rows), items)
        bar.advance()


def _part(log: BucketedLog, name: str, bucket: int) -> Path:
    return log.folder / f"{name}-{bucket:05d}.parquet"


def _items(log: BucketedLog, catalogue: pl.DataFrame | None, tail_max_count: int, tail_fraction: float) -> pl.DataFrame:
    counts = add_counts([pl.read_parquet(_part(log, "items", bucket), glob=False) for bucket in log.buckets])
    if counts["train_count"].sum() == 0:
        raise InputError("no interaction is left for training: all lie on the last two days; use another --split")
    in_train = counts.filter(pl.col("train_count") > 0)
    if catalogue is None:
        items = in_train.with_columns(title=pl.lit(""), text=pl.lit(""))
    else:
        unknown = in_train.join(catalogue, on="item_id", how="anti")
        if len(unknown):
            known = f"{len(unknown):,} of the log's {len(in_train):,} items"
            notice(f"Warning: the catalogue lacks {known}; they have an empty title")
        if log.filters.min_item_users > 0:
            catalogue = catalogue.join(counts, on="item_id", how="semi")
        items = in_train.select("item_id").join(catalogue, on="item_id", how="full", coalesce=True)
        items = items.join(counts, on="item_id", how="left").with_columns(
            pl.col("title", "text").fill_null(""), pl.col("count", "train_count").fill_null(0)
        )
    return mark_long_tail(items.sort("item_id"), tail_max_count=tail_max_count, tail_fraction=tail_fraction)


def _concatenate_parts(log: BucketedLog, run: StageRun) -> None:
    for name in ("interactions", "users"):
        concatenate([_part(log, name, bucket) for bucket in log.buckets], run.output(f"{name}.parquet"))


def _summary(run: StageRun, items: pl.DataFrame) -> dict[str, Any]:
    """The counts that describe the prepared log; `items` is the catalogue with its counts."""
    splits = pl.scan_parquet(run.output("interactions.parquet"), glob=False).group_by("split").len().collect()
    of_split = dict(splits.iter_rows())
    n_users = pl.scan_parquet(run.output("users.parquet"), glob=False).select(pl.len()).collect().item()
    n_interactions = sum(of_split.values())
    long_tail = int(items["is_long_tail"].sum())
    return {
        "users": n_users,
        "items": len(items),
        "interactions": n_interactions,
        **{name: of_split.get(name, 0) for name in ("train", "valid", "test")},
        "density": n_interactions / (n_users * len(items)),
        "long_tail_items": long_tail,
        "long_tail_share": long_tail / len(items),
        "train_tail_items": int((items["is_train_tail"] & (items["train_count"] > 0)).sum()),
        "never_bought_items": int((items["train_count"] == 0).sum()),
        "unknown_targets": n_interactions - int(items["count"].sum()),
    }
