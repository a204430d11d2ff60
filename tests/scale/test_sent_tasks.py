"""What other processes are sent of a stage's tasks: enough to give the same bytes, and little."""

from __future__ import annotations

import contextlib
import pickle
import shutil

import pytest

from llmi2i_cli.errors import UsageError
from llmi2i_cli.stages.evaluate import evaluate
from tests.conftest import TINY_STAGES, run

OPTIONS = {stage: options for stage, *options in TINY_STAGES}


def through_pickle(sizes):
    """A runner as a cluster is one: whoever does a task has got it, and what is to be done, as bytes."""

    @contextlib.contextmanager
    def runner(ray, *, on_gpus=False):
        assert ray == "somewhere"

        def run_tasks(do, tasks, on_done):
            sent = pickle.dumps(do)
            sizes.append(len(sent))
            worker = pickle.loads(sent)
            for task in pickle.loads(pickle.dumps(list(reversed(tasks)))):
                worker(task)
                on_done()

        yield run_tasks

    return runner


@pytest.mark.parametrize(
    ("stage", "module", "options", "outputs"),
    [
        ("synthesize", "synthesize", OPTIONS["synthesize"], ["synthesize/candidates.parquet"]),
        ("filter", "filter", ["--include-real"], ["filter/scored.parquet", "filter/scored-real.parquet"]),
        ("train-i2i", "train_i2i", ["--model", "bm25"], ["i2i/bm25-real.parquet"]),
        ("train-i2i", "train_i2i", ["--model", "text"], ["i2i/text-real.parquet"]),
        ("train-i2i", "train_i2i", ["--model", "swing", "--normalise"], ["i2i/swing-real.parquet"]),
        ("train-i2i", "train_i2i", ["--model", "swing", "--data", "fused", "--tune"], ["i2i/swing-fused.parquet"]),
    ],
)
def test_tasks_that_others_do_give_the_same_bytes(pipeline, tmp_path, monkeypatch, stage, module, options, outputs):
    workdir = tmp_path / "work"
    shutil.copytree(pipeline, workdir)
    assert run(stage, *options, "-w", workdir, "--force") == 0
    expected = [(workdir / output).read_bytes() for output in outputs]
    sizes: list[int] = []
    monkeypatch.setattr("llmi2i_cli.llm.generate.BLOCK_USERS", 64)
    monkeypatch.setattr("llmi2i_cli.stages.filter.USERS_PER_BLOCK", 64)
    monkeypatch.setattr("llmi2i_cli.i2i.row_ranges.ITEMS_PER_RANGE", 16)
    monkeypatch.setattr(f"llmi2i_cli.stages.{module}.runner", through_pickle(sizes))
    assert run(stage, *options, "-w", workdir, "--force", "--ray", "somewhere") == 0
    assert [(workdir / output).read_bytes() for output in outputs] == expected
    assert sizes
    assert max(sizes) < 2000
    assert not list(workdir.rglob(".partial-*"))


def test_rankings_that_others_do_give_the_same_figures(pipeline, tmp_path, monkeypatch):
    workdir = tmp_path / "work"
    shutil.copytree(pipeline, workdir)
    options = ("--model", "swing", "--data", "fused", "--baseline", "real")
    outputs = [workdir / f"evaluate/swing-fused-test.{ending}" for ending in ("json", "users.parquet")]
    expected = [path.read_bytes() for path in outputs]
    monkeypatch.setattr("llmi2i_cli.evaluation.retrieval_tasks.USERS_PER_BLOCK", 64)
    monkeypatch.setattr("llmi2i_cli.stages.evaluate.runner", through_pickle([]))
    assert run("evaluate", *options, "-w", workdir, "--force", "--ray", "somewhere") == 0
    assert [path.read_bytes() for path in outputs] == expected
    assert not list(workdir.rglob(".partial-*"))


def test_only_rankings_by_an_index_can_be_shared_out(pipeline):
    with pytest.raises(UsageError, match="--ray shares out rankings by an index"):
        evaluate(pipeline, model="generator", ray="somewhere")
