"""The page of results from made-up artifacts, and the candidates that stand in for the generator's."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_histories, read_item_ids, read_user_ids
from llmi2i_cli.artifacts.schemas import CANDIDATES
from tests.conftest import run

FOLDER = Path(__file__).parents[1] / "examples" / "paper"
COUNTS = ("0", "1", "2-5", "6-20", "21+")


@pytest.fixture(scope="module")
def paper():
    """A function: a script of examples/paper as a module."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


def evaluated(seed, setting, name, hits):
    """What `evaluate` leaves of a table: of each user 1 for a hit, in the long tail half of the recall."""
    folder = seed / setting / "evaluate"
    folder.mkdir(parents=True, exist_ok=True)
    recall = float(np.mean(hits))
    figures = {f"{metric}@{k}": recall for metric in ("recall", "ndcg") for k in (5, 10)}
    users = pl.DataFrame({"user_id": [f"u{n}" for n in range(len(hits))], "recall@10": [float(hit) for hit in hits]})
    users.reverse().write_parquet(folder / f"{name}-test.users.parquet")
    report = {
        "metrics": {"all": figures, "long_tail": dict.fromkeys(figures, recall / 2), "other": figures},
        "by_train_count": {
            "targets": dict.fromkeys(COUNTS, 2),
            "metrics": {count: {"recall@10": recall if count != "0" else None} for count in COUNTS},
        },
        "rankings": {"retrieved_items": 100 * recall},
    }
    (folder / f"{name}-test.json").write_text(json.dumps(report))
    latency = {"latency": {name.rsplit("-", 1)[1]: {"p50_ms": 0.25, "p99_ms": 0.5}}}
    (folder / f"{name}-test.manifest.json").write_text(json.dumps(latency))


def chosen(seed, setting, name, recall):
    """What `train-i2i --tune` tells of its validation."""
    folder = seed / setting / "i2i"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.manifest.json").write_text(json.dumps({"validation_recall_at_10": recall}))


def fused(seed, setting, n_added):
    """The manifest of `fuse`."""
    (seed / setting / "fuse").mkdir(parents=True)
    told = json.dumps({"sources": {"real": 4, "synthetic": n_added}})
    (seed / setting / "fuse/manifest.json").write_text(told)


def swept(seed, setting):
    """What else `fuse` leaves, and the items."""
    folder = seed / setting / "fuse"
    sweep = pl.DataFrame(
        [
            (0, "rank", 0.0, "append", "one", 0.0, 0.01),
            (1, "rank", 0.0, "append", "one", 0.0, 0.02),
            (1, "rank", 0.5, "append", "one", 0.0, 0.025),
            (5, "confidence", 0.5, "append", "one", 0.0, 0.04),
            (5, "random", 0.0, "append", "one", 0.0, 0.015),
            (1, "rank", 0.0, "append", "confidence", 0.0, 0.05),  # later rounds are not of the figure
            (1, "rank", 0.0, "pseudo-user", "one", 0.0, 0.06),
        ],
        schema=("recall_number", "order", "min_confidence", "strategy", "weight", "drop_real", "valid_recall@10"),
        orient="row",
    )
    sweep.write_parquet(folder / "sweep.parquet")
    log = {"item_id": ["a", "a", "b", "c"], "source": ["real", "real", "real", "synthetic"]}
    pl.DataFrame(log).write_parquet(folder / "interactions.parquet")
    (seed / setting / "prepare").mkdir()
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "train_count": [2, 1, 0]})
    items.write_parquet(seed / setting / "prepare/items.parquet")


@pytest.fixture
def work(tmp_path):
    """Two seeds of a log called amazon-toys, with the figures of a few settings."""
    for name, better in (("42", 0), ("43", 1)):
        seed = tmp_path / "work" / "amazon-toys" / name
        evaluated(seed, "base", "swing-real", [1, 0, 0, 0])
        evaluated(seed, "base", "bm25-real", [1, 0, 0, 0])
        evaluated(seed, "base", "blend-real", [1, 1, 0, 0])
        evaluated(seed, "llm-i2i", "swing-fused", [1, 1, better, 0])
        evaluated(seed, "no-discriminator", "swing-fused", [1, 1, 1, 1])
        evaluated(seed, "no-threshold", "swing-fused", [1, 0, 0, 0])
        evaluated(seed, "random-swing", "swing-fused", [0, 1, 0, 0])
        evaluated(seed, "another-user-swing", "swing-fused", [1, 1, 0, 0])
        chosen(seed, "base", "swing-real", 0.3)
        chosen(seed, "base", "blend-real", 0.2)
        chosen(seed, "base", "bm25-real", 0.1)
        for setting in ("llm-i2i", "no-discriminator", "random-swing", "another-user-swing"):
            fused(seed, setting, 3)
        swept(seed, "llm-i2i")
        (seed / "base/prepare").mkdir()
        summary = {"users": 4, "items": 3, "interactions": 1234, "long_tail_items": 2}
        (seed / "base/prepare/manifest.json").write_text(json.dumps({"summary": summary}))
    return tmp_path / "work"


