"""Approximate neighbours against the exact ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from llmi2i_cli.errors import ModelError
from llmi2i_cli.i2i import faiss_search
from llmi2i_cli.i2i.dense_neighbours import cosine_neighbours
from tests.i2i.test_every_model import check_form


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss", reason="faiss is an extra: pip install 'llmi2i[faiss]'")


def clustered(n_items: int, dimensions: int = 32, n_clusters: int = 100, spread: float = 0.7):
    """Items scattered around centres, float32 (n_items, dimensions)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_clusters, dimensions))
    scattered = centres[rng.integers(0, n_clusters, n_items)] + spread * rng.normal(size=(n_items, dimensions))
    return scattered.astype(np.float32)


def test_95_percent_of_the_50_nearest_are_found(faiss, monkeypatch):
    vectors, known = clustered(4000), np.ones(4000, bool)
    exact = cosine_neighbours(vectors, known, top_k=50)

    def recall() -> float:
        found = cosine_neighbours(vectors, known, top_k=50, search="faiss")
        check_form(found, 4000, 50)
        return float(np.mean([np.isin(exact.ids[item], found.ids[item]).mean() for item in range(4000)]))

    monkeypatch.setattr(faiss_search, "CELLS_PROBED", 1)  # then it is the share that counts, as with many items
    assert 0.95 <= recall() < 1  # or nothing was approximate
    monkeypatch.setattr(faiss_search, "CELLS_PROBED", 252)
    assert recall() > 0.999  # all but ties at the end of a row


def test_a_small_catalogue_is_searched_whole(faiss):
    """As many cells as are probed: the exact rows, with their ties, holes and unknown items."""
    rng = np.random.default_rng(1)
    vectors = rng.choice([-1, 1], (60, 4)).astype(np.float32)  # exact cosines of 1/2 and 1, many ties
    known = rng.random(60) < 0.8
    exact = cosine_neighbours(vectors, known, top_k=60)
    found = cosine_neighbours(vectors, known, top_k=60, search="faiss")
    assert found.ids.tolist() == exact.ids.tolist()
    assert found.scores.tolist() == exact.scores.tolist()
    assert (found.ids[known] >= 0).sum() > 500


@pytest.mark.parametrize("known", [[], [False, False], [True, False]])
def test_nothing_to_find(faiss, known):
    vectors = np.ones((len(known), 3), np.float32)
    found = cosine_neighbours(vectors, np.array(known, bool), top_k=2, search="faiss")
    assert found.ids.shape == (len(known), 2)
    assert (found.ids == -1).all() and not found.scores.any()


def test_the_same_bytes_with_any_number_of_threads(faiss):
    vectors, known = clustered(2000), np.ones(2000, bool)
    before = faiss.omp_get_max_threads()
    results = set()
    try:
        for threads in (1, 2, 2):
            faiss.omp_set_num_threads(threads)
            found = cosine_neighbours(vectors, known, top_k=20, search="faiss")
            results.add(found.ids.tobytes() + found.scores.tobytes())
    finally:
        faiss.omp_set_num_threads(before)
    assert len(results) == 1


def test_faiss_torch_and_numba_work_in_one_process_in_either_order(faiss):
    """Each brings an OpenMP runtime of its own."""
    program = """if True:
        import numpy as np, torch
        from llmi2i_cli.artifacts.histories import Histories
        from llmi2i_cli.i2i.youtube_dnn_training import train_youtube_dnn
        from llmi2i_cli.evaluation.retrieve import retrieve
        rng = np.random.default_rng(0)
        log = Histories.from_rows(rng.integers(0, 50, (40, 6)).tolist(), 50)
        for _ in range(2):
            model = train_youtube_dnn(log, validation=None, dimensions=8, epochs=1)
            found = retrieve(model.neighbours(top_k=5, search="faiss"), log, recent=3, top_n=4)
            torch.ones(300, 300) @ torch.ones(300, 300)
        print(int((found.ids >= 0).sum()))
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"OMP_NUM_THREADS": "2", "PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 100


def test_without_faiss_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(faiss_search.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'llmi2i\[faiss\]', or leave out --search"):
        cosine_neighbours(clustered(9), np.ones(9, bool), top_k=2, search="faiss")
