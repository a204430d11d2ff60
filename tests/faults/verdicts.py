"""What is asked of every run, whatever was done to it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.faults.children import Ended

PASSING = {
    "seconds",
    "finished_at",
    "mtime_ns",
    "steps_this_run",
    "latency",
    "versions",
}  # what differs between equal runs


SHOWN = 200  # characters of a line that is not as expected


def fell_short(ended: Ended, may_be: Collection[int] = (0, 1, 2)) -> str:
    """How a run failed to end well, empty if it did: one line for a mistake, and no traceback ever."""
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    told = ended.err.strip()[-300:]
    if ended.status not in may_be:
        return f"exit status {ended.status}: {told}"
    if any(word in ended.err for word in ("Traceback", "this should not happen", "panicked")):
        return f"no line for a user: {told}"
    if ended.status and len(errors) != 1:
        return f"{len(errors)} lines of errors: {told}"
    if ended.status and ended.out:
        return f"results beside an error: {ended.out[:100]}"
    if not ended.status and errors:
        return f"an error beside success: {told}"
    return ""


def contents(workdir: Path) -> dict[str, str]:
    """What is in the artifacts of a work directory, and in its manifests but for times; no work in progress.

    Of a table or a model it is the digest.
    """
    return {
        str(path.relative_to(workdir)): _content(path)
        for path in sorted(workdir.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(workdir).parts)
    }


def leftovers(workdir: Path) -> list[str]:
    """Work in progress: what a finished run has no use for."""
    return [str(path.relative_to(workdir)) for path in sorted(workdir.rglob(".*"))]


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    """The first file that is not as expected, in words; empty if all are."""
    for name in sorted({*found, *expected}):
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is there"
        if found[name] != expected[name]:
            pairs = itertools.zip_longest(found[name].split("\n"), expected[name].split("\n"), fillvalue="nothing")
            one, other = next((one, other) for one, other in pairs if one != other)
            return f"{name} is different: {one[:SHOWN]} instead of {other[:SHOWN]}"
    return ""


def _content(path: Path) -> str:
    content = path.read_bytes()
    with contextlib.suppress(ValueError):  # no text, or damaged on purpose
        if path.suffix == ".json":
            return json.dumps(_lasting(json.loads(content)), indent=0)
        if path.suffix == ".jsonl":
            return content.decode()
    return hashlib.blake2b(content).hexdigest()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(part) for key, part in value.items() if key not in PASSING}
    return value