@pytest.fixture
def printed(tmp_path):
    """A few figures of a paper."""
    path = tmp_path / "printed.tsv"
    rows = [
        ("1", "Toys And Games", "", "", "", "users", "35598"),
        ("2", "Toys And Games", "Swing", "No", "all", "Recall@10", "0.0600"),
        ("2", "Toys And Games", "Swing", "LLM-I2I", "all", "Recall@10", "0.0750"),
        ("5", "Toys And Games", "LLM-I2I", "", "all", "Recall@10", "0.0750"),
        ("5", "Toys And Games", "w/o LLM-based discriminator", "", "all", "Recall@10", "0.0700"),
        ("5", "Toys And Games", "w/o threshold filter", "", "all", "Recall@10", "0.0700"),
    ]
    header = "table\tdataset\tbackbone_or_method\taugmentation\tgroup\tmetric\tvalue\n"
    path.write_text(header + "".join("\t".join(row) + "\n" for row in rows))
    return path


def rows_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def only(rows, *start):
    """The one row that begins so."""
    [row] = [row for row in rows if tuple(row[: len(start)]) == start]
    return row


def test_the_page_of_results(paper, work, printed, tmp_path):
    results = paper("results")
    text = results.page(work, tmp_path, paper("printed").Printed.read(printed))
    rows = rows_of(text)
    assert only(rows, "amazon-toys", "users") == ["amazon-toys", "users", "4", "35598"]
    assert only(rows, "amazon-toys", "interactions")[2:] == ["1,234", ""]

    ours = only(rows, "amazon-toys", "Swing", "ours", "LLM-I2I")
    assert ours[5] == "0.6250 ± 0.1768"  # .5 and .75
    assert ours[8].startswith("+150.0% (")
    assert ours[8].endswith("; seeds +100.0% .. +200.0%)")
    assert ours[9] == "`llm-i2i/evaluate/swing-fused-test.json`"
    assert only(rows, "amazon-toys", "Swing", "printed", "LLM-I2I")[5:9] == ["0.0750", "", "", "+25.0%"]
    assert only(rows, "amazon-toys", "Swing", "ours", "No")[5] == "0.2500"  # no spread where seeds agree

    assert only(rows, "amazon-toys", "long tail", "LLM-I2I", "ours")[5] == "0.3125 ± 0.0884"
    assert only(rows, "amazon-toys", "ours", "w/o threshold filter")[7].startswith("-0.3750 (")
    assert only(rows, "amazon-toys", "ours", "w/o threshold filter")[8] == "agrees"
    assert only(rows, "amazon-toys", "ours", "w/o LLM-based discriminator")[8] == "does not agree"
    assert only(rows, "Toys And Games", "printed", "w/o threshold filter")[7] == "-0.0050"

    assert only(rows, "amazon-toys", "LLM-I2I", "62.5") == [
        "amazon-toys",
        "LLM-I2I",
        "62.5",
        "+150.0%",
        "0.250",
        "0.500",
    ]
    assert only(rows, "amazon-toys", "1", "2")[3:] == ["0.2500", "0.6250", "33.3%", "0.0%"]
    assert only(rows, "amazon-toys", "0", "2")[3:] == ["0.0000", "0.0000", "0.0%", "100.0%"]
    assert only(rows, "amazon-toys", "rank", "1")[3:] == ["0.0200", "0.0250"]
    assert only(rows, "amazon-toys", "confidence", "5")[3:] == ["", "0.0400"]
    for plot in ("popularity", "figure-5"):
        assert (tmp_path / f"plots/amazon-toys-{plot}.png").read_bytes()[1:4] == b"PNG"


