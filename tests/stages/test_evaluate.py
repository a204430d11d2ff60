from __future__ import annotations

import json
from math import log2

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories
from llmi2i_cli.i2i.neighbour_table import read_neighbours
from llmi2i_cli.stages.status import status
from tests.evaluation.test_retrieve import plain_ranking
from tests.stages.shop import N_ITEMS, answer, prepare_shop, run, write_fused, write_log

TRAIN_COUNTS = {"0": (0, 0), "1": (1, 1), "2-5": (2, 5), "6-20": (6, 20), "21+": (21, 1e9)}


@pytest.fixture
def workdir(tmp_path):
    workdir = prepare_shop(tmp_path)
    write_fused(workdir)
    for data in ("real", "fused"):
        assert run("train-i2i", "--data", data, "--top-k", 10, "-w", workdir) == 0
    return workdir


def plain_recall(
    workdir, *, data="real", split="test", recent, k, decay=1.0, exclude_seen=True, wanted=lambda item: True
):
    """Recall@K by dictionaries and sets."""
    neighbours = read_neighbours(workdir, "swing", data, read_catalogue(workdir).ids)
    queries = read_histories(workdir, ("train",) if split == "valid" else ("train", "valid"))
    targets = read_histories(workdir, (split,))
    recalls = []
    for user in range(queries.n_users):
        relevant = {item for item in targets.row(user).tolist() if wanted(item)}
        if relevant:
            query = queries.row(user).tolist()
            exclude = set(query) if exclude_seen else set()
            ranked, _ = plain_ranking(neighbours, query, recent=recent, top_n=k, exclude=exclude, decay=decay)
            recalls.append(len(relevant & {item for item, _ in ranked}) / len(relevant))
    return sum(recalls) / len(recalls) if recalls else None


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_figures_equal_plain_ones(workdir, capsys, split, exclude_seen):
    seen = "--exclude-seen" if exclude_seen else "--keep-seen"
    asked = ["--split", split, "--recent", 3, "--decay", 1, "--k", 1, "--k", 10, seen]
    result = answer(capsys, "evaluate", *asked, "-w", workdir)
    options = {"split": split, "recent": 3, "exclude_seen": exclude_seen}
    long_tail, counts = read_catalogue(workdir).is_long_tail, read_catalogue(workdir).train_counts
    for k in (1, 10):
        metrics = {group: figures[f"recall@{k}"] for group, figures in result["metrics"].items()}
        assert metrics == pytest.approx(
            {
                "all": plain_recall(workdir, k=k, **options),
                "long_tail": plain_recall(workdir, k=k, wanted=lambda item: long_tail[item], **options),
                "other": plain_recall(workdir, k=k, wanted=lambda item: not long_tail[item], **options),
            }
        )
        recalls = {group: figures[f"recall@{k}"] for group, figures in result["by_train_count"]["metrics"].items()}
        assert recalls == pytest.approx(
            {
                group: plain_recall(workdir, k=k, **options, wanted=lambda item, b=bounds: b[0] <= counts[item] <= b[1])
                for group, bounds in TRAIN_COUNTS.items()
            }
        )
    assert 0 < result["metrics"]["all"]["recall@10"] < 1
    assert result["users"] == 80
    assert result["protocol"]["recent"] == 3
    assert result["protocol"]["exclude_seen"] is exclude_seen
    low, high = result["intervals"]["all"]["recall@10"]
    assert low < result["metrics"]["all"]["recall@10"] < high


def test_json_on_stdout_is_the_file(workdir, capsys):
    result = answer(capsys, "evaluate", "-w", workdir)
    manifest = json.loads((workdir / "evaluate/swing-real-test.manifest.json").read_text())
    of_the_file = {key: value for key, value in result.items() if key != "latency"}
    assert of_the_file == json.loads((workdir / "evaluate/swing-real-test.json").read_text())
    assert result["latency"] == manifest["latency"]  # differs from run to run: not in the artifact
    assert set(result["metrics"]) == {"all", "long_tail", "other"}
    assert list(result["metrics"]["all"]) == ["recall@5", "ndcg@5", "mrr@5", "recall@10", "ndcg@10", "mrr@10"]
    assert answer(capsys, "evaluate", "-w", workdir) == result  # of the file now


