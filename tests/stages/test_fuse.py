"""`llmi2i fuse` on a small prepared log with made-up verdicts."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_catalogue, read_fused, read_histories
from llmi2i_cli.artifacts.schemas import FUSED, SCORED, SCORED_REAL
from llmi2i_cli.choices.fuse_options import FuseOptions
from llmi2i_cli.data.fusion_logs import Logs
from llmi2i_cli.errors import UsageError
from llmi2i_cli.evaluation.served_model import ServedModel, Worth
from llmi2i_cli.evaluation.validation import Lookup, read_held_out
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.i2i.training import Job
from llmi2i_cli.llm.item_states import ItemStates
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.stages import fuse as stage
from llmi2i_cli.stages.status import status
from tests.conftest import run


@pytest.fixture
def workdir(prepared, tmp_path):
    """prepare/ and a filter/scored.parquet whose candidates hold some users' validation item."""
    shutil.copytree(prepared, tmp_path / "work")
    rng = random.Random(3)
    log = pl.read_parquet(prepared / "prepare/interactions.parquet")
    items = pl.read_parquet(prepared / "prepare/items.parquet")["item_id"].to_list()
    rows = []
    for number, ((user,), history) in enumerate(log.group_by("user_id", maintain_order=True)):
        if number % 5 == 0:
            continue  # a user without candidates
        held_out = history.filter(split="valid")["item_id"].to_list()
        seen = set(history.filter(split="train")["item_id"])
        others = [item for item in rng.sample(items, 7) if item not in seen and item not in held_out]
        listed = [*others[:2], *(held_out if number % 2 else []), *others[2:]][:6]
        for rank, item in enumerate(listed, start=1):
            confidence = rng.random() / 2 + (0.5 if item in held_out else 0.0)
            rows.append(
                (user, item, rank, -float(rank), "Yes" if confidence > 0.5 else "No", confidence, confidence > 0.5)
            )
    (tmp_path / "work/filter").mkdir()
    frame = pl.DataFrame(rows, schema=list(SCORED), orient="row")
    write_table(frame, tmp_path / "work/filter/scored.parquet", SCORED)
    return tmp_path / "work"


def fused(workdir):
    return pl.read_parquet(workdir / "fuse/interactions.parquet")


def train_rows(workdir):
    return pl.read_parquet(workdir / "prepare/interactions.parquet").filter(split="train").drop("split")


def manifest(workdir):
    found = read_manifest(workdir / "fuse/manifest.json")
    assert found is not None
    return found


@pytest.mark.parametrize("strategy", ["append", "pseudo-user"])
def test_untuned_it_fuses_what_filter_kept(workdir, strategy):
    assert run("fuse", "--no-tune", "--strategy", strategy, "-w", workdir) == 0
    table = fused(workdir)
    assert table.schema == pl.Schema(FUSED)
    real = table.filter(source="real")
    assert real.select("user_id", "item_id", "timestamp").equals(train_rows(workdir))
    assert (real["origin_user_id"] == real["user_id"]).all()
    kept = pl.read_parquet(workdir / "filter/scored.parquet").filter("keep")
    synthetic = table.filter(source="synthetic")
    assert synthetic.select("origin_user_id", "item_id").rows() == kept.select("user_id", "item_id").rows()
    assert synthetic["weight"].to_list() == kept["confidence"].to_list()
    assert set(table.filter(pl.col("source") != "synthetic")["weight"]) == {1.0}
    copied = table.filter(source="copied")
    if strategy == "append":
        assert copied.is_empty()
        assert (synthetic["user_id"] == synthetic["origin_user_id"]).all()
    else:
        of_kept = train_rows(workdir).filter(pl.col("user_id").is_in(kept["user_id"].implode()))
        assert copied.select(pl.col("origin_user_id").alias("user_id"), "item_id", "timestamp").equals(of_kept)
        assert not set(table.filter(pl.col("source") != "real")["user_id"]) & set(train_rows(workdir)["user_id"])
    assert not (workdir / "fuse/sweep.parquet").exists()
    facts = manifest(workdir)
    assert facts["sources"] == dict(table["source"].value_counts().iter_rows())
    assert facts["outputs"]["interactions.parquet"]["rows"] == len(table)
    assert facts["choice"] == {
        "strategy": strategy, "order": "rank", "recall_number": 6, "min_confidence": None, "copied_history": None,
        "weight": "confidence", "drop_real": 0.0,
    }  # fmt: skip


