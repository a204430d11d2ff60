"""EASE, the linear autoencoder in closed form (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019).

    P = (X'X + penalty I)^-1,   B_ij = -P_ij / P_jj,   B_ii = 0

X holds the weights of the users' interactions (1 when the log has none; a repeat counts once, with the greatest
weight). The row of item i is that of B: what i adds to the scores of the others. The inverse is dense: memory grows
with the square of the bought items and time with their cube.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_matrix

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import EaseOptions
from llmi2i_cli.errors import ModelError
from llmi2i_cli.i2i.dense_neighbours import largest_of_rows
from llmi2i_cli.i2i.incidence import incidence
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours, tie_ranks
from llmi2i_cli.i2i.training import Job, Trained

BLOCK_ITEMS = 512


def train(job: Job, options: EaseOptions) -> Trained:
    """The row of `choices.models`. ModelError when the bought items are too many for the memory that is free."""
    items = np.flatnonzero(job.histories.item_counts())
    require_memory(len(items), free_bytes())
    neighbours = Neighbours.empty(job.histories.n_items, job.top_k)
    inverse = inverse_gram(job.histories, items, options.penalty)
    diagonal, tie_rank = inverse.diagonal().copy(), tie_ranks(job.histories.n_items)[items]
    for start in range(0, len(items), BLOCK_ITEMS):
        job.tell(start, len(items))
        rows = np.arange(start, min(start + BLOCK_ITEMS, len(items)))
        scores = (-inverse[rows] / diagonal).astype(np.float32)  # (block, n)
        scores[np.arange(len(rows)), rows] = 0
        ids, best = largest_of_rows(scores, tie_rank, top_k=job.top_k)
        neighbours.ids[items[rows]] = np.where(ids == EMPTY, EMPTY, items[ids])
        neighbours.scores[items[rows]] = best
    return Trained(neighbours)


def inverse_gram(histories: Histories, items: NDArray[np.int64], penalty: float) -> NDArray[np.float64]:
    """P of the bought `items`, float64 (n, n), by Cholesky's factorisation in the place of X'X."""
    log = incidence(histories, repeats="max")
    weights = log.weights.astype(np.float64) if log.weighted else np.ones(len(log.user_items))
    users_items = csr_matrix((weights, log.item_order[log.user_items], log.user_ptr), shape=(log.n_users, log.n_items))[
        :, items
    ]
    gram = np.asfortranarray((users_items.T @ users_items).toarray())
    gram[np.diag_indices_from(gram)] += penalty
    if not len(items):
        return gram
    factor, failed = dpotrf(gram, lower=1, overwrite_a=1)
    inverse, failed_too = dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise ModelError("EASE's matrix is not positive definite: raise --penalty")
    for column in range(len(items) - 1):  # LAPACK gives the lower half alone
        inverse[column, column + 1 :] = inverse[column + 1 :, column]
    return inverse


def require_memory(n_items: int, free: int) -> None:
    """ModelError when the inverse of `n_items` bought items does not fit into `free` bytes."""
    needed = 8 * n_items**2 * 5 // 4  # the matrix and, while it is made, a sparse one that is mostly smaller
    if needed > free:
        raise ModelError(
            f"EASE needs about {needed / 2**30:.1f} GiB for {n_items:,} bought items, and {free / 2**30:.1f} GiB are "
            "free: prepare the log with --min-item-users, or train itemknn or bm25"
        )


def free_bytes() -> int:
    """Memory that can be had without swapping, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
