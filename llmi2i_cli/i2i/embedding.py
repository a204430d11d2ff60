"""Similarity of the items' vectors in the trained generator: what it has learnt of them from texts and histories.

The vectors are the rows of its output layer, so that items are near which it expects in the same places.
"""

from __future__ import annotations

from llmi2i_cli.choices.model_options import EmbeddingOptions
from llmi2i_cli.i2i.training import Job, Trained
from llmi2i_cli.i2i.vectors import similar_vectors


def train(job: Job, options: EmbeddingOptions) -> Trained:
    """The row of `choices.models`."""
    assert job.generator is not None  # the model reads it
    vectors = job.generator.item_vectors()
    return Trained(similar_vectors(vectors, power=options.power, top_k=job.top_k, search=job.search))