def test_options_override_keep(workdir):
    scored = pl.read_parquet(workdir / "filter/scored.parquet")
    options = ("--recall-number", 2, "--min-confidence", 0.3, "--order", "confidence", "--strategy", "append")
    assert run("fuse", "--no-tune", *options, "-w", workdir) == 0
    first = scored.sort("confidence", descending=True, maintain_order=True).group_by("user_id").head(2)
    expected = scored.join(first, on=["user_id", "item_id"], how="semi", maintain_order="left")
    expected = expected.filter(pl.col("confidence") >= 0.3)
    found = fused(workdir).filter(source="synthetic")
    assert found.select("user_id", "item_id").rows() == expected.select("user_id", "item_id").rows()
    assert run("fuse", "--no-tune", *options, "--weight", "one", "-w", workdir) == 0
    assert set(fused(workdir)["weight"]) == {1.0}


def test_a_pseudo_user_copies_the_latest_interactions(workdir):
    assert run("fuse", "--no-tune", "--copied-history", 2, "-w", workdir) == 0
    kept = pl.read_parquet(workdir / "filter/scored.parquet").filter("keep")["user_id"].unique().implode()
    latest = train_rows(workdir).filter(pl.col("user_id").is_in(kept)).group_by("user_id", maintain_order=True).tail(2)
    copied = fused(workdir).filter(source="copied")
    assert copied.select(pl.col("origin_user_id").alias("user_id"), "item_id").equals(
        latest.select("user_id", "item_id")
    )


def test_a_copied_history_contradicts_append(workdir, capsys):
    assert run("fuse", "--strategy", "append", "--copied-history", 2, "-w", workdir) == 2
    assert "--strategy append copies no history: leave out --copied-history" in capsys.readouterr().err


def test_without_any_candidate_it_is_the_real_log(workdir):
    path = workdir / "filter/scored.parquet"
    write_table(pl.read_parquet(path).clear(), path, SCORED)
    for tune in ("--tune", "--no-tune"):
        assert run("fuse", tune, "-w", workdir) == 0
        assert fused(workdir).select("user_id", "item_id", "timestamp").equals(train_rows(workdir))
        assert set(fused(workdir)["source"]) == {"real"}


def test_tuning_takes_the_best_point_of_the_sweep(workdir):
    assert run("fuse", "--strategy", "pseudo-user", "--model", "swing", "-w", workdir) == 0
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    deepest = pl.read_parquet(workdir / "filter/scored.parquet")["rank"].max()
    assert set(sweep["recall_number"]) == {0, 1, 3, 5, deepest}
    assert sweep["min_confidence"].n_unique() == 4
    assert set(sweep["strategy"]) == {"pseudo-user"}
    assert set(sweep["copied_history"]) == {5, None}
    assert set(sweep["order"]) == {"rank", "confidence", "random"}
    assert set(sweep["weight"]) == {"one", "confidence"}
    assert set(sweep["drop_real"]) == {0.0}
    chosen = sweep.filter("chosen")
    assert len(chosen) == 1
    alone = sweep.filter(recall_number=0)["valid_recall@10_tail"].item()
    no_control = sweep.filter(pl.col("order") != "random", pl.col("valid_recall@10_tail") >= alone)
    assert chosen["valid_recall@10"].item() == no_control["valid_recall@10"].max()
    equal = no_control.filter(pl.col("valid_recall@10") == no_control["valid_recall@10"].max())
    assert chosen["candidates"].item() == equal["candidates"].min()
    choice = manifest(workdir)["choice"]
    assert set(choice) - set(sweep.columns) == {"judged_by"}
    for name in set(choice) - {"judged_by"}:
        assert choice[name] == chosen[name].item()
    synthetic = fused(workdir).filter(source="synthetic")
    assert len(synthetic) == chosen["candidates"].item()
    # The figure of the chosen point is that of a Swing trained on the table that was written.
    lookup, recall = served(workdir, "swing").recall(read_fused(workdir)[0], read_held_out(workdir, "valid"))
    assert recall == pytest.approx(choice["valid_recall@10"], abs=1e-12)
    tail = read_catalogue(workdir).train_counts <= 5
    worth = served(workdir, "swing").worth(read_fused(workdir)[0], read_held_out(workdir, "valid"), tail)
    assert worth == (lookup, recall, pytest.approx(choice["valid_recall@10_tail"], abs=1e-12))
    assert lookup == (choice["recent"], choice["decay"])
    assert choice["judged_by"] == served(workdir, "swing").described()
    assert manifest(workdir)["outputs"]["sweep.parquet"]["rows"] == len(sweep)
    shares = sweep["candidates"] / len(pl.read_parquet(workdir / "filter/scored.parquet"))
    assert np.allclose(sweep["share"], shares)


