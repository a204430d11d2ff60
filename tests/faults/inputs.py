"""Logs of every format with anything in them: each is refused in one line, or read as a naive reader reads it."""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from llmi2i_cli.__main__ import main
from tests.faults.children import Child, Ended
from tests.faults.naive import READERS, read
from tests.faults.place import Place
from tests.faults.verdicts import fell_short, leftovers

IDS = (
    *("u", "v", "i", "j", "007", "ü", "a b", " x", "", " ", "\u00a0", '"q"', '"a,b"', '"a\nb"', 'c"d', '"e""f"'),
    *("'", "[/u1]", "\x1b[31m"),
)
TIMES = ("1", "2", " 3 ", "-4", "10", "5", "7", "", "x", "1.5", "nan")
VALUES = (
    *('"u"', '"i"', '"\\u00fc"', '"\\ud83d\\ude00"', '"\\ud800"', '"a  b"', '""', '" "', "5", "5.0", "1.5", "1e16"),
    *("12345678901234567890", "true", "null", "[1]", "{}", "NaN", "tru", '"x', "'p'", "b'x'", "{1}", "None", "1e999"),
    *('"[x"', '"true"', '{"a": 1, "a": 2}', "-0", "01", '"\\u0000"'),
)
NOISE = st.text("ab1 ,\t\"'\n\r\\{}[]:é", max_size=12)
LINE_ENDS = ("\n", "\n", "\n", "\r\n", "\r")


def _lines(header: Sequence[str], usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Files of a few lines, most of them as usual."""
    lines = st.lists(st.one_of(usual, usual, usual, odd, NOISE), max_size=6)
    return st.builds(lambda end, body: end.join([*header, *body]), st.sampled_from(LINE_ENDS), lines)


def _delimited(header: str, separator: str) -> st.SearchStrategy[str]:
    usual = st.tuples(st.sampled_from("uv"), st.sampled_from("ij"), st.integers(0, 99).map(str)).map(separator.join)
    odd = st.tuples(*(st.sampled_from(part) for part in (IDS, IDS, TIMES))).map(separator.join)
    return _lines([header], usual, odd)


def _objects(keys: tuple[str, str, str]) -> st.SearchStrategy[str]:
    def line(pairs: Sequence[tuple[str, str]]) -> str:
        return "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"

    usual = st.tuples(st.sampled_from(('"u"', '"v"', "5")), st.sampled_from(('"i"', "7")), st.integers(0, 99).map(str))
    odd = st.lists(st.tuples(st.sampled_from(keys), st.sampled_from(VALUES)), max_size=4)
    return _lines([], usual.map(lambda values: line(list(zip(keys, values, strict=True)))), odd.map(line))


TEXTS: Mapping[str, st.SearchStrategy[str]] = {
    "csv": _delimited("user_id,item_id,timestamp", ","),
    "recbole": _delimited("user_id:token\titem_id:token\ttimestamp:float", "\t"),
    "sequences": _lines([], st.sampled_from(("u i j", "v\ti", "u i")), st.lists(st.sampled_from(IDS)).map(" ".join)),
    "jsonl": _objects(("user_id", "item_id", "timestamp")),
    "amazon": _objects(("reviewerID", "asin", "unixReviewTime")),
}


LOGS = 25  # of a case: they share a child


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case, some logs of one format, and what fell short in one of them, empty if they held."""
    form = (*READERS, "parquet")[number % (len(READERS) + 1)]
    told, chosen = place.scratch / "told", rng.randrange(2**32)
    told.unlink(missing_ok=True)
    ended = Child(lambda: _try_all(form, told, chosen, place)).end()
    return f"{LOGS} logs, {form}", told.read_text() if told.exists() else f"exit status {ended.status}: {ended.err}"


def _try_all(form: str, told: Path, chosen: int, place: Place) -> int:
    """In a child: try files of a format until one falls short, and then the smallest of its like."""

    def attempt(content: bytes) -> None:
        if found := _read(form, content, place.scratch / "inputs"):
            raise AssertionError(f"{content!r}: {found}")

    if form == "parquet":
        contents = _damaged(place.shop / "interactions.parquet")
    else:
        contents = st.one_of(*(TEXTS[form].map(lambda text: text.encode("utf-8", "surrogatepass")) for _ in range(4)))
        contents = st.one_of(contents, contents, st.builds(_with_a_byte, contents, st.integers(0), st.integers(0, 255)))
        contents = st.one_of(contents, contents, contents.map(gzip.compress))
    phases = (Phase.generate, Phase.shrink)
    with_settings = settings(
        max_examples=LOGS, deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck)
    )
    found = ""
    try:
        seed(chosen)(with_settings(given(contents)(attempt)))()
    except AssertionError as error:
        found = str(error)
    told.write_text(found)
    return 0


def _read(form: str, content: bytes, folder: Path) -> str:
    """Prepare one file, and compare what comes out with what the naive reader finds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "log").write_bytes(content)
    ended = _prepare(folder, form)
    if found := fell_short(ended, may_be=[0, 1]):
        return found
    if ended.status:
        if len(left := [path.name for path in folder.iterdir()]) > 1:
            return f"refused, and left {left}"
    elif left := leftovers(folder / "work"):
        return f"left {left}"
    if form == "parquet":
        return ""
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    expected = read(form, plain)
    if expected is None or ended.status:
        wanted = "refused" if expected is None else "read"
        return "" if (expected is None) == bool(ended.status) else f"it has to be {wanted}: {ended.err}"
    table = pl.read_parquet(folder / "work/prepare/interactions.parquet").select("user_id", "item_id", "timestamp")
    rows = sorted(table.iter_rows())
    return "" if rows == sorted(set(expected)) else f"read as {rows}, where it says {sorted(set(expected))}"


def _prepare(folder: Path, form: str) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["prepare", str(folder / "log"), "--format", form, "-w", str(folder / "work")])
    return Ended(status, out.getvalue(), err.getvalue())


def _with_a_byte(content: bytes, place: int, byte: int) -> bytes:
    """A file with one byte changed."""
    if not content:
        return content
    place %= len(content)
    return content[:place] + bytes([byte]) + content[place + 1 :]


def _damaged(file: Path) -> st.SearchStrategy[bytes]:
    """A Parquet file, cut or with some bytes changed."""
    content = file.read_bytes()
    cut = st.integers(0, len(content) - 1).map(lambda end: content[:end])
    return st.one_of(cut, st.builds(_with_a_byte, st.just(content), st.integers(0), st.integers(0, 255)))
