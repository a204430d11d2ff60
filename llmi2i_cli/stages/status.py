"""`llmi2i status`: what of the pipeline is done, running, stale (and why), interrupted or missing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from llmi2i_cli.runs.locks import holders
from llmi2i_cli.runs.states import State, states

PROCESS_KEYS = ("pid", "host", "started_at", "shard", "doing", "done", "total")


def status(workdir: Path, *, verify: bool = False) -> list[dict[str, Any]]:
    """One row per stage and variant, in pipeline order.

    A stage is ``running`` while a process works on it, else what `runs.states` tells. Variants of which nothing is
    there are listed only, as one row, when that is so of all variants of a stage; an optional stage is not listed then.

    A file of the size and time that a manifest tells counts as unchanged; with `verify` its contents are compared, too.

    Returns
    -------
    rows with the keys ``stage``, ``variant``, ``state``, ``why``, ``rows`` and ``seconds`` (of the last result), and
    ``running``: a list of the processes at work, each with `PROCESS_KEYS` (``shard`` is ``"2-of-8"`` or empty; ``done``
    of ``total`` steps of what it is ``doing``, null where it does not tell)
    """
    running = holders(workdir)
    rows: list[dict[str, Any]] = []
    for stage, found in groupby(states(workdir, thoroughly=verify, ask_stores=verify), lambda state: state.stage):
        of_stage = [_row(state, running) for state in found]
        present = [row for row in of_stage if row["state"] != "missing"]
        if not present and not stage.optional:
            present = [{**of_stage[0], "variant": ""}]
        rows += present
    return rows


def _row(state: State, running: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    outputs = state.manifest["outputs"].values() if state.manifest else ()
    row = {
        "stage": state.stage.name,
        "variant": " ".join(state.variant.values()),
        "state": state.name,
        "why": state.why,
        "rows": next((entry["rows"] for entry in outputs if "rows" in entry), None),
        "seconds": state.manifest and state.manifest["seconds"],
    }
    mine = [told for told in running if (told.get("stage"), told.get("variant")) == (state.stage.name, state.variant)]
    processes = [{key: told.get(key) for key in PROCESS_KEYS} for told in mine]
    if processes:
        row |= {"state": "running", "why": _told(processes)}
    return {**row, "running": processes}


def _told(processes: Sequence[Mapping[str, Any]]) -> str:
    """Who is at work since when and how far, in a line; of several shards how many, and the sum of their steps."""
    first = min(processes, key=lambda process: process["started_at"])
    who = f"{len(processes)} shards"
    if len(processes) == 1:
        shard = f"shard {first['shard'].replace('-', ' ')}, " if first["shard"] else ""
        host = "" if first["host"] == os.uname().nodename else f" on {first['host']}"
        who = f"{shard}pid {first['pid']}{host}"
    at_work = [process for process in processes if process["doing"] is not None]
    if not at_work:
        return f"{who} since {first['started_at']}"
    done, totals = sum(process["done"] for process in at_work), [process["total"] for process in at_work]
    total = "" if None in totals else f" of {sum(totals):,}"
    return f"{who} since {first['started_at']}, {at_work[0]['doing']}: {done:,}{total}"