def test_the_sceptics_table(paper, work, tmp_path):
    text = paper("results").page(work, tmp_path, paper("printed").Printed())
    rows = rows_of(text)
    assert "printed" not in {row[2] for row in rows if len(row) > 2}
    # Swing is the best rival on validation, whatever test says.
    assert only(rows, "amazon-toys", "Swing", "0.3000")[6] == "the best rival"
    assert only(rows, "amazon-toys", "BM25 + text", "0.2000")[6].startswith("+100.0% (")
    assert only(rows, "amazon-toys", "Swing, fused")[6].startswith("+150.0% (")
    assert "- **amazon-toys**: the best rival is Swing, 0.2500." in text  # the served table was not run
    random = only(rows, "amazon-toys", "Swing", "random items")
    assert random[5] == "0.2500"
    assert random[6].startswith("+0.0% (")
    assert random[7].startswith("+0.3750 (")
    ours = only(rows, "amazon-toys", "Swing", "the generator, judged by the discriminator")
    assert (ours[3], ours[5], ours[7]) == ("3", "0.6250 ± 0.1768", "")
    [line] = [line for line in text.splitlines() if line.startswith("- **amazon-toys, Swing**")]
    told = [part.split(" (")[0] for part in line.split(": ", 1)[1].split("; ")]
    assert told == [
        "+0.3750",
        "merely more rows +0.0000",
        "lists that belong together, whoever's +0.2500",
        "a list of the user's own +0.1250",
        "the discriminator -0.3750",
    ]
    assert "- **amazon-toys, BM25 + text**: not fused." in text
    [not_run] = [line for line in text.splitlines() if line.startswith("- **amazon-toys**: ") and "(Table 5)" in line]
    assert "w/o long-tail loss (Table 5)" in not_run
    assert "Swing with candidates from LLM-CF" in not_run
    assert "w/o threshold filter" not in not_run
    assert not_run.endswith("; refitted.")


def test_what_some_seeds_have_alone_is_told(paper, work, printed, tmp_path):
    with printed.open("a") as file:
        file.write("5\tToys And Games\tw/o LLM-based generator\t\tall\tRecall@10\t0.0700\n")
    evaluated(work / "amazon-toys/42", "no-generator", "swing-fused", [1, 1, 1, 0])
    rows = rows_of(paper("results").page(work, tmp_path, paper("printed").Printed.read(printed)))
    row = only(rows, "amazon-toys", "ours", "w/o LLM-based generator")
    assert row[9] == "`no-generator/evaluate/swing-fused-test.json` (seed 42)"
    assert row[7].startswith("+0.2500 (")  # beside the same seed's, .5, not beside the mean of both
    assert row[8] == "does not agree"


def test_without_a_study_there_is_no_page(paper, tmp_path):
    with pytest.raises(SystemExit, match="has no study: run `make -C examples/paper"):
        paper("results").page(tmp_path, tmp_path, paper("printed").Printed())


# --- candidates from elsewhere ---------------------------------------------------------------------------------------


def listed(frame, workdir):
    """Item rows of each user, by rank; checks that the table is one of candidates."""
    assert frame.select(list(CANDIDATES)).columns == frame.columns
    user_ids, item_ids = read_user_ids(workdir).to_list(), read_item_ids(workdir).to_list()
    users = {user: place for place, user in enumerate(user_ids)}
    items = {item: place for place, item in enumerate(item_ids)}
    found = {}
    for (user,), rows in frame.group_by("user_id", maintain_order=True):
        assert rows["rank"].to_list() == list(range(1, len(rows) + 1))
        found[users[str(user)]] = [items[item] for item in rows["item_id"]]
    return found


def test_random_candidates_are_new_to_the_user(paper, pipeline):
    train = read_histories(pipeline)
    frame = paper("sources").candidates("random", pipeline)
    for user, items in listed(frame, pipeline).items():
        assert len(set(items)) == len(items) == min(30, train.n_items - len(set(train.row(user).tolist())))
        assert not set(items) & set(train.row(user).tolist())
    assert frame["logprob"].to_list() == pytest.approx([-np.log(train.n_items)] * len(frame))


