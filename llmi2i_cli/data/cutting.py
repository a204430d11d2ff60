"""Reading all logs of a run into the buckets, and the unit of time that they agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmi2i_cli.choices.preparation import Unit
from llmi2i_cli.data.bucketed_log import BucketedLog
from llmi2i_cli.data.gathering import LogFile
from llmi2i_cli.data.interactions import LogReader
from llmi2i_cli.data.times import Clock, infer_unit
from llmi2i_cli.errors import InputError


def cut_logs(
    log: BucketedLog, files: Sequence[LogFile], reader: LogReader, on_file: Callable[[str], None]
) -> Clock | None:
    """Cut the log files into the buckets of `log`, but for those that it has; returns what the times of all are.

    That is None when they have no times.

    Parameters
    ----------
    on_file : called after each file, with the number of interactions so far in words

    Raises
    ------
    InputError : a file cannot be read, there is no interaction, or two files count their times in different units
    """
    asked = reader.options.read.time_unit
    latest: dict[Unit, int] = {}
    example: dict[Unit, LogFile] = {}
    n_rows = 0
    for number, file in enumerate(files):
        known = number < len(log.cuts)
        cut = log.cuts[number] if known else log.cut(reader.chunks(file.path, file.form, file.split))
        n_rows += cut.n_rows
        if cut.latest is not None:
            unit = infer_unit(cut.latest) if asked == "auto" else asked
            latest[unit] = max(cut.latest, latest.get(unit, cut.latest))
            example[unit] = file
        on_file(f"{n_rows:,} interactions")
    if n_rows == 0:
        who = f"{files[0].path}{' and the other inputs hold' if len(files) > 1 else ' holds'}"
        raise InputError(f"{who} no interaction{' that counts' if reader.options.read.leave_out else ''}")
    if len(latest) > 1:
        (unit, file), (other_unit, other) = list(example.items())[:2]
        raise InputError(f"{file.path} has times in {unit}, {other.path} in {other_unit}: convert one of them")
    return next((Clock(*found, is_told=asked != "auto") for found in latest.items()), None)