def test_auto_takes_the_number_of_recent_items_that_validation_likes_best(workdir, capsys):
    result = answer(capsys, "evaluate", "--decay", 1, "-w", workdir)
    recalls = {recent: plain_recall(workdir, split="valid", recent=recent, k=10) for recent in (1, 2, 3, 5, 10)}
    best = max(recalls, key=lambda recent: (recalls[recent], -recent))
    assert result["protocol"]["recent"] == best
    assert result["protocol"]["recent_chosen_by"] == "validation Recall@10"
    assert result["metrics"]["all"]["recall@10"] == pytest.approx(plain_recall(workdir, recent=best, k=10))


@pytest.mark.parametrize("data", ["real", "fused"])
def test_decay_is_chosen_on_validation_together_with_the_number_of_recent_items(workdir, capsys, data):
    result = answer(capsys, "evaluate", "--data", data, "--baseline", "real", "-w", workdir)
    for protocol, log in ((result["protocol"], data), (result["baseline"]["protocol"], "real")):
        recalls = {
            (decay, recent): plain_recall(workdir, data=log, split="valid", recent=recent, k=10, decay=decay)
            for decay in (1.0, 0.9, 0.8, 0.7, 0.5)
            for recent in (1, 2, 3, 5, 10)  # nobody has more
        }
        best = max(recalls, key=lambda point: (recalls[point], point[0], -point[1]))
        assert (protocol["decay"], protocol["recent"]) == best
        assert protocol["decay_chosen_by"] == "validation Recall@10"
        tried = {(each["decay"], each["recent"]): each["recall@10"] for each in protocol["validation"]}
        assert len(tried) == 5 * 7 + 1  # with one item there is nothing to decay
        assert {point: tried[point] for point in recalls if point in tried} == pytest.approx(
            {point: recall for point, recall in recalls.items() if point in tried}
        )
    assert result["metrics"]["all"]["recall@10"] == pytest.approx(
        plain_recall(workdir, data=data, k=10, recent=result["protocol"]["recent"], decay=result["protocol"]["decay"])
    )


def test_a_decay_is_applied_to_the_ranking_to_the_choice_of_m_and_to_the_baseline(workdir, capsys):
    arguments = ["evaluate", "--data", "fused", "--baseline", "real", "--decay", 0.5, "-w", workdir]
    result = answer(capsys, *arguments)
    for figures, log in ((result, "fused"), (result["baseline"], "real")):
        by_recent = {each["recent"]: each["recall@10"] for each in figures["protocol"]["validation"]}
        for recent in (1, 2, 3):
            expected = plain_recall(workdir, data=log, split="valid", recent=recent, k=10, decay=0.5)
            assert by_recent[recent] == pytest.approx(expected)
        chosen = figures["protocol"]["recent"]
        assert figures["metrics"]["all"]["recall@10"] == pytest.approx(
            plain_recall(workdir, data=log, recent=chosen, k=10, decay=0.5)
        )
        assert (figures["protocol"]["decay"], figures["protocol"]["decay_chosen_by"]) == (0.5, "the option")
    assert run(*arguments) == 0
    assert f"{result['protocol']['recent']} recent items, decay 0.5, seen" in " ".join(capsys.readouterr().out.split())


