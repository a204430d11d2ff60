"""Similarity of the items' texts: the cosine of their TF-IDF vectors. It reads the catalogue, and no log.

A sparse top-K product, as BM25 of the log is, with words for users.
"""

from __future__ import annotations

from llmi2i_cli.choices.model_options import TextOptions
from llmi2i_cli.i2i.sparse_products import products
from llmi2i_cli.i2i.tf_idf import tf_idf
from llmi2i_cli.i2i.training import Job, Trained


def train(job: Job, options: TextOptions) -> Trained:
    """The row of `choices.models`."""
    words, weights = tf_idf(job.texts, k1=options.k1, b=options.b, idf=options.idf)
    return Trained(job.rank(products(words, weights, top_k=job.top_k, smallest=options.min_similarity)))
