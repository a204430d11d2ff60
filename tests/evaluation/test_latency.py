from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmi2i_cli.evaluation import latency
from llmi2i_cli.evaluation.latency import query_latency
from llmi2i_cli.evaluation.retrieve import rank_one, retrieve
from tests.evaluation.test_retrieve import random_histories, random_index


@pytest.fixture
def index():
    return random_index(np.random.default_rng(0), 50, 6, score_levels=9)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_what_is_timed_is_the_served_ranking_of_a_fixed_sample(monkeypatch, index, exclude_seen):
    monkeypatch.setattr(latency, "SAMPLED_QUERIES", 30)
    monkeypatch.setattr(latency, "WARM_UP_QUERIES", 3)
    queries = random_histories(np.random.default_rng(1), 70, 50, 9)
    ranked: list[list[int]] = []

    def spy(*arguments, **options):
        ids, scores = rank_one(*arguments, **options)
        ranked.append(ids.tolist())
        return ids, scores

    monkeypatch.setattr(latency, "rank_one", spy)
    options: dict[str, Any] = {"recent": 4, "top_n": 5, "decay": 0.7}
    found = query_latency(index, queries, exclude_seen=exclude_seen, **options)
    together = retrieve(index, queries, exclude=queries if exclude_seen else None, **options)
    expected = [[item for item in row if item >= 0] for row in together.ids.tolist()]
    assert found["queries"] == 30
    assert len(ranked) == 33
    assert ranked[:3] == ranked[3:6]  # the warm-up
    sample = [expected.index(row) for row in ranked[3:] if row]
    assert len({user for user in sample if expected.count(expected[user]) == 1}) > 10
    first = list(ranked)
    ranked.clear()
    query_latency(index, queries, exclude_seen=exclude_seen, **options)
    assert ranked == first
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_percentiles_are_of_the_timed_queries_in_milliseconds(monkeypatch, index):
    """A clock by which query n takes n milliseconds."""
    ticks = iter(np.cumsum([0.5 if n % 2 == 0 else n // 2 * 1e-3 for n in range(1000)]).tolist())
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(latency, "WARM_UP_QUERIES", 7)
    queries = random_histories(np.random.default_rng(1), 101, 50, 9)
    found = query_latency(index, queries, recent=4, top_n=5)
    assert found == {"p50_ms": pytest.approx(57), "p99_ms": pytest.approx(106), "queries": 101}


def test_nobody_asks(index):
    queries = random_histories(np.random.default_rng(1), 0, 50, 9)
    assert query_latency(index, queries, recent=4, top_n=5) == {"p50_ms": None, "p99_ms": None, "queries": 0}
