"""Tables of a lakehouse (Delta, Iceberg): folders whose log tells which of the files in them count."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from llmi2i_cli.choices.formats import FORMATS, InputFormat
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.cloud import CloudObject, is_url, list_below
from llmi2i_cli.files.source import Source


@dataclass(frozen=True)
class TableFolder(Source):
    """Such a folder, on the disk or in a cloud's store, as far as inputs are asked.

    Attributes
    ----------
    path : as it was given; absolute on the disk
    logs : the names of the files of its log, sorted
    size, mtime_ns : of all files, and of the latest of the log
    digest : of the log's files: data files never change, so it tells the table's version
    """

    path: str
    form: InputFormat
    logs: tuple[str, ...]
    size: int
    mtime_ns: int
    digest: str

    def __str__(self) -> str:
        return self.path

    @property
    def _path(self) -> Path:
        return Path(self.path.partition("://")[2] if is_url(self.path) else self.path)

    def is_file(self) -> bool:
        return False

    def open(self, mode: str) -> NoReturn:
        """It has no bytes of its own."""
        raise InputError(f"{self.path} is a table of {self.form.name}, and no file: leave out --format")


def table_folder_at(path: str) -> TableFolder | None:
    """The table that a path or a URL is the folder of; None when it is none. OSError when a store gives no answer."""
    for form in FORMATS.values():
        if form.folder_log and (folder := _of_format(path.rstrip("/"), form)):
            return folder
    return None


def _of_format(path: str, form: InputFormat) -> TableFolder | None:
    if is_url(path):
        if not list_below(f"{path}/{form.folder_log}", first=True):
            return None
        objects: list[tuple[str, Path | CloudObject]] = [
            (each.url.removeprefix(f"{path}/"), each) for each in list_below(path)
        ]
    else:
        folder = Path(path).resolve()
        if not (folder / form.folder_log).is_dir():
            return None
        path = str(folder)
        objects = [(str(each.relative_to(folder)), each) for each in folder.rglob("*") if each.is_file()]
    logs = {name: each for name, each in objects if name.startswith(f"{form.folder_log}/")}
    if not any(name.endswith(form.folder_log_suffix) for name in logs):
        return None
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(logs):
        each = logs[name]
        digest.update(name.encode() + b"\0")
        digest.update(each.digest.encode() if isinstance(each, CloudObject) else each.read_bytes())
    size = sum(each.stat().st_size for _, each in objects)
    mtime_ns = max(each.stat().st_mtime_ns for each in logs.values())
    return TableFolder(path, form, tuple(sorted(logs)), size, mtime_ns, digest.hexdigest())
