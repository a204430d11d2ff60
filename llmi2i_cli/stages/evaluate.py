"""`llmi2i evaluate`: measure a model on held-out interactions, beside a baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.choices.loading import load
from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.errors import ArtifactError, UsageError
from llmi2i_cli.evaluation.compared import RankedTable, tables_of
from llmi2i_cli.evaluation.groups import ALL, FIGURES, GROUPS, Group
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.runs.manifests import read_manifest, verify
from llmi2i_cli.runs.pipeline import CHOICES
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import StageRun, stage_run
from llmi2i_cli.scale.runners import runner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmi2i_cli.artifacts.prepared import Catalogue
    from llmi2i_cli.evaluation.metrics import PerUserMetrics
    from llmi2i_cli.evaluation.protocol import Question
    from llmi2i_cli.evaluation.rankers import Ranked
    from llmi2i_cli.evaluation.retrieve import RankByLookups
    from llmi2i_cli.evaluation.validation import HeldOut

CARE = {"tuned": "tuned", "search": "searched approximately"}


def evaluate(
    workdir: Path,
    *,
    model: str = "swing",
    data: str = "real",
    split: str = "test",
    ks: Sequence[int] = (5, 10),
    recent: int | None = None,
    decay: float | None = None,
    exclude_seen: bool = True,
    ranking: str = "auto",
    baseline: str | None = None,
    ray: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write ``evaluate/MODEL-DATA-SPLIT.json`` and return what it holds, and the ``latency`` of a query.

    A user's query is train for valid, train and valid for test: all that came before, where the log was split by time.
    The targets are the user's items of the split; the whole catalogue is ranked. Per-user figures go to
    ``MODEL-DATA-SPLIT.users.parquet``.
    Latency differs from run to run, so it stands in the manifest: where an index ranks, `query_latency` of each log.

    Parameters
    ----------
    recent : M, how many recent items make the ranking; None chooses by validation Recall@10, for each model and data
    decay : the a-th most recent item (from 0) counts `decay` ** a; None chooses by validation, together with M
    ranking : ``index``, the served one: neighbours of the recent items summed; ``user-vectors``, a model's own;
        ``auto``, the first that the model has
    baseline : also measure another table, and the gain over it: ``real``, the same model's on the real log, or any
        other as ``MODEL-DATA``
    ray : address of a Ray cluster whose workers rank by indexes, or ``local``; the figures are the same

    Raises
    ------
    UsageError : options that contradict each other
    ArtifactError : no such split, or an artifact is missing; the message names the command that makes it
    """
    ours_asked, theirs_asked = tables_of(model, data, recent, decay, ranking, baseline)
    compared = [ours_asked, theirs_asked] if theirs_asked else [ours_asked]
    if ray is not None and any(table.ranking != "index" for table in compared):
        raise UsageError("--ray shares out rankings by an index: leave it out, or choose --ranking index")
    ks = sorted(set(ks))
    options = {
        "k": ks,
        "recent": recent,
        "decay": decay,
        "exclude_seen": exclude_seen,
        "ranking": ours_asked.ranking,
        "baseline": baseline,
        "trained": {table.name_beside(model): _training_of(workdir, table) for table in compared},
        "groups": [group.name for group in GROUPS],
        "figures": FIGURES,
    }
    variant = {"model": model, "data": data, "split": split}
    also = [table.vectors_path for table in compared if table.ranking == "user-vectors"]
    if theirs_asked and theirs_asked.ranking == "index":
        also.append(f"i2i/{theirs_asked.name}.parquet")
    if (workdir / CHOICES).exists():
        also.append(CHOICES)
    with stage_run(
        workdir, "evaluate", options=options, variant=variant, also_reads=also, resumable=False, force=force
    ) as run:
        name = f"{model}-{data}-{split}.json"
        if run.up_to_date:
            notice(f"evaluate: {name} is up to date ({run.folder})")
            verify(workdir, f"evaluate/{name}")
            return _with_latency(json.loads((run.folder / name).read_text(encoding="utf-8")), run)
        from llmi2i_cli.artifacts.prepared import has_split, read_catalogue
        from llmi2i_cli.evaluation.protocol import Question
        from llmi2i_cli.evaluation.report import figures, targets_in_query
        from llmi2i_cli.evaluation.retrieval_tasks import RetrievalTasks
        from llmi2i_cli.evaluation.retrieve import rank_by_lookups
        from llmi2i_cli.evaluation.validation import read_held_out
        from llmi2i_cli.files.tables import write_table

        if not has_split(workdir, split):
            remedy = "run `llmi2i prepare INPUT... --split leave-last-two` first"
            if (workdir / CHOICES).exists():
                remedy = "`llmi2i refit --to-split valid` leaves test held out, to measure"
            raise ArtifactError(f"{workdir}/prepare has no {split} split: {remedy}")
        catalogue = read_catalogue(workdir)
        held_out = read_held_out(workdir, split)
        valid = read_held_out(workdir, "valid") if has_split(workdir, "valid") else None
        question = Question(
            recent, decay, exclude_seen, min(max(ks), catalogue.n_items), valid, on_valid=split == "valid"
        )
        with runner(ray) as run_tasks:
            rank = rank_by_lookups if ray is None else RetrievalTasks(run.partial / "rankings", run_tasks)
            evaluation = _Evaluation(run, catalogue, held_out, tuple(ks), question, rank)
            measured = {table: evaluation.measure(table) for table in dict.fromkeys(compared)}
        ours = measured[ours_asked]
        theirs = measured[theirs_asked] if theirs_asked else None
        by_group = figures(ours.metrics, ours.shares, theirs.metrics if theirs else None)
        result = {
            "model": model,
            "data": data,
            "split": split,
            "protocol": ours.protocol,
            "users": len(held_out.users),
            **by_group,
            "targets": {
                **by_group["targets"],
                "unknown": int((held_out.targets.items >= catalogue.n_items).sum()),
                "already_in_query": targets_in_query(held_out.targets, held_out.queries),
            },
            "rankings": ours.rankings,
        }
        if theirs and theirs_asked:
            for care, done in CARE.items():
                if ours.protocol.get(care) != theirs.protocol.get(care):
                    how = f"only one of {ours_asked.name} and {theirs_asked.name} was {done}"
                    notice(f"Warning: {how}: the gain compares tables that were not tuned alike")
            result["baseline"] = {
                "model": theirs_asked.model,
                "data": theirs_asked.data,
                "protocol": theirs.protocol,
                **figures(theirs.metrics, theirs.shares),
                "rankings": theirs.rankings,
            }
        write_json(run.output(name), result)
        per_user = _per_user_table(workdir, held_out, ours.metrics[ALL])
        write_table(per_user, run.output("{model}-{data}-{split}.users.parquet"))
        run.publish(
            rows={"{model}-{data}-{split}.users.parquet": len(per_user)},
            protocols={table.name_beside(model): each.protocol for table, each in measured.items()},
            latency={table.name_beside(model): each.latency for table, each in measured.items() if each.latency},
        )
        return _with_latency(result, run)


