"""examples/nightly.sh: what is served is always whole and the latest good night's, whatever happens in a night.

Seven nights run with a stand-in for the program, which shows what the script does in a moment; then the script's own
commands run once with the program itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from llmi2i_cli.files.documents import read_json
from tests.conftest import run

SCRIPT = Path(__file__).parents[1] / "examples/nightly.sh"
STAND_IN = """#!/usr/bin/env bash
# Writes down how it was called. CONTROL/kill names a stage in which the night is killed, CONTROL/fail one that fails.
set -eu
echo "$(basename "$(dirname "$LLMI2I_WORKDIR")") $*" >>"$CONTROL/calls"
mkdir -p "$LLMI2I_WORKDIR/$1"
if [ "$1" = refit ]; then
    mkdir -p "$3/index"
    echo half >"$3/index/.partial"
    basename "$(dirname "$3")" >"$3/index/.whole"
    mv "$3/index/.whole" "$3/index/llm-blend-fused.parquet"  # as the program does: replaced, never written to
    rm "$3/index/.partial"
fi
if [ "$1" = "$(cat "$CONTROL/kill" 2>/dev/null)" ]; then rm "$CONTROL/kill"; kill -9 $PPID; exit 1; fi
[ "$1" != "$(cat "$CONTROL/fail" 2>/dev/null)" ]
"""


class Nights:
    def __init__(self, folder):
        self.folder = folder
        self.nights = folder / "nights"
        (folder / "bin").mkdir()
        (folder / "bin/llmi2i").write_text(STAND_IN)
        (folder / "bin/llmi2i").chmod(0o755)

    def run(self, night, *, kill="", fail="", **variables):
        """One night; its exit status and its line."""
        (self.folder / "calls").unlink(missing_ok=True)
        for name, stage in (("kill", kill), ("fail", fail)):
            (self.folder / name).write_text(stage)
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "CONTROL": str(self.folder), "KEEP": "3", **variables}
        command = ["bash", str(SCRIPT), str(self.nights), night, "logs"]
        found = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, cwd=self.folder)
        return found.returncode, found.stdout

    @property
    def calls(self):
        return [line.split(" ", 1)[1] for line in (self.folder / "calls").read_text().splitlines()]

    @property
    def served(self):
        """Content of the index that a server would read now, and the other files there."""
        index = self.nights / "served/serve/index"
        assert [path.name for path in index.iterdir()] == ["llm-blend-fused.parquet"]
        return (index / "llm-blend-fused.parquet").read_text().strip()

    @property
    def kept(self):
        return sorted(path.name for path in self.nights.iterdir() if path.is_dir() and not path.is_symlink())


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path)


def started_from(calls):
    return re.findall(r"^sft-\w+ --from (\S+)", "\n".join(calls), re.MULTILINE)


def test_seven_nights(nights):
    root = nights.nights
    status, told = nights.run("n1", PREPARE="--items items.csv")
    assert (status, nights.served) == (0, "n1")
    assert re.fullmatch(r"n1: served after \d+ s\n", told)
    assert nights.calls[0] == "prepare logs --append --items items.csv"
    assert started_from(nights.calls) == []
    assert not any(call.startswith("compare") for call in nights.calls)

    status, told = nights.run("n2", GATE="--max-lost 0.1", MIN_RECALL="0.9", GENERATOR="--epochs 2")
    assert (status, nights.served) == (0, "n2")
    assert re.fullmatch(r"n2: served after \d+ s, in place of n1\n", told)
    assert f"sft-gen --from {root}/n1/work --epochs 2" in nights.calls
    assert started_from(nights.calls) == [f"{root}/n1/work"] * 2
    index = "serve/index/llm-blend-fused.parquet"
    assert [call for call in nights.calls if call.startswith("compare")] == [
        f"compare {root}/n1/work {root}/n2/work --model llm-blend --data fused --min-recall 0.9 --max-lost 0.1",
        f"compare {root}/n1/{index} {root}/n2/{index} --max-lost 0.1",
    ]

    status, told = nights.run("n3", kill="refit")  # killed: nobody is told, the former index stays
    assert (status, told, nights.served) == (-9, "", "n2")
    status, told = nights.run("n3")
    assert (status, nights.served) == (0, "n3")
    assert started_from(nights.calls) == [f"{root}/n2/work"] * 2

    status, told = nights.run("n4", fail="compare")
    assert (status, nights.served) == (1, "n3")
    assert re.fullmatch(rf"n4: failed in compare after \d+ s, n3 is served; see {root}/n4.log\n", told)
    assert nights.run("n4", fail="compare")[0] == 1  # it does not pass by being run again

    status, told = nights.run("n5", fail="sft-disc")
    assert (status, nights.served) == (1, "n3")
    assert "failed in sft-disc" in told

    status, told = nights.run("n6")  # what failed is nobody's base
    assert (status, nights.served) == (0, "n6")
    assert started_from(nights.calls) == [f"{root}/n3/work"] * 2
    assert nights.kept == ["n3", "n4", "n5", "n6"]  # the latest three, and what was served before

    status, told = nights.run("n7", ANEW="1")
    assert (status, nights.served, started_from(nights.calls)) == (0, "n7", [])
    assert nights.kept == ["n5", "n6", "n7"]
    assert not (root / "n3.log").exists()
    assert nights.run("n7") == (0, "n7: is served\n")
    assert (root / "n6" / index).read_text() == "n6\n"  # nights share files, and none changed another's


def test_a_killed_copy_and_a_failed_publication(nights):
    assert nights.run("n1")[0] == 0
    (nights.nights / ".begun/half").mkdir(parents=True)
    status, told = nights.run("n2", PUBLISH="false")
    assert (status, nights.served) == (1, "n1")
    assert "failed in publishing" in told
    assert not (nights.nights / "n2/half").exists()
    status, told = nights.run("n2", PUBLISH=f"cp -r -t {nights.folder}")
    assert (status, nights.served) == (0, "n2")
    assert (nights.folder / "serve/index/llm-blend-fused.parquet").read_text() == "n2\n"


def test_two_at_once(nights):
    nights.nights.mkdir()
    with (nights.nights / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        status, told = nights.run("n1")
    assert (status, told) == (1, f"n1: not begun, another night is at work in {nights.nights}\n")
    assert not (nights.nights / "n1").exists()


def test_usage(nights):
    found = subprocess.run(["bash", str(SCRIPT), "nights"], check=False, capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr.startswith("nightly.sh NIGHTS NIGHT LOG...")


def steps(**variables):
    """The script's commands, its variables filled in."""
    for line in re.findall(r"^ *step (.*)$", SCRIPT.read_text(), re.MULTILINE):
        words: list[str] = []
        for word in shlex.split(line):
            if alone := re.fullmatch(r"\$\{?(@|\w+)(\[@\])?(:-)?\}?", word):
                words += variables[alone[1]]
            else:
                words.append(re.sub(r"\$(\w+)", lambda name: variables[name[1]][0], word))
        yield words


