"""`llmi2i train-i2i`: train an item-to-item model on the real or the fused log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.models import MODELS, files_of, has_variant, parts_of
from llmi2i_cli.errors import ArtifactError, UsageError
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.runs.progress import ProgressBar, notice
from llmi2i_cli.runs.tasks import Runner
from llmi2i_cli.runs.workdir import StageRun, stage_run
from llmi2i_cli.scale.runners import runner

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from llmi2i_cli.artifacts.histories import Histories
    from llmi2i_cli.evaluation.tuning import Search
    from llmi2i_cli.evaluation.validation import HeldOut
    from llmi2i_cli.i2i.training import ItemGenerator, Job, Trained


EXACT_SEARCH_ITEMS = 1_000_000  # from here on n_items^2 x d multiplications take longer than the training


def train_i2i(
    workdir: Path,
    *,
    model: str = "swing",
    data: str = "real",
    top_k: int = 200,
    tune: bool = False,
    search: str = "exact",
    model_options: Mapping[str, Any] | None = None,
    ray: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write ``i2i/MODEL-DATA.parquet``; returns the manifest, whose ``choice`` holds all options of the model.

    Where early stopping chose the epoch, the manifest's ``chosen_epoch`` tells which.

    Reads the train split, or the fused log made from it; the validation split for `tune` and for early stopping; never
    the test split.

    Parameters
    ----------
    tune : choose in the model's grid (`llmi2i_cli.choices.models`) the options of the best validation Recall@10, with
        each point at its best number of recent items and decay, and leave the sweep in
        ``i2i/MODEL-DATA.sweep.parquet``. Options in `model_options` stay as given
    search : how dense models find the neighbours: ``exact``, or ``faiss``, approximate, for large catalogues
    model_options : of the model at hand, those that are not its defaults
    ray : address of a Ray cluster whose workers rank the rows, or ``local``; the bytes are the same

    Raises
    ------
    UsageError : an option of another model, or `tune` with all options given
    ModelError : `search` is ``faiss``, which is not installed
    ArtifactError : `tune` without a validation split
    """
    row = MODELS[model]
    if search != "exact" and not row.dense:
        dense = " and ".join(each.name for each in MODELS.values() if each.dense)
        raise UsageError(f"--search is an option of {dense}, not of {model}: leave it out")
    if ray is not None and not row.by_rows:
        able = ", ".join(each.name for each in MODELS.values() if each.by_rows)
        raise UsageError(f"--ray is an option of {able}, not of {model}: leave it out")
    given = dict(model_options or {})
    points = row.points(given) if tune else [row.complete(given)]
    parts, files = parts_of(model, points[0], data), files_of(model, points[0])
    if not has_variant(model, data):
        raise UsageError(f"{model} does not read the log: leave out --data {data}")
    if tune and len(points) == 1 and (row.next_points is None or not load(row.next_points)(points[0], given)):
        raise UsageError("--tune has nothing to choose: leave out one of the options given, or --tune")
    from llmi2i_cli.artifacts.prepared import has_split

    if tune and not has_split(workdir, "valid"):
        raise ArtifactError(f"{workdir}/prepare has no validation split to tune on: leave out --tune")
    with stage_run(
        workdir,
        "train-i2i",
        options={"top_k": top_k, "tune": tune, "points": points, "search": search},
        variant={"model": model, "data": data},
        files=files,
        also_reads=[f"i2i/{part}-{its_data}.parquet" for part, its_data in parts],
        force=force,
    ) as run:
        if run.up_to_date and run.manifest:
            notice(f"train-i2i: {model} on the {data} log is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts.prepared import read_item_ids
        from llmi2i_cli.i2i.neighbour_table import write_neighbours

        training = _read_training(workdir, run, model, data, top_k, tune, search, parts, files)
        _check_search(training)
        rows: dict[str, int] = {}
        recall: float | None
        with run.progress_bar(f"Training {model} on the {data} log") as bar, runner(ray) as run_tasks:
            training.bar, training.runner = bar, run_tasks if ray is not None else None
            if tune:
                found = _tune(training, given)
                rows[f"{model}-{data}.sweep.parquet"] = len(found.points)
                choice, recall = found.options, found.recall
                trained = training.train(found.best, choice)
            else:
                choice, trained = points[0], training.train(0, points[0])
                recall = max(trained.user_ranker.recall_by_epoch, default=None) if trained.user_ranker else None
        table = f"{model}-{data}.parquet"
        rows[table] = write_neighbours(run.output(table), trained.neighbours, read_item_ids(workdir))
        stopped: dict[str, int] = {}
        if trained.user_ranker is not None:
            trained.user_ranker.save(run.output("{model}-{data}.vectors.npz"), training.log_rows)
            if recalls := trained.user_ranker.recall_by_epoch:
                stopped["chosen_epoch"] = recalls.index(max(recalls)) + 1
        return run.publish(rows=rows, choice=choice, validation_recall_at_10=recall, **stopped)


@dataclass
class _Training:
    """What is trained on, and the training of points of the grid on it.

    Attributes
    ----------
    job : with the log, texts or tables that the model reads
    log_rows : int64 (n_users,), the row in the log of each user of ``prepare/users.parquet``, -1 if there is none
    held_out : the validation split, None without one
    last : the point trained last and its result, so that the best one need not be trained again
    bar : shows how far the point at hand is
    runner : who ranks the rows in ranges; None: the threads of this process rank them all at once
    """

    run: StageRun
    model: str
    is_search: bool
    job: Job
    log_rows: NDArray[np.int64]
    held_out: HeldOut | None
    last: tuple[int, Trained] | None = None
    bar: ProgressBar | None = None
    runner: Runner | None = None

    def train(self, point: int, options: Mapping[str, Any]) -> Trained:
        """Train a point; a long training goes on at its last checkpoint, also when the point was trained to its end."""
        from llmi2i_cli.i2i.row_ranges import rank_in_ranges
        from llmi2i_cli.i2i.training import train

        if self.last is not None and self.last[0] == point:
            return self.last[1]
        checkpoint = self.run.partial / f"point-{point}.pt"
        job = replace(self.job, checkpoint=checkpoint, on_progress=partial(self._show, point))
        if self.runner is not None:
            folder = self.run.partial / f"point-{point}-rows"
            job = replace(
                job, rank_rows=partial(rank_in_ranges, folder=folder, runner=self.runner, on_progress=job.tell)
            )
        trained = train(self.model, job, options)
        self.last = point, trained
        return trained

    def _show(self, point: int, done: int, total: int, text: str) -> None:
        place = f"point {point + 1} " if self.is_search else ""
        if self.bar:
            self.bar.update(done, total, place + text)


def _read_training(
    workdir: Path,
    run: StageRun,
    model: str,
    data: str,
    top_k: int,
    is_search: bool,
    search: str,
    parts: Sequence[tuple[str, str]],
    files: Sequence[Path],
) -> _Training:
    from llmi2i_cli.artifacts.prepared import has_split, read_catalogue, read_item_ids
    from llmi2i_cli.evaluation.validation import read_held_out
    from llmi2i_cli.i2i.neighbour_table import read_neighbours
    from llmi2i_cli.i2i.training import Job, Validation

    item_ids, reads = read_item_ids(workdir), MODELS[model].reads
    histories, log_rows = _read_log(workdir, data if "log" in reads else None, len(item_ids))
    held_out = read_held_out(workdir, "valid") if has_split(workdir, "valid") else None
    validation = None
    if held_out is not None and "log" in reads:
        validation = Validation(log_rows[held_out.users].astype("int32"), held_out.queries, held_out.targets)
    job = Job(
        histories,
        top_k=min(top_k, len(item_ids)),
        search=search,
        validation=validation,
        texts=read_catalogue(workdir).texts if "texts" in reads else (),
        vectors=_read_vectors(files[0], item_ids) if "vectors" in reads else None,
        generator=_load_generator(workdir) if "generator" in reads else None,
        parts=[read_neighbours(workdir, *part, item_ids) for part in parts],
    )
    return _Training(run, model, is_search, job, log_rows, held_out)


def _read_log(workdir: Path, data: str | None, n_items: int) -> tuple[Histories, NDArray[np.int64]]:
    """The log, empty for None, and the row in it of each user of ``prepare/users.parquet``."""
    import numpy as np
    import polars as pl

    from llmi2i_cli.artifacts.histories import Histories
    from llmi2i_cli.artifacts.prepared import read_fused, read_histories, read_user_ids

    if data is None:
        return Histories.from_rows([], n_items), np.empty(0, np.int64)
    if data == "real":
        histories = read_histories(workdir)
        return histories, np.arange(histories.n_users)
    histories, fused_ids = read_fused(workdir)
    known = pl.DataFrame({"user_id": fused_ids}).with_row_index("row")
    users = pl.DataFrame({"user_id": read_user_ids(workdir)})
    joined = users.join(known, on="user_id", how="left", maintain_order="left")
    return histories, joined["row"].cast(pl.Int64).fill_null(-1).to_numpy()


def _read_vectors(path: Path, item_ids: pl.Series) -> NDArray[np.float32]:
    from llmi2i_cli.data.item_vectors import read_item_vectors

    found = read_item_vectors(path, item_ids)
    if found.n_outside:
        notice(f"{path}: {found.n_outside:,} vectors are of items outside the catalogue and left out")
    if found.n_without:
        notice(f"{path}: {found.n_without:,} of {len(item_ids):,} items have no vector and so no neighbours")
    return found.vectors


def _load_generator(workdir: Path) -> ItemGenerator:
    """The seam to the LLM."""
    from llmi2i_cli.artifacts.prepared import read_catalogue
    from llmi2i_cli.llm.item_states import ItemStates

    return ItemStates.load(workdir / "sft-gen" / "model", read_catalogue(workdir))


def _check_search(training: _Training) -> None:
    """Before hours of training: faiss is there if it was asked for, and recommended if it would be of use."""
    n_items = training.job.histories.n_items
    if training.job.search == "faiss":
        from llmi2i_cli.i2i.faiss_search import require_faiss

        require_faiss()
    elif MODELS[training.model].dense and n_items > EXACT_SEARCH_ITEMS:
        notice(f"train-i2i: comparing each of {n_items:,} items with all others is slow; --search faiss is quicker")


def _tune(training: _Training, given: Mapping[str, Any]) -> Search:
    """Train every point that has no figure yet, and write the sweep."""
    import polars as pl

    from llmi2i_cli.evaluation.tuning import search
    from llmi2i_cli.files.tables import write_table

    def measure(number: int, options: dict[str, Any]) -> dict[str, Any]:
        kept = training.run.partial / f"point-{number}.json"
        if not kept.exists():
            write_json(kept, _validation_figures(training, training.train(number, options)))
        figures: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return figures

    found = search(MODELS[training.model], given, measure)
    sweep = [
        {**options, **figures, "chosen": number == found.best}
        for number, (options, figures) in enumerate(zip(found.points, found.figures, strict=True))
    ]
    write_table(pl.DataFrame(sweep), training.run.output("{model}-{data}.sweep.parquet"))
    return found


def _validation_figures(training: _Training, trained: Trained) -> dict[str, Any]:
    """Validation Recall@10 as `evaluate` ranks: by users' vectors if the model has them, else at the best lookup."""
    from llmi2i_cli.evaluation.validation import best_lookup, recall_by_lookup

    if trained.user_ranker is not None:
        return {"recall@10": max(trained.user_ranker.recall_by_epoch), "recent": None, "decay": None}
    assert training.held_out is not None  # tuning was refused without
    recalls = recall_by_lookup(trained.neighbours, training.held_out)
    lookup = best_lookup(recalls)
    return {"recall@10": recalls[lookup], "recent": lookup.recent, "decay": lookup.decay}
