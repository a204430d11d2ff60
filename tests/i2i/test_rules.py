from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.i2i import rules as rules_module
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.rules import JUST_BELOW, Rules, filled, under_rules


def random_table(rng, n_items, k):
    table = Neighbours.empty(n_items, k)
    for row in range(n_items):
        n = int(rng.integers(0, k + 1))
        table.ids[row, :n] = rng.choice(n_items, n, replace=False)
        table.scores[row, :n] = -np.sort(-rng.random(n).astype(np.float32))
    return table


def rows_of(table):
    """Each row's neighbours and scores, without padding."""
    return [
        [(int(i), float(s)) for i, s in zip(ids, scores, strict=True) if i >= 0]
        for ids, scores in zip(table.ids, table.scores, strict=True)
    ]


@pytest.mark.parametrize("at_once", [3, 1000])
def test_rows_are_those_of_plain_loops(monkeypatch, at_once):
    monkeypatch.setattr(rules_module, "ITEMS_AT_ONCE", at_once)
    rng = np.random.default_rng(1)
    for _ in range(30):
        n_items, k, top_k = 25, 8, int(rng.integers(1, 12))
        table = random_table(rng, n_items, k)
        allowed = rng.random(n_items) < 0.7
        same, different = (rng.integers(-1, 3, n_items).astype(np.int32) if rng.random() < 0.7 else None for _ in "ab")

        def may(item, other, allowed=allowed, same=same, different=different):
            if same is not None and (same[item] < 0 or same[item] != same[other]):
                return False
            if different is not None:
                own, theirs = different[item], different[other]
                if own < 0 or theirs < 0 or own == theirs:
                    return False
            return allowed[other]

        found = under_rules(table, Rules(allowed, same, different), top_k)
        assert found.ids.shape == (n_items, min(top_k, k))
        expected = [[(i, s) for i, s in row if may(item, i)][:top_k] for item, row in enumerate(rows_of(table))]
        assert rows_of(found) == expected
        assert (found.scores[found.ids < 0] == 0).all()


def test_short_rows_are_filled_behind_what_is_in_them():
    table = Neighbours(np.array([[1, 2], [0, -1], [-1, -1]], np.int32), np.array([[4, 3], [2, 0], [0, 0]], np.float32))
    other_ids = np.array([[2, 1, 0], [0, 2, 1], [0, 1, -1]], np.int32)
    others = Neighbours(other_ids, np.array([[9, 6, 3], [1, 0.5, 0.25], [8, 2, 0]], np.float32))
    found = rows_of(filled(table, others, 3))
    assert [[other for other, _ in row] for row in found] == [[1, 2, 0], [0, 2, 1], [0, 1]]
    assert [[score for _, score in row] for row in found] == [
        pytest.approx([4, 3, 3 / 3 * JUST_BELOW]),  # as far below the last of 3 as theirs is below 9
        pytest.approx([2, 1 * JUST_BELOW, 0.5 * JUST_BELOW]),
        pytest.approx([2 * JUST_BELOW, 0.5 * JUST_BELOW]),  # from 2, the smallest of the table
    ]
    negative = Neighbours(np.array([[1], [-1], [-1]], np.int32), np.array([[-2], [0], [0]], np.float32))
    row = rows_of(filled(negative, others, 3))[0]
    assert [other for other, _ in row] == [1, 2, 0]
    assert [score for _, score in row] == pytest.approx([-2, -2 * (2 - JUST_BELOW), -2 * (2 - 3 / 9 * JUST_BELOW)])
    assert rows_of(filled(table, others, 2)) == [row[:2] for row in rows_of(filled(table, others, 3))]
