"""Numbers as tokens: a feature is cut into buckets of equal share, each bucket is a token, and so is "not known"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.features import Features
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.documents import read_json


@dataclass(frozen=True)
class Buckets:
    """Cuts each feature into buckets of equal share; NaN, not known, has the last bucket for itself.

    Attributes
    ----------
    edges : by feature, in the order of their tokens, the inner edges, ascending
    """

    edges: Mapping[str, tuple[float, ...]]

    BUCKETS_PER_FEATURE = 16

    @classmethod
    def fit(cls, features: Features) -> Buckets:
        """Edges at the quantiles of what is known of each feature."""
        shares = np.arange(1, cls.BUCKETS_PER_FEATURE - 1) / (cls.BUCKETS_PER_FEATURE - 1)
        edges = {}
        for name in features.names:
            known = features[name][~np.isnan(features[name])]
            edges[name] = tuple(np.unique(np.quantile(known, shares)).tolist()) if len(known) else ()
        return cls(edges)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features."""
        return tuple(self.edges)

    @property
    def n_tokens(self) -> int:
        return len(self.edges) * self.BUCKETS_PER_FEATURE

    def tokens(self, features: Features) -> NDArray[np.int32]:
        """Evidence token numbers, int32 (n, n_features): place of the feature times buckets plus bucket."""
        tokens = np.empty((len(features), len(self.edges)), np.int32)
        for place, (name, edges) in enumerate(self.edges.items()):
            values = features[name]
            bucket = np.searchsorted(np.asarray(edges, np.float32), values, side="right")
            bucket = np.where(np.isnan(values), self.BUCKETS_PER_FEATURE - 1, bucket)
            tokens[:, place] = bucket + place * self.BUCKETS_PER_FEATURE
        return tokens

    def save(self, path: Path) -> None:
        """Write the edges as JSON."""
        path.write_text(json.dumps({"edges": self.edges}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path, remedy: str) -> Buckets:
        """Read what `save` wrote; ArtifactError if it is damaged."""
        try:
            edges = read_json(path)["edges"]
            return cls({name: tuple(float(edge) for edge in inner) for name, inner in edges.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path} is missing or damaged: {remedy}") from error