def test_what_is_given_is_not_tuned(workdir):
    given = ("--strategy", "append", "--recall-number", 3, "--min-confidence", 0.25, "--weight", "one")
    assert run("fuse", "--tune", *given, "-w", workdir) == 0
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    assert sweep.select("strategy", "order", "recall_number", "min_confidence", "weight").rows() == [
        ("append", "rank", 3, 0.25, "one"),
        ("append", "confidence", 3, 0.25, "one"),
        ("append", "random", 3, 0.25, "one"),
    ]
    assert sweep.schema["copied_history"] == pl.Int64  # also where no strategy has one


def test_orders_that_cannot_differ_are_tried_once(workdir):
    given = ("--strategy", "append", "--recall-number", 30, "--min-confidence", 0.25, "--weight", "one")
    assert run("fuse", "--tune", *given, "-w", workdir) == 0
    assert pl.read_parquet(workdir / "fuse/sweep.parquet")["order"].to_list() == ["rank"]
    assert run("fuse", "--tune", *given, "--order", "confidence", "-w", workdir) == 0
    assert pl.read_parquet(workdir / "fuse/sweep.parquet")["order"].to_list() == ["confidence"]


def test_a_random_order_is_chosen_only_where_it_is_given(workdir, monkeypatch):
    original = Logs.fused
    orders = []

    def noting(logs, choice):
        orders.append(choice.order)
        return original(logs, choice)

    monkeypatch.setattr(Logs, "fused", noting)
    monkeypatch.setattr(  # a log where chance does best
        ServedModel, "worth", lambda *_: Worth(Lookup(1, 1.0), 0.9 if orders[-1] == "random" else 0.1, 0.1)
    )
    assert run("fuse", "-w", workdir) == 0
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    assert sweep.filter(order="random")["valid_recall@10"].min() == 0.9
    assert sweep.filter("chosen")["order"].to_list() == ["rank"]
    assert run("fuse", "--order", "random", "-w", workdir) == 0
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    assert set(sweep["order"]) == {"random"}
    assert manifest(workdir)["choice"]["valid_recall@10"] == 0.9


def test_what_takes_from_the_tail_is_not_chosen(workdir, monkeypatch):
    original = Logs.fused
    candidates = []

    def noting(logs, choice):
        candidates.append(choice.recall_number)
        return original(logs, choice)

    def worth(*_):
        """The more candidates the better, but from the third on the tail pays for it."""
        number = candidates[-1]
        return Worth(Lookup(1, 1.0), 0.1 + number / 100, 0.2 if number <= tail_holds_until else 0.1)

    monkeypatch.setattr(Logs, "fused", noting)
    monkeypatch.setattr(ServedModel, "worth", worth)
    tail_holds_until: float = 3
    assert run("fuse", "-w", workdir) == 0
    assert manifest(workdir)["choice"]["recall_number"] == 3
    tail_holds_until = 0
    assert run("fuse", "-w", workdir, "--force") == 0
    assert manifest(workdir)["choice"]["recall_number"] == 0
    assert run("fuse", "--recall-number", 5, "-w", workdir) == 0  # as was asked for
    assert manifest(workdir)["choice"]["recall_number"] == 5
    tail_holds_until = np.nan  # no target of the tail: nothing can be taken from it
    monkeypatch.setattr(ServedModel, "worth", lambda *_: worth()._replace(tail_recall=np.nan))
    assert run("fuse", "-w", workdir) == 0
    assert manifest(workdir)["choice"]["recall_number"] > 5


