"""The page of a work directory, with all stages and with few; in a real browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
from matplotlib.image import imread

from llmi2i_cli.artifacts.schemas import FUSED
from llmi2i_cli.files.tables import write_table
from tests.conftest import run
from tests.report.test_page import text_of
from tests.stages.shop import write_log

EVIL = "<script>document.title='evil';throw/**/Error('evil')</script>"  # an id: of titles prepare strips tags
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A work directory without language models: BM25 on both logs; an id means harm. Not to be written to."""
    folder = tmp_path_factory.mktemp("evaluated")
    workdir = folder / "work"
    write_log(folder / "log.txt")
    log = re.sub(r"\bi12\b", lambda _: EVIL, (folder / "log.txt").read_text())
    (folder / "log.txt").write_text(log)
    assert run("prepare", folder / "log.txt", "--tail-max-count", 10, "-w", workdir) == 0
    train = pl.read_parquet(workdir / "prepare/interactions.parquet").filter(split="train").drop("split")
    real = train.with_columns(source=pl.lit("real"), weight=pl.lit(1.0), origin_user_id=pl.col("user_id"))
    pseudo = real.with_columns(user_id=pl.col("user_id") + "~1", source=pl.lit("copied"))
    generated = pseudo.group_by("user_id", maintain_order=True).last()
    generated = generated.with_columns(item_id=pl.lit(EVIL), source=pl.lit("synthetic"))
    (workdir / "fuse").mkdir()
    fused = pl.concat([part.select(list(FUSED)) for part in (real, pseudo, generated)])
    write_table(fused, workdir / "fuse/interactions.parquet", FUSED)
    for data in ("real", "fused"):
        assert run("train-i2i", "--model", "bm25", "--data", data, "-w", workdir) == 0
    assert run("evaluate", "--model", "bm25", "--data", "fused", "--baseline", "real", "-w", workdir) == 0
    return workdir


@pytest.fixture
def workdir(evaluated, tmp_path):
    return shutil.copytree(evaluated, tmp_path / "work")


def page_of(workdir, *options):
    assert run("report", "-w", workdir, *options) == 0
    return (workdir / "report/report.html").read_text(encoding="utf-8")


def test_a_page_of_all_stages(pipeline, tmp_path, capsys):
    workdir = shutil.copytree(pipeline, tmp_path / "work")
    capsys.readouterr()
    page = page_of(workdir)
    assert capsys.readouterr().out == f"{workdir}/report/report.html\n"
    told = json.loads((workdir / "evaluate/swing-fused-test.json").read_text())
    fused = json.loads((workdir / "fuse/manifest.json").read_text())
    text = text_of(page)
    before, now = (each["metrics"]["all"]["recall@10"] for each in (told["baseline"], told))
    assert (
        f"Swing, Recall@10, all targets {before:.4f} → {now:.4f} {told['gain']['all']['recall@10']:+.1%} over" in text
    )
    assert f"{told['by_train_count']['targets']['2-5']:,} " in text
    assert (
        f"{fused['sources']['synthetic']:,} generated interactions beside {fused['sources']['real']:,} recorded" in text
    )
    assert re.findall(r'<figure id="plot-([\w-]*)">', page) == ["gains", "recall-by-popularity", "recommended", "sweep"]
    assert page.count("<article>") == 20
    stages = re.findall(r'<tr><td class="left">([\w-]+)</td>', page[page.index('id="stages"') :])
    assert list(dict.fromkeys(stages)) == [
        *("prepare", "sft-gen", "sft-disc", "synthesize", "filter", "fuse", "train-i2i", "evaluate", "export-index")
    ]
    assert "Not shown" not in text


def test_a_page_of_prepare_alone(prepared, tmp_path):
    workdir = shutil.copytree(prepared, tmp_path / "work")
    page = page_of(workdir)
    summary = json.loads((workdir / "prepare/manifest.json").read_text())["summary"]
    text = text_of(page)
    assert f"{summary['users']:,} users {summary['items']:,} items {summary['interactions']:,} interactions" in text
    assert "Nothing was evaluated yet" in text
    assert "<svg" not in page


