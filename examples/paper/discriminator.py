"""Does the discriminator earn its place? It orders a user's candidates, and chooses what Swing is trained on, beside
simpler ways to do the same; everything is printed as Markdown.

Usage: python examples/paper/discriminator.py [--auc-only] WORKDIR [WORKDIR ...]

Work directories need prepare/ with both splits, filter/scored.parquet.
Intervals are 95%, paired bootstraps over users.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from judged import Judged, pointers, read_judged
from measured import table
from numpy.typing import NDArray
from rivals import scores_by

from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.data.fusion import Candidates, Choice, fuse_histories
from llmi2i_cli.evaluation.comparison import bootstrap_means, interval
from llmi2i_cli.evaluation.metrics import per_user_metrics, rank_of_targets
from llmi2i_cli.evaluation.retrieve import retrieve
from llmi2i_cli.evaluation.validation import CUT_OFF, HeldOut, read_held_out, recall_by_recent
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.swing import swing_neighbours
from llmi2i_cli.llm.auc import user_aucs

RECALL_NUMBERS = (1, 3, 5, 10, 20)
STRATEGIES: tuple[tuple[str, int | None], ...] = (("append", None), ("pseudo-user", 5), ("pseudo-user", None))
ARMS = ("likelihood", "discriminator", "list-wise logistic", "random")
Scope = Literal["a user", "of all"]
SCOPES: tuple[Scope, ...] = ("a user", "of all")


def difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    """Mean of ``ours - theirs`` over the same users, with its interval."""
    low, high = interval(bootstrap_means((ours - theirs)[:, None])[:, 0]) or (np.nan, np.nan)
    return f"{(ours - theirs).mean():+.4f} ({low:+.4f} .. {high:+.4f})"


# --- the order of a user's candidates -------------------------------------------------------------------------------


def auc_rows(name: str, judged: Judged, scores: dict[str, NDArray[np.float64]]) -> Iterator[list[str]]:
    """Within-user AUC of the next item for each way to order, on both splits."""
    for split in ("valid", "test"):
        rows = judged.listed(split)
        labels, ptr = judged.observed[split][rows], pointers(judged.users[rows])
        areas = {way: user_aucs(score[rows], labels, ptr) for way, score in scores.items() if way != "random"}
        both = ~np.isnan(areas["likelihood"])
        areas = {way: each[both] for way, each in areas.items()}
        yield [
            name,
            split,
            str(int(both.sum())),
            *(f"{each.mean():.4f}" for each in areas.values()),
            *(difference(areas["discriminator"], areas[way]) for way in areas if way not in ("discriminator", "sum")),
        ]


# --- what Swing is trained on ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One way to choose candidates, and a Swing that was trained on them; M is tuned on validation.

    `hits` holds each test user's Recall@10.
    """

    arm: str
    scope: Scope
    number: int
    strategy: str
    copied: int | None
    rows: NDArray[np.int64]
    valid: float = 0.0
    hits: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def way(self) -> str:
        copied = "" if self.strategy == "append" else f", {self.copied or 'all'} copied"
        return f"{self.number} {self.scope}, {self.strategy}{copied}"


def choose(judged: Judged, scores: NDArray[np.float64], number: int, scope: Scope) -> NDArray[np.int64]:
    """Rows of the `number` best candidates of each user, or of as many in all by one threshold, ascending."""
    by_user = np.lexsort((judged.ranks, -scores, judged.users))
    ptr = pointers(judged.users)
    place = np.arange(len(by_user)) - np.repeat(ptr[:-1], np.diff(ptr))
    chosen = by_user[place < number]
    if scope == "of all":
        chosen = np.lexsort((judged.ranks, -scores))[: len(chosen)]
    return np.sort(chosen)


def per_user_recall(neighbours: Neighbours, held_out: HeldOut, recent: int) -> NDArray[np.float64]:
    """Recall@10 of each held-out user."""
    queries = held_out.queries
    found = retrieve(neighbours, queries, recent=recent, top_n=CUT_OFF, exclude=queries)
    ranks = rank_of_targets(found.ids, held_out.targets)
    metrics = per_user_metrics(ranks, held_out.targets, ks=(CUT_OFF,))
    return metrics.values[:, metrics.names.index(f"recall@{CUT_OFF}")]


