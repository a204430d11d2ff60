"""Items' texts as sparse vectors of their words, weighted by TF-IDF and of length 1: a product of two is their cosine.

    w_iv = tf (k1 + 1) / (tf + k1 (1 - b + b L_i / mean L)) * log(n / n_v)^idf, the row of each item scaled to length 1

tf counts the word v in the text of item i, L_i is the number of its words, n_v that of items with the word. With k1 = 0
a word counts once, however often it is repeated.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.words import split_words
from llmi2i_cli.choices.model_options import TextOptions
from llmi2i_cli.i2i.incidence import Incidence, incidence


def tf_idf(
    texts: Iterable[str | None],
    *,
    k1: float = TextOptions.k1,
    b: float = TextOptions.b,
    idf: float = TextOptions.idf,
) -> tuple[Incidence, NDArray[np.float64]]:
    """Which words stand in which items' texts (words in the place of users), and w of each entry, float64 (n_entries,).

    Parameters
    ----------
    texts : of each item; an item without words has an empty row
    """
    words = _word_incidence(texts)
    counts = words.weights.astype(np.float64) if words.weighted else np.ones(len(words.user_items))
    n_words = np.bincount(words.user_items, counts, minlength=words.n_items)
    length_norm = 1 - b + b * n_words / max(n_words.mean(), 1e-9) if words.n_items else n_words
    saturated = counts * (k1 + 1) / (counts + k1 * length_norm[words.user_items])
    rarity = np.log(max(words.n_items, 1) / np.maximum(words.lengths, 1)) ** idf
    weights = saturated * np.repeat(rarity, words.lengths)
    norms = np.sqrt(np.bincount(words.user_items, weights**2, minlength=words.n_items))
    return words, weights / np.maximum(norms, 1e-9)[words.user_items]


def _word_incidence(texts: Iterable[str | None]) -> Incidence:
    """How often each word stands in each text: words are the rows ("users"), counts the weights."""
    vocabulary: dict[str, int] = {}
    words_of_all, times_of_all, lengths = array("q"), array("f"), array("q")  # of millions of items: no objects
    for text in texts:
        counts = Counter(vocabulary.setdefault(word, len(vocabulary)) for word in split_words(text or ""))
        words_of_all.extend(counts)
        times_of_all.extend(counts.values())
        lengths.append(len(counts))
    words, times = np.array(words_of_all, np.int64), np.array(times_of_all, np.float32)
    items = np.repeat(np.arange(len(lengths), dtype=np.int32), np.array(lengths, np.int64))
    order = np.argsort(words, kind="stable")
    ptr = np.zeros(len(vocabulary) + 1, np.int64)
    np.cumsum(np.bincount(words, minlength=len(vocabulary)), out=ptr[1:])
    return incidence(Histories(ptr, items[order], len(lengths), times[order]), repeats="sum")
