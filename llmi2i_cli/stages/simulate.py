"""`llmi2i simulate`: a log and a catalogue of any size from a seed, for trying things out, tests and benchmarks."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from llmi2i_cli.data.buckets import concatenate
from llmi2i_cli.data.simulated_catalogue import item_ids, simulate_catalogue
from llmi2i_cli.data.simulated_log import activity, blocks_of_users, simulate_block
from llmi2i_cli.data.simulated_titles import describe_items
from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.files.given import has_utf8_name
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.runs.progress import notice, progress_bar

OUTPUTS = ("items.parquet", "interactions.parquet")  # the log last: it is there when all is done
METADATA_KEY = "llmi2i.simulate"
FEWEST_ITEMS = 10
PARTIAL_PREFIX = ".partial-"


def simulate(
    out: Path, *, users: int, items: int, interactions: int, noise: float = 0.2, seed: int = 42, force: bool = False
) -> dict[str, Any]:
    """Write ``out/interactions.parquet`` (user_id, item_id, timestamp in ms) and ``out/items.parquet``.

    The second has item_id, title, category, brand, description. See `simulated_catalogue`, `simulated_titles` and
    `simulated_user` for what is behind them. The bytes depend on the arguments alone. Blocks of users are written one
    after the other, so memory grows with the catalogue and, by 16 bytes each, the number of users; a killed run goes on
    with the block it was at.

    Parameters
    ----------
    out : a directory of its own; what an earlier run wrote there is replaced
    users, items, interactions : how many there are
    noise : share of interactions that have nothing to do with their user, but with the front page, in 0..1

    Returns
    -------
    users, items, interactions, up_to_date (whether there was nothing to do)

    Raises
    ------
    UsageError : fewer interactions than users, or fewer than ten items
    InputError : `out` is no directory, or holds something else
    """
    if interactions < users:
        raise UsageError(f"--interactions {interactions} is less than --users {users}: every user has at least one")
    if items < FEWEST_ITEMS:
        raise UsageError(f"--items {items}: a catalogue has at least {FEWEST_ITEMS}")
    counts = {"users": users, "items": items, "interactions": interactions}
    label = json.dumps({**counts, "noise": noise, "seed": seed})
    _check_replaceable(out)
    if not force and all(_label(out / name) == label for name in OUTPUTS):
        notice("simulate: up to date")
        return {**counts, "up_to_date": True}
    partial = out / f"{PARTIAL_PREFIX}{hashlib.blake2b(label.encode(), digest_size=8).hexdigest()}"
    try:
        partial.mkdir(parents=True, exist_ok=True)
        _write(partial, label, **counts, noise=noise, seed=seed)
        for name in OUTPUTS:
            (partial / name).replace(out / name)
        for leftover in out.glob(f"{PARTIAL_PREFIX}*"):
            shutil.rmtree(leftover)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
    return {**counts, "up_to_date": False}


def _check_replaceable(out: Path) -> None:
    """Refuse a place that holds anything but what an earlier run wrote, and a name that Polars cannot open."""
    if not has_utf8_name(out):
        raise InputError(f"{out}: the name is not UTF-8: name another directory")
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out} is not a directory: name another one")
    for path in sorted(out.iterdir()):
        ours = path.name.startswith(PARTIAL_PREFIX) or (path.name in OUTPUTS and _label(path) is not None)
        if not ours:
            raise InputError(f"{out} holds {path.name}, which is not from `llmi2i simulate`: name another directory")


def _label(path: Path) -> str | None:
    """The parameters of the run that wrote a file; None when it is missing or not from here."""
    try:
        return pl.read_parquet_metadata(path).get(METADATA_KEY)
    except (pl.exceptions.PolarsError, OSError):
        return None


def _write(partial: Path, label: str, *, users: int, items: int, interactions: int, noise: float, seed: int) -> None:
    """Write the outputs into `partial`, in parts of which those that are there are not made again."""
    catalogue = simulate_catalogue(items, seed)
    ids = item_ids(items)
    item_parts = []
    for number, frame in enumerate(describe_items(catalogue, ids, seed)):
        item_parts.append(partial / f"items-{number:05d}.parquet")
        write_table(frame, item_parts[-1])
    starts = activity(users, interactions, seed)
    log_parts = []
    with progress_bar("simulate", total=interactions) as bar:
        for number, (first, end) in enumerate(blocks_of_users(users, interactions)):
            log_parts.append(partial / f"interactions-{number:05d}.parquet")
            if not log_parts[-1].exists():
                write_table(simulate_block(catalogue, ids, starts, first, end, noise=noise, seed=seed), log_parts[-1])
            bar.update(int(starts[end]))
    for parts, name in ((item_parts, "items.parquet"), (log_parts, "interactions.parquet")):
        concatenate(parts, partial / name, metadata={METADATA_KEY: label})
