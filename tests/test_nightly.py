"""examples/nightly.sh: what is served is always whole and the latest good night's, whatever happens in a night.

Seven nights run with a stand-in for the program, which shows what the script does in a moment; then a night runs with
the program itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import select
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
    mv "$3/index/.whole" "$3/index/${MODEL:-llm-blend}-fused.parquet"  # as the program does: replaced, never written to
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
    assert started_from(nights.calls) == [f"{root}/n1/work"] * 2  # what was trained anew, not what went on from that

    status, told = nights.run("n4", fail="compare")
    assert (status, nights.served) == (1, "n3")
    assert re.fullmatch(rf"n4: failed in compare after \d+ s, n3 is served; see {root}/n4.log\n", told)
    assert nights.run("n4", fail="compare")[0] == 1  # it does not pass by being run again

    status, told = nights.run("n5", fail="sft-disc")
    assert (status, nights.served) == (1, "n3")
    assert "failed in sft-disc" in told

    status, told = nights.run("n6")
    assert (status, nights.served) == (0, "n6")
    assert started_from(nights.calls) == [f"{root}/n1/work"] * 2
    assert nights.kept == [
        "n1",
        "n3",
        "n4",
        "n5",
        "n6",
    ]  # the latest three, the served one, its base

    status, told = nights.run("n7", ANEW_EVERY="4")  # nights that failed do not count: n1, n2, n3, n6
    assert (status, nights.served, started_from(nights.calls)) == (0, "n7", [])
    assert (root / "n7/base").read_text() == "n7 0\n"
    assert (root / "n6/base").read_text() == "n1 3\n"
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


def test_another_table_is_served(nights):
    assert nights.run("n1", MODEL="blend")[0] == 0
    assert nights.run("n2", MODEL="blend")[0] == 0
    for command in ("train-i2i", "evaluate", "export-index", "compare"):
        assert any(re.match(f"{command} .*--model blend --data fused", call) for call in nights.calls)
    assert (nights.nights / "served/serve/index/blend-fused.parquet").read_text() == "n2\n"
    assert not any("llm-blend" in call for call in nights.calls)


HANDED_OVER = """#!/usr/bin/env bash
# Hands its arguments to the process of the tests, which has the program in memory, and repeats its answer.
set -eu
printf '%s\\0' "$LLMI2I_WORKDIR" "$@" >"$CONTROL/asked"
{ read -r status; cat; } <"$CONTROL/answer"
exit "$status"
"""


class RealNights:
    """Nights with the program itself, which runs in this process."""

    def __init__(self, folder, monkeypatch):
        self.nights, self.folder, self.monkeypatch = folder / "nights", folder / "control", monkeypatch
        self.folder.mkdir()
        (self.folder / "llmi2i").write_text(HANDED_OVER)
        (self.folder / "llmi2i").chmod(0o755)
        for name in ("asked", "answer"):
            os.mkfifo(self.folder / name)

    def run(self, night, *logs, **variables):
        """One night; its exit status, its line, and the commands that the program was called with."""
        path = f"{self.folder}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "CONTROL": str(self.folder), **variables}
        command = ["bash", SCRIPT, self.nights, night, *logs]
        asked = os.open(self.folder / "asked", os.O_RDWR)
        calls = []
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as script:
            ended = os.pidfd_open(script.pid)
            while asked in select.select([asked, ended], [], [])[0]:
                workdir, *arguments = os.read(asked, 1 << 16).decode().split("\0")[:-1]
                calls.append(arguments[0])
                self.answer(workdir, arguments)
            told = script.communicate()[0]
        for each in (asked, ended):
            os.close(each)
        return script.returncode, told, calls

    def answer(self, workdir, arguments):
        self.monkeypatch.setenv("LLMI2I_WORKDIR", workdir)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = run(*arguments)
        (self.folder / "answer").write_text(f"{status}\n{said.getvalue()}")


TABLES = (("text",), ("bm25", "--data", "fused"), ("next-item",), ("llm-blend", "--data", "fused"))
INDEX = "index/llm-blend-fused.parquet"
SECRET = "s3cret"


def first_night(night, pipeline):
    """As the script leaves it, only that what is served has not been refitted."""
    for folder in ("prepare", "sft-gen", "sft-disc", "synthesize", "filter", "fuse"):
        shutil.copytree(pipeline / folder, night / "work" / folder)
    for table in TABLES:
        assert run("train-i2i", "--model", *table, "-w", night / "work") == 0
    served = ("--model", "llm-blend", "--data", "fused", "-w", night / "work")
    assert run("evaluate", *served, "--split", "valid") == 0
    assert run("export-index", *served) == 0
    (night / "serve/index").mkdir(parents=True)
    shutil.copy(night / "work" / INDEX, night / "serve" / INDEX)
    (night / "base").write_text(f"{night.name} 0\n")
    (night.parent / "served").symlink_to(night.name)


def next_day(shop):
    """Interactions of old users, of new ones, and with a new item."""
    log = pl.read_parquet(shop / "interactions.parquet")
    latest = int(log["timestamp"].max())  # type: ignore[arg-type]
    day = log.group_by("user_id", maintain_order=True).tail(4).head(80)
    return day.with_columns(
        user_id=pl.when(pl.int_range(pl.len()) < 40).then("user_id").otherwise(pl.lit("new-") + pl.col("user_id")),
        item_id=pl.when(pl.int_range(pl.len()) % 4 == 1).then(pl.lit("a new item")).otherwise("item_id"),
        timestamp=latest + pl.int_range(pl.len()),
    )


def test_a_night_with_the_program(pipeline, shop, tmp_path, monkeypatch):
    nights = RealNights(tmp_path, monkeypatch)
    root = nights.nights
    first_night(root / "n1", pipeline)
    next_day(shop).write_parquet(tmp_path / "day.parquet")
    before = (root / "n1/serve" / INDEX).read_bytes()
    tiny = "--batch-size 16 --epochs 1"
    options = {
        "GENERATOR": tiny,
        "DISCRIMINATOR": f"{tiny} --negatives-per-positive 3",
        "SYNTHESIZE": "--recall-number 8",
        "FUSE": "--recall-number 3 --no-tune",
        "GATE": "--min-overlap 0",
        "MIN_RECALL": "0.01",
    }
    redis = f"redis://:{SECRET}@127.0.0.1:1/0"
    publish = f"llmi2i export-index --model llm-blend --data fused --to {redis} -w"

    status, told, calls = nights.run("n2", tmp_path / "day.parquet", **options, PUBLISH=publish)
    assert (status, calls[-3:]) == (1, ["compare", "compare", "export-index"])
    assert re.fullmatch(rf"n2: failed in publishing after \d+ s, n1 is served; see {root}/n2.log\n", told)
    assert "Error: redis://127.0.0.1:1/0: " in (root / "n2.log").read_text()
    assert (root / "served/serve" / INDEX).read_bytes() == before
    trained = {path: path.read_bytes() for path in root.glob("n2/*/*/*manifest.json")}

    status, told, calls = nights.run("n2", tmp_path / "day.parquet", **{**options, "MIN_RECALL": "20"})
    assert (status, calls.count("compare")) == (1, 1)
    assert "n2: failed in compare after" in told
    assert (root / "served/serve" / INDEX).read_bytes() == before

    status, told, _ = nights.run("n2", tmp_path / "day.parquet", **options)
    assert (status, (root / "served").resolve()) == (0, root / "n2")
    assert re.fullmatch(r"n2: served after \d+ s, in place of n1\n", told)
    assert (root / "n1/serve" / INDEX).read_bytes() == before
    assert {path: path.read_bytes() for path in trained} == trained  # nothing was made twice
    assert not any(SECRET in path.read_text(errors="replace") for path in root.rglob("*") if path.is_file())
    assert_goes_on(root / "n2", root / "n1/work", n_new=80)


def assert_goes_on(night, earlier, *, n_new):
    """The night's models come from the earlier ones and know the new item; what is served was trained on all of it."""
    for work in (night / "work", night / "serve"):
        items = pl.read_parquet(work / "prepare/items.parquet")
        assert "a new item" in items["item_id"].to_list()
        tokens = pl.read_parquet(work / "sft-gen/model/item_tokens.parquet")
        assert tokens["item_id"].to_list() == items["item_id"].to_list()
        about = read_json(work / "sft-gen/manifest.json")
        assert about["options"]["earlier"] == str(earlier)
        assert f"{earlier}/sft-gen/model/model.safetensors" in about["inputs"]
        about = read_json(work / "sft-disc/manifest.json")
        assert f"{earlier}/sft-disc/held-back/model/model.safetensors" in about["inputs"]
        assert f"{earlier}/sft-gen/model/model.safetensors" not in about["inputs"]  # it knows what is held back
        assert json.loads((work / "prepare/log/cuts.json").read_text())[1]["n_rows"] == n_new
        assert set(pl.read_parquet(work / INDEX)["item_id"]) <= set(items["item_id"])
    assert read_json(night / "serve/prepare/manifest.json")["summary"]["test"] == 0
    assert read_json(night / "work/prepare/manifest.json")["summary"]["test"] > 0
