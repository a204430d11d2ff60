"""Evidence: how like the candidate's text is to that of the recent items."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.features import Column
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.words import split_words
from llmi2i_cli.i2i.recent_items import over_recent_items


def text(_histories: Histories, texts: pl.Series) -> Column:
    """Cosine of the TF-IDF vectors with the recent items."""
    words_of_items = TfIdf(texts)
    return lambda candidates: over_recent_items(candidates, lambda pairs, _: words_of_items.cosines(pairs))


class TfIdf:
    """TF-IDF of each item's text, rows of length 1, in CSR: ptr, word numbers (ascending in a row), weights."""

    def __init__(self, texts: pl.Series) -> None:
        vocabulary: dict[str, int] = {}
        rows = [
            sorted({vocabulary.setdefault(word, len(vocabulary)) for word in split_words(text or "")}) for text in texts
        ]
        self.ptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=self.ptr[1:])
        self.words = np.fromiter((word for row in rows for word in row), np.int32, int(self.ptr[-1]))
        frequency = np.bincount(self.words, minlength=len(vocabulary))
        weights = np.log(len(rows) / np.maximum(frequency, 1))[self.words]
        item_of = np.repeat(np.arange(len(rows)), np.diff(self.ptr))
        norms = np.sqrt(np.bincount(item_of, weights**2, minlength=len(rows)))
        self.weights = (weights / np.maximum(norms, 1e-9)[item_of]).astype(np.float32)

    def cosines(self, pairs: NDArray[np.int32]) -> NDArray[np.float32]:
        """Cosine of the vectors of pairs of items, float32 (n_pairs,)."""
        return _sparse_dots(self.ptr, self.words, self.weights, pairs)


def _sparse_dots(
    ptr: NDArray[np.int64], words: NDArray[np.int32], weights: NDArray[np.float32], pairs: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Dot products of rows of a CSR matrix with itself, via one sorted lookup of (row, word) keys."""
    n_words = int(words.max(initial=0)) + 1
    lengths = np.diff(ptr)
    item_of = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    keys = item_of * n_words + words  # ascending, because rows and the words in them are
    counts = lengths[pairs[:, 0]]
    owner = np.repeat(np.arange(len(pairs)), counts)
    entry = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts) + ptr[pairs[owner, 0]]
    wanted = pairs[owner, 1].astype(np.int64) * n_words + words[entry]
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    match = keys[place] == wanted if len(keys) else np.zeros(0, bool)
    products = np.where(match, weights[entry] * weights[place], 0) if len(keys) else np.zeros(0)
    return np.bincount(owner, products, minlength=len(pairs)).astype(np.float32)