def test_the_tail_is_what_prepare_was_asked_for_and_five_on_a_log_of_ones_own(workdir, monkeypatch):
    seen = []

    def worth(_, log, held_out, is_tail):
        seen.append(is_tail)
        return Worth(Lookup(1, 1.0), 0.5, 0.5)

    monkeypatch.setattr(ServedModel, "worth", worth)
    counts = read_catalogue(workdir).train_counts
    path = workdir / "prepare/manifest.json"
    asked = json.loads(path.read_text())
    asked["options"]["tail_max_count"] = 2
    path.write_text(json.dumps(asked))
    assert run("fuse", "-w", workdir) == 0
    assert (seen[-1] == (counts <= 2)).all()
    path.unlink()
    assert run("fuse", "--force", "-w", workdir) == 0
    assert (seen[-1] == (counts <= 5)).all()
    assert ((counts > 2) & (counts <= 5)).any()


def test_tuning_that_was_killed_trains_only_what_is_left(workdir, monkeypatch):
    original = ServedModel.worth
    trained: list[tuple] = []

    def counting(*arguments, stop_after, **options):
        if len(trained) == stop_after:
            raise KeyboardInterrupt
        trained.append(arguments)
        return original(*arguments, **options)

    options = ("--strategy", "append", "--order", "rank", "-w", workdir)
    monkeypatch.setattr(ServedModel, "worth", lambda *a, **k: counting(*a, stop_after=5, **k))
    assert run("fuse", *options) == 130
    assert not (workdir / "fuse/interactions.parquet").exists()
    [points] = (workdir / "fuse").glob(".partial-*/points.jsonl")
    lines = points.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    points.write_text("".join(lines[:4]) + lines[4][:20])  # the kill came while the fifth was written
    trained.clear()
    monkeypatch.setattr(ServedModel, "worth", lambda *a, **k: counting(*a, stop_after=-1, **k))
    assert run("fuse", *options) == 0
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    assert len(trained) == len(sweep) - 4
    resumed = {name: (workdir / "fuse" / name).read_bytes() for name in ("interactions.parquet", "sweep.parquet")}
    assert run("fuse", *options, "--force") == 0
    assert resumed == {name: (workdir / "fuse" / name).read_bytes() for name in resumed}


@pytest.fixture
def judged(workdir):
    """filter/scored-real.parquet: confidences at random, but none of one user's interactions is kept."""
    train = train_rows(workdir)
    lonely = pl.read_parquet(workdir / "filter/scored.parquet")["user_id"][0]
    rng = np.random.default_rng(0)
    table = train.with_columns(
        label=pl.lit("Yes"),
        confidence=pl.Series(rng.random(len(train)), dtype=pl.Float32),
        keep=pl.Series(rng.random(len(train)) < 0.8) & (pl.col("user_id") != lonely),
    ).with_columns(confidence=pl.when(user_id=lonely).then(0.0).otherwise("confidence"))
    write_table(table, workdir / "filter/scored-real.parquet", SCORED_REAL)
    return table