def test_latency_and_number_of_retrieved_items(workdir, capsys):
    arguments = ["evaluate", "--data", "fused", "--baseline", "real", "--recent", 3, "-w", workdir]
    result = answer(capsys, *arguments)
    assert list(result["latency"]) == ["fused", "real"]
    for latency in result["latency"].values():
        assert latency["queries"] == 80
        assert 0 < latency["p50_ms"] <= latency["p99_ms"]
    queries = read_histories(workdir, ("train", "valid"))
    for figures, data in ((result, "fused"), (result["baseline"], "real")):
        neighbours = read_neighbours(workdir, "swing", data, read_catalogue(workdir).ids)
        rows = [queries.row(user).tolist() for user in range(80)]
        retrieved = [plain_ranking(neighbours, row, recent=3, top_n=1, exclude=set(row))[1] for row in rows]
        assert figures["rankings"]["retrieved_items"] == pytest.approx(sum(retrieved) / 80)
    assert run(*arguments) == 0  # up to date
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    for name in ("p50_ms", "p99_ms"):
        row = next(row for row in cells if row[:2] == ["latency of a query", name.replace("_", " ")])
        assert row[2:4] == [f"{result['latency'][data][name]:.3g}" for data in ("real", "fused")]
    row = next(row for row in cells if row[:2] == ["rankings", "retrieved items per query (RN)"])
    assert row[2:4] == [f"{r['rankings']['retrieved_items']:.4g}" for r in (result["baseline"], result)]


def test_gain_over_the_real_log(workdir, capsys):
    result = answer(capsys, "evaluate", "--data", "fused", "--baseline", "real", "--k", 10, "-w", workdir)
    real = answer(capsys, "evaluate", "--k", 10, "-w", workdir)
    assert result["baseline"]["metrics"] == real["metrics"]
    for group in ("all", "other"):
        ours, theirs = result["metrics"][group]["recall@10"], real["metrics"][group]["recall@10"]
        assert result["gain"][group]["recall@10"] == pytest.approx(ours / theirs - 1)
    low, high = result["gain_intervals"]["all"]["recall@10"]
    assert low <= result["gain"]["all"]["recall@10"] <= high
    assert low < high


def test_gain_over_another_models_table(workdir, capsys):
    assert run("train-i2i", "--model", "bm25", "--top-k", 10, "-w", workdir) == 0
    bm25 = answer(capsys, "evaluate", "--model", "bm25", "--k", 10, "-w", workdir)
    asked = ["evaluate", "--data", "fused", "--baseline", "bm25-real", "--k", 10, "-w", workdir]
    result = answer(capsys, *asked)
    assert (result["baseline"]["model"], result["baseline"]["data"]) == ("bm25", "real")
    assert result["baseline"]["metrics"] == bm25["metrics"]
    ours, theirs = result["metrics"]["all"]["recall@10"], bm25["metrics"]["all"]["recall@10"]
    assert result["gain"]["all"]["recall@10"] == pytest.approx(ours / theirs - 1)
    assert result["latency"].keys() == {"fused", "bm25-real"}
    assert run(*asked) == 0
    shown = capsys.readouterr()
    assert "bm25-real (baseline)" in shown.out
    assert "up to date" in shown.err
    assert run("train-i2i", "--model", "bm25", "--top-k", 5, "-w", workdir) == 0
    [row] = [row for row in status(workdir) if row["variant"] == "swing fused test"]
    assert (row["state"], row["why"]) == ("stale", "i2i/bm25-real.parquet changed")


def test_a_baseline_that_ranks_in_another_way(workdir, capsys):
    """Of a model with user vectors it is the vectors' ranking, as it is evaluated alone."""
    assert run("train-i2i", "--model", "youtubednn", "--epochs", 1, "-w", workdir) == 0
    alone = answer(capsys, "evaluate", "--model", "youtubednn", "--k", 10, "-w", workdir)
    result = answer(capsys, "evaluate", "--baseline", "youtubednn-real", "--k", 10, "-w", workdir)
    assert (result["protocol"]["ranking"], result["baseline"]["protocol"]["ranking"]) == ("index", "user-vectors")
    assert result["baseline"]["metrics"] == alone["metrics"]