def trained(judged: Judged, point: Point, options: dict[str, Any], valid: HeldOut, test: HeldOut) -> Point:
    """`point` with its figures: Swing with `options` on the fused log, M by validation, measured once on test."""
    everything = np.ones(len(judged.users), bool)
    candidates = Candidates(judged.users, judged.items, judged.ranks, judged.confidences, everything)
    choice = Choice(point.strategy, "rank", point.number, 0.0, point.copied)  # the rows are chosen already
    fused = fuse_histories(judged.train, candidates, point.rows, choice)
    neighbours = swing_neighbours(fused, **options)
    recalls = recall_by_recent(neighbours, valid)
    recent = max(recalls, key=lambda recent: (recalls[recent], -recent))  # the smallest of the best
    return replace(point, valid=recalls[recent], hits=per_user_recall(neighbours, test, recent))


def points_of(workdir: Path, judged: Judged, scores: dict[str, NDArray[np.float64]]) -> list[Point]:
    """Every strategy, scope, number and arm, in this order, with Swing's default options (as `fuse` tunes)."""
    valid, test = read_held_out(workdir, "valid"), read_held_out(workdir, "test")
    points = []
    for (strategy, copied), scope, number, arm in product(STRATEGIES, SCOPES, RECALL_NUMBERS, ARMS):
        point = Point(arm, scope, number, strategy, copied, choose(judged, scores[arm], number, scope))
        points.append(trained(judged, point, MODELS["swing"].complete({}), valid, test))
        sys.stderr.write(f"{workdir}: {arm}, {point.way}: {points[-1].valid:.4f}\n")
    return points


def tuned(workdir: Path, judged: Judged, points: list[Point]) -> dict[str, Point]:
    """Of each arm the point that is best on validation, with Swing's options tuned there (as `train-i2i --tune`)."""
    valid, test = read_held_out(workdir, "valid"), read_held_out(workdir, "test")
    found = {}
    for arm in ARMS:
        best = max((point for point in points if point.arm == arm), key=lambda point: point.valid)
        tried = [trained(judged, best, options, valid, test) for options in MODELS["swing"].points({})]
        found[arm] = max(tried, key=lambda point: point.valid)
    return found


def best_rows(name: str, judged: Judged, best: dict[str, Point]) -> Iterator[list[str]]:
    """Each arm at its best point on the test split, and the discriminator's lead over it."""
    ours = best["discriminator"]
    for arm, point in best.items():
        yield [
            name,
            arm,
            point.way,
            f"{1 - len(point.rows) / len(judged.users):.0%}",
            f"{point.valid:.4f}",
            f"{point.hits.mean():.4f}",
            "" if arm == "discriminator" else difference(ours.hits, point.hits),
        ]


def point_rows(name: str, points: list[Point]) -> Iterator[list[str]]:
    """Every point: Recall@10 of all arms on both splits, and the discriminator's lead on test."""
    for start in range(0, len(points), len(ARMS)):
        arms = {point.arm: point for point in points[start : start + len(ARMS)]}
        ours = arms["discriminator"]
        yield [
            name,
            ours.way,
            *(f"{arms[arm].valid:.4f} / {arms[arm].hits.mean():.4f}" for arm in ARMS),
            *(difference(ours.hits, arms[arm].hits) for arm in ARMS if arm != "discriminator"),
        ]


def main(arguments: list[str]) -> None:
    auc_only = "--auc-only" in arguments
    workdirs = [Path(argument) for argument in arguments if not argument.startswith("--")]
    aucs, best, every, ways = [], [], [], []
    for workdir in workdirs:
        judged = read_judged(workdir)
        scores = scores_by(judged)
        ways = [way for way in scores if way != "random"]
        aucs += list(auc_rows(workdir.name, judged, scores))
        if not auc_only:
            points = points_of(workdir, judged, scores)
            best += list(best_rows(workdir.name, judged, tuned(workdir, judged, points)))
            every += list(point_rows(workdir.name, points))
    leads = [f"discriminator - {way}" for way in ways if way not in ("discriminator", "sum")]
    sys.stdout.write(table(["log", "split", "users", *ways, *leads], aucs))
    if not auc_only:
        header = ["log", "candidates by", "at", "rejected", "valid", "test", "discriminator's lead"]
        sys.stdout.write("\n" + table(header, best))
        leads = [f"lead over {arm}" for arm in ARMS if arm != "discriminator"]
        sys.stdout.write("\n" + table(["log", "at", *(f"{arm}: valid / test" for arm in ARMS), *leads], every))


if __name__ == "__main__":
    main(sys.argv[1:])
