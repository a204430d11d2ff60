"""`llmi2i evaluate`: measure a model on held-out interactions, beside a baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.errors import ArtifactError, UsageError
from llmi2i_cli.files.atomic import write_json
from llmi2i_cli.runs.progress import notice, progress_bar
from llmi2i_cli.runs.workdir import StageRun, stage_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmi2i_cli.artifacts.prepared import Catalogue
    from llmi2i_cli.evaluation.metrics import PerUserMetrics
    from llmi2i_cli.evaluation.validation import HeldOut
    from llmi2i_cli.i2i.neighbours import Neighbours

CARE = {"tuned": "tuned", "search": "searched approximately"}
GENERATOR_RECENT_GRID = (5, 10, 20, 50)  # a pass of the LLM each


def evaluate(
    workdir: Path,
    *,
    model: str = "swing",
    data: str = "real",
    split: str = "test",
    ks: Sequence[int] = (5, 10),
    recent: int | None = None,
    decay: float | None = 1.0,
    exclude_seen: bool = True,
    ranking: str = "auto",
    baseline: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write ``evaluate/MODEL-DATA-SPLIT.json`` and return what it holds, and the ``latency`` of a query.

    A user's query is all that came before the split (train for valid, train and valid for test); the targets are the
    user's items of the split; the whole catalogue is ranked. Per-user figures go to ``MODEL-DATA-SPLIT.users.parquet``.
    Latency differs from run to run, so it stands in the manifest: where an index ranks, `query_latency` of each log.

    Parameters
    ----------
    recent : M, how many recent items make the ranking; None chooses by validation Recall@10, for each model and data
    decay : the a-th most recent item (from 0) counts `decay` ** a; None chooses by validation, together with M
    ranking : ``index``, the served one: neighbours of the recent items summed; ``user-vectors``, YoutubeDNN's own;
        ``auto``, user-vectors for youtubednn and index for the others
    baseline : ``real``: also measure the same model trained on the real log, and the gain over it

    Raises
    ------
    UsageError : options that contradict each other
    ArtifactError : no such split, or an artifact is missing; the message names the command that makes it
    """
    ranking = _check_options(model, data, recent, decay, ranking, baseline)
    ks = sorted(set(ks))
    compared = [data, baseline] if baseline else [data]
    options = {
        "k": ks,
        "recent": recent,
        "decay": decay,
        "exclude_seen": exclude_seen,
        "ranking": ranking,
        "baseline": baseline,
        "trained": {log: _training_of(workdir, model, log) for log in compared},
    }
    variant = {"model": model, "data": data, "split": split}
    also = [_vectors_path(model, each) for each in compared] if ranking == "user-vectors" else []
    if baseline and ranking == "index":
        also.append(f"i2i/{model}-{baseline}.parquet")
    with stage_run(
        workdir, "evaluate", options=options, variant=variant, also_reads=also, resumable=False, force=force
    ) as run:
        name = f"{model}-{data}-{split}.json"
        if run.up_to_date:
            notice(f"evaluate: {name} is up to date ({run.folder})")
            return _with_latency(json.loads((run.folder / name).read_text(encoding="utf-8")), run)
        from llmi2i_cli.artifacts.prepared import has_split, read_catalogue
        from llmi2i_cli.evaluation.report import figures, gains, targets_in_query
        from llmi2i_cli.evaluation.validation import read_held_out
        from llmi2i_cli.files.tables import write_table

        if not has_split(workdir, split):
            raise ArtifactError(
                f"{workdir}/prepare has no {split} split: run `llmi2i prepare INPUT... --split leave-last-two` first"
            )
        catalogue = read_catalogue(workdir)
        evaluation = _Evaluation(workdir, catalogue, split, tuple(ks), recent, decay, exclude_seen, ranking)
        held_out = read_held_out(workdir, split)
        measured_by_log = {log: evaluation.measure(model, log, held_out) for log in dict.fromkeys(compared)}
        ours = measured_by_log[data]
        result = {
            "model": model,
            "data": data,
            "split": split,
            "protocol": ours.protocol,
            "users": len(held_out.users),
            "targets": {
                "all": len(held_out.targets.items),
                "long_tail": int(catalogue.is_long_tail[held_out.targets.items].sum()),
                "already_in_query": targets_in_query(held_out.targets, held_out.queries),
            },
            **figures(ours.metrics),
            "rankings": ours.rankings,
        }
        if baseline:
            theirs = measured_by_log[baseline]
            for care in ("tuned", "search"):
                if ours.protocol.get(care) != theirs.protocol.get(care):
                    how = f"{CARE[care]} on one of the two logs alone"
                    notice(f"Warning: {model} was {how}: the gain compares unequal care")
            shown = {
                "data": baseline,
                "protocol": theirs.protocol,
                **figures(theirs.metrics),
                "rankings": theirs.rankings,
            }
            result |= {"baseline": shown, **gains(ours.metrics, theirs.metrics)}
        write_json(run.output(name), result)
        per_user = _per_user_table(workdir, held_out, ours.metrics["all"])
        write_table(per_user, run.output("{model}-{data}-{split}.users.parquet"))
        latency = {log: measured.latency for log, measured in measured_by_log.items() if measured.latency}
        run.publish(rows={"{model}-{data}-{split}.users.parquet": len(per_user)}, latency=latency)
        return _with_latency(result, run)


