"""What is installed is the whole package: a wheel holds every file of it, and the program runs from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


def test_a_wheel_holds_the_whole_package_and_runs(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "llmi2i_cli", source / "llmi2i_cli", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("llmi2i_cli/")}
    package = (ROOT / "llmi2i_cli").rglob("*")
    files = {str(path.relative_to(ROOT)) for path in package if path.is_file() and "__pycache__" not in path.parts}
    assert packed == files
    assert {"llmi2i_cli/py.typed", "llmi2i_cli/llm/templates/generator.txt"} <= packed

    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", target, wheel)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    assert "prepare" in run(target / "bin" / "llmi2i", "--help", env=environment, cwd=tmp_path)
    found = run(sys.executable, "-c", "print(__import__('llmi2i_cli').__file__)", env=environment, cwd=tmp_path)
    assert Path(found.strip()).is_relative_to(target)
