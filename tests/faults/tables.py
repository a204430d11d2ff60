"""Artifacts of the user's own (without a manifest) that cannot be: values, keys and columns that make no sense."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from llmi2i_cli.artifacts.schemas import COLUMNS, Table, table_of
from llmi2i_cli.llm.saved_models import CARD
from tests.faults.children import run
from tests.faults.place import Place, Step
from tests.faults.verdicts import contents, differences, fell_short

TEXTS = {"user_id": "nobody", "origin_user_id": "nobody", "item_id": "nothing", "neighbour_id": "nothing"}


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held."""
    artifacts = [(step, path) for step in place.steps for path in step.reads if path.endswith(".parquet")]
    step, path = artifacts[number % len(artifacts)]
    way = rng.choice(list(WAYS))
    return f"{step}: {path}: {way}", _impossible(place, step, path, way, rng)


def _impossible(place: Place, step: Step, path: str, way: str, rng: random.Random) -> str:
    """A step that reads the table refuses it, or makes what it ever makes, as far as it does not read what is wrong."""
    maker = next(each for each in place.steps if each.has(path))
    with place.copy() as workdir:
        for manifest in maker.manifests:
            (workdir / manifest).unlink(missing_ok=True)
        before = contents(workdir)
        ended = run(*step.arguments, "--force", "-w", workdir, before=lambda: _change(workdir / path, path, way, rng))
        if found := fell_short(ended, may_be=[0, 1]):
            return found
        named = (path, "prepare/") if way == "an unknown id" else (path,)  # of two tables either may be wrong
        if ended.status == 1 and not any(name in ended.err for name in named):
            return f"the file is not named: {ended.err}"
        there = contents(workdir)
        for files in (there, before):
            for unlike in (path, *step.manifests, *maker.manifests):
                files.pop(unlike, None)
            _forget_options(files)
        return differences(there, before)


def _forget_options(files: dict[str, str]) -> None:
    """What checkpoints know of how a log was held out: of one that is the user's own they know nothing."""
    for name, text in files.items():
        if name.endswith(f"/{CARD}"):
            files[name] = json.dumps({**json.loads(text), "held_out_by": {}}, indent=2)


def _change(file: Path, path: str, way: str, rng: random.Random) -> None:
    frame = pl.read_parquet(file)
    WAYS[way](frame, table_of(path), rng).write_parquet(file)


def _with(frame: pl.DataFrame, rng: random.Random, column: str, value: object) -> pl.DataFrame:
    """One cell changed."""
    values = frame[column].to_list()
    values[rng.randrange(len(values))] = value
    return frame.with_columns(pl.Series(column, values, frame[column].dtype))


def _null(frame: pl.DataFrame, table: Table, rng: random.Random) -> pl.DataFrame:
    return _with(frame, rng, rng.choice([name for name in table.schema if not COLUMNS[name].nullable]), None)


def _no_number(frame: pl.DataFrame, table: Table, rng: random.Random) -> pl.DataFrame:
    names = [name for name, dtype in table.schema.items() if dtype == pl.Float32]
    value = rng.choice([float("nan"), float("inf"), float("-inf")])
    return _with(frame, rng, rng.choice(names), value) if names else _null(frame, table, rng)


def _out_of_range(frame: pl.DataFrame, table: Table, rng: random.Random) -> pl.DataFrame:
    bounded = [name for name in table.schema if COLUMNS[name].low is not None]
    bounded += [name for name in table.schema if COLUMNS[name].values]
    if not bounded:
        return _null(frame, table, rng)
    name = rng.choice(bounded)
    low = COLUMNS[name].low
    return _with(frame, rng, name, "another" if low is None else low - 1)


def _unknown(frame: pl.DataFrame, table: Table, rng: random.Random) -> pl.DataFrame:
    name = rng.choice([name for name in TEXTS if name in table.schema])
    if "split" in table.schema and name == "item_id":
        return _null(frame, table, rng)  # held-out interactions may be with items that nobody knows
    return _with(frame, rng, name, TEXTS[name])


def _twice(frame: pl.DataFrame, table: Table, rng: random.Random) -> pl.DataFrame:
    row = rng.randrange(len(frame))
    return pl.concat([frame, frame[row : row + 1]]) if table.key else _null(frame, table, rng)


def _column_missing(frame: pl.DataFrame, table: Table, rng: random.Random) -> pl.DataFrame:
    return frame.drop(rng.choice(list(table.schema)))


def _column_of_another_type(frame: pl.DataFrame, table: Table, rng: random.Random) -> pl.DataFrame:
    name = rng.choice(list(table.schema))
    return frame.with_columns(pl.lit([1.5]).alias(name))


def _another_table(frame: pl.DataFrame, table: Table, rng: random.Random) -> pl.DataFrame:
    return pl.DataFrame({f"column {number}": [number] for number in range(3)})


WAYS: Mapping[str, Callable[[pl.DataFrame, Table, random.Random], pl.DataFrame]] = {
    "a null": _null,
    "no number": _no_number,
    "out of range": _out_of_range,
    "an unknown id": _unknown,
    "a row twice": _twice,
    "a column missing": _column_missing,
    "a column of another type": _column_of_another_type,
    "another table": _another_table,
}
