"""The paper's Figures 4 and 5 as PNG: Recall@10 by popularity, by confidence and by the recall number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from measured import Study

from llmi2i_cli.data.fusion_search import first_round

mpl.use("Agg")  # before pyplot looks for a screen
import matplotlib.pyplot as plt

COUNTS = ("0", "1", "2-5", "6-20", "21+")  # of the groups of `evaluate`, times that train has the target
MOST = (0, 1, 5, 20)  # of each but the last
SETTING = "llm-i2i"  # judged by Swing
ORDERS = {"rank": "the generator's order", "confidence": "the discriminator's", "random": "random"}


def popularity(study: Study, path: Path) -> list[list[str]]:
    """Figure 4: Swing's Recall@10 by how often train has the target, and where the added interactions go.

    Returns the rows of the same as a table: times in train, targets, real, fused, shares of interactions.
    """
    real, fused = study.read("base", "swing-real"), study.read(SETTING, "swing-fused")
    assert real is not None and fused is not None  # the caller has looked
    found = {
        name: [_mean(measured.reports, count) for count in COUNTS]
        for name, measured in (("real", real), ("fused", fused))
    }
    added = _shares(study)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, drawn, title in (
        (axes[0], found, "Recall@10 of Swing"),
        (axes[1], added, "share of the interactions"),
    ):
        for place, (name, values) in enumerate(drawn.items()):
            axis.bar([x + 0.4 * place for x in range(len(COUNTS))], values, width=0.4, align="edge", label=name)
        axis.set_xticks([x + 0.4 for x in range(len(COUNTS))], COUNTS)
        axis.set_xlabel("times that train has the item")
        axis.set_title(title)
        axis.legend()
    figure.suptitle(f"{study.log}: popularity (Figure 4)")
    _save(figure, path)
    targets = next(iter(real.reports.values()))["by_train_count"]["targets"]
    return [
        [
            study.log,
            count,
            f"{targets[count]:,}",
            *(f"{found[log][place]:.4f}" for log in found),
            *(f"{added[kind][place]:.1%}" for kind in added),
        ]
        for place, count in enumerate(COUNTS)
    ]


def _mean(reports: Any, count: str) -> float:
    figures = [report["by_train_count"]["metrics"][count]["recall@10"] for report in reports.values()]
    return sum(figure or 0.0 for figure in figures) / len(figures)


def _shares(study: Study) -> dict[str, list[float]]:
    """Of the real and of the added interactions, the share that goes to items of each popularity; first seed."""
    workdir = next(path for path in study.workdirs(SETTING).values() if (path / "fuse").is_dir())
    items = pl.read_parquet(workdir / "prepare/items.parquet").select("item_id", "train_count")
    log = pl.read_parquet(workdir / "fuse/interactions.parquet").join(items, on="item_id")
    group = pl.sum_horizontal(pl.col("train_count") > most for most in MOST)  # place in COUNTS
    counted = log.with_columns(group=group).group_by("source", "group").len()
    found = {}
    for name, source in (("real", "real"), ("added", "synthetic")):
        some = counted.filter(source=source)
        total, by_group = max(1, some["len"].sum()), dict(some.select("group", "len").iter_rows())
        found[name] = [by_group.get(place, 0) / total for place in range(len(COUNTS))]
    return found


def figure_5(study: Study, path: Path) -> list[list[str]]:
    """Figure 5: validation Recall@10 of Swing by confidence (a) and by the recall number (b); first seed.

    Returns the rows of the same as a table: order, recall number, and a column for each threshold.
    """
    workdir = next(each for each in study.workdirs(SETTING).values() if (each / "fuse/sweep.parquet").exists())
    sweep = pl.read_parquet(workdir / "fuse/sweep.parquet", glob=False)
    without = sweep.filter(pl.col("recall_number") == 0)["valid_recall@10"]
    points = first_round(sweep).sort("recall_number")
    thresholds = points["min_confidence"].unique().sort().to_list()
    figure, (by_confidence, by_number) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for number in points["recall_number"].unique().sort().to_list():
        line = points.filter(recall_number=number, order="rank").sort("min_confidence")
        by_confidence.plot(line["min_confidence"], line["valid_recall@10"], marker="o", label=f"N = {number}")
    by_confidence.set_xlabel("least confidence")
    by_confidence.set_ylabel("validation Recall@10")
    for order, label in ORDERS.items():
        line = points.filter(order=order, min_confidence=thresholds[0])
        by_number.plot(line["recall_number"], line["valid_recall@10"], marker="o", label=label)
    by_number.set_xlabel("recall number N, all confidences")
    for axis in (by_confidence, by_number):
        for value in without:
            axis.axhline(value, linestyle=":", color="grey", label="the real log")
        axis.legend(fontsize=7)
    figure.suptitle(f"{study.log}: confidence and recall number (Figure 5)")
    _save(figure, path)
    columns = points.select("recall_number", "order", "min_confidence", "valid_recall@10")
    found = {(number, order, at): value for number, order, at, value in columns.iter_rows()}
    rows = []
    for order in ORDERS:
        for number in sorted({number for number, by, _ in found if by == order}):
            cells = [found.get((number, order, at)) for at in thresholds]
            rows.append([study.log, order, str(number), *("" if cell is None else f"{cell:.4f}" for cell in cells)])
    return rows


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})  # the same bytes every time
    plt.close(figure)


def logs_of(studies: Sequence[Study]) -> list[Study]:
    """Those whose figures can be drawn."""
    return [study for study in studies if study.read(SETTING, "swing-fused") and study.read("base", "swing-real")]