def test_the_commands_of_a_night_do_what_they_are_to_do(pipeline, shop, tmp_path):
    """The second night, on the first one's log and a day of new users, old users and a new item."""
    yesterday, here = tmp_path / "n1/work", tmp_path / "n2"
    for folder in ("prepare", "sft-gen", "sft-disc", "synthesize", "filter", "fuse"):
        shutil.copytree(pipeline / folder, yesterday / folder)
        shutil.copytree(pipeline / folder, here / "work" / folder)
    log = pl.read_parquet(shop / "interactions.parquet")
    latest = int(log["timestamp"].max())  # type: ignore[arg-type]
    day = log.group_by("user_id", maintain_order=True).tail(4).head(80)
    day = day.with_columns(
        user_id=pl.when(pl.int_range(pl.len()) < 40).then("user_id").otherwise(pl.lit("new-") + pl.col("user_id")),
        item_id=pl.when(pl.int_range(pl.len()) % 4 == 1).then(pl.lit("a new item")).otherwise("item_id"),
        timestamp=latest + pl.int_range(pl.len()),
    )
    day.write_parquet(tmp_path / "day.parquet")
    tiny = ["--batch-size", "16", "--epochs"]
    commands = steps(
        **{"@": [str(tmp_path / "day.parquet")], "from": ["--from", str(yesterday)], "PREPARE": [], "FILTER": []},
        GENERATOR=[*tiny, "1"],
        DISCRIMINATOR=[*tiny, "1", "--negatives-per-positive", "3"],
        SYNTHESIZE=["--recall-number", "8"],
        FUSE=["--recall-number", "3", "--no-tune"],
        GATE=["--min-overlap", "0"],
        recall=["--min-recall", "1"],  # last night's index is this night's, so that it is known to be the same
        here=[str(here)],
        index=["index/llm-blend-fused.parquet"],
        nights=[str(tmp_path)],
        last=["n2"],
        LLMI2I_WORKDIR=[str(here / "work")],
    )
    for command in commands:
        where = () if command[0] == "compare" else ("-w", here / "work")
        assert run(*command, *where) == 0, command
        if "--min-recall" in command:
            assert run(*command, "--min-recall", 1.1) == 1
    for work in (here / "work", here / "serve"):
        items = pl.read_parquet(work / "prepare/items.parquet")
        assert "a new item" in items["item_id"].to_list()
        tokens = pl.read_parquet(work / "sft-gen/model/item_tokens.parquet")
        assert tokens["item_id"].to_list() == items["item_id"].to_list()
        about = read_json(work / "sft-gen/manifest.json")
        assert about["options"]["earlier"] == str(yesterday)
        assert f"{yesterday}/sft-gen/model/model.safetensors" in about["inputs"]
        about = read_json(work / "sft-disc/manifest.json")
        assert f"{yesterday}/sft-disc/held-back/model/model.safetensors" in about["inputs"]
        assert f"{yesterday}/sft-gen/model/model.safetensors" not in about["inputs"]  # it knows what is held back
        assert json.loads((work / "prepare/log/cuts.json").read_text())[1]["n_rows"] == len(day)
    served = pl.read_parquet(here / "serve/index/llm-blend-fused.parquet")
    assert set(served["item_id"]) <= set(items["item_id"])
    assert read_json(here / "serve/prepare/manifest.json")["summary"]["test"] == 0
    assert read_json(here / "work/prepare/manifest.json")["summary"]["test"] > 0
