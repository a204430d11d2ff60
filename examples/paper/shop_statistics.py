"""Print what logs are like, a column for each, as a Markdown table: how far is the simulated shop from real ones?

Usage: python examples/paper/shop_statistics.py WORKDIR [WORKDIR ...]

Reads prepare/ of each work directory and, where they are, the results of `llmi2i evaluate --model MODEL --data real`
for either split. Nothing that a language model made is read: the simulator was fitted to these figures and to no other
(to Recall@10 on validation).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import has_split, read_catalogue, read_histories
from llmi2i_cli.artifacts.words import split_words
from llmi2i_cli.evaluation.report import targets_in_query
from llmi2i_cli.evaluation.validation import read_held_out

SPLITS = ("train", "valid", "test")
QUANTILES = (0.1, 0.5, 0.9, 0.99)
FEW = 5  # interactions of a long-tail item, at most
SHARE = ".1%"  # how figures are printed, unless said otherwise
FORMATS = {
    "users": ",",
    "catalogue items": ",",
    "interactions": ",",
    "density": ".3%",
    "interactions per user": ".1f",
    **{f"interactions per user, {quantile:.0%} quantile": ".0f" for quantile in QUANTILES},
    "interactions per bought item": ".1f",
    "Gini coefficient": ".3f",
    "words per title": ".1f",
    "vocabulary": ",",
    "different words per catalogue item": ".2f",
}
RECALL = "Recall@10 of "


def statistics(workdir: Path) -> dict[str, float]:
    """All figures of a prepared log, by name."""
    catalogue, log = read_catalogue(workdir), read_histories(workdir, SPLITS)
    figures = size(log) | popularity(log) | repeats(log) | words(catalogue.titles)
    if has_split(workdir, "test"):
        figures |= held_out(workdir) | recalls(workdir)
    return figures


def size(log: Histories) -> dict[str, float]:
    """How many there are, and how long histories are. The density is that of bought items."""
    n_bought = np.count_nonzero(log.item_counts())
    quantiles = {f"interactions per user, {q:.0%} quantile": float(np.quantile(log.lengths, q)) for q in QUANTILES}
    return {
        "users": log.n_users,
        "catalogue items": log.n_items,
        "interactions": len(log.items),
        "density": len(log.items) / log.n_users / n_bought,
        "interactions per user": log.lengths.mean(),
        **quantiles,
        "interactions per bought item": len(log.items) / n_bought,
    }


def popularity(log: Histories) -> dict[str, float]:
    """How unequal items are; all but the first figure are of the items that were bought."""
    counts = log.item_counts()
    bought = counts[counts > 0]
    return {
        "catalogue items never bought": np.mean(counts == 0),
        f"bought items with {FEW} interactions or fewer": np.mean(bought <= FEW),
        "interactions of the top 1% of items": top_share(bought, 0.01),
        "interactions of the top 10% of items": top_share(bought, 0.1),
        "Gini coefficient": gini(bought),
    }


def repeats(log: Histories) -> dict[str, float]:
    """How often users come back to an item."""
    pairs = np.unique(log.user_of_each().astype(np.int64) * log.n_items + log.items)
    n_distinct = np.bincount(pairs // log.n_items, minlength=log.n_users)
    return {
        "users who buy an item twice": np.mean(n_distinct < log.lengths),
        "interactions that repeat an earlier one": 1 - len(pairs) / len(log.items),
    }


def words(titles: pl.Series) -> dict[str, float]:
    """What titles are made of."""
    lists = [split_words(title) for title in titles]
    n_titles = Counter(word for title in lists for word in set(title))
    return {
        "words per title": np.mean([len(title) for title in lists]),
        "vocabulary": len(n_titles),
        "different words per catalogue item": len(n_titles) / len(titles),
        "words of a single title": np.mean([n == 1 for n in n_titles.values()]),
    }


def held_out(workdir: Path) -> dict[str, float]:
    """What the test split asks for. Items that nothing else names are not in the catalogue, and not in train."""
    catalogue, test = read_catalogue(workdir), read_held_out(workdir, "test")
    known = test.targets.items[test.targets.items < catalogue.n_items]
    n_targets = len(test.targets.items)
    return {
        "test items that the user has already": targets_in_query(test.targets, test.queries) / n_targets,
        "test items of the long tail": catalogue.is_long_tail[known].sum() / n_targets,
        "test items not in train": 1 - np.count_nonzero(catalogue.train_counts[known]) / n_targets,
    }


def recalls(workdir: Path) -> dict[str, float]:
    """Recall@10 of each model on the real log, where it was evaluated."""
    figures = {}
    for split in ("valid", "test"):
        for path in sorted((workdir / "evaluate").glob(f"*-real-{split}.json")):
            result = json.loads(path.read_text(encoding="utf-8"))
            figures[f"{RECALL}{result['model']}, {split}"] = result["metrics"]["all"]["recall@10"]
    return figures


def top_share(counts: NDArray[np.int64], share: float) -> float:
    """What share of all interactions the most popular `share` of the items has."""
    n_top = max(1, round(share * len(counts)))
    return float(np.sort(counts)[::-1][:n_top].sum() / counts.sum())


def gini(counts: NDArray[np.int64]) -> float:
    """The Gini coefficient: 0 when all items are equally popular, towards 1 when one has everything."""
    n, ranks = len(counts), np.arange(1, len(counts) + 1)
    return float(2 * (ranks @ np.sort(counts)) / (n * counts.sum()) - (n + 1) / n)


def printed(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return format(value, ".4f" if name.startswith(RECALL) else FORMATS.get(name, SHARE))


def main(arguments: list[str]) -> None:
    columns = {Path(argument).name: statistics(Path(argument)) for argument in arguments}
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    lines = [f"| | {' | '.join(columns)} |", f"|---{'|---' * len(columns)}|"]
    for name in names:
        cells = [printed(name, figures.get(name)) for figures in columns.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
