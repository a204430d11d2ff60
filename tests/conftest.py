"""Shared fixtures: a small simulated shop, prepared and taken through all stages; and the real logs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Steps this small are over before threads have met: with two threads on busy cores they take ten times as long. Set
# before torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", str(len(os.sched_getaffinity(0))))  # kernels are tested with all
os.environ["HF_HUB_OFFLINE"] = "1"  # a model that is not on the disk is an error at once, not an attempt to fetch it

from llmi2i_cli.__main__ import main
from llmi2i_cli.runs.pipeline import maker_of

# The whole pipeline with settings that take seconds. Order matters: each stage reads what came before.
TINY_STAGES: tuple[tuple[str, ...], ...] = (
    ("sft-gen", "--epochs", "2", "--batch-size", "16"),
    ("sft-disc", "--epochs", "1", "--batch-size", "16", "--negatives-per-positive", "3"),
    ("synthesize", "--recall-number", "8"),
    ("filter",),
    ("fuse", "--recall-number", "3"),  # validation might want none of so small a generator's
    ("train-i2i", "--model", "swing"),
    ("train-i2i", "--model", "swing", "--data", "fused", "--tune"),
    ("train-i2i", "--model", "bpr", "--factors", "8", "--iterations", "5"),
    ("evaluate", "--model", "swing", "--data", "fused", "--baseline", "real"),
    ("export-index", "--model", "swing", "--data", "fused", "--format", "jsonl", "--format", "mmap"),
)


def run(*arguments: object) -> int:
    """Run the command line in this process; its exit status.

    The program's stages are processes of their own. Here what ran before has a say in torch's number of threads (Numba
    and torch share OpenMP, and YoutubeDNN sets it), and so in the order in which matrix products add up.
    """
    if arguments and arguments[0] in ("sft-gen", "sft-disc", "synthesize", "filter"):
        import torch

        torch.set_num_threads(1)
    return main([str(argument) for argument in arguments])


def as_own(workdir: Path, path: str) -> None:
    """Make an artifact the user's own, so that it may be changed: without its manifest nothing is known of it."""
    maker = maker_of(path)
    assert maker is not None
    maker.manifest_path(workdir).unlink()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated log and its catalogue: interactions.parquet and items.parquet. Not to be written to."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    assert run("simulate", folder, "--users", 150, "--items", 60, "--interactions", 1500, "--seed", 7) == 0
    return folder


@pytest.fixture(scope="session")
def prepared(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with prepare/ alone. Not to be written to: copy it."""
    workdir = tmp_path_factory.mktemp("prepared") / "work"
    assert run("prepare", shop / "interactions.parquet", "--items", shop / "items.parquet", "-w", workdir) == 0
    return workdir


@pytest.fixture(scope="session")
def pipeline(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with the results of all stages. Not to be written to: copy it."""
    import shutil

    workdir = tmp_path_factory.mktemp("pipeline") / "work"
    shutil.copytree(prepared, workdir)
    for stage, *options in TINY_STAGES:
        assert run(stage, *options, "-w", workdir) == 0
    return workdir


@pytest.fixture(scope="session")
def real_log() -> Path:
    """The folder of the real logs; skips where there is none."""
    beside = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ["LLMI2I_DATA"]) if "LLMI2I_DATA" in os.environ else beside
    if not folder.is_dir():
        pytest.skip(f"no real logs: set LLMI2I_DATA to their folder ({folder} is not there)")
    return folder