def test_targets_by_how_often_train_has_the_item(workdir, capsys):
    """Items are counted in train alone, groups take all known targets once, and each has its gain over the real log."""
    arguments = ["evaluate", "--data", "fused", "--baseline", "real", "--k", 3, "--k", 10, "-w", workdir]
    result = answer(capsys, *arguments)
    told, theirs = result["by_train_count"], result["baseline"]["by_train_count"]
    log = pl.read_parquet(workdir / "prepare/interactions.parquet")
    bought = log.filter(split="train")["item_id"].value_counts()
    targets = log.filter(split="test").join(bought, on="item_id", how="left")["count"].fill_null(0)
    assert told["targets"] == {
        group: targets.is_between(least, most).sum() for group, (least, most) in TRAIN_COUNTS.items()
    }
    assert sum(told["targets"].values()) == result["targets"]["all"] == 80
    assert min(told["targets"]["2-5"], told["targets"]["6-20"]) > 5
    for group, n_targets in told["targets"].items():
        for k in (3, 10):  # everybody has a single target
            ours, before = (figures["metrics"][group][f"recall@{k}"] for figures in (told, theirs))
            if not n_targets:
                assert ours is before is told["gain"][group][f"recall@{k}"] is None
                continue
            assert told["hits"][group][f"hits@{k}"] == round(ours * n_targets)
            assert theirs["hits"][group][f"hits@{k}"] == round(before * n_targets)
            assert told["gain"][group][f"recall@{k}"] == (pytest.approx(ours / before - 1) if before else None)
            low, high = told["intervals"][group][f"recall@{k}"]
            assert low <= ours <= high
    assert sum(hits["hits@10"] for hits in told["hits"].values()) == result["hits"]["all"]["hits@10"]
    assert run(*arguments) == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    row = next(row for row in cells if row[0:3:2] == ["6-20", "recall@10"])
    low, high = told["gain_intervals"]["6-20"]["recall@10"]
    assert row[1:] == [
        str(told["targets"]["6-20"]),
        "recall@10",
        str(told["hits"]["6-20"]["hits@10"]),
        f"{theirs['metrics']['6-20']['recall@10']:.4f}",
        f"{told['metrics']['6-20']['recall@10']:.4f}",
        "{:.4f} .. {:.4f}".format(*told["intervals"]["6-20"]["recall@10"]),
        f"{told['gain']['6-20']['recall@10']:+.1%}",
        f"{low:+.1%} .. {high:+.1%}",
    ]


def test_an_item_that_nobody_bought_in_train_is_found_by_its_text(tmp_path, capsys):
    """c is in the catalogue, x is not; nobody has either in train. Everybody has bought the lamp before."""
    (tmp_path / "log.txt").write_text("u1 a b c\nu2 a b c\nu3 a b d\nu4 a b x\nu5 a d b a b\n")
    (tmp_path / "items.csv").write_text("item_id,title\na,red lamp\nb,oak desk\nc,red lamp again\nd,pine\n")
    workdir = tmp_path / "work"
    assert run("prepare", tmp_path / "log.txt", "--items", tmp_path / "items.csv", "-w", workdir) == 0
    found = {}
    for model in ("text", "bm25"):
        assert run("train-i2i", "--model", model, "-w", workdir) == 0
        result = answer(capsys, "evaluate", "--model", model, "--recent", 5, "--decay", 1, "-w", workdir)
        assert result["by_train_count"]["targets"] == {"0": 2, "1": 2, "2-5": 0, "6-20": 0, "21+": 0}
        assert result["targets"]["unknown"] == 1
        found[model] = result["by_train_count"]["metrics"]["0"]["recall@10"]
    assert found == {"text": 1, "bm25": 0}


def test_a_model_gains_nothing_over_itself(workdir, capsys):
    result = answer(capsys, "evaluate", "--baseline", "real", "-w", workdir)
    assert result["gain"]["all"]["recall@10"] == 0
    assert result["gain_intervals"]["all"]["recall@10"] == [0, 0]


