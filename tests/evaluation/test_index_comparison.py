from __future__ import annotations

import random
from fractions import Fraction

import polars as pl
import pytest

from llmi2i_cli.choices.gates import Gates
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.evaluation.index_comparison import IndexComparison, compare_rows


def table(rows: dict[str, str]) -> pl.DataFrame:
    """``{"a": "bc"}`` is a row a with the neighbours b and c."""
    pairs = [(item, neighbour) for item, neighbours in rows.items() for neighbour in neighbours]
    return pl.DataFrame(pairs, {"item_id": pl.String, "neighbour_id": pl.String}, orient="row")


OLD = {"a": "bc", "b": "acd", "c": "b", "d": "b"}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (OLD, IndexComparison(0, 0, 1, 1, 1)),
        # b is named by three of OLD's rows, c by two, a and d by one: a slot of OLD has (3*3 + 2*2 + 1 + 1) / 7 = 15/7
        ({"a": "b", "b": "b", "c": "b", "d": "b"}, IndexComparison(0, 0, 1 / 4, (1 / 2 + 0 + 1 + 1) / 4, 7 / 5)),
        ({"a": "cb", "b": "dca"}, IndexComparison(2 / 4, 0, 1, 1, (2 + 3 + 1 + 2 + 1) / 5 / (15 / 7))),
        ({"x": "yz", "y": "x"}, IndexComparison(1, 1, 3 / 4, 0, 0)),
        ({"a": "xbc", "e": "b"}, IndexComparison(3 / 4, 1 / 2, 3 / 4, 2 / 3, (0 + 3 + 2 + 3) / 4 / (15 / 7))),
    ],
    ids=["the same", "one bestseller", "half the rows", "another shop", "changed"],
)
def test_figures_by_hand(new, expected):
    found = compare_rows(table(OLD), table(new))
    assert vars(found) == pytest.approx(vars(expected))


def test_figures_are_those_of_plain_loops():
    rng = random.Random(5)
    names = [f"i{number}" for number in range(40)]

    def some_rows() -> dict[str, list[str]]:
        return {item: rng.sample(names, rng.randrange(1, 11)) for item in rng.sample(names, 30)}

    for _ in range(20):
        old, new = some_rows(), some_rows()
        both = [item for item in old if item in new]
        named = [neighbour for row in old.values() for neighbour in row]
        popular = {item: named.count(item) for item in names}
        mean = {
            id(t): Fraction(sum(popular[n] for r in t.values() for n in r), sum(map(len, t.values())))
            for t in (old, new)
        }
        overlap = sum(Fraction(len({*old[i]} & {*new[i]}), max(len(old[i]), len(new[i]))) for i in both)
        found = compare_rows(table(old), table(new))  # type: ignore[arg-type]
        assert found.lost == pytest.approx(float(1 - Fraction(len(both), 30)))
        assert found.overlap == pytest.approx(float(overlap / len(both)))
        assert found.popularity == pytest.approx(float(mean[id(new)] / mean[id(old)]))
        assert found.coverage == len({n for r in new.values() for n in r}) / len({*named})


def test_every_gate_bounds_a_figure():
    figures = {*vars(IndexComparison(0, 0, 0, 0, 0)), "recall"}
    for name in as_given(Gates()):
        assert name[:4] in ("min_", "max_")
        assert name[4:] in figures
