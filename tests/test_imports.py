"""Imports go one way, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import llmi2i_cli

PACKAGE = Path(llmi2i_cli.__file__).parent

# Which rooms of the package a room may import from. A room is a folder or a module of the top level; everything may
# import errors, the tables of choices, the decorator of kernels and the package's version.
ANYWHERE = {"", "choices", "compiled", "errors"}
ALLOWED: dict[str, set[str]] = {
    "__main__": {"cli", "runs"},
    "cli": {"refit", "stages", "plots", "llm", "runs"},
    "refit": {"stages", "evaluation", "llm", "files", "runs"},
    "plots": {"data", "files", "runs"},
    "report": {"plots", "i2i", "evaluation", "artifacts", "files", "runs"},
    "stages": {
        "report",
        "plots",
        "data",
        "llm",
        "i2i",
        "evaluation",
        "publishing",
        "scale",
        "artifacts",
        "files",
        "runs",
    },
    "publishing": {"data", "i2i", "artifacts", "files", "runs"},
    "evaluation": {"data", "i2i", "artifacts", "files", "runs"},
    "llm": {"artifacts", "files", "runs"},
    "i2i": {"artifacts", "files", "runs"},
    "data": {"artifacts", "files", "runs"},
    "scale": {"runs"},
    "artifacts": {"files", "runs"},
    "runs": {"files"},
    "files": set(),
    "choices": set(),
    "compiled": set(),
    "errors": set(),
    "": set(),
}
# Of another room a room may know these modules alone.
ONLY = {
    # the result of a model and how rankings are put in order, not the models ...
    ("evaluation", "i2i"): {
        f"llmi2i_cli.i2i.{name}" for name in ("neighbours", "selection", "best_rows", "slices", "training")
    },
    # the defaults and choices of the commands' options
    ("cli", "llm"): {"llmi2i_cli.llm.finetuning_options"},
    # which items are shown, and where their neighbours come from
    ("report", "i2i"): {"llmi2i_cli.i2i.neighbours", "llmi2i_cli.i2i.origins"},
    ("report", "evaluation"): {"llmi2i_cli.evaluation.groups"},
    ("refit", "llm"): {"llmi2i_cli.llm.finetuning_options"},
}
# ... but for the one that trains a model to judge by it.
EXEMPT = {"llmi2i_cli.evaluation.served_model"}
# Third-party packages that take long to import, and the rooms that may not have them even inside functions.
HEAVY = {"numpy", "polars", "numba", "torch", "transformers", "implicit", "rich", "matplotlib", "jinja2", "ray"}
WITHOUT_NUMPY = {"runs", "scale", "choices", "errors", "__main__", "cli"}
WITH_TABLES = {"llmi2i_cli.runs.blocks"}


def modules() -> list[tuple[str, Path]]:
    """Dotted name and file of every module."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imports_of(path: Path) -> list[tuple[str, int, bool]]:
    """What a file imports: dotted name (of the module), line, and whether at the top, when the module is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    names = {name for name, _ in modules()}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) not in late) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append((whole if whole in names else str(node.module), node.lineno, id(node) not in late))
    return found


def room_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def test_every_room_is_in_the_table():
    assert {room_of(name) for name, _ in modules()} <= set(ALLOWED)


def test_imports_go_one_way():
    wrong = []
    for name, path in modules():
        room = room_of(name)
        for imported, line, _ in imports_of(path):
            if not imported.startswith("llmi2i_cli"):
                continue
            target = room_of(imported)
            same_room = target == room and room != "stages"
            ok = same_room or target in ANYWHERE or target in ALLOWED[room] or imported == name
            if (room, target) in ONLY and name not in EXEMPT:
                ok = imported in ONLY[room, target]
            if room == "stages" and target == "stages" and imported == "llmi2i_cli.stages":
                ok = False
            if not ok:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {imported}")
    assert wrong == []


def test_the_table_has_no_circle():
    left = {room: targets - {""} for room, targets in ALLOWED.items()}
    while left:
        free = [room for room, targets in left.items() if not targets & set(left)]
        assert free, f"these import each other: {sorted(left)}"
        for room in free:
            del left[room]


def test_llm_and_i2i_never_meet():
    assert "i2i" not in ALLOWED["llm"]
    assert "llm" not in ALLOWED["i2i"]


def test_light_modules_load_nothing_heavy():
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {imported}"
        for name, path in modules()
        if room_of(name) in WITHOUT_NUMPY | {""} and name not in WITH_TABLES
        for imported, line, at_top in imports_of(path)
        if at_top and imported.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_only_modules_all_about_them_load_torch_implicit_and_transformers():
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        if room_of(name) in ("stages", "data", "evaluation", "artifacts", "files", "runs")
        for imported, _, at_top in imports_of(path)
        if at_top and imported.split(".")[0] in ("torch", "transformers", "implicit")
    ]
    assert wrong == []


def test_the_top_level_is_five_files_at_most():
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= 5


def test_nobody_imports_pandas():
    assert [
        name for name, path in modules() for imported, *_ in imports_of(path) if imported.startswith("pandas")
    ] == []


def test_no_room_for_odds_and_ends():
    odd = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert [name for name, _ in modules() if set(name.split(".")) & odd] == []


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "--help"], ["--version"], ["status", "-w", "nowhere"]])
def test_help_and_status_need_neither_numpy_nor_torch_nor_polars(arguments):
    program = (
        "import sys\nfrom llmi2i_cli.__main__ import main\n"
        f"status = main({arguments})\n"
        "heavy = {'numpy', 'polars', 'numba', 'torch', 'transformers', 'implicit'} & set(sys.modules)\n"
        "sys.exit(f'status {status}, imported {sorted(heavy)}' if status or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
