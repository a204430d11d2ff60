"""The options that each item-to-item model is trained with: defaults, bounds and what they mean, said once.

The docstring of each says where its defaults come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmi2i_cli.choices.options import LARGEST_SEED, option

MOST_DIMENSIONS = 1 << 16  # of a vector: more are a slip of the finger


@dataclass(frozen=True)
class SwingOptions:
    """The weights and the smoothing of the literature that did best on held-out data."""

    smoothing: float = option(5.0, "added to the number of items that two users share", min=0)
    user_weight: str = option("sqrt", "one, sqrt = 1/sqrt(n), or A:B = (A + n)^-B, n a user's items")
    max_user_items: int = option(1000, "most recent interactions used per user, 0 for all", min=0)
    max_item_users: int = option(0, "users sampled per item, 0 for all", min=0)
    normalise: bool = option(False, "scale the scores to at most 1 per item")
    seed: int = option(42, "seed of the sample", min=0, max=LARGEST_SEED)


@dataclass(frozen=True)
class Bm25Options:
    """implicit's."""

    k1: float = option(1.2, "K1, how late repeats saturate", min=0)
    b: float = option(0.75, "B, how far an item's popularity is normalised away", min=0, max=1)


@dataclass(frozen=True)
class ItemKnnOptions:
    """As RecBole and RecTools have it: a shrinkage of some ten users holds back pairs seen once."""

    shrinkage: float = option(10.0, "added to the product of the items' norms", min=0)


@dataclass(frozen=True)
class Rp3BetaOptions:
    """The middle of what its paper tunes: a plain walk, popular items held back by the root of their degree."""

    alpha: float = option(1.0, "power of a step's probability", min=0, max=4)
    beta: float = option(0.5, "power of an item's degree that its scores are divided by", min=0, max=4)


@dataclass(frozen=True)
class EaseOptions:
    """The middle of what its paper tunes."""

    penalty: float = option(250.0, "L2 penalty, added to each item's count", min=1e-6)


@dataclass(frozen=True)
class BprOptions:
    """implicit's, with the paper's 100 factors and LLM-CF's seed."""

    factors: int = option(100, "factors per item", min=1, max=MOST_DIMENSIONS)
    learning_rate: float = option(0.1, "learning rate", min=0)
    regularization: float = option(0.01, "L2 penalty", min=0)
    iterations: int = option(100, "passes over the log", min=1)
    seed: int = option(2023, "seed", min=0, max=LARGEST_SEED)


@dataclass(frozen=True)
class YoutubeDnnOptions:
    """LLM-CF's, with more patience: it stops two epochs after a chance dip otherwise."""

    dimensions: int = option(64, "dimensions of a vector", min=1, max=MOST_DIMENSIONS)
    negatives: int = option(128, "random negatives per target", min=1)
    learning_rate: float = option(0.001, "learning rate", min=0)
    weight_decay: float = option(1e-5, "L2 penalty", min=0)
    batch_size: int = option(256, "targets per step", min=1)
    epochs: int = option(50, "passes over the log at most", min=1)
    patience: int = option(5, "epochs without a better validation Recall@10 before it stops", min=1)
    seed: int = option(2023, "seed", min=0, max=LARGEST_SEED)


@dataclass(frozen=True)
class TextOptions:
    """Plain TF-IDF: a title says a word once; the smallest similarity is far below what a served row holds."""

    k1: float = option(0.0, "K1, how late repeats of a word saturate; 0 counts a word once", min=0)
    b: float = option(0.75, "B, how far a text's length is normalised away", min=0, max=1)
    idf: float = option(1.0, "power of the words' rarity, log(n / n_v)", min=0)
    min_similarity: float = option(0.05, "smallest cosine that makes a neighbour", min=0, max=1)


@dataclass(frozen=True)
class VectorsOptions:
    """Encoders' cosines lie close together: a power sets the nearest apart from the rest."""

    item_vectors: str = option("", "Parquet file with item_id and a column of lists or arrays of numbers")
    power: float = option(4.0, "power of the cosine; higher: the first neighbours count more", min=0.1, max=64)


@dataclass(frozen=True)
class EmbeddingOptions:
    """As for other vectors."""

    power: float = option(4.0, "power of the cosine; higher: the first neighbours count more", min=0.1, max=64)


@dataclass(frozen=True)
class NextItemOptions:
    """The middle of what did best on validation."""

    power: float = option(0.5, "power of the probability; higher: the first neighbours count more", min=0.1, max=4)
    discount: float = option(0.2, "power of an item's expected count that its scores are divided by", min=0, max=2)


@dataclass(frozen=True)
class BlendOptions:
    """The two that know different things: what was bought together, and what items are."""

    parts: str = option("bm25,text", "the models to blend, separated by commas")
    weights: str = option("", "their weights, in that order; empty is 1 for each")


@dataclass(frozen=True)
class LlmBlendOptions(BlendOptions):
    """Those two, and what the trained generator knows of the items' order."""

    parts: str = option("bm25,text,next-item", "the models to blend, separated by commas")
