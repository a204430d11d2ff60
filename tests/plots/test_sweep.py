from __future__ import annotations

import polars as pl
import pytest

from llmi2i_cli.plots.sweep import sweep_figure

COLUMNS = {
    "strategy": pl.String,
    "order": pl.String,
    "recall_number": pl.Int64,
    "min_confidence": pl.Float64,
    "weight": pl.String,
    "drop_real": pl.Float64,
    "valid_recall@10": pl.Float64,
    "chosen": pl.Boolean,
}


def sweep_of(*rows):
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


SWEEP = sweep_of(
    ("append", "rank", 0, 0.0, "one", 0.0, 0.10, False),
    ("append", "rank", 1, 0.0, "one", 0.0, 0.11, False),
    ("append", "rank", 5, 0.0, "one", 0.0, 0.13, False),
    ("append", "rank", 5, 0.8, "one", 0.0, 0.12, False),
    ("append", "rank", 1, 0.8, "one", 0.0, 0.115, False),
    ("append", "random", 5, 0.0, "one", 0.0, 0.09, False),
    ("append", "rank", 5, 0.0, "confidence", 0.0, 0.99, False),  # of a later round: no part of the lines
    ("pseudo-user", "rank", 5, 0.0, "one", 0.0, 0.14, True),
)


def lines_of(axis):
    return {line.get_label(): list(zip(*map(list, line.get_data()), strict=True)) for line in axis.get_lines()}


def test_a_line_for_each_confidence_in_a_panel_for_each_order():
    by_rank, by_chance = sweep_figure(SWEEP).axes
    assert lines_of(by_rank) == {
        "any confidence": [(0, 0.11), (1, 0.13)],  # recall numbers 1 and 5
        "confidence ≥ 0.80": [(0, 0.115), (1, 0.12)],
        "the real log alone": [(0, 0.10), (1, 0.10)],
        "chosen: pseudo-user, 5 each": [(1, 0.14)],
    }
    assert lines_of(by_chance) == {
        "any confidence": [(1, 0.09)],
        "confidence ≥ 0.80": [],
        "the real log alone": [(0, 0.10), (1, 0.10)],
    }
    assert [tick.get_text() for tick in by_rank.get_xticklabels()] == ["1", "5"]
    assert by_rank.get_ylabel() == "Recall@10 on validation"
    assert [axis.get_title(loc="left") for axis in (by_rank, by_chance)] == [
        "first by the generator's rank",
        "first by chance (a control)",
    ]


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_sweep_that_prefers_the_real_log_has_no_star(n_rows):
    rows = [("append", "rank", 0, 0.0, "one", 0.0, 0.10, True), ("append", "rank", 3, 0.5, "one", 0.0, 0.08, False)]
    [axis] = sweep_figure(sweep_of(*rows[:n_rows])).axes
    expected = {"the real log alone": [(0, 0.10), (1, 0.10)]}
    if n_rows == 2:
        expected["confidence ≥ 0.50"] = [(0, 0.08)]
    assert lines_of(axis) == expected


def test_a_sweep_of_a_given_number_of_candidates_has_no_line_of_the_real_log():
    [axis] = sweep_figure(sweep_of(("append", "rank", 3, 0.5, "one", 0.0, 0.08, True))).axes
    assert lines_of(axis) == {"confidence ≥ 0.50": [(0, 0.08)], "chosen: append, 3 each": [(0, 0.08)]}
