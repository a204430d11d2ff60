"""Where faults are tried: a tiny log, the commands of the pipeline, and a work directory in which all have run."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import pkgutil
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import llmi2i_cli
from llmi2i_cli.runs.pipeline import STAGES, Stage
from tests.conftest import TINY_STAGES
from tests.faults.children import counting_changes, run
from tests.faults.verdicts import contents

USERS, ITEMS, INTERACTIONS = 60, 30, 600


@dataclass(frozen=True, eq=False)
class Step:
    """One command of the pipeline, without its work directory, and the stage and variants that it writes."""

    arguments: tuple[object, ...]
    stage: Stage
    variants: tuple[Mapping[str, str], ...]

    @property
    def reads(self) -> list[str]:
        """Artifacts, relative to the work directory."""
        return list(dict.fromkeys(path for variant in self.variants for path in self.stage.inputs_of(variant)))

    @property
    def manifests(self) -> list[str]:
        return [f"{self.stage.folder}/{self.stage.manifest_name(variant)}" for variant in self.variants]

    @property
    def writes(self) -> list[str]:
        """Artifacts, whether or not the command has written them; those of directories end with a slash."""
        names = (*self.stage.writes, *self.stage.extras)
        return [f"{self.stage.folder}/{name.format(**variant)}" for variant in self.variants for name in names]

    def has(self, path: str) -> bool:
        """Whether the command writes this file."""
        return path in self.manifests or any(f"{path}/".startswith(f"{name.rstrip('/')}/") for name in self.writes)

    def __str__(self) -> str:
        return " ".join(map(str, self.arguments[:1] if self.stage.name == "prepare" else self.arguments))


class Usual(NamedTuple):
    """An undisturbed run: how many changes it makes to the work directory, and the seconds that it computes."""

    changes: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Place:
    """What the cases of all kinds share.

    Attributes
    ----------
    shop : interactions.parquet and items.parquet
    finished : a work directory in which every step has run
    scratch : where cases are tried
    """

    shop: Path
    finished: Path
    scratch: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @functools.cached_property
    def steps(self) -> list[Step]:
        """The pipeline, in its order."""
        given = [("prepare", self.shop / "interactions.parquet", "--items", self.shop / "items.parquet"), *TINY_STAGES]
        return [Step(arguments, STAGES[str(arguments[0])], _variants(arguments)) for arguments in given]

    @functools.cached_property
    def expected(self) -> dict[str, str]:
        """What is in the work directory when nothing went wrong."""
        return contents(self.finished)

    @functools.cache  # noqa: B019
    def usual(self, step: Step) -> Usual:
        """The step when it runs again and nothing is done to it."""
        with self.copy() as workdir:
            told = self.scratch / "changes"
            told.write_bytes(b"")
            ended = run(*step.arguments, "--force", "-w", workdir, before=lambda: counting_changes(workdir, told))
            return Usual(told.stat().st_size, ended.seconds)

    @contextlib.contextmanager
    def copy(self) -> Iterator[Path]:
        """A copy of the finished work directory, for one case."""
        folder = self.scratch / f"case-{next(self._numbers)}"
        shutil.copytree(self.finished, folder / "work")
        try:
            yield folder / "work"
        finally:
            shutil.rmtree(folder)


def import_all() -> None:
    """Import every module of the program, so that its children need not."""
    for module in pkgutil.walk_packages(llmi2i_cli.__path__, "llmi2i_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def make_place(folder: Path, shop: Path | None = None, finished: Path | None = None) -> Place:
    """Simulate a log and take it through all steps, below `folder`, unless that was done before."""
    place = Place(shop or folder / "shop", finished or folder / "finished", folder / "scratch")
    place.scratch.mkdir(parents=True)
    if finished:
        return place
    size = ("--users", USERS, "--items", ITEMS, "--interactions", INTERACTIONS)
    for arguments in [
        ("simulate", place.shop, *size),
        *((*step.arguments, "-w", place.finished) for step in place.steps),
    ]:
        ended = run(*arguments)
        assert ended.status == 0, f"{arguments[0]}: {ended.err}"
    return place


def clear(workdir: Path, step: Step) -> None:
    """Remove what a step wrote."""
    for name in (*step.writes, *step.manifests):
        path = workdir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _variants(arguments: Sequence[object]) -> tuple[Mapping[str, str], ...]:
    """The variants that a command line asks for, as the pipeline's table has them."""
    given: dict[str, list[str]] = {"model": ["swing"], "data": ["real"], "split": ["test"], "format": ["parquet"]}
    chosen: dict[str, list[str]] = {}
    for option, value in itertools.pairwise(map(str, arguments)):
        name = {"--baseline": "data"}.get(option, option.removeprefix("--"))  # the baseline is evaluated, too
        if name in given:
            chosen.setdefault(name, []).append(value)
    stage = STAGES[str(arguments[0])]
    keys = stage.variants[0].keys()
    choices = [{**given, **chosen}[key] for key in keys]
    return tuple(dict(zip(keys, values, strict=True)) for values in itertools.product(*choices))