def _with_latency(result: dict[str, Any], run: StageRun) -> dict[str, Any]:
    return {**result, "latency": (run.manifest or {}).get("latency", {})}


def _training_of(workdir: Path, table: RankedTable) -> dict[str, Any]:
    """Whether the model was tuned, how its neighbours were searched, and the options it was trained with."""
    manifest = read_manifest(workdir / "i2i" / f"{table.name}.manifest.json")
    if manifest is None:
        return {}
    asked = manifest["options"]
    searched = {"search": asked["search"]} if "search" in asked else {}
    return {"tuned": bool(asked.get("tune")), **searched, "trained_with": manifest.get("choice")}


@dataclass(frozen=True)
class _Measured:
    """A model's figures, and the protocol that gave them."""

    protocol: dict[str, Any]
    metrics: dict[Group, PerUserMetrics]
    shares: dict[Group, dict[str, float]]
    rankings: dict[str, Any]
    latency: Mapping[str, Any] | None


@dataclass(frozen=True)
class _Evaluation:
    """What all models of a comparison share."""

    run: StageRun
    catalogue: Catalogue
    held_out: HeldOut
    ks: tuple[int, ...]
    question: Question
    rank_by_lookups: RankByLookups

    def measure(self, table: RankedTable) -> _Measured:
        """Rank for the held-out users and take the figures."""
        from llmi2i_cli.evaluation.metrics import coverage
        from llmi2i_cli.evaluation.protocol import Protocol
        from llmi2i_cli.evaluation.report import metrics_by_group, shares_by_group

        ranked = self._rank(table)
        protocol = Protocol(
            table.ranking,
            self.question.exclude_seen,
            self.question.on_valid,
            ranked.chosen,
            _training_of(self.run.workdir, table),
            ranked.top_k,
        )
        return _Measured(
            protocol.as_json(),
            metrics_by_group(ranked.ids, self.held_out.targets, self.catalogue, self.ks),
            shares_by_group(ranked.ids, self.catalogue, self.ks),
            {**ranked.figures, **{f"coverage@{k}": coverage(ranked.ids, k, self.catalogue.n_items) for k in self.ks}},
            ranked.latency,
        )

    def _rank(self, table: RankedTable) -> Ranked:
        from llmi2i_cli.evaluation.lookups import carried_lookup
        from llmi2i_cli.evaluation.rankers import rank_by_generator, rank_by_index, rank_by_user_vectors
        from llmi2i_cli.i2i.neighbour_table import read_neighbours

        question = replace(self.question, carried=carried_lookup(self.run.workdir, table.model, table.data))
        if table.ranking == "index":
            neighbours = read_neighbours(self.run.workdir, table.model, table.data, self.catalogue.ids)
            return rank_by_index(neighbours, self.held_out, question, self.rank_by_lookups)
        if table.ranking == "user-vectors":
            return rank_by_user_vectors(self._user_ranker(table), self.held_out, question)
        return rank_by_generator(self._generator_ranker, self.held_out, question)

    def _user_ranker(self, table: RankedTable) -> Any:
        row = MODELS[table.model]
        assert row.user_ranker is not None  # it ranks by user vectors
        path = self.run.workdir / table.vectors_path
        ranker = load(row.user_ranker).load(path)
        if ranker.n_items != self.catalogue.n_items:
            raise ArtifactError(
                f"{path} is of another catalogue: "
                f"run `llmi2i train-i2i --model {table.model} --data {table.data} -w {self.run.workdir} --force`"
            )
        return ranker

    def _generator_ranker(self, held_out: HeldOut) -> Callable[[int, int], NDArray[np.int32]]:
        return _generator_ranker(self.run, self.catalogue, held_out, self.question.exclude_seen)