def test_what_does_not_mean_well_is_shown_as_text(workdir):
    page = page_of(workdir)
    assert "<script" not in page
    assert EVIL in text_of(page)


def test_a_page_is_made_anew_when_what_it_tells_has_changed_and_only_then(workdir, capsys):
    first = page_of(workdir)
    capsys.readouterr()
    assert page_of(workdir) == first
    assert capsys.readouterr().err == f"report is up to date ({workdir}/report)\n"
    assert run("evaluate", "--model", "bm25", "-w", workdir) == 0
    assert page_of(workdir).count('<td class="left">BM25</td>') == 2
    assert run("train-i2i", "--model", "bm25", "--k1", "0.3", "-w", workdir) == 0
    stale = text_of(page_of(workdir))
    assert "evaluate bm25 real test stale i2i/bm25-real.parquet changed" in stale
    assert state_of(workdir, capsys) == ("stale", "evaluate/bm25-real-test.json is stale")  # it tells of stale figures
    assert run("evaluate", "--model", "bm25", "-w", workdir) == 0
    assert run("evaluate", "--model", "bm25", "--data", "fused", "--baseline", "real", "-w", workdir) == 0
    assert state_of(workdir, capsys) == ("stale", "evaluate/bm25-real-test.manifest.json changed")
    page_of(workdir)
    assert state_of(workdir, capsys) == ("done", "")


def state_of(workdir, capsys):
    capsys.readouterr()
    assert run("status", "--json", "-w", workdir) == 0
    [row] = [row for row in json.loads(capsys.readouterr().out) if row["stage"] == "report"]
    return row["state"], row["why"]


def test_neighbours_whose_origin_is_not_known_are_said_to_be_missing(workdir):
    for model, *options in (["swing"], ["blend", "--parts", "bm25,swing"]):
        for data in ("real", "fused"):
            assert run("train-i2i", "--model", model, "--data", data, *options, "-w", workdir) == 0
    assert "before (Blend, real log) and after (Blend, fused log)" in text_of(page_of(workdir, "--model", "blend"))
    assert run("train-i2i", "--model", "bm25", "--k1", "0.3", "-w", workdir) == 0
    page = page_of(workdir, "--model", "blend")
    assert "Not shown: i2i/blend-real.parquet was made from other files (i2i/bm25-real.parquet changed)" in text_of(
        page
    )
    assert page.count("<article>") == 0
    assert "before (BM25, real log) and after (BM25, fused log)" in text_of(page_of(workdir))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--model", "text"], 2, "text does not read the log: there is nothing to compare"),
        (["-w", "nowhere"], 1, "run `llmi2i prepare INPUT... -w nowhere` first"),
    ],
)
def test_mistakes_get_one_line(evaluated, tmp_path, monkeypatch, capsys, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert run("report", "-w", evaluated, *arguments) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_shows_the_page_and_complains_of_nothing(workdir, tmp_path):
    page_of(workdir)
    image, complaints = browse(workdir / "report/report.html", tmp_path)
    assert complaints == []
    assert image.shape[:2] == (2000, 1000)
    top, bottom = image[:300], image[-300:]
    for part in (top, bottom):  # there is something to see on all of the page
        assert len(np.unique(part.reshape(-1, image.shape[2]), axis=0)) > 20
    broken = tmp_path / "broken.html"
    broken.write_text("<!doctype html><script>throw Error('broken')</script>")
    _, complaints = browse(broken, tmp_path)
    assert "broken" in complaints[0]  # a complaint would have been seen


def browse(page, folder):
    """The page as an image, (height, width, channels), and the lines of the browser's console."""
    shot = folder / "shot.png"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0")
    done = subprocess.run(
        [
            str(CHROMIUM),
            *options,
            f"--user-data-dir={folder / 'browser'}",
            "--window-size=1000,2000",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return imread(shot), [line for line in done.stderr.splitlines() if "CONSOLE" in line]
