from __future__ import annotations

import json

import pytest

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.plots.gains import Gain
from llmi2i_cli.report.evaluations import gains_of_models, headline, popularity_rows, read_evaluation, result_rows


def figures(recall, k=10):
    by_group = {"all": recall, "long_tail": recall / 2}
    return {
        "metrics": {group: {f"recall@{k}": at, f"ndcg@{k}": at / 3} for group, at in by_group.items()},
        "intervals": {group: {f"recall@{k}": [at - 0.01, at + 0.01]} for group, at in by_group.items()},
    }


def evaluation(model, data, recall, *, split="test", k=10, before=None, over=None):
    told = {"model": model, "data": data, "split": split, **figures(recall, k)}
    if before is not None:
        told["baseline"] = {"model": over or model, "data": "real", **figures(before, k)}
        told["gain"] = {group: {f"recall@{k}": recall / before - 1} for group in ("all", "other", "long_tail")}
        told["gain_intervals"] = {group: {f"recall@{k}": [-0.1, 0.9]} for group in told["gain"]}
    return told


def test_rows_stand_in_the_order_of_the_models_test_first_and_real_before_fused():
    evaluations = [
        evaluation("generator", "real", 0.5),
        evaluation("swing", "real", 0.05, split="valid"),
        evaluation("bm25", "fused", 0.4, before=0.2),
        evaluation("swing", "fused", 0.3, before=0.1),
        evaluation("swing", "real", 0.1),
        evaluation("text", "real", 0.1, k=5),
    ]
    rows = result_rows(evaluations, 10)
    assert [(row["split"], row["model"], row["data"], row["all"]["recall"]) for row in rows] == [
        ("test", "Swing", "real", 0.1),
        ("test", "Swing", "fused", 0.3),
        ("test", "BM25", "real", 0.2),  # as the other's baseline
        ("test", "BM25", "fused", 0.4),
        ("test", "Text", "real", None),  # was not measured at 10
        ("test", "Generator", "real", 0.5),
        ("valid", "Swing", "real", 0.05),
    ]
    fused = rows[1]["long_tail"]
    assert (fused["recall"], fused["ndcg"], fused["gain"]) == pytest.approx((0.15, 0.05, 2))
    assert (fused["interval"], fused["gain_interval"]) == ([0.15 - 0.01, 0.15 + 0.01], [-0.1, 0.9])
    assert rows[0]["all"]["gain"] is None
    assert gains_of_models(evaluations, 10, split="test") == {
        "all targets": [Gain("BM25", 0.4 / 0.2 - 1, [-0.1, 0.9]), Gain("Swing", 0.3 / 0.1 - 1, [-0.1, 0.9])],
        "targets of the long tail": [
            Gain("BM25", 0.4 / 0.2 - 1, [-0.1, 0.9]),
            Gain("Swing", 0.3 / 0.1 - 1, [-0.1, 0.9]),
        ],
    }
    assert gains_of_models(evaluations, 5, split="test") == gains_of_models(evaluations, 10, split="valid") == {}


def test_the_headline_is_a_gain_of_the_model_on_test():
    bm25 = evaluation("bm25", "fused", 0.4, before=0.2)
    of_valid, of_test = (evaluation("swing", "fused", 0.3, before=0.1, split=split) for split in ("valid", "test"))
    alone = evaluation("swing", "real", 0.1)
    assert headline([bm25, alone, of_valid, of_test], ("swing", "fused")) is of_test
    assert headline([alone, bm25], ("swing", "real")) is bm25
    assert headline([alone], ("bm25", "fused")) is alone
    assert headline([], None) is None


def test_popularity_beside_the_baseline_and_without_one():
    def told(recall, share):
        return {
            "targets": {"0": 1, "1+": 3},
            "hits": {"0": {"hits@10": 0}, "1+": {"hits@10": 2}},
            "metrics": {"0": {"recall@10": 0.0}, "1+": {"recall@10": recall}},
            "intervals": {"0": {"recall@10": None}, "1+": {"recall@10": [0, 1]}},
            "shares": {"0": {"share@10": share}, "1+": {"share@10": 1 - share}},
        }

    gains = {
        "gain": {"0": {"recall@10": None}, "1+": {"recall@10": 0.5}},
        "gain_intervals": {"0": {"recall@10": None}, "1+": {"recall@10": [0.1, 0.9]}},
    }
    evaluation = {"by_train_count": {**told(0.6, 0.25), **gains}, "baseline": {"by_train_count": told(0.4, 0.125)}}
    assert popularity_rows(evaluation, 10)[1] == {
        "group": "1+",
        "targets": 3,
        "taken": 0.75,
        "now": {"hits": 2, "recall": 0.6, "interval": [0, 1], "share": 0.75},
        "before": {"hits": 2, "recall": 0.4, "interval": [0, 1], "share": 0.875},
        "gain": 0.5,
        "gain_interval": [0.1, 0.9],
    }
    [never, _] = popularity_rows({"by_train_count": told(0.6, 0.25)}, 10)
    assert (never["taken"], never["before"], never["gain"]) == (0.25, None, None)


@pytest.mark.parametrize("text", ["", "[]", '{"model": "swing"}', json.dumps({"baseline": 3})])
def test_an_evaluation_that_does_not_tell_all_names_its_remedy(tmp_path, text):
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate/swing-real-test.json").write_text(text)
    with pytest.raises(ArtifactError) as caught:
        read_evaluation(tmp_path, "evaluate/swing-real-test.json")
    remedy = f"run `llmi2i evaluate --model swing --data real --split test -w {tmp_path} --force`"
    assert str(caught.value).endswith(f"swing-real-test.json is damaged, or of an earlier version: {remedy}")


def test_a_gain_over_another_model_names_it():
    told = evaluation("llm-blend", "fused", 0.4, before=0.2, over="blend")
    rows = result_rows([told], 10)
    assert [(row["model"], row["data"], row["over"]) for row in rows] == [
        ("Blend", "real", ""),
        ("Blend with LLM", "fused", "Blend, real log"),
    ]
    [gain] = gains_of_models([told], 10, split="test")["all targets"]
    assert gain.label == "Blend with LLM\nover Blend, real log"
