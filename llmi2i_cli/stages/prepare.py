"""`llmi2i prepare`: read logs, clean and split them, mark the long tail.

    input files -> buckets of whole users -> order, dedupe, k-core, cap -> split -> one file, and counts of items

The buckets bound the memory by the size of one bucket and what is known per item, not by the size of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from llmi2i_cli.artifacts.schemas import ITEMS
from llmi2i_cli.choices.preparation import PrepareOptions, SplitOptions
from llmi2i_cli.data.bucketed_log import BucketedLog
from llmi2i_cli.data.buckets import n_buckets_for
from llmi2i_cli.data.catalogue import read_catalogue
from llmi2i_cli.data.cutting import cut_logs
from llmi2i_cli.data.gathering import Gathered, Given, gather
from llmi2i_cli.data.interactions import LogReader
from llmi2i_cli.data.items_table import items_table
from llmi2i_cli.data.kept_log import KeptLog, usable
from llmi2i_cli.data.last_run import check_is_last, files_behind, last_run, options_behind
from llmi2i_cli.data.prepared_parts import PreparedParts
from llmi2i_cli.data.splitting import splitter
from llmi2i_cli.data.window import Window, check_bounds
from llmi2i_cli.errors import InputError, Llmi2iError
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.runs.pipeline import KEPT_LOG
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import StageRun, stage_run


def prepare(
    inputs: Sequence[str | Path],
    *,
    workdir: Path,
    valid: Sequence[str | Path] = (),
    test: Sequence[str | Path] = (),
    items: Sequence[str | Path] = (),
    users: Sequence[str | Path] = (),
    options: PrepareOptions = PrepareOptions(),
    keep_log: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Write ``prepare/interactions.parquet``, ``prepare/items.parquet`` and ``prepare/users.parquet``.

    The catalogue is what `items` holds and what train holds: an item that held-out interactions alone name is unknown
    to every model, so it has no row in ``items.parquet``. Interactions are grouped by user, oldest first; users come in
    the order of ``users.parquet``, which is sorted by id within each bucket (a log smaller than a bucket has one).
    Items are sorted by id. Counts of the "whole log" are counts of ``interactions.parquet``, whatever the split.

    Parameters
    ----------
    inputs : log files, directories of them, patterns or URLs; their rows follow each other. Files among them that their
        format's names tell to be about items or users (RecBole's ``.item`` and ``.user``) stand in for `items` and
        `users`
    valid, test : logs that are held out; `inputs` are then for training alone
    items, users : catalogues and profiles, in any format with named columns
    keep_log : keep the clean log in ``prepare/log/``, and go on from the one that is there where these files begin with
        its files, so that they are not read again; has no say in the tables

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
    options.check()
    check_bounds(options.clean)
    files = gather(Given(inputs=inputs, valid=valid, test=test, items=items, users=users), options)
    with _prepare_run(workdir, files, options, force) as run:
        return _result(run, files, options, keep_log=keep_log)


def append(
    inputs: Sequence[str | Path],
    *,
    workdir: Path,
    items: Sequence[str | Path] = (),
    users: Sequence[str | Path] = (),
    given: Mapping[str, Any] = MappingProxyType({}),
    force: bool = False,
) -> dict[str, Any]:
    """Prepare the logs of the last run with `inputs` behind them, and keep the clean log for the next time.

    The result is that of one run with all files. What is not given is as it was in the last run; where there was none,
    this is the first.

    Parameters
    ----------
    inputs, items, users : as in `prepare`; logs that the last run has read are passed over
    given : options of prepare by name (see `PrepareOptions.flat`); after a last run they have to be the same

    Returns
    -------
    as `prepare` does

    Raises
    ------
    ArtifactError : nothing tells what the last run has read
    InputError, UsageError : as in `prepare`, and a file of the last run is gone, or an option differs
    WorkdirError : another process has prepared meanwhile
    """
    last = last_run(workdir)
    options = options_behind(last, given) if last else PrepareOptions.from_flat(given)
    options.check()
    check_bounds(options.clean)
    new = gather(Given(inputs=inputs, items=items, users=users), options)
    files = files_behind(last, new) if last else new
    with _prepare_run(workdir, files, options, force) as run:
        if not run.up_to_date:
            check_is_last(last, run)
        return _result(run, files, options, keep_log=True)


def _prepare_run(
    workdir: Path, files: Gathered, options: PrepareOptions, force: bool
) -> AbstractContextManager[StageRun]:
    asked = {**files.as_json(), **options.flat()}
    return stage_run(workdir, "prepare", options=asked, files=files.files, force=force)


def _result(run: StageRun, files: Gathered, options: PrepareOptions, *, keep_log: bool) -> dict[str, Any]:
    """Write and publish the tables, unless they are up to date; returns what `prepare` does."""
    if run.up_to_date:
        notice("prepare: up to date")
        assert run.manifest is not None  # there is one, or it would not be up to date
        return {**run.manifest["summary"], "up_to_date": True}
    for line in files.notices:
        notice(line)
    kept = usable(read_manifest(run.manifest_path), run.description, run.folder) if keep_log else ""
    try:
        table = _write_outputs(run, files, options, keep=keep_log, kept=kept)
        summary = _summary(run, table)
        _check_targets(options.split, summary)
    except Llmi2iError:
        run.discard()  # a mistake in the input leaves nothing behind; a kill leaves what it had done
        raise
    rows = {f"{name}.parquet": summary[name] for name in ("interactions", "items", "users")}
    run.publish(rows=rows, summary=summary)
    return {**summary, "up_to_date": False}


def _write_outputs(
    run: StageRun, files: Gathered, options: PrepareOptions, *, keep: bool, kept: KeptLog | str
) -> pl.DataFrame:
    """Write the three tables, and the clean log if it is to be kept; returns the table of items, with its counts.

    `kept` is the log of the last run, or why it is of no use.
    """
    n_buckets = n_buckets_for((file.path for file in files.logs), options.read.bucket_mib * 2**20)
    reader = LogReader(options, files.has_split_files)
    scratch = run.partial / "scratch"
    clean_folder = run.output(KEPT_LOG) if keep else scratch / KEPT_LOG
    log = BucketedLog(scratch, clean_folder, n_buckets, options.clean, reader.schema)
    if isinstance(kept, KeptLog):
        log.go_on_from(kept)
    elif kept:
        notice(f"all files are read again: {kept}")
    parts = PreparedParts(log)
    catalogue = read_catalogue(files.items, options.read.item_column) if files.items else None
    parts.cut_profiles(files.users, options.read.user_column)
    with run.progress_bar("prepare", total=len(files.logs) + 2 * n_buckets) as bar:
        clock = cut_logs(log, files.logs, reader, on_file=lambda so_far: bar.advance(text=so_far))
        window = Window.of(options.clean, clock) if clock and options.clean.has_window else None
        log.clean(window, on_bucket=bar.advance)
        log.find_core()
        parts.write(splitter(log, options.split, clock), on_bucket=bar.advance)
    for name in ("interactions", "users"):
        parts.concatenate(name, run.output(f"{name}.parquet"))
    if keep:
        KeptLog.write_cuts(run.output(KEPT_LOG), log.cuts)
    table = items_table(parts.item_counts(), catalogue, options)
    write_table(table, run.output("items.parquet"), ITEMS)
    return table


def _check_targets(options: SplitOptions, summary: Mapping[str, Any]) -> None:
    held_out_is_asked = options.split != "none" and options.to_split != "test"
    if options.target_event and held_out_is_asked and not summary["valid"] + summary["test"]:
        events = " or ".join(map(repr, options.target_event))
        raise InputError(
            f"--target-event: no interaction with the event {events} comes after others of its user, so none can be "
            "held out: name events of the column --event-column, or leave the option out"
        )


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
