"""What speaks for a candidate besides an LLM's memory: how it was bought with the history, its text, its popularity.

These are the facts that the discriminator reads as feature tokens (the paper's X_Y). They come from train interactions
alone, and an interaction never testifies for itself: the user in question is left out of the counts of the pairs that
it would be part of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.words import split_words
from llmi2i_cli.i2i.bm25 import Bm25Pairs

FEATURES = ("bm25", "text", "popularity", "logprob", "rank")
RECENT_ITEMS = 5  # how far back a candidate is compared with the history
DECAY = 0.7  # an item one step further back counts this much less


@dataclass(frozen=True)
class Evidence:
    """Facts about the items of one log.

    Attributes
    ----------
    histories : the interactions that may testify
    texts : String (n_items,)
    """

    histories: Histories
    texts: pl.Series

    @cached_property
    def _item_counts(self) -> NDArray[np.int64]:
        return self.histories.item_counts()

    @cached_property
    def _bm25(self) -> Bm25Pairs:
        return Bm25Pairs(self.histories)

    @cached_property
    def _words(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """TF-IDF of each item's text, rows of length 1, in CSR: ptr, word numbers (ascending in a row), weights."""
        vocabulary: dict[str, int] = {}
        rows = [
            sorted({vocabulary.setdefault(word, len(vocabulary)) for word in split_words(text or "")})
            for text in self.texts
        ]
        ptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=ptr[1:])
        words = np.fromiter((word for row in rows for word in row), np.int32, int(ptr[-1]))
        frequency = np.bincount(words, minlength=len(vocabulary))
        weights = np.log(len(rows) / np.maximum(frequency, 1))[words]
        item_of = np.repeat(np.arange(len(rows)), np.diff(ptr))
        norms = np.sqrt(np.bincount(item_of, weights**2, minlength=len(rows)))
        return ptr, words, (weights / np.maximum(norms, 1e-9)[item_of]).astype(np.float32)

    @cached_property
    def _pairs(self) -> NDArray[np.int64]:
        """Every interaction as user * n_items + item, ascending."""
        return np.sort(self.histories.user_of_each().astype(np.int64) * self.histories.n_items + self.histories.items)

    def _counts_without(self, users: NDArray[np.integer], items: NDArray[np.int32]) -> NDArray[np.int64]:
        """How often each item was bought by others than the user beside it."""
        pairs = users.astype(np.int64) * self.histories.n_items + items
        own = np.searchsorted(self._pairs, pairs, side="right") - np.searchsorted(self._pairs, pairs, side="left")
        return self._item_counts[items] - own

    def text_similarity(self, pairs: NDArray[np.int32]) -> NDArray[np.float32]:
        """Cosine of the TF-IDF vectors of pairs of items, float32 (n_pairs,)."""
        return _sparse_dots(*self._words, pairs)

    def features(
        self,
        contexts: Histories,
        context_of: NDArray[np.integer],
        users: NDArray[np.integer],
        candidates: NDArray[np.int32],
        logprobs: NDArray[np.float32] | None,
        ranks: NDArray[np.integer] | None,
    ) -> NDArray[np.float32]:
        """The facts about candidates, one row each.

        Parameters
        ----------
        contexts : the histories that candidates are compared with, one row a context
        context_of : (n,), the context of each candidate
        users : (n,), row of `self.histories` whose own interactions do not testify for the candidate
        candidates : int32 (n,)
        logprobs, ranks : (n,), the generator's; None where it was not asked

        Returns
        -------
        float32 (n, 5), columns as in `FEATURES`; NaN where the generator was not asked
        """
        recent_pairs, owner, weight = self._recent_pairs(contexts, context_of, candidates)
        without = users[owner].astype(np.int32)
        bm25 = self._bm25.scores(recent_pairs, without_users=without)
        text = self.text_similarity(recent_pairs)
        nothing = np.full(len(candidates), np.nan)
        columns = [
            np.bincount(owner, bm25 * weight, minlength=len(candidates)),
            np.bincount(owner, text * weight, minlength=len(candidates)),
            np.log1p(self._counts_without(users, candidates)),
            nothing if logprobs is None else logprobs,
            nothing if ranks is None else np.log(ranks),
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    @staticmethod
    def _recent_pairs(
        contexts: Histories, context_of: NDArray[np.integer], candidates: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
        """(history item, candidate) for the latest items of each candidate's context, its row, the decay."""
        lengths = np.minimum(contexts.lengths[context_of], RECENT_ITEMS)
        owner = np.repeat(np.arange(len(candidates)), lengths)
        age = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)  # 0 = the most recent
        items = contexts.items[contexts.ptr[context_of[owner] + 1] - 1 - age]
        return np.stack([items, candidates[owner]], axis=1).astype(np.int32), owner, DECAY**age


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
