"""Numbers as tokens: a feature is cut into buckets of equal share, each bucket is a token, and so is "not known"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.errors import ArtifactError


@dataclass(frozen=True)
class Buckets:
    """Cuts each feature into buckets of equal share; NaN, not known, has the last bucket for itself.

    Attributes
    ----------
    edges : per feature, the inner edges, ascending
    """

    edges: tuple[tuple[float, ...], ...]

    BUCKETS_PER_FEATURE = 16

    @classmethod
    def fit(cls, features: NDArray[np.float32]) -> Buckets:
        """Edges at the quantiles of `features`, float32 (n, n_features)."""
        shares = np.arange(1, cls.BUCKETS_PER_FEATURE - 1) / (cls.BUCKETS_PER_FEATURE - 1)
        known = (column[~np.isnan(column)] for column in features.T)
        return cls(tuple(tuple(np.unique(np.quantile(c, shares)).tolist()) if len(c) else () for c in known))

    @property
    def n_tokens(self) -> int:
        return len(self.edges) * self.BUCKETS_PER_FEATURE

    def tokens(self, features: NDArray[np.float32]) -> NDArray[np.int32]:
        """Evidence token numbers, int32 (n, n_features): feature times buckets plus bucket."""
        columns = []
        for feature, edges in enumerate(self.edges):
            values = features[:, feature]
            bucket = np.searchsorted(np.asarray(edges, np.float32), values, side="right")
            bucket = np.where(np.isnan(values), self.BUCKETS_PER_FEATURE - 1, bucket)
            columns.append(bucket + feature * self.BUCKETS_PER_FEATURE)
        return np.stack(columns, axis=1).astype(np.int32)

    def save(self, path: Path) -> None:
        """Write the edges as JSON."""
        path.write_text(json.dumps({"edges": self.edges}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path, remedy: str) -> Buckets:
        """Read what `save` wrote; ArtifactError if it is damaged."""
        try:
            edges = json.loads(path.read_text(encoding="utf-8"))["edges"]
            return cls(tuple(tuple(float(edge) for edge in feature) for feature in edges))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is missing or damaged: {remedy}") from error