def _generator_ranker(
    run: StageRun, catalogue: Catalogue, held_out: HeldOut, exclude_seen: bool
) -> Callable[[int, int], NDArray[np.int32]]:
    """The seam to the LLM: a function of (M, top_n) that ranks the catalogue for the held-out users."""
    import numpy as np

    from llmi2i_cli.artifacts.prepared import read_profiles
    from llmi2i_cli.llm.generate import BLOCK_USERS, load_generator, rank_users

    profiles = read_profiles(run.workdir)
    # The ranker's user k is row k of the queries, so the profiles are put in that order.
    generator = load_generator(
        run.workdir / "sft-gen" / "model", catalogue, [profiles[user] for user in held_out.users]
    )
    queries = held_out.queries
    users, seen = np.arange(queries.n_users), queries if exclude_seen else None

    def rank(recent: int, top_n: int) -> NDArray[np.int32]:
        ranked = []
        with run.progress_bar(f"Ranking by the generator, {recent} recent items", -(-len(users) // BLOCK_USERS)) as bar:
            for ids, _ in rank_users(generator, users, queries, seen, history=recent, top_n=top_n):
                ranked.append(ids)
                bar.advance()
        return np.concatenate(ranked)

    return rank


def _per_user_table(workdir: Path, held_out: HeldOut, metrics: PerUserMetrics) -> Any:
    """One row per user with targets: user_id, targets (how many), and each metric."""
    import polars as pl

    from llmi2i_cli.artifacts.prepared import read_user_ids

    columns = {name: metrics.values[:, place] for place, name in enumerate(metrics.names)}
    user_ids = read_user_ids(workdir).gather(held_out.users[metrics.users])
    return pl.DataFrame({"user_id": user_ids, "targets": held_out.targets.lengths[metrics.users], **columns})
