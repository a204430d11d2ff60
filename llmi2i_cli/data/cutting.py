"""Reading all logs of a run into the buckets, and the unit of time that they agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from llmi2i_cli.choices.formats import InputFormat
from llmi2i_cli.choices.preparation import ReadOptions, Unit
from llmi2i_cli.data.bucketed_log import BucketedLog
from llmi2i_cli.data.interactions import LogReader
from llmi2i_cli.data.times import infer_unit
from llmi2i_cli.errors import InputError


def cut_logs(
    log: BucketedLog,
    logs: Sequence[tuple[Path, InputFormat]],
    options: ReadOptions,
    on_file: Callable[[str], None],
) -> Unit | None:
    """Cut all log files into the buckets of `log`; returns the unit of their times, None when they have none.

    Parameters
    ----------
    on_file : called after each file, with the number of interactions so far in words

    Raises
    ------
    InputError : a file cannot be read, there is no interaction, or two files count their times in different units
    """
    reader = LogReader(options.user_column, options.item_column, options.time_column)
    units: dict[Unit, Path] = {}
    n_rows = 0
    for number, (path, form) in enumerate(logs):
        cut = log.cut(number, reader.chunks(path, form))
        n_rows += cut.n_rows
        if cut.latest is not None:
            units[infer_unit(cut.latest) if options.time_unit == "auto" else options.time_unit] = path
        on_file(f"{n_rows:,} interactions")
    if n_rows == 0:
        raise InputError(f"{logs[0][0]}{' and the other inputs hold' if len(logs) > 1 else ' holds'} no interaction")
    if len(units) > 1:
        (unit, path), (other_unit, other_path) = list(units.items())[:2]
        raise InputError(f"{path} has times in {unit}, {other_path} in {other_unit}: convert one of them")
    return next(iter(units), None)
