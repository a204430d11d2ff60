"""`llmi2i fuse`: join the kept candidates to the real log, in the way that validation likes best."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.errors import ArtifactError, UsageError
from llmi2i_cli.progress import notice, progress_bar
from llmi2i_cli.workdir import StageRun, stage_run

if TYPE_CHECKING:
    import polars as pl

    from llmi2i_cli.data.fusion import Candidates, Choice

# The grid of --tune. Thresholds are quantiles of the confidences at hand, because what a confidence is worth
# differs between discriminators.
RECALL_NUMBERS = (1, 3, 5, 10, 20)
REJECTED_SHARES = (0.5, 0.75)
COPIED_HISTORIES = (5, None)  # the items that candidates follow most closely, or all


def fuse(
    workdir: Path,
    *,
    tune: bool | None = None,
    strategy: str | None = None,
    recall_number: int | None = None,
    min_confidence: float | None = None,
    order: str | None = None,
    copied_history: int | None = None,
    include_real: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Write ``fuse/interactions.parquet`` and, when tuning, the sweep in ``fuse/sweep.parquet``; returns the manifest.

    Strategy, recall number, order, confidence threshold and length of a pseudo user's copied history that are not given
    are tuned: those are chosen with which a Swing trained on the fused log has the best validation Recall@10. Without a
    validation split, or with ``tune=False``, they default to pseudo-user, every candidate, the generator's order, the
    filter's own `keep` and the whole history.
    """
    if copied_history is not None and copied_history < 1:
        raise UsageError(f"--copied-history counts interactions and cannot be {copied_history}")
    if copied_history is not None and strategy == "append":
        raise UsageError("--copied-history is of pseudo users: leave it out with --strategy append")
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise UsageError(f"--min-confidence is a probability, not {min_confidence}")
    if recall_number is not None and recall_number < 0:
        raise UsageError(f"--recall-number counts candidates a user and cannot be {recall_number}")
    given = {
        "strategy": strategy,
        "order": order,
        "recall_number": recall_number,
        "min_confidence": min_confidence,
        "copied_history": copied_history,
    }
    options = {**given, "tune": tune, "include_real": include_real}
    also = ["filter/scored-real.parquet"] if include_real else []
    with stage_run(workdir, "fuse", options=options, also_reads=also, force=force) as run:
        if run.up_to_date and run.manifest:
            notice(f"fuse is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts import has_split

        can_tune = has_split(workdir, "valid")
        if tune and not can_tune:
            raise ArtifactError(f"{workdir}/prepare has no validation split to tune on: use --no-tune")
        import polars as pl

        from llmi2i_cli.artifacts import FUSED, read_artifact, read_item_ids, read_user_ids, write_table
        from llmi2i_cli.data.fusion import fused_table, pseudo_suffix, select

        user_ids, item_ids = read_user_ids(workdir), read_item_ids(workdir)
        real = _real_rows(workdir, include_real)
        candidates = _read_candidates(workdir, user_ids, item_ids, real)
        if tune is not False and can_tune:
            choice, chosen_with = _tune(workdir, run, real, candidates, given)
        else:
            choice, chosen_with = _default_choice(candidates, given), {}
        rows = select(candidates, choice)
        synthetic = pl.DataFrame(
            {"user_id": user_ids.gather(candidates.users[rows]), "item_id": item_ids.gather(candidates.items[rows])}
        )
        table = fused_table(real, synthetic, choice.strategy, pseudo_suffix(user_ids), choice.copied_history)
        write_table(table, run.output("interactions.parquet"), FUSED)
        sources = dict(table["source"].value_counts().sort("source").iter_rows())
        counts = {"interactions.parquet": len(table)}
        if run.output("sweep.parquet").exists():
            counts["sweep.parquet"] = len(read_sweep(run.output("sweep.parquet")))
        removed = len(read_artifact(workdir, "prepare/interactions.parquet").filter(split="train")) - len(real)
        return run.publish(
            rows=counts, choice={**vars(choice), **chosen_with}, sources=sources, real_rows_removed=removed
        )


def read_sweep(path: Path) -> pl.DataFrame:
    """The sweep of a tuned `fuse`: one row a point of the grid, the data of the paper's Figure 5."""
    import polars as pl

    return pl.read_parquet(path, glob=False)


def _read_candidates(workdir: Path, user_ids: pl.Series, item_ids: pl.Series, real: pl.DataFrame) -> Candidates:
    """The scored candidates of users who have rows in `real`: what has no history left has nothing to be added to."""
    import numpy as np

    from llmi2i_cli.artifacts import read_artifact, with_index
    from llmi2i_cli.data.fusion import Candidates

    path = "filter/scored.parquet"
    frame = with_index(with_index(read_artifact(workdir, path), user_ids, "user_id", path), item_ids, "item_id", path)
    frame = frame.join(real.select("user_id").unique(), on="user_id", how="semi", maintain_order="left")
    frame = frame.sort("user_id_index", "rank", maintain_order=True)
    return Candidates(
        users=frame["user_id_index"].to_numpy().astype(np.int64),
        items=frame["item_id_index"].to_numpy().astype(np.int32),
        ranks=frame["rank"].to_numpy(),
        confidences=frame["confidence"].to_numpy(),
        keep=frame["keep"].to_numpy(),
    )


def _real_rows(workdir: Path, include_real: bool) -> pl.DataFrame:
    """The train rows with weight 1; with `include_real` without those that the discriminator marked as noise."""
    import polars as pl

    from llmi2i_cli.artifacts import read_artifact

    rows = read_artifact(workdir, "prepare/interactions.parquet").filter(split="train").drop("split")
    if include_real:
        judged = read_artifact(workdir, "filter/scored-real.parquet")
        rejected = judged.filter(~pl.col("keep")).select("user_id", "item_id", "timestamp")
        rows = rows.join(rejected, on=["user_id", "item_id", "timestamp"], how="anti", maintain_order="left")
    return rows.with_columns(weight=pl.lit(1.0, pl.Float32))


def _default_choice(candidates: Candidates, given: dict[str, Any]) -> Choice:
    from llmi2i_cli.data.fusion import Choice

    deepest = int(candidates.ranks.max(initial=0))
    return Choice(
        strategy=given["strategy"] or "pseudo-user",
        order=given["order"] or "rank",
        recall_number=deepest if given["recall_number"] is None else given["recall_number"],
        min_confidence=given["min_confidence"],
        copied_history=given["copied_history"],
    )


def _grid(candidates: Candidates, given: dict[str, Any]) -> list[Choice]:
    """Every choice that `given` leaves open; the real log alone is one where nothing is given."""
    import numpy as np

    from llmi2i_cli.data.fusion import ORDERS, STRATEGIES, Choice

    deepest = int(candidates.ranks.max(initial=0))
    numbers: Sequence[int] = [n for n in RECALL_NUMBERS if n < deepest] + [deepest]
    shares = REJECTED_SHARES if len(candidates.users) else ()
    thresholds = sorted({0.0, *(float(np.quantile(candidates.confidences, share)) for share in shares)})

    def values(name: str, default: Sequence[Any]) -> Sequence[Any]:
        return default if given[name] is None else [given[name]]

    alone = [Choice("append", "rank", 0, 0.0)] if all(value is None for value in given.values()) else []
    return alone + [
        Choice(strategy, order, number, threshold, copied)
        for strategy in values("strategy", STRATEGIES)
        for order in values("order", ORDERS)
        for number in values("recall_number", numbers)
        for threshold in values("min_confidence", thresholds)
        for copied in (values("copied_history", COPIED_HISTORIES) if strategy == "pseudo-user" else [None])
        # Cut at the last rank the order does not matter: one of the two is enough.
        if not (order == "confidence" and number >= deepest and given["order"] is None)
    ]


def _tune(
    workdir: Path, run: StageRun, real: pl.DataFrame, candidates: Candidates, given: dict[str, Any]
) -> tuple[Choice, dict[str, Any]]:
    """The choice with the best validation Recall@10 of a Swing trained on it; every point goes into the sweep.

    Points that are done are kept in the partial directory, one line each, so a killed run goes on with the next one.
    """
    import polars as pl

    from llmi2i_cli.artifacts import read_item_ids, read_user_ids, to_histories, write_table
    from llmi2i_cli.data.fusion import fuse_histories, select
    from llmi2i_cli.evaluation.validation import best_recent, read_held_out, recall_by_recent
    from llmi2i_cli.i2i.swing import swing_neighbours

    held_out = read_held_out(workdir, "valid")
    base = to_histories(real, read_user_ids(workdir), read_item_ids(workdir), "prepare/interactions.parquet")
    grid = _grid(candidates, given)
    finished = _finished_points(run.partial / "points.jsonl")
    points: list[dict[str, Any]] = []
    with progress_bar("Tuning, Swings trained", len(grid)) as bar, (run.partial / "points.jsonl").open("a") as log:
        for number, choice in enumerate(grid):
            point = finished.get(number)
            if point is None:
                rows = select(candidates, choice)
                fused = fuse_histories(base, candidates, rows, choice.strategy, choice.copied_history)
                recalls = recall_by_recent(swing_neighbours(fused), held_out)
                recent = best_recent(recalls)
                point = {
                    **vars(choice),
                    "candidates": len(rows),
                    "share": len(rows) / max(1, len(candidates.users)),
                    "recent": recent,
                    "valid_recall@10": recalls[recent],
                }
                log.write(json.dumps({"point": number, **point}) + "\n")
                log.flush()
            points.append(point)
            bar.update(number + 1, text=f"best {max(p['valid_recall@10'] for p in points):.4f}")
    # Of equal points the first: fewer candidates, then the simpler choice.
    best = max(range(len(points)), key=lambda i: (points[i]["valid_recall@10"], -points[i]["candidates"], -i))
    sweep = pl.DataFrame(points, schema_overrides={"copied_history": pl.Int64}, infer_schema_length=None)
    sweep = sweep.with_columns(chosen=pl.int_range(pl.len()) == best)
    write_table(sweep, run.output("sweep.parquet"))
    return grid[best], {key: points[best][key] for key in ("valid_recall@10", "recent", "candidates")}


def _finished_points(path: Path) -> dict[int, dict[str, Any]]:
    """Points of an earlier, killed run; a line that the kill cut short does not count."""
    finished: dict[int, dict[str, Any]] = {}
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) != len(lines):
            path.write_text("".join(whole), encoding="utf-8")
        for line in whole:
            point = json.loads(line)
            finished[point.pop("point")] = point
    return finished
