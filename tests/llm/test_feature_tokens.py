from __future__ import annotations

import json

import numpy as np
import pytest

from llmi2i_cli.artifacts.features import Features
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.llm.feature_tokens import Buckets

NAN = np.nan


def named(*rows, names="abc"):
    values = np.array(rows, np.float32)
    return Features(tuple(names[: values.shape[1]]), values)


def test_buckets_of_equal_share_and_one_for_the_unknown():
    column = named(*[[value] for value in range(1500)])
    buckets = Buckets.fit(column)
    tokens = buckets.tokens(column)
    assert np.bincount(tokens[:, 0]).tolist() == [100] * 15
    assert (np.diff(tokens[:, 0]) >= 0).all()
    assert buckets.tokens(named([-1e30], [1e30], [NAN])).tolist() == [[0], [14], [15]]


def test_each_feature_has_tokens_of_its_own():
    features = named([0, 5, NAN], [1, 5, NAN])
    buckets = Buckets.fit(features)
    assert (buckets.names, buckets.n_tokens) == (("a", "b", "c"), 48)
    tokens = buckets.tokens(features)
    assert tokens.dtype == np.int32
    assert tokens[0].tolist() == [0, 16 + 1, 32 + 15]  # a constant lies above its one edge; unknown in the last bucket
    assert tokens[1].tolist() == [14, 16 + 1, 32 + 15]
    assert buckets.tokens(named([NAN, 4, 7])).tolist() == [[15, 16, 32]]


def test_a_feature_is_found_by_its_name_wherever_it_stands():
    buckets = Buckets.fit(named([0, 5, NAN], [1, 5, NAN]))
    assert buckets.tokens(named([7, 4, 9, NAN], names="cbda")).tolist() == [[15, 16, 32]]


def test_an_edge_belongs_to_the_bucket_above_it():
    buckets = Buckets({"a": (1.0, 2.0)})
    assert buckets.tokens(named([0.5], [1.0], [1.5], [2.0]))[:, 0].tolist() == [0, 1, 1, 2]


def test_no_rows():
    nobody = Features(("a", "b"), np.zeros((0, 2), np.float32))
    buckets = Buckets.fit(nobody)
    assert buckets.tokens(nobody).shape == (0, 2)
    assert buckets.tokens(named([3, NAN])).tolist() == [[0, 31]]


def test_saved_and_loaded_it_cuts_the_same(tmp_path):
    values = np.random.default_rng(0).normal(size=(999, 3)).astype(np.float32)
    values[::7, 1] = NAN
    features = Features(("z", "a", "m"), values)
    buckets = Buckets.fit(features)
    buckets.save(tmp_path / "b.json")
    loaded = Buckets.load(tmp_path / "b.json", "do it again")
    assert loaded == buckets
    assert loaded.names == ("z", "a", "m")  # their order is that of the tokens
    assert (loaded.tokens(features) == buckets.tokens(features)).all()
    assert list(json.loads((tmp_path / "b.json").read_text())["edges"]) == ["z", "a", "m"]


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[]", '{"edges": 3}', '{"edges": [[1.0]]}', '{"edges": {"a": ["x"]}}', b"\xff\xfe"]
)
def test_a_damaged_file_names_the_remedy(tmp_path, content):
    path = tmp_path / "b.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ArtifactError, match=r"b\.json is missing or damaged: do it again"):
        Buckets.load(path, "do it again")