def _with_latency(result: dict[str, Any], run: StageRun) -> dict[str, Any]:
    return {**result, "latency": (run.manifest or {}).get("latency", {})}


def _check_options(
    model: str, data: str, recent: int | None, decay: float | None, ranking: str, baseline: str | None
) -> str:
    """The ranking that is meant."""
    if model == "generator" and data != "real":
        raise UsageError("--model generator has learned from the real log alone: use --data real")
    if model == "generator" and (ranking != "auto" or baseline or decay != 1):
        raise UsageError(
            "--model generator ranks by the LLM, on the real log: leave out --ranking, --baseline and --decay"
        )
    if ranking == "user-vectors" and model != "youtubednn":
        raise UsageError(f"--ranking user-vectors needs --model youtubednn: {model} has no vectors of users")
    if model == "generator":
        return "generator"
    if ranking == "auto":
        ranking = "user-vectors" if model == "youtubednn" else "index"
    if ranking == "user-vectors" and (recent is not None or decay != 1):
        raise UsageError(
            "user vectors are made from as many recent items as in training: leave out --recent and --decay, "
            "or add --ranking index"
        )
    return ranking


def _training_of(workdir: Path, model: str, data: str) -> dict[str, Any]:
    """Whether the model was tuned, how its neighbours were searched, and the options it was trained with."""
    from llmi2i_cli.runs.manifests import read_manifest

    manifest = read_manifest(workdir / "i2i" / f"{model}-{data}.manifest.json")
    if model == "generator" or manifest is None:
        return {}
    asked = manifest["options"]
    searched = {"search": asked["search"]} if "search" in asked else {}
    return {"tuned": bool(asked.get("tune")), **searched, "trained_with": manifest.get("choice")}


def _vectors_path(model: str, data: str) -> str:
    return f"i2i/{model}-{data}.vectors.npz"


# --- rankings -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measured:
    """A model's figures, and the protocol that gave them."""

    protocol: dict[str, Any]
    metrics: dict[str, PerUserMetrics]
    rankings: dict[str, Any]
    latency: dict[str, Any] | None


