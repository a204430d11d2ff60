from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.llm.feature_tokens import Buckets

NAN = np.nan


def test_buckets_of_equal_share_and_one_for_the_unknown():
    column = np.arange(1500, dtype=np.float32)[:, None]
    buckets = Buckets.fit(column)
    tokens = buckets.tokens(column)
    assert np.bincount(tokens[:, 0]).tolist() == [100] * 15
    assert (np.diff(tokens[:, 0]) >= 0).all()
    far = np.array([[-1e30], [1e30], [NAN]], np.float32)
    assert buckets.tokens(far).tolist() == [[0], [14], [15]]


def test_each_feature_has_tokens_of_its_own():
    features = np.array([[0, 5, NAN], [1, 5, NAN]], np.float32)
    buckets = Buckets.fit(features)
    assert buckets.n_tokens == 48
    tokens = buckets.tokens(features)
    assert tokens.dtype == np.int32
    assert tokens[0].tolist() == [0, 16 + 1, 32 + 15]  # a constant lies above its one edge; unknown in the last bucket
    assert tokens[1].tolist() == [14, 16 + 1, 32 + 15]
    assert buckets.tokens(np.array([[NAN, 4, 7]], np.float32)).tolist() == [[15, 16, 32]]


def test_an_edge_belongs_to_the_bucket_above_it():
    buckets = Buckets(((1.0, 2.0),))
    assert buckets.tokens(np.array([[0.5], [1.0], [1.5], [2.0]], np.float32))[:, 0].tolist() == [0, 1, 1, 2]


def test_no_rows():
    buckets = Buckets.fit(np.zeros((0, 2), np.float32))
    assert buckets.tokens(np.zeros((0, 2), np.float32)).shape == (0, 2)
    assert buckets.tokens(np.array([[3, NAN]], np.float32)).tolist() == [[0, 31]]


def test_saved_and_loaded_it_cuts_the_same(tmp_path):
    features = np.random.default_rng(0).normal(size=(999, 3)).astype(np.float32)
    features[::7, 1] = NAN
    buckets = Buckets.fit(features)
    buckets.save(tmp_path / "b.json")
    loaded = Buckets.load(tmp_path / "b.json", "do it again")
    assert loaded == buckets
    assert (loaded.tokens(features) == buckets.tokens(features)).all()


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"edges": 3}', '{"edges": [["x"]]}', b"\xff\xfe"])
def test_a_damaged_file_names_the_remedy(tmp_path, content):
    path = tmp_path / "b.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ArtifactError, match=r"b\.json is missing or damaged: do it again"):
        Buckets.load(path, "do it again")