@pytest.mark.parametrize("strategy", ["append", "pseudo-user"])
@pytest.mark.parametrize("share", [None, 0.1])
def test_include_real_leaves_out_what_is_doubted(workdir, judged, strategy, share):
    options = ("--include-real", "--min-confidence", 0, "--strategy", strategy, "-w", workdir)
    assert run("fuse", "--no-tune", *options, *(() if share is None else ("--drop-real", share))) == 0
    n_dropped = round((share or 0.01) * len(judged))  # untuned 1%
    bar = judged["confidence"].sort()[n_dropped]
    left = judged.filter(pl.col("confidence") >= bar)
    assert len(left) == len(judged) - n_dropped
    table = fused(workdir)
    columns = ["user_id", "item_id", "timestamp"]
    assert table.filter(source="real").select(columns).equals(left.select(columns))
    assert manifest(workdir)["real_rows_removed"] == len(judged) - len(left)
    assert table.null_count().sum_horizontal().item() == 0
    # Of the user of whom nothing is left there is nothing to add to.
    candidates = pl.read_parquet(workdir / "filter/scored.parquet")
    assert candidates["user_id"][0] not in set(left["user_id"])
    expected = set(candidates["user_id"]) & set(left["user_id"])
    assert set(table.filter(source="synthetic")["origin_user_id"]) == expected
    assert run("fuse", "--no-tune", "-w", workdir) == 0
    assert manifest(workdir)["real_rows_removed"] == 0


def test_verdicts_on_another_log_are_refused(workdir, judged, capsys):
    write_table(judged.reverse(), workdir / "filter/scored-real.parquet", SCORED_REAL)
    assert run("fuse", "--include-real", "-w", workdir) == 1
    error = capsys.readouterr().err
    assert "scored-real.parquet judges another log than" in error
    assert "run `llmi2i filter --include-real" in error


def test_the_share_of_real_interactions_to_drop_is_tuned(workdir, judged):
    assert run("fuse", "--include-real", "--recall-number", 3, "-w", workdir) == 0
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    assert set(sweep["drop_real"]) == {0.0, 0.01, 0.02, 0.05, 0.1, 0.2}
    chosen = sweep.filter("chosen")
    assert chosen["valid_recall@10"].item() == sweep.filter(pl.col("order") != "random")["valid_recall@10"].max()
    assert manifest(workdir)["choice"]["drop_real"] == chosen["drop_real"].item()
    assert manifest(workdir)["real_rows_removed"] == round(chosen["drop_real"].item() * len(judged))
    _, recall = served(workdir, "blend").recall(read_fused(workdir)[0], read_held_out(workdir, "valid"))
    assert recall == pytest.approx(chosen["valid_recall@10"].item(), abs=1e-12)


def test_of_equal_points_the_one_that_drops_nothing_is_chosen(workdir, judged, monkeypatch):
    """Here dropping would also save candidates: those of a user who has nothing left."""
    monkeypatch.setattr(ServedModel, "worth", lambda *_: Worth(Lookup(1, 1.0), 0.5, 0.5))
    options = ("--recall-number", 3, "--min-confidence", 0, "--strategy", "append", "-w", workdir)
    assert run("fuse", "--include-real", *options) == 0
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    assert sweep.filter(drop_real=0.2)["candidates"].item() < sweep.filter("chosen")["candidates"].item()
    assert manifest(workdir)["choice"]["drop_real"] == 0


def test_a_second_run_does_nothing(workdir, capsys):
    assert run("fuse", "--no-tune", "-w", workdir) == 0
    capsys.readouterr()
    assert run("fuse", "--no-tune", "-w", workdir) == 0
    assert "fuse is up to date" in capsys.readouterr().err
    assert run("fuse", "--no-tune", "--recall-number", 2, "-w", workdir) == 0
    assert "up to date" not in capsys.readouterr().err


def test_histories_never_come_from_the_fused_log(workdir):
    before = read_histories(workdir)
    assert run("fuse", "--no-tune", "--min-confidence", 0, "-w", workdir) == 0
    after = read_histories(workdir)
    assert np.array_equal(before.items, after.items)
    assert read_catalogue(workdir).n_items == before.n_items


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--min-confidence", "1.5"), 2, "min-confidence"),
        (("--recall-number", "-1"), 2, "recall-number"),
        (("--strategy", "mix"), 2, "strategy"),
        (("--drop-real", "0.1"), 2, "--drop-real needs the verdicts on the real interactions: add --include-real"),
        (("--include-real",), 1, "filter/scored-real.parquet is missing: run `llmi2i filter --include-real -w"),
    ],
)
def test_mistakes_get_one_line(workdir, capsys, arguments, status, message):
    capsys.readouterr()
    assert run("fuse", *arguments, "-w", workdir) == status
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (workdir / "fuse").exists()