def test_another_users_candidates(paper, pipeline):
    train = read_histories(pipeline)
    made = listed(pl.read_parquet(pipeline / "synthesize/candidates.parquet"), pipeline)
    found = listed(paper("sources").candidates("another-user", pipeline), pipeline)
    lists = [frozenset(items) for items in made.values()]
    for user, items in found.items():
        assert not set(items) & set(train.row(user).tolist())
        givers = [other for other, theirs in made.items() if [i for i in theirs if i not in train.row(user)] == items]
        assert set(givers) - {user} or lists.count(frozenset(made[user])) > 1
    assert len(found) >= len(made) - 1


def test_the_tables_own_list(paper, pipeline, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(pipeline / "prepare", work / "prepare")
    for command in (("text",), ("bm25",), ("blend",)):
        assert run("train-i2i", "--model", *command, "-w", work) == 0
    sources = paper("sources")
    with pytest.raises(SystemExit, match="run `llmi2i evaluate --model blend"):
        sources.candidates("table", work)
    assert run("evaluate", "--model", "blend", "--recent", "3", "--decay", "0.5", "-w", work) == 0
    out = tmp_path / "candidates.parquet"
    sources.main(["table", str(work), str(out)])
    frame = pl.read_parquet(out)
    assert dict(frame.schema) == dict(CANDIDATES)
    train, item_ids = read_histories(work), read_item_ids(work).to_list()
    table = pl.read_parquet(work / "i2i/blend-real.parquet")
    scores = {(row[0], row[1]): row[2] for row in table.select("item_id", "neighbour_id", "score").iter_rows()}
    user, items = next(iter(listed(frame, work).items()))
    expected = dict.fromkeys(range(train.n_items), 0.0)
    for age, item in enumerate(train.row(user)[::-1][:3].tolist()):
        for other in expected:
            expected[other] += 0.5**age * scores.get((item_ids[item], item_ids[other]), 0.0)
    best = max((other for other in expected if other not in train.row(user)), key=expected.__getitem__)
    assert items[0] == best
    shares = np.exp(frame.filter(user_id=read_user_ids(work)[user])["logprob"].to_numpy())
    assert shares.sum() == pytest.approx(1)
    assert shares[0] / shares[-1] == pytest.approx(expected[best] / expected[items[-1]], rel=1e-3)


def test_make_studies_every_log_with_its_seeds():
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")
    logs = ["LOGS=amazon-office amazon-toys", "PRINTED=/p.tsv", "OUT=/out"]
    command = ["make", "-C", str(FOLDER), "-n", "DATA=/data", "WORK=/work", *logs]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line for line in shown if line.startswith(("bash study", "bash sim", "python"))] == [
        "bash study.sh /data/amazon-office /work/amazon-office/42 42",
        "bash study.sh /data/amazon-office /work/amazon-office/43 43",
        "bash study.sh /data/amazon-office /work/amazon-office/44 44",
        "bash study.sh /data/amazon-toys /work/amazon-toys/42 42",
        "bash simulated.sh /work/simulated/42 42",
        "python results.py /work /out --printed /p.tsv",
    ]
    refused = subprocess.run(["make", "-C", str(FOLDER), "-n"], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "say DATA=folder of the logs and WORK=work directory" in refused.stderr


def test_the_settings_begin_with_what_another_has(tmp_path):
    """Hard links: the same bytes, and what is written later in one is not in the other."""
    (tmp_path / "base/i2i").mkdir(parents=True)
    (tmp_path / "base/i2i/bm25-real.parquet").write_text("table")
    (tmp_path / "base/i2i/bm25-real.manifest.json").write_text("{}")
    (tmp_path / "base/i2i/swing-real.parquet").write_text("other")
    script = f"""
        set -euo pipefail
        source {FOLDER}/settings.sh
        cd {tmp_path}
        begin all base i2i
        begin all base i2i
        take one base i2i/bm25-real
        take one base i2i/bm25-real
    """
    subprocess.run(["bash", "-c", script], check=True)
    found = {name: sorted(path.name for path in (tmp_path / name / "i2i").iterdir()) for name in ("all", "one")}
    assert found == {
        "all": ["bm25-real.manifest.json", "bm25-real.parquet", "swing-real.parquet"],
        "one": ["bm25-real.manifest.json", "bm25-real.parquet"],
    }
    assert (tmp_path / "one/i2i/bm25-real.parquet").samefile(tmp_path / "base/i2i/bm25-real.parquet")
