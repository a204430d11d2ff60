"""The scripts and the Makefile of examples/: their commands exist, and make rebuilds what depends on a change alone."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from llmi2i_cli.cli.app import app
from llmi2i_cli.runs.pipeline import STAGES

ROOT = Path(__file__).parents[1]
STAGE_NAMES = [name for name, stage in STAGES.items() if not stage.optional]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]

# The targets of the Makefile for one model, each after what it is made from.
TARGETS = (
    "shop/items.parquet",
    "shop/interactions.parquet",
    "prepare/interactions.parquet",
    "sft-gen/log.jsonl",
    "sft-disc/log.jsonl",
    "synthesize/candidates.parquet",
    "filter/scored.parquet",
    "fuse/interactions.parquet",
    "i2i/text-real.parquet",
    "i2i/bm25-real.parquet",
    "i2i/bm25-fused.parquet",
    "i2i/next-item-real.parquet",
    "i2i/llm-blend-real.parquet",
    "i2i/llm-blend-fused.parquet",
    "evaluate/llm-blend-fused-test.json",
    "index/llm-blend-fused.parquet",
    "report/report.html",
)


# Where a line runs the program: as it is, after a prompt or variables, or in several processes.
COMMAND = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=(?:\$\(\(.*?\)\)|\S*) )*(?:llmi2i|torchrun .*-m llmi2i_cli) ([a-z].*)")
VARIABLES = {
    "$model": "bm25",
    "$log": "real",
    "$alpha": "4",
    "$seed": "1",
    "$i": "1",
    "$data": "real",
    "$judge": "swing",
}
VARIABLES |= {"$2": "bm25", "$3": "real"}  # what the functions of paper/settings.sh are called with


def command_lines(path):
    """Every command line of the program in a script, or in a document's blocks of shell, its variables filled in."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = "".join(re.findall(r"^```(?:bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for line in text.replace("\\\n", " ").splitlines():
        if found := COMMAND.search(line):
            words = shlex.split(found[1].removesuffix("&"), comments=True)
            words = [word for word in words if not word.startswith("${")]  # arrays of further options
            yield [re.sub(r"\$\w+", lambda name: VARIABLES.get(name[0], "x"), word) for word in words]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("README.md", STAGE_NAMES),
        ("examples/quickstart.sh", [*STAGE_NAMES, "report"]),
        ("examples/amazon.sh", STAGE_NAMES),
        ("examples/pretrained.sh", STAGE_NAMES[:-1]),
        ("examples/paper/alpha.sh", ["prepare", "sft-gen", "synthesize", "evaluate"]),
        ("examples/paper/noise.sh", STAGE_NAMES[:-1]),
        ("examples/paper/settings.sh", ["fuse", "train-i2i", "evaluate"]),
        ("examples/paper/study.sh", [*STAGE_NAMES[:5], "train-i2i", "evaluate", "refit"]),
        ("examples/paper/simulated.sh", STAGE_NAMES[:5]),
    ],
)
def test_every_command_line_parses(name, stages):
    lines = list(command_lines(ROOT / name))
    assert {line[0] for line in lines} >= set(stages)
    check(lines)


@pytest.mark.parametrize("page", sorted((ROOT / "examples" / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_every_command_line_of_the_documentation_parses(page):
    check(command_lines(page))


def check(lines):
    for command, *arguments in lines:
        COMMANDS[command].make_context(
            command, arguments
        )  # raises for what is not an argument or option of the command


def test_command_lines_are_found_wherever_a_block_has_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "llmi2i in a sentence\n```bash\nfor i in 1 2; do\n    A=$((i - 1)) llmi2i synthesize --shard $i &\ndone\n"
        "llmi2i fuse \\\n    -w work  # joins\ntorchrun --standalone -m llmi2i_cli sft-gen\nllmi2i --help\n```\n"
        "```console\n$ llmi2i status\nllmi2i prints this\n```\n"
    )
    assert list(command_lines(page)) == [
        ["synthesize", "--shard", "1"],
        ["fuse", "-w", "work"],
        ["sft-gen"],
        ["status"],
        ["prints", "this"],
    ]


@pytest.fixture
def make(tmp_path):
    """A function: which command lines make would run in a work directory of its own."""
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")

    def lines(*arguments):
        command = ["make", "-C", str(ROOT / "examples"), "-n", f"WORKDIR={tmp_path / 'work'}", *arguments]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [shlex.split(line)[1:] for line in shown.splitlines() if line.startswith("llmi2i ")]

    return lines


def test_make_names_the_stages_in_order(make):
    names = [line[0] for line in make()]
    assert list(dict.fromkeys(names)) == ["simulate", *STAGE_NAMES, "report"]
    own_log = [line[0] for line in make(f"LOG={__file__}")]
    assert list(dict.fromkeys(own_log)) == [*STAGE_NAMES, "report"]


def test_make_serve_ends_with_a_refit(make, tmp_path):
    lines = make("serve", "SERVE=served")
    *others, last = make()
    assert last[0] == "report"
    assert [line[0] for line in lines] == [*(line[0] for line in others), "refit"]
    assert lines[-1] == ["refit", "-w", str(tmp_path / "work"), "--to", "served"]


@pytest.mark.parametrize(
    ("touched", "again"),
    [
        (None, []),
        ("prepare/interactions.parquet", [*STAGE_NAMES[1:], "report"]),
        ("sft-disc/log.jsonl", ["filter", "fuse", "train-i2i", "evaluate", "export-index", "report"]),
        ("fuse/interactions.parquet", ["train-i2i", "evaluate", "export-index", "report"]),
        ("i2i/bm25-real.parquet", ["train-i2i", "evaluate", "report"]),
        ("i2i/llm-blend-real.parquet", ["evaluate", "report"]),
        ("i2i/llm-blend-fused.parquet", ["evaluate", "export-index", "report"]),
    ],
)
def test_make_rebuilds_only_what_depends_on_a_change(make, tmp_path, touched, again):
    for second, name in enumerate(TARGETS):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (second, second))
    if touched:
        os.utime(tmp_path / "work" / touched)
    rebuilt = make()
    assert list(dict.fromkeys(line[0] for line in rebuilt)) == again
    if touched == "fuse/interactions.parquet":
        assert [line[line.index("--data") + 1] for line in rebuilt if line[0] == "train-i2i"] == ["fused", "fused"]