@dataclass(frozen=True)
class _Evaluation:
    """What all models of a comparison share."""

    workdir: Path
    catalogue: Catalogue
    split: str
    ks: tuple[int, ...]
    recent: int | None
    decay: float | None
    exclude_seen: bool
    ranking: str

    def measure(self, model: str, data: str, held_out: HeldOut) -> _Measured:
        """Rank for the held-out users and take the figures."""
        from llmi2i_cli.evaluation.metrics import coverage
        from llmi2i_cli.evaluation.report import metrics_by_group

        protocol: dict[str, Any] = {"ranking": self.ranking, "exclude_seen": self.exclude_seen}
        protocol |= _training_of(self.workdir, model, data)
        rankings: dict[str, Any] = {}
        latency = None
        if self.ranking == "index":
            ids, latency = self._rank_by_index(model, data, held_out, protocol, rankings)
        elif self.ranking == "user-vectors":
            ids = self._rank_by_user_vectors(model, data, held_out, protocol)
        else:
            ids = self._rank_by_generator(held_out, protocol)
        rankings |= {f"coverage@{k}": coverage(ids, k, self.catalogue.n_items) for k in self.ks}
        return _Measured(
            {**protocol, "query": "train" if self.split == "valid" else "train and valid", "ranked": "all items"},
            metrics_by_group(ids, held_out.targets, self.catalogue.is_long_tail, self.ks),
            rankings,
            latency,
        )

    @property
    def _top_n(self) -> int:
        return max(self.ks)

    def _rank_by_index(
        self, model: str, data: str, held_out: HeldOut, protocol: dict[str, Any], rankings: dict[str, Any]
    ) -> tuple[NDArray[np.int32], dict[str, Any]]:
        from llmi2i_cli.evaluation.latency import query_latency
        from llmi2i_cli.evaluation.retrieve import retrieve
        from llmi2i_cli.evaluation.validation import recall_by_recent
        from llmi2i_cli.i2i.neighbour_table import read_neighbours

        neighbours = read_neighbours(self.workdir, model, data, self.catalogue.ids)
        decay = self._decay(protocol, neighbours)
        recent = self._recent(
            protocol, lambda valid: recall_by_recent(neighbours, valid, exclude_seen=self.exclude_seen, decay=decay)
        )
        found = retrieve(
            neighbours,
            held_out.queries,
            recent=recent,
            top_n=self._top_n,
            exclude=held_out.queries if self.exclude_seen else None,
            decay=decay,
        )
        protocol["top_k"] = neighbours.k
        rankings["retrieved_items"] = float(found.n_retrieved.mean())
        latency = query_latency(
            neighbours,
            held_out.queries,
            recent=recent,
            top_n=self._top_n,
            exclude_seen=self.exclude_seen,
            decay=decay,
        )
        return found.ids, latency

    def _rank_by_user_vectors(
        self, model: str, data: str, held_out: HeldOut, protocol: dict[str, Any]
    ) -> NDArray[np.int32]:
        from llmi2i_cli.i2i.youtube_dnn import YoutubeDNN

        youtube_dnn = YoutubeDNN.load(self.workdir / _vectors_path(model, data))
        if len(youtube_dnn.known_items) != self.catalogue.n_items:
            raise ArtifactError(
                f"{self.workdir / _vectors_path(model, data)} is of another catalogue: "
                f"run `llmi2i train-i2i --model {model} --data {data} -w {self.workdir} --force`"
            )
        protocol |= {"recent": youtube_dnn.recent, "recent_chosen_by": "the model"}
        queries = held_out.queries
        exclude = queries if self.exclude_seen else None
        ids, _ = youtube_dnn.rank(held_out.users.astype("int32"), queries, top_n=self._top_n, exclude=exclude)
        return ids

    def _rank_by_generator(self, held_out: HeldOut, protocol: dict[str, Any]) -> NDArray[np.int32]:
        from llmi2i_cli.evaluation.validation import recall_at_10

        def recalls(valid: HeldOut) -> dict[int, float]:
            rank = _generator_ranker(self.workdir, self.catalogue, valid, self.exclude_seen)
            return {recent: recall_at_10(rank(recent, 10), valid) for recent in GENERATOR_RECENT_GRID}

        recent = self._recent(protocol, recalls)
        return _generator_ranker(self.workdir, self.catalogue, held_out, self.exclude_seen)(recent, self._top_n)

    def _chosen(
        self,
        protocol: dict[str, Any],
        name: str,
        given: Any,
        recalls: Callable[[HeldOut], Mapping[Any, float]],
        best: Callable[[Mapping[Any, float]], Any],
        default: Any,
    ) -> Any:
        """A setting of the ranking as asked for, else the best on validation, else the default; into the protocol."""
        from llmi2i_cli.evaluation.validation import choose

        by = "validation Recall@10" + (", on the same users" if self.split == "valid" else "")
        valid = self._valid
        value, notes = choose(name, given, None if valid is None else lambda: recalls(valid), best, default, by)
        protocol |= notes
        return value

    def _recent(self, protocol: dict[str, Any], recalls: Callable[[HeldOut], Mapping[int, float]]) -> int:
        from llmi2i_cli.evaluation.validation import RECENT_WITHOUT_VALIDATION, best_recent

        recent: int = self._chosen(protocol, "recent", self.recent, recalls, best_recent, RECENT_WITHOUT_VALIDATION)
        return recent

    def _decay(self, protocol: dict[str, Any], neighbours: Neighbours) -> float:
        """Of the decays, each at its own best M."""
        from llmi2i_cli.evaluation.validation import DECAY_GRID, RECENT_GRID, best_decay, recall_by_recent

        recents = RECENT_GRID if self.recent is None else (self.recent,)

        def recalls(valid: HeldOut) -> dict[float, float]:
            look_up = partial(recall_by_recent, neighbours, valid, exclude_seen=self.exclude_seen, recents=recents)
            return {decay: max(look_up(decay=decay).values()) for decay in DECAY_GRID}

        decay: float = self._chosen(protocol, "decay", self.decay, recalls, best_decay, 1.0)
        return decay

    @cached_property
    def _valid(self) -> HeldOut | None:
        from llmi2i_cli.artifacts.prepared import has_split
        from llmi2i_cli.evaluation.validation import read_held_out

        return read_held_out(self.workdir, "valid") if has_split(self.workdir, "valid") else None


