"""Each text format read in the most obvious way: rows of user, item and time, or None where a file is to be refused."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

Row = tuple[str, str, int]


class Refused(Exception):
    """What no log may hold."""


def read_csv(text: str) -> Iterator[Row]:
    """Fields between commas, some in quotes."""
    reader = csv.reader(io.StringIO(text, newline="\n"))
    if not _ends_outside_quotes(text):
        raise Refused
    try:
        rows = list(reader)
    except csv.Error:
        raise Refused from None
    yield from _of_fields(rows)


def read_atomic(text: str) -> Iterator[Row]:
    """RecBole: fields between tabs, never in quotes."""
    yield from _of_fields([line.split("\t") if line else [] for line in _lines(text)])


def read_sequences(text: str) -> Iterator[Row]:
    """A user and items in each line."""
    places: dict[str, int] = {}
    for line in _lines(text):
        user, *items = re.findall("[^ \t]+", line) or [""]
        if user and not items:
            raise Refused
        for item in items:
            places[user] = places.get(user, -1) + 1
            yield _id(user), _id(item), places[user]


def read_json_lines(text: str) -> Iterator[Row]:
    """An object in each line."""
    yield from _of_objects(text, ("user_id", "item_id", "timestamp"), json.loads)


def read_amazon(text: str) -> Iterator[Row]:
    """An object in each line, or a Python literal."""

    def parse(line: str, **hook: Any) -> Any:
        try:
            return json.loads(line, **hook)
        except ValueError:
            return ast.literal_eval(line.strip())

    yield from _of_objects(text, ("reviewerID", "asin", "unixReviewTime"), parse)


READERS: Mapping[str, Callable[[str], Iterator[Row]]] = {
    "csv": read_csv,
    "recbole": read_atomic,
    "sequences": read_sequences,
    "jsonl": read_json_lines,
    "amazon": read_amazon,
}


def read(form: str, content: bytes) -> list[Row] | None:
    """The interactions of a file, None if it has to be refused; a file without any is refused, too."""
    try:
        text = content.decode("utf-8-sig")
        if "\0" in text:
            return None
        return list(READERS[form](text)) or None
    except (Refused, UnicodeDecodeError):
        return None


def _lines(text: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if any("\r" in line for line in lines):
        raise Refused
    return lines


def _ends_outside_quotes(text: str) -> bool:
    try:
        rows = list(csv.reader(io.StringIO(text + "\nS,T\n", newline="\n")))
    except csv.Error:
        return True  # and refused for that
    return rows[-1] == ["S", "T"]


def _of_fields(rows: list[list[str]]) -> Iterator[Row]:
    if not rows or [name.split(":")[0].strip() for name in rows[0]] != ["user_id", "item_id", "timestamp"]:
        raise Refused
    for row in rows[1:]:
        if row and len(row) != 3:
            raise Refused
        if row:
            yield _id(row[0]), _id(row[1]), _time(row[2])


def _of_objects(text: str, keys: tuple[str, str, str], parse: Callable[..., Any]) -> Iterator[Row]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise Refused
        return dict(pairs)

    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            found = parse(line, object_pairs_hook=once)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise Refused from None
        if not isinstance(found, dict):
            raise Refused
        user, item, time = (_scalar(found.get(key)) for key in keys)
        yield _id(user), _id(item), _time(time)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused
    return json.dumps(value) if isinstance(value, int) else format(Decimal(repr(value)), "f").removesuffix(".0")


def _id(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused from None
    if not text.strip():
        raise Refused
    return text


def _time(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()):
        raise Refused
    return int(text)
