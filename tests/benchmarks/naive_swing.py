"""The peer of the Swing benchmark: a straightforward parallel Swing in Numba, written as well as the plain plan allows.

For each item, for each pair of its users: count what they share with an array of marks, scatter to the shared items.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, njit, prange


@njit(cache=True)
def _row(item, item_ptr, item_users, user_ptr, user_items, user_weights, smoothing, sums, marks, touched):
    n_touched = 0
    for a in range(item_ptr[item], item_ptr[item + 1]):
        u = item_users[a]
        for k in range(user_ptr[u], user_ptr[u + 1]):
            marks[user_items[k]] = 1
        for b in range(a + 1, item_ptr[item + 1]):
            v = item_users[b]
            shared = 0
            for k in range(user_ptr[v], user_ptr[v + 1]):
                shared += marks[user_items[k]]
            if shared > 1:
                gain = user_weights[u] * user_weights[v] / (smoothing + shared)
                for k in range(user_ptr[v], user_ptr[v + 1]):
                    other = user_items[k]
                    if marks[other] and other != item:
                        if sums[other] == 0.0:
                            touched[n_touched] = other
                            n_touched += 1
                        sums[other] += gain
        for k in range(user_ptr[u], user_ptr[u + 1]):
            marks[user_items[k]] = 0
    return n_touched


@njit(parallel=True)
def naive_swing(item_ptr, item_users, user_ptr, user_items, user_weights, smoothing, top_k):
    """Neighbours of every item: ids int32 (n_items, top_k), padded with -1, and scores float32 (n_items, top_k).

    Both incidence lists are in compressed sparse row form with sorted rows: the users of item i are
    `item_users[item_ptr[i]:item_ptr[i + 1]]`, the items of user u `user_items[user_ptr[u]:user_ptr[u + 1]]`.
    """
    n_items = len(item_ptr) - 1
    ids = np.full((n_items, top_k), -1, np.int32)
    scores = np.zeros((n_items, top_k), np.float32)
    threads = get_num_threads()
    for thread in prange(threads):
        sums = np.zeros(n_items)
        marks = np.zeros(n_items, np.int8)
        touched = np.empty(n_items, np.int32)
        for item in range(thread, n_items, threads):  # popular and rare items alternate, so threads finish together
            n = _row(item, item_ptr, item_users, user_ptr, user_items, user_weights, smoothing, sums, marks, touched)
            falling = np.empty(n)
            for k in range(n):
                falling[k] = -sums[touched[k]]
            order = np.argsort(falling, kind="mergesort")
            for k in range(min(top_k, n)):
                ids[item, k] = touched[order[k]]
                scores[item, k] = -falling[order[k]]
            for k in range(n):
                sums[touched[k]] = 0.0
    return ids, scores