def test_a_program_is_told_of_options_out_of_range(workdir):
    from llmi2i_cli.errors import UsageError

    for options in ({"min_confidence": 1.5}, {"recall_number": -1}, {"drop_real": 1.0, "include_real": True}):
        with pytest.raises(UsageError):
            stage.fuse(workdir, options=FuseOptions(**options))


def test_tuning_without_a_validation_split(shop, tmp_path, capsys, workdir):
    other = tmp_path / "unsplit"
    assert run("prepare", shop / "interactions.parquet", "--split", "none", "-w", other) == 0
    shutil.copytree(workdir / "filter", other / "filter")
    capsys.readouterr()
    assert run("fuse", "--tune", "-w", other) == 1
    assert "has no validation split to tune on: use --no-tune" in capsys.readouterr().err
    assert not (other / "fuse").exists()
    assert run("fuse", "-w", other) == 0
    assert manifest(other)["choice"]["strategy"] == "pseudo-user"


def test_candidates_of_another_log_are_refused(workdir, capsys):
    path = workdir / "filter/scored.parquet"
    write_table(
        pl.read_parquet(path).with_columns(
            item_id=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("nowhere")).otherwise("item_id")
        ),
        path,
        SCORED,
    )
    capsys.readouterr()
    assert run("fuse", "-w", workdir) == 1
    assert "item_id 'nowhere' is not in prepare/: it belongs to another log" in capsys.readouterr().err


def test_the_sweep_holds_the_real_log_alone(workdir):
    assert run("fuse", "-w", workdir) == 0
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    alone = sweep.filter(recall_number=0)
    assert alone["candidates"].to_list() == [0]
    _, recall = served(workdir, "blend").recall(read_histories(workdir), read_held_out(workdir, "valid"))
    assert alone["valid_recall@10"].item() == pytest.approx(recall, abs=1e-12)


def served(workdir, model):
    """The model that judges, made again."""
    held_out, texts = read_held_out(workdir, "valid"), read_catalogue(workdir).texts
    return ServedModel.tuned(model, Job(read_histories(workdir), texts=texts), held_out)


def test_a_blend_with_the_generator_among_its_parts_judges(pipeline, tmp_path, capsys):
    workdir = tmp_path / "work"
    for folder in ("prepare", "sft-gen", "filter"):
        shutil.copytree(pipeline / folder, workdir / folder)
    assert run("fuse", "--model", "llm-blend", "--strategy", "append", "-w", workdir) == 0
    judge = manifest(workdir)["choice"]["judged_by"]
    assert judge["parts"] == "bm25,text,next-item"
    assert judge["next-item"].keys() == {"model", "power", "discount"}
    catalogue, held_out = read_catalogue(workdir), read_held_out(workdir, "valid")
    generator = ItemStates.load(workdir / "sft-gen/model", catalogue)
    job = Job(read_histories(workdir), texts=catalogue.texts, generator=generator)
    _, alone = ServedModel.tuned("llm-blend", job, held_out).recall(job.histories, held_out)
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet")
    assert sweep.filter(recall_number=0)["valid_recall@10"].to_list() == pytest.approx([alone], abs=1e-12)
    assert run("sft-gen", "--epochs", 1, "-w", workdir) == 0
    [row] = [row for row in status(workdir) if row["stage"] == "fuse"]
    assert (row["state"], row["why"].rpartition("/")[0]) == ("stale", "sft-gen/model")


def test_what_does_not_follow_from_the_log_judges_nothing(workdir):
    with pytest.raises(UsageError, match=r"^--model is one of swing, bm25, .*, llm-blend, whose .* not text$"):
        stage.fuse(workdir, options=FuseOptions(model="text"))