def test_per_user_figures_average_to_the_published(workdir, capsys):
    result = answer(capsys, "evaluate", "-w", workdir)
    users = pl.read_parquet(workdir / "evaluate/swing-real-test.users.parquet")
    assert users.columns == ["user_id", "targets", *result["metrics"]["all"]]
    assert users["user_id"].n_unique() == 80
    assert users["ndcg@10"].mean() == pytest.approx(result["metrics"]["all"]["ndcg@10"])


def test_targets_that_the_query_holds_are_counted_and_cannot_be_hit(tmp_path, capsys):
    (tmp_path / "log.txt").write_text("u1 a b c a\nu2 a b c d\nu3 a b c d\n")
    workdir = tmp_path / "work"
    assert run("prepare", tmp_path / "log.txt", "-w", workdir) == 0
    assert run("train-i2i", "--model", "bm25", "-w", workdir) == 0
    result = answer(capsys, "evaluate", "--model", "bm25", "-w", workdir)
    assert result["targets"] == {"all": 3, "long_tail": 1, "other": 0, "unknown": 2, "already_in_query": 1}
    assert result["by_train_count"]["targets"] == {"0": 0, "1": 0, "2-5": 1, "6-20": 0, "21+": 0}
    assert result["metrics"]["other"]["recall@10"] is None
    assert result["intervals"]["other"]["recall@10"] is None
    assert run("evaluate", "--model", "bm25", "-w", workdir) == 0
    title = " ".join(capsys.readouterr().out.split())
    assert "1 targets are in the user's query, 2 are of no item in the catalogue" in title


def test_youtube_dnn_ranks_by_its_users_unless_told_otherwise(workdir, capsys):
    options = ["--model", "youtubednn", "--epochs", 8, "--dimensions", 8, "--learning-rate", 0.01]
    assert run("train-i2i", *options, "-w", workdir) == 0
    by_users = answer(capsys, "evaluate", "--model", "youtubednn", "-w", workdir)
    by_index = answer(capsys, "evaluate", "--model", "youtubednn", "--ranking", "index", "-w", workdir)
    assert (by_users["protocol"]["ranking"], by_index["protocol"]["ranking"]) == ("user-vectors", "index")
    assert by_users["metrics"] != by_index["metrics"]
    assert by_users["protocol"]["recent"] == 20
    assert by_users["latency"] == {}
    assert list(by_index["latency"]) == ["real"]


def test_the_generator_is_asked_about_each_user_with_the_queries_of_the_split(workdir, capsys, monkeypatch):
    """The LLM is replaced by one that proposes the item after the last one, if it is shown ten or more items."""
    from llmi2i_cli.llm import generate

    (workdir / "sft-gen/model").mkdir(parents=True)
    (workdir / "sft-gen/model/config.json").write_text("{}")
    profiles_seen = []
    monkeypatch.setattr(
        generate, "load_generator", lambda path, catalogue, profiles: profiles_seen.append(len(profiles))
    )

    def rank_users(_, users, histories, seen, *, history, top_n):
        yield (
            np.array([[(histories.row(user)[-1] + history) % 40] + [-1] * (top_n - 1) for user in users], np.int32),
            None,
        )

    monkeypatch.setattr(generate, "rank_users", rank_users)
    result = answer(capsys, "evaluate", "--model", "generator", "-w", workdir)
    recalls = {}
    for split, before in (("valid", ("train",)), ("test", ("train", "valid"))):
        queries, targets = read_histories(workdir, before), read_histories(workdir, (split,))
        for recent in (5, 10, 20, 50):
            hits = [(queries.row(u)[-1] + recent) % 40 == targets.row(u)[0] for u in range(80)]
            recalls[split, recent] = sum(hits) / 80
    best = max((5, 10, 20, 50), key=lambda recent: (recalls["valid", recent], -recent))
    assert result["protocol"]["recent"] == best
    assert result["metrics"]["all"]["recall@10"] == recalls["test", best]
    assert profiles_seen == [80, 80]


