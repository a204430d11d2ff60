"""Files of a finished work directory that a disk, a copy or a person has changed, and what then reads them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.faults.children import run
from tests.faults.place import Place, Step
from tests.faults.verdicts import contents, differences, fell_short

MENDED_EACH = 5  # turns: what is made anew, at some cost, does not depend on how it was damaged


def case(place: Place, rng: random.Random, number: int) -> tuple[str, str]:
    """A case and what fell short in it, empty if it held. Every file is damaged in turn."""
    turn, file = divmod(number, len(place.expected))
    name, way = sorted(place.expected)[file], rng.choice(list(WAYS))
    return f"{name}: {way}", _damaged(place, rng, name, way, mend=turn % MENDED_EACH == 0)


def _damaged(place: Place, rng: random.Random, name: str, way: str, *, mend: bool) -> str:
    """Damage one file: `status --verify` tells of it, readers refuse it, and its maker makes it as it was."""
    maker = next(step for step in place.steps if step.has(name))
    readers = [step for step in place.steps if any(_is_of(name, read) for read in step.reads)]
    with place.copy() as workdir:
        path = workdir / name
        before, stat = path.read_bytes(), path.stat()
        WAYS[way](path, rng)
        if path.exists():
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a disk that forgets changes no time
        if path.exists() and path.read_bytes() == before:
            return ""
        damaged = contents(workdir)
        if name not in maker.manifests and (found := _is_unseen(maker, workdir)):
            return found
        for step in rng.sample(readers, min(1, len(readers))):
            ended = run(*step.arguments, "--force", "-w", workdir)
            there = contents(workdir)
            if found := fell_short(ended, may_be=[0, 1]):
                return f"{step}: {found}"
            if ended.status == 0 and name not in maker.manifests:
                return f"{step}: read what is damaged"
            expected = damaged if ended.status else {**place.expected, name: damaged.get(name, "")}
            if found := differences(there, {key: value for key, value in expected.items() if value}):
                return f"{step}: {found}"
        return _mended(place, maker, workdir) if mend else ""


def _is_unseen(maker: Step, workdir: Path) -> str:
    ended = run("status", "--verify", "--json", "-w", workdir)
    if found := fell_short(ended, may_be=[0]):
        return f"status: {found}"
    states = {row["state"] for row in json.loads(ended.out) if row["stage"] == maker.stage.name}
    return "" if "stale" in states else "status --verify does not tell"


def _mended(place: Place, maker: Step, workdir: Path) -> str:
    """The remedy of the errors: the stage that made it, once more."""
    ended = run(*maker.arguments, "--force", "-w", workdir)
    return fell_short(ended, may_be=[0]) or differences(contents(workdir), place.expected)


def _is_of(name: str, artifact: str) -> bool:
    return name == artifact or (artifact.endswith("/") and name.startswith(artifact))


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def _zero(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content))
    content[start : start + 4096] = bytes(len(content[start : start + 4096]))
    path.write_bytes(content)


def _extend(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 100)))


def _swap(path: Path, rng: random.Random) -> None:
    """What another file of the same kind holds."""
    workdir = next(parent for parent in path.parents if (parent / "prepare").is_dir())
    others = sorted(other for other in workdir.rglob(f"*{path.suffix}") if other.is_file() and other != path)
    path.write_bytes(rng.choice(others).read_bytes() if others else b"")


def _empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def _remove(path: Path, rng: random.Random) -> None:
    path.unlink()


WAYS: Mapping[str, Callable[[Path, random.Random], None]] = {
    "a bit flipped": _flip,
    "cut": _cut,
    "a page of zeros": _zero,
    "extended": _extend,
    "swapped": _swap,
    "emptied": _empty,
    "removed": _remove,
}