def _generator_ranker(
    workdir: Path, catalogue: Catalogue, held_out: HeldOut, exclude_seen: bool
) -> Callable[[int, int], NDArray[np.int32]]:
    """The seam to the LLM: a function of (M, top_n) that ranks the catalogue for the held-out users."""
    import numpy as np

    from llmi2i_cli.artifacts.prepared import read_profiles
    from llmi2i_cli.llm.generate import BLOCK_USERS, load_generator, rank_users

    profiles = read_profiles(workdir)
    # The ranker's user k is row k of the queries, so the profiles are put in that order.
    generator = load_generator(workdir / "sft-gen" / "model", catalogue, [profiles[user] for user in held_out.users])
    queries = held_out.queries
    users, seen = np.arange(queries.n_users), queries if exclude_seen else None

    def rank(recent: int, top_n: int) -> NDArray[np.int32]:
        ranked = []
        with progress_bar(f"Ranking by the generator, {recent} recent items", -(-len(users) // BLOCK_USERS)) as bar:
            for ids, _ in rank_users(generator, users, queries, seen, history=recent, top_n=top_n):
                ranked.append(ids)
                bar.advance()
        return np.concatenate(ranked)

    return rank


def _per_user_table(workdir: Path, held_out: HeldOut, metrics: PerUserMetrics) -> Any:
    """One row a user with targets: user_id, targets (how many), and each metric."""
    import polars as pl

    from llmi2i_cli.artifacts.prepared import read_user_ids

    columns = {name: metrics.values[:, place] for place, name in enumerate(metrics.names)}
    user_ids = read_user_ids(workdir).gather(held_out.users[metrics.users])
    return pl.DataFrame({"user_id": user_ids, "targets": held_out.targets.lengths[metrics.users], **columns})
