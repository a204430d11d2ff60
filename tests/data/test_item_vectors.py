"""The user's vectors: where they go, and what is said of those that cannot be."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.data import scanned_table
from llmi2i_cli.data.item_vectors import read_item_vectors
from llmi2i_cli.errors import InputError

ITEMS = pl.Series("item_id", ["1", "2", "3", "4"])


@pytest.mark.parametrize("dtype", [pl.List(pl.Float64), pl.Array(pl.Float32, 2), pl.List(pl.Int16)])
@pytest.mark.parametrize("rows_at_once", [1, 1000])
def test_vectors_stand_in_the_order_of_the_catalogue(tmp_path, monkeypatch, dtype, rows_at_once):
    monkeypatch.setattr(scanned_table, "BATCH_ROWS", rows_at_once)
    vectors = pl.Series([[3, 4], [9, 9], [1, 2], [0, 0]], dtype=dtype)
    table = pl.DataFrame({"title": list("abcd"), "item_id": [4, 99, 1, 2], "vector": vectors})
    table.write_parquet(tmp_path / "vectors.parquet")
    found = read_item_vectors(tmp_path / "vectors.parquet", ITEMS)
    assert found.vectors.dtype == np.float32
    assert found.vectors.tolist() == [[1, 2], [0, 0], [0, 0], [3, 4]]
    assert (found.n_without, found.n_outside) == (2, 1)  # item 3 has none, that of item 2 points nowhere


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"id": ["1"], "v": [[1.0]]}, " has no column 'item_id' (it has id String, v List(Float64)): name it so"),
        (
            {"item_id": ["1"], "v": [1.0]},
            " needs one column of lists or arrays of numbers (it has item_id String, v Float64)",
        ),
        (
            {"item_id": ["1"], "v": [[1.0]], "w": [[1.0]]},
            " needs one column of lists or arrays of numbers (it has item_id String, v List(Float64), w List(Float64))",
        ),
        ({"item_id": ["1"], "v": [["x"]]}, None),
        (
            {"item_id": pl.Series([], dtype=pl.String), "v": pl.Series([], dtype=pl.List(pl.Float32))},
            " holds no vectors",
        ),
        ({"item_id": ["1", None], "v": [[1.0], [2.0]]}, ", row 2: there is no item_id"),
        ({"item_id": ["1", "2", "1"], "v": [[1.0]] * 3}, ", row 3: item '1' has a vector already"),
        (
            {"item_id": ["1", "2"], "v": [[1.0, 2.0], [1.0]]},
            ", row 2: item '2' has a vector of 1 numbers, where the first row has 2: "
            "all must have as many, and an item without a vector is left out",
        ),
        ({"item_id": ["1", "2"], "v": [[1.0], None]}, None),
        ({"item_id": ["1"], "v": [[]]}, None),
        (
            {"item_id": ["1", "2"], "v": [[1.0, 2.0], [1.0, NAN]]},
            ", row 2: item '2' has a number that is missing or not finite in its vector",
        ),
        ({"item_id": ["1"], "v": [[1.0, INFINITE]]}, None),
        ({"item_id": ["1"], "v": [[1.0, 1e300]]}, None),  # infinite as float32
        ({"item_id": ["1"], "v": [[1.0, None]]}, None),
    ],
)
@pytest.mark.parametrize("rows_at_once", [1, 1000])
def test_what_cannot_be_is_one_line_with_file_and_row(tmp_path, monkeypatch, columns, message, rows_at_once):
    monkeypatch.setattr(scanned_table, "BATCH_ROWS", rows_at_once)
    path = tmp_path / "vectors.parquet"
    pl.DataFrame(columns, strict=False).write_parquet(path)
    with pytest.raises(InputError) as raised:
        read_item_vectors(path, ITEMS)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)
    assert message is None or str(raised.value) == f"{path}{message}"
