from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.features import Features


def test_a_column_is_read_by_its_name():
    features = Features(("rank", "text"), np.array([[1, 2], [3, 4]], np.float32))
    assert features["text"].tolist() == [2, 4]
    assert features["rank"].tolist() == [1, 3]
    assert len(features) == 2
    with pytest.raises(ValueError, match="not in"):
        features["price"]
