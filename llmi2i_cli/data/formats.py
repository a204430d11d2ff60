"""The input formats: telling them apart, opening them, and finding the columns that matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from llmi2i_cli.data.delimited import DelimitedFile
from llmi2i_cli.data.json_lines import JsonLinesFile
from llmi2i_cli.data.parquet import ParquetFile
from llmi2i_cli.data.table_file import TableFile
from llmi2i_cli.data.text import PARQUET_MAGIC, check_readable, first_lines
from llmi2i_cli.errors import InputError

Format = Literal["sequences", "amazon", "csv", "jsonl", "parquet", "recbole"]
FORMATS: tuple[Format, ...] = get_args(Format)

_FORMAT_OF_SUFFIX: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".inter": "recbole",
    ".item": "recbole",
    ".user": "recbole",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_AMAZON_KEYS = ("reviewerID", "asin", "parent_asin")

# Column names that public logs use, in the order of preference; compared without case and underscores.
USER_NAMES = ("user_id", "user", "reviewerID", "uid", "visitor_id", "customer_id", "session_id")
ITEM_NAMES = ("item_id", "item", "parent_asin", "asin", "iid", "product_id", "article_id", "movie_id", "video_id")
TIME_NAMES = ("timestamp", "time", "unixReviewTime", "ts", "datetime", "date", "event_time", "time_ms", "t_dat")
TITLE_NAMES = ("title", "item_name", "product_name", "prod_name", "product_title", "movie_title", "name")
PROFILE_NAMES = ("profile",)


def expand_inputs(paths: Iterable[Path]) -> list[Path]:
    """Replace each directory by the files in it, sorted by name; names that start with ``.`` or ``_`` are left out.

    Raises
    ------
    InputError : a path does not exist, or a directory holds no file
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith((".", "_")))
            if not found:
                raise InputError(f"{path}: the directory holds no file")
            files += found
        else:
            files.append(path)
    return files


def resolve_formats(files: Sequence[Path], asked: Format | None) -> list[tuple[Path, Format]]:
    """Pair each log file with its format: the one that was asked for, or each file's own.

    Raises
    ------
    InputError : a file is unreadable, or sequence files (no times) stand beside others (times)
    """
    found = [(path, asked or detect_format(path)) for path in files]
    untimed = next((path for path, form in found if form == "sequences"), None)
    timed = next(((path, form) for path, form in found if form != "sequences"), None)
    if untimed and timed:
        raise InputError(
            f"{untimed} reads as sequences, which have no times, and {timed[0]} as {timed[1]}: "
            f"give them to separate runs, or say what they are with --format"
        )
    return found


def detect_format(path: Path) -> Format:
    """Tell a file's format by its name, or by its first line where the name does not say it.

    Raises
    ------
    InputError : missing, empty or binary
    """
    check_readable(path)
    with path.open("rb") as handle:
        if handle.read(4) == PARQUET_MAGIC:
            return "parquet"
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    known = _FORMAT_OF_SUFFIX.get(suffix)
    if known is not None and known != "jsonl":
        return known
    first = next((line for line in first_lines(path) if line.strip()), "")
    if known == "jsonl" or first.lstrip().startswith("{"):
        return _json_dialect(path)
    if "\t" in first and all(":" in name for name in first.split("\t")):
        return "recbole"
    return "csv" if _names_user_and_item(first) else "sequences"


def _json_dialect(path: Path) -> Format:
    keys = JsonLinesFile(path, python_literals=True).columns
    return "amazon" if any(key in keys for key in _AMAZON_KEYS) else "jsonl"


def _names_user_and_item(line: str) -> bool:
    for separator in (",", "\t", ";", "|"):
        names = [name.strip(' "') for name in line.split(separator)]
        if pick_column(names, USER_NAMES) and pick_column(names, ITEM_NAMES):
            return True
    return False


def open_table(path: Path, form: Format) -> TableFile:
    """Open a file of any format but `sequences`, whose lines have no columns.

    Raises
    ------
    InputError : the file is missing, damaged or not of this format
    """
    match form:
        case "csv":
            return DelimitedFile(path)
        case "recbole":
            return DelimitedFile(path, recbole=True)
        case "jsonl":
            return JsonLinesFile(path)
        case "amazon":
            return JsonLinesFile(path, python_literals=True)
        case "parquet":
            return ParquetFile(path)
        case "sequences":
            raise InputError(f"{path}: a sequence file has no columns, so it can only be a log")


def open_catalogue(path: Path, option: str) -> tuple[TableFile, Format]:
    """Open a file about items or users, given with `option`, and tell its format.

    Raises
    ------
    InputError : the file is missing, damaged or has no named columns
    """
    form = detect_format(path)
    if form == "sequences":
        raise InputError(f"{path}: {option} needs a file with named columns: csv, jsonl, parquet, recbole or amazon")
    return open_table(path, form), form


def pick_column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of `names` that is among `columns`, compared without case and underscores; None when none is."""
    plain = {column.replace("_", "").lower(): column for column in reversed(columns)}
    return next((plain[key] for name in names if (key := name.replace("_", "").lower()) in plain), None)


def require_column(table: TableFile, names: Sequence[str], asked: str | None, option: str) -> str:
    """The column that the user named with `option`, or the first of the usual `names`.

    Raises
    ------
    InputError : there is none; the message names the columns found and the option
    """
    found = ", ".join(table.columns) or "none"
    if asked is not None:
        if asked not in table.columns:
            raise InputError(f"{table.path} has no column {asked!r} (found: {found}): correct {option}")
        return asked
    column = pick_column(table.columns, names)
    if column is None:
        raise InputError(f"{table.path} has no column {names[0]!r} (found: {found}): name the right one with {option}")
    return column
