"""Manifests: what a run of a stage read, was asked for and wrote, by content; and what has changed since."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import UnionType
from typing import Any

from llmi2i_cli import __version__
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.cloud import is_url
from llmi2i_cli.files.documents import read_json
from llmi2i_cli.files.places import Place, place_of
from llmi2i_cli.runs.pipeline import Stage, maker_of

# Packages whose version can change an artifact's bytes; each manifest records them.
RECORDED_PACKAGES = ("torch", "transformers", "numpy", "numba", "polars", "implicit", "faiss-cpu")
# What every manifest holds, and of what type; any other key is what its stage found or chose.
MANIFEST_KEYS: Mapping[str, type | UnionType] = {
    "stage": str,
    "fingerprint": str,
    "options": dict,
    "variant": dict,
    "inputs": dict,
    "versions": dict,
    "outputs": dict,
    "seconds": int | float,
    "finished_at": str,
}
FILE_KEYS: Mapping[str, type] = {"bytes": int, "mtime_ns": int, "digest": str}  # of an input or output


def file_digest(path: Place) -> str:
    """BLAKE2b-128 of a file's contents, as hex, or what a cloud's store says of an object's.

    A process reads a file once for it, unless the file changes.
    """
    if not isinstance(path, Path):
        return path.digest
    stat = path.stat()
    return _digest(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@functools.lru_cache(maxsize=1024)
def _digest(path: Path, *_identity: int) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _files_under(path: Place) -> Sequence[Place]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if isinstance(path, Path) and path.is_dir() else [path]


def describe(path: Place, relative_to: Path | None, known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Size, time and digest of a file, or of each file of a directory; unchanged size and time spare the digest.

    Names are relative to `relative_to`, or as they are when that is None.
    """
    described = {}
    for file in _files_under(path):
        name = str(file) if relative_to is None else os.path.relpath(str(file), relative_to)
        stat = file.stat()
        entry: dict[str, Any] = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        before = known.get(name, {})
        same = isinstance(file, Path) and all(before.get(key) == value for key, value in entry.items())
        entry["digest"] = before["digest"] if same else file_digest(file)
        described[name] = entry
    return described


def digests(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: entry["digest"] for name, entry in entries.items()}


def read_manifest(path: Path) -> dict[str, Any] | None:
    """A stage's manifest, or None when there is none or it cannot be read (the stage then counts as not done)."""
    try:
        manifest = read_json(path)
    except (OSError, ValueError):
        return None
    if not _has(manifest, MANIFEST_KEYS):
        return None
    files = (*manifest["inputs"].values(), *manifest["outputs"].values())
    return manifest if all(_has(entry, FILE_KEYS) for entry in files) else None


def _has(value: Any, keys: Mapping[str, type | UnionType]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), form) for key, form in keys.items())


def versions() -> dict[str, str]:
    found = {"llmi2i": __version__, "python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def output_changes(workdir: Path, stage: Stage, manifest: Mapping[str, Any], *, thoroughly: bool = False) -> str | None:
    """What is wrong with the outputs that `manifest` lists: the first one missing or changed, or None."""
    for name, entry in manifest["outputs"].items():
        path = workdir / stage.folder / name
        if not path.exists():
            return f"{stage.folder}/{name} is missing"
        if not is_as_described(path, entry, thoroughly=thoroughly):
            return f"{stage.folder}/{name} was changed"
    return None


def input_changes(
    manifest: Mapping[str, Any], workdir: Path, *, thoroughly: bool = False, ask_stores: bool = False
) -> str | None:
    """The first input that is gone or differs from what the manifest's run has read, or None.

    Objects in a cloud's store are looked at where `ask_stores` says so: each costs a request.
    """
    for name, entry in manifest["inputs"].items():
        if is_url(name) and not ask_stores:
            continue
        try:
            path = place_of(name, workdir)
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
        if path is None:
            return f"{name} is missing"
        if not is_as_described(path, entry, thoroughly=thoroughly):
            return f"{name} changed"
    return None


def is_as_described(path: Place, entry: Mapping[str, Any], *, thoroughly: bool = False) -> bool:
    """Whether a file has the contents that a manifest's `entry` tells.

    An unchanged size and time spare the digest, unless it is to be looked at `thoroughly`: a disk that forgets changes
    neither.
    """
    stat = path.stat()
    if stat.st_size != entry["bytes"]:
        return False
    if isinstance(path, Path) and stat.st_mtime_ns == entry["mtime_ns"] and not thoroughly:
        return True
    return file_digest(path) == entry["digest"]


def verify(workdir: Path, *paths: str) -> None:
    """See to it that artifacts, each by its path in the work directory, are whole and what their runs have written.

    All files that the manifest lists of an artifact have to be there, with the digests that it tells. What has no
    manifest is the user's own: nothing is known of it.

    Raises
    ------
    ArtifactError : a file is missing or has other contents, or the manifest is damaged
    """
    for path in paths:
        maker = maker_of(path)
        if maker is None or not (manifest_path := maker.manifest_path(workdir)).exists():
            continue
        remedy = f"run `{maker.command} -w {workdir} --force`"
        manifest = read_manifest(manifest_path)
        if manifest is None:
            raise ArtifactError(f"{manifest_path} is damaged: {remedy}")
        for name, entry in manifest["outputs"].items():
            listed = f"{maker.stage.folder}/{name}"
            if listed != path and not (path.endswith("/") and listed.startswith(path)):
                continue
            file = workdir / listed
            if not file.exists():
                raise ArtifactError(f"{file} is missing: {remedy}")
            if not is_as_described(file, entry, thoroughly=True):
                raise ArtifactError(
                    f"{file} is damaged or was changed after `{maker.command}` wrote it: {remedy}, "
                    f"or remove {manifest_path} to use the file as it is"
                )
