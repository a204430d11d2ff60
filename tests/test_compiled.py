"""Compiled kernels run wherever the program is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import llmi2i_cli
from llmi2i_cli.i2i.selection import sort_descending

PACKAGE = Path(llmi2i_cli.__file__).parent
PROGRAM = """
import importlib, numpy, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
keys = numpy.array([2, 9, 5], numpy.uint64)
positions = numpy.array([0, 1, 2], numpy.int32)
sys.modules["llmi2i_cli.i2i.selection"].sort_descending(keys, positions, 3)
print(keys.tolist(), positions.tolist())
"""


def modules_with_kernels():
    files = (path for path in PACKAGE.rglob("*.py") if "@compiled(" in path.read_text(encoding="utf-8"))
    return [".".join(("llmi2i_cli", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in sorted(files)]


def test_where_nothing_can_be_cached_kernels_are_compiled_all_the_same(tmp_path):
    installed = tmp_path / "llmi2i_cli"
    shutil.copytree(PACKAGE, installed, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (installed, *(path for path in installed.iterdir() if path.is_dir())):
        (folder / "__pycache__").write_text("")  # in the way of the folder, as a read-only installation is
    environment = {key: value for key, value in os.environ.items() if key not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    nowhere = {"HOME": "/proc/nowhere", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *modules_with_kernels()],
        capture_output=True,
        text=True,
        check=False,
        env=environment | nowhere,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[9, 5, 2] [1, 2, 0]\n"


def test_kernels_are_cached_where_they_can_be():
    keys, positions = np.array([2, 9, 5], np.uint64), np.array([0, 1, 2], np.int32)
    kernel: Any = sort_descending
    kernel(keys, positions, 3)
    assert type(kernel._cache).__name__ == "FunctionCache"
    assert modules_with_kernels()


def test_every_kernel_is_compiled_in_this_way():
    own = [path.name for path in PACKAGE.rglob("*.py") if "njit" in path.read_text(encoding="utf-8")]
    assert own == ["compiled.py"]
