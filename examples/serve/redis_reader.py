"""Reads an index that `llmi2i export-index --to redis://...` published, in one round trip per query.

index = RedisIndex(redis.Redis.from_url("redis://localhost:6379/0", decode_responses=True), "llmi2i:blend-fused")
index.recommend(["item a", "item b"], n=10)  # recent items, oldest first -> [(item, score), ...], best first
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

REMEMBER_SECONDS = 5  # which version is served; a former one is kept for much longer (--keep-seconds)


class RedisIndex:
    """An index by the name that its keys begin with; `layout` is the one that it was published with."""

    def __init__(self, client: Any, name: str, layout: str = "zset") -> None:
        self.client, self.name, self.layout = client, name, layout
        self._version, self._asked = "", float("-inf")

    def version(self) -> str:
        """The version that is served, asked for every few seconds."""
        if time.monotonic() - self._asked > REMEMBER_SECONDS:
            self._version = self.client.get(f"{self.name}:current") or ""
            self._asked = time.monotonic()
        return self._version

    def neighbours(self, item_ids: Sequence[str], n: int = -1) -> list[list[tuple[str, float]]]:
        """The first `n` neighbours of each item with their scores, best first; -1: all."""
        version = self.version()
        keys = [f"{self.name}:{version}:{item}" for item in item_ids]
        if self.layout == "list":
            texts = self.client.mget(keys) if keys else []
            rows = [[pair.rsplit(":", 1) for pair in text.split(",")] if text else [] for text in texts]
            return [[(item, float(score)) for item, score in row][: n if n >= 0 else None] for row in rows]
        with self.client.pipeline(transaction=False) as batch:
            for key in keys:
                batch.zrevrange(key, 0, n - 1 if n >= 0 else -1, withscores=True)
            return [[(item, float(score)) for item, score in row] for row in batch.execute()]

    def recommend(
        self, recent: Sequence[str], n: int = 10, decay: float = 1.0, seen: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """The items whose scores, summed over the neighbours of the recent items (oldest first), are the highest.

        The next older item counts `decay` times as much. What is recent or `seen` is left out.
        """
        sums: defaultdict[str, float] = defaultdict(float)
        for age, row in enumerate(reversed(self.neighbours(recent))):
            for item, score in row:
                sums[item] += score * decay**age
        for item in (*recent, *seen):
            sums.pop(item, None)
        return sorted(sums.items(), key=lambda pair: -pair[1])[:n]