def rows_of_the_log(path):
    """user_id, item_id, timestamp of a sequence file."""
    write_log(path)
    rows = [
        (user, item, time)
        for user, *items in (line.split() for line in path.read_text().splitlines())
        for time, item in enumerate(items)
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def evaluated(capsys, log, workdir, model, *, train=(), options=()):
    """The metrics of a log, taken through prepare, train-i2i and evaluate."""
    log.write_csv(workdir.with_suffix(".csv"))
    assert run("prepare", workdir.with_suffix(".csv"), "-w", workdir) == 0
    assert run("train-i2i", "--model", model, *train, "-w", workdir) == 0
    return answer(capsys, "evaluate", "--model", model, *options, "-w", workdir)["metrics"]


@pytest.mark.parametrize("model", ["swing", "bm25"])
def test_neither_the_order_of_rows_nor_the_names_matter(tmp_path, capsys, model):
    """Users' names come in another order. Items' names keep theirs, which decides ties: the figures are the same."""
    log = rows_of_the_log(tmp_path / "log.txt")
    renamed = log.sample(fraction=1, shuffle=True, seed=1).with_columns(
        user_id=pl.concat_str(pl.lit("x"), pl.col("user_id").str.reverse()),
        item_id=pl.concat_str(pl.lit("any "), "item_id"),
    )
    before = evaluated(capsys, log, tmp_path / "before", model, train=("--tune",))
    after = evaluated(capsys, renamed, tmp_path / "after", model, train=("--tune",))
    for group in ("all", "other"):
        assert before[group] == pytest.approx(after[group], rel=1e-12)  # sums over users in another order


@pytest.mark.parametrize("model", ["swing", "bm25"])
def test_items_by_other_names_change_figures_by_ties_alone(tmp_path, capsys, model):
    """Any names: each Recall@10 lies between those of a target that loses all ties and of one that wins them all."""
    log = rows_of_the_log(tmp_path / "log.txt")
    names = {f"i{item}": f"n{item * 7 % N_ITEMS}" for item in range(N_ITEMS)}
    renamed = log.sample(fraction=1, shuffle=True, seed=1).with_columns(pl.col("item_id").replace_strict(names))
    bounds = []
    for name, table in (("before", log), ("after", renamed)):
        workdir = tmp_path / name
        recall = evaluated(capsys, table, workdir, model, options=("--recent", 3, "--decay", 1))["all"]["recall@10"]
        bounds.append(recall_bounds(workdir, model, recent=3, k=10))
        assert bounds[-1][0] - 1e-12 <= recall <= bounds[-1][1] + 1e-12
    assert bounds[0] == bounds[1]
    assert bounds[0][1] - bounds[0][0] < 0.1


def recall_bounds(workdir, model, *, recent, k):
    """Recall@K of a single target each, when it loses and when it wins all ties."""
    neighbours = read_neighbours(workdir, model, "real", read_catalogue(workdir).ids)
    queries, targets = read_histories(workdir, ("train", "valid")), read_histories(workdir, ("test",))
    losing, winning = 0, 0
    for user in range(queries.n_users):
        query = queries.row(user).tolist()
        ranked, _ = plain_ranking(neighbours, query, recent=recent, top_n=N_ITEMS, exclude=set(query))
        scores = dict(ranked)
        score = scores.pop(int(targets.row(user)[0]), None)
        if score is not None:
            losing += sum(other > score * (1 - 2e-6) for other in scores.values()) < k
            winning += sum(other > score * (1 + 2e-6) for other in scores.values()) < k
    return losing / queries.n_users, winning / queries.n_users


def test_a_test_day_with_several_items_a_user_by_hand(tmp_path, capsys):
    """Everybody's query is item a, whose one neighbour is b: the ranking is b alone."""
    days = {1: "2024-05-01T08:00:00", 2: "2024-05-02T08:00:00", 3: "2024-05-03T08:00:00"}
    rows = [(f"t{user}", item, 1) for user in range(5) for item in "ab"] + [("t9", "x", 1), ("t9", "x", 2)]
    bought = {"u1": "bx", "u2": "b", "u3": "x", "u4": "bb"}  # on the last day; a repeat is one target
    for user, items in bought.items():
        rows += [(user, "a", 1), *((user, item, 3) for item in items)]
    lines = [f"{user},{item},{days[day]}" for user, item, day in rows]
    lines[-1] = lines[-1].replace("T08", "T09")  # or it would be an exact duplicate, which is dropped
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    workdir = tmp_path / "work"
    assert run("prepare", tmp_path / "log.csv", "--split", "last-day", "-w", workdir) == 0
    assert run("train-i2i", "-w", workdir) == 0
    result = answer(capsys, "evaluate", "--k", 1, "--k", 2, "-w", workdir)
    assert (result["users"], result["targets"]["all"]) == (4, 5)
    two_targets = 1 / (1 + 1 / log2(3))  # the first of two found
    by_user: dict[str, dict[str, float]] = {
        "u1": {"recall@1": 1 / 2, "ndcg@1": 1, "mrr@1": 1, "recall@2": 1 / 2, "ndcg@2": two_targets, "mrr@2": 1},
        "u2": dict.fromkeys(result["metrics"]["all"], 1),
        "u3": dict.fromkeys(result["metrics"]["all"], 0),
        "u4": dict.fromkeys(result["metrics"]["all"], 1),
    }
    per_user = pl.read_parquet(workdir / "evaluate/swing-real-test.users.parquet").sort("user_id")
    assert per_user["user_id"].to_list() == list(by_user)
    assert per_user["targets"].to_list() == [2, 1, 1, 1]
    for row, expected in zip(per_user.drop("user_id", "targets").iter_rows(named=True), by_user.values(), strict=True):
        assert row == pytest.approx(expected)
    for name, mean in result["metrics"]["all"].items():
        assert mean == pytest.approx(sum(expected[name] for expected in by_user.values()) / 4)


def test_other_names_of_items_change_the_order_of_equal_scores_alone(tmp_path, capsys):
    write_log(tmp_path / "log.txt")
    names = {f"i{item}": f"n{item * 7 % N_ITEMS}" for item in range(N_ITEMS)}
    lines = [line.split() for line in (tmp_path / "log.txt").read_text().splitlines()]
    (tmp_path / "renamed.txt").write_text("".join(f"{u} {' '.join(names[i] for i in items)}\n" for u, *items in lines))
    (tmp_path / "users.txt").write_text("".join(f"{user}\n" for user, *_ in lines))
    scores = []
    for log in ("log", "renamed"):
        workdir = tmp_path / log
        assert run("prepare", tmp_path / f"{log}.txt", "-w", workdir) == 0
        assert run("train-i2i", "--model", "swing", "-w", workdir) == 0
        ranked = answer(capsys, "recommend", "--file", tmp_path / "users.txt", "-w", workdir)
        scores.append([[item["score"] for item in user["items"]] for user in ranked])
    assert len(scores[0]) == 80
    for before, after in zip(*scores, strict=True):
        assert before == pytest.approx(after, rel=1e-6)


def test_the_table_shows_the_gain_and_its_interval(workdir, capsys):
    result = answer(capsys, "evaluate", "--data", "fused", "--baseline", "real", "--k", 10, "-w", workdir)
    assert run("evaluate", "--data", "fused", "--baseline", "real", "--k", 10, "-w", workdir) == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    row = next(row for row in cells if row[:2] == ["all", "recall@10"])
    low, high = result["gain_intervals"]["all"]["recall@10"]
    assert row[2:4] == [f"{r['metrics']['all']['recall@10']:.4f}" for r in (result["baseline"], result)]
    assert row[5:] == [f"{result['gain']['all']['recall@10']:+.1%}", f"{low:+.1%} .. {high:+.1%}"]
    coverage = next(row for row in cells if row[:2] == ["rankings", "coverage@10"])
    assert coverage[3] == f"{result['rankings']['coverage@10']:.4g}"


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["--model", "bm25"], 1, "run `llmi2i train-i2i --model bm25 --data real -w"),
        (["--model", "generator"], 1, "run `llmi2i sft-gen -w"),
        (
            ["--model", "generator", "--data", "fused"],
            2,
            "has learnt from the real log alone: leave out --data and --baseline",
        ),
        (["--baseline", "blend"], 2, "--baseline is real or a table such as blend-real, not 'blend'"),
        (["--baseline", "swing-synthetic"], 2, "is real or a table such as blend-real, not 'swing-synthetic'"),
        (["--baseline", "text-fused"], 2, "is real or a table such as blend-real, not 'text-fused'"),
        (["--baseline", "blend-real"], 1, "run `llmi2i train-i2i --model blend --data real -w"),
        (["--ranking", "user-vectors"], 2, "needs --model youtubednn: swing ranks by index alone"),
        (["--model", "youtubednn", "--recent", "5"], 2, "as many recent items as in training: leave out --recent"),
        (["--recent", "0"], 2, "--recent is a whole number from 1, or auto, not '0'"),
        (["--model", "youtubednn", "--decay", "0.9"], 2, "leave out --recent and --decay, or add --ranking index"),
        (["--model", "generator", "--decay", "0.5"], 2, "reads a history as it is: leave out --decay"),
        (["--decay", "0"], 2, "--decay is a number above 0 and at most 1, or auto, not '0'"),
        (["--decay", "nan"], 2, "--decay is a number above 0 and at most 1, or auto, not 'nan'"),
        (["--decay", "half"], 2, "--decay is a number above 0 and at most 1, or auto, not 'half'"),
        (["--recent", "some"], 2, "--recent is a whole number from 1, or auto, not 'some'"),
    ],
)
def test_mistakes_get_one_line(workdir, capsys, arguments, status, message):
    capsys.readouterr()
    assert run("evaluate", *arguments, "-w", workdir) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1


def test_what_share_of_the_first_places_items_of_a_popularity_hold(workdir, capsys):
    arguments = ["evaluate", "--data", "fused", "--baseline", "real", "--recent", 3, "--k", 4, "-w", workdir]
    result = answer(capsys, *arguments)
    catalogue, queries = read_catalogue(workdir), read_histories(workdir, ("train", "valid"))
    for figures, data in ((result, "fused"), (result["baseline"], "real")):
        neighbours = read_neighbours(workdir, "swing", data, catalogue.ids)
        recent, decay = figures["protocol"]["recent"], figures["protocol"]["decay"]
        shown = []
        for user in range(queries.n_users):
            query = queries.row(user).tolist()
            ranked, _ = plain_ranking(neighbours, query, recent=recent, top_n=4, exclude=set(query), decay=decay)
            shown += [catalogue.train_counts[item] for item, _ in ranked]
        for group, (least, most) in TRAIN_COUNTS.items():
            share = sum(least <= count <= most for count in shown) / len(shown)
            assert figures["by_train_count"]["shares"][group]["share@4"] == pytest.approx(share)
        assert figures["shares"]["all"] == {"share@4": 1}
    assert run(*arguments) == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    row = next(row for row in cells if row[0:3:2] == ["6-20", "share@4"])
    told = [figures["by_train_count"]["shares"]["6-20"]["share@4"] for figures in (result["baseline"], result)]
    assert row[4:6] == [f"{share:.4f}" for share in told]


def test_without_a_split_there_is_nothing_to_measure(tmp_path, capsys):
    workdir = prepare_shop(tmp_path, "--split", "none")
    assert run("train-i2i", "-w", workdir) == 0
    assert run("evaluate", "-w", workdir) == 1
    assert "has no test split: run `llmi2i prepare INPUT... --split leave-last-two` first" in capsys.readouterr().err
