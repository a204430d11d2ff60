"""`llmi2i fuse`: join the kept candidates to the real log, in the way that validation likes best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi2i_cli.choices.fuse_options import FuseOptions
from llmi2i_cli.choices.models import MODELS, sources_of
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.choices.preparation import TailOptions
from llmi2i_cli.choices.strategies import DEFAULT
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.runs.manifests import read_manifest
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import StageRun, stage_run

if TYPE_CHECKING:
    import polars as pl

    from llmi2i_cli.data.fusion import Candidates, Choice
    from llmi2i_cli.data.fusion_logs import Logs

UNTUNED_DROP = 0.01  # of the real interactions: the share that the discriminator is surest of


def fuse(workdir: Path, *, options: FuseOptions = FuseOptions(), force: bool = False) -> dict[str, Any]:
    """Write ``fuse/interactions.parquet`` and, when tuning, the sweep in ``fuse/sweep.parquet``; returns the manifest.

    Strategy, recall number, order, confidence threshold, length of a pseudo user's copied history, weight and, with
    `include_real`, the share of real interactions to drop are tuned where they are not given: those are chosen with
    which the served `model` trained on the fused log has the best validation Recall@10. Without a validation split, or
    with ``tune=False``, they default to pseudo-user, every candidate, the generator's order, the filter's own `keep`,
    the whole history, the confidence and `UNTUNED_DROP`.

    Raises
    ------
    UsageError : options that contradict each other
    ArtifactError : something is missing or damaged, or there is no validation split to tune on
    """
    options.check()
    given, model = options.choice, options.model
    also = ["filter/scored-real.parquet"] if options.include_real else []
    if "generator" in sources_of(model):
        also.append("sft-gen/model/")
    with stage_run(workdir, "fuse", options=as_given(options), also_reads=also, force=force) as run:
        if run.up_to_date and run.manifest:
            notice(f"fuse is up to date ({run.folder})")
            return run.manifest
        from llmi2i_cli.artifacts.prepared import has_split
        from llmi2i_cli.artifacts.schemas import FUSED
        from llmi2i_cli.files.tables import sink_blocks

        can_tune = has_split(workdir, "valid")
        if options.tune and not can_tune:
            raise ArtifactError(f"{workdir}/prepare has no validation split to tune on: use --no-tune")
        from llmi2i_cli.data.fused_table import Synthetic, fused_rows, pseudo_suffix, synthetic_times
        from llmi2i_cli.data.fusion import counts_of, plan_of, weights_of
        from llmi2i_cli.data.fusion_logs import Logs

        logs = Logs(workdir, options.include_real)
        if options.tune is not False and can_tune:
            choice, chosen_with = _tune(workdir, run, logs, given, model)
        else:
            choice, chosen_with = _default_choice(logs.candidates, given), {}
        (real, times), candidates, rows = logs.real(choice.drop_real), logs.candidates, logs.chosen(choice)
        plan = plan_of(real, candidates, rows, choice)
        synthetic = Synthetic(
            items=candidates.items[rows],
            times=synthetic_times(real, times, candidates.users[rows]),
            weights=weights_of(real, candidates, rows, choice.weight),
        )
        blocks = partial(
            fused_rows,
            plan,
            real,
            times,
            synthetic,
            user_ids=logs.user_ids,
            item_ids=logs.item_ids,
            suffix=pseudo_suffix(logs.user_ids),
        )
        sink_blocks(blocks, run.output("interactions.parquet"), FUSED)
        sources = counts_of(plan)
        counts = {"interactions.parquet": sum(sources.values())}
        if run.output("sweep.parquet").exists():
            counts["sweep.parquet"] = len(read_sweep(run.output("sweep.parquet")))
        return run.publish(
            rows=counts,
            choice={**vars(choice), **chosen_with},
            sources=sources,
            real_rows_removed=logs.n_real - len(times),
        )


def read_sweep(path: Path) -> pl.DataFrame:
    """The sweep of a tuned `fuse`: one row a point of the grid, the data of the paper's Figure 5."""
    import polars as pl

    return pl.read_parquet(path, glob=False)


def _default_choice(candidates: Candidates, given: Mapping[str, Any]) -> Choice:
    from llmi2i_cli.data.fusion import Choice

    deepest = int(candidates.ranks.max(initial=0))
    return Choice(
        strategy=given["strategy"] or DEFAULT,
        order=given["order"] or "rank",
        recall_number=deepest if given["recall_number"] is None else given["recall_number"],
        min_confidence=given["min_confidence"],
        copied_history=given["copied_history"],
        weight=given["weight"] or "confidence",
        drop_real=UNTUNED_DROP if given["drop_real"] is None else given["drop_real"],
    )


def _tune(
    workdir: Path, run: StageRun, logs: Logs, given: Mapping[str, Any], model: str
) -> tuple[Choice, dict[str, Any]]:
    """The choice with the best validation Recall@10 of the served model; every point goes into the sweep.

    A choice that takes recall from the long tail, against the real log alone, comes after all that do not; a random
    order is a control, chosen only where it is given. Points that are done are kept in the partial directory, one line
    each, so a killed run goes on with the next one.
    """
    import polars as pl

    from llmi2i_cli.artifacts.prepared import read_catalogue
    from llmi2i_cli.data.fusion_search import combinations, first_choice, rounds
    from llmi2i_cli.evaluation.served_model import ServedModel
    from llmi2i_cli.evaluation.validation import read_held_out
    from llmi2i_cli.files.tables import write_table
    from llmi2i_cli.i2i.training import Job

    held_out, catalogue = read_held_out(workdir, "valid"), read_catalogue(workdir)
    is_tail = catalogue.train_counts <= _tail_max_count(workdir)  # the long tail, as far as train knows
    with run.progress_bar(f"Tuning {model} on the real log"):
        generator = None
        if "generator" in sources_of(model):
            from llmi2i_cli.llm.item_states import ItemStates

            generator = ItemStates.load(workdir / "sft-gen" / "model", catalogue)
        job = Job(logs.real(0.0)[0], texts=catalogue.texts, generator=generator)
        served = ServedModel.tuned(model, job, held_out)
    finished = _finished_points(run.partial / "points.jsonl")
    points: dict[Choice, dict[str, Any]] = {}

    def measure(choice: Choice) -> dict[str, Any]:
        fused, n_candidates = logs.fused(choice)
        worth = served.worth(fused, held_out, is_tail)
        return {
            "candidates": n_candidates,
            "share": n_candidates / max(1, len(logs.candidates.users)),
            **worth.lookup._asdict(),
            "valid_recall@10": worth.recall,
            "valid_recall@10_tail": worth.tail_recall,
        }

    def rank(choice: Choice) -> tuple[bool, bool, float, float, int]:
        """Of equal points the first that drops least of the real log and adds least to it is best."""
        point = points[choice]
        may_be_chosen = choice.order != "random" or given["order"] == "random"
        without = points[start] if given["recall_number"] is None else point
        takes_from_tail = point["valid_recall@10_tail"] < without["valid_recall@10_tail"]
        return may_be_chosen, not takes_from_tail, point["valid_recall@10"], -choice.drop_real, -point["candidates"]

    best = start = first_choice(given)  # the real log alone, unless a number of candidates is given
    with (
        run.progress_bar(f"Fusing, judged by {MODELS[model].label}") as bar,
        (run.partial / "points.jsonl").open("a") as log,
    ):
        for axes in rounds(logs.candidates, given):
            for choice in combinations(best, axes, logs.candidates, given):
                if choice in points:
                    continue
                point = finished.get(choice)
                if point is None:
                    point = measure(choice)
                    log.write(json.dumps({**vars(choice), **point}) + "\n")
                    log.flush()
                points[choice] = point
                bar.update(len(points), text=f"best {max(p['valid_recall@10'] for p in points.values()):.4f}")
            best = max(points, key=rank)
    columns = [{**vars(choice), **point, "chosen": choice == best} for choice, point in points.items()]
    sweep = pl.DataFrame(columns, schema_overrides={"copied_history": pl.Int64}, infer_schema_length=None)
    write_table(sweep, run.output("sweep.parquet"))
    found = {
        key: points[best][key] for key in ("valid_recall@10", "valid_recall@10_tail", "recent", "decay", "candidates")
    }
    return best, {**found, "judged_by": served.described()}


def _tail_max_count(workdir: Path) -> int:
    """Up to how many interactions make an item long tail, as `prepare` was asked, or else its default."""
    manifest = read_manifest(workdir / "prepare/manifest.json")
    return int(manifest["options"]["tail_max_count"]) if manifest else TailOptions.tail_max_count


def _finished_points(path: Path) -> dict[Choice, dict[str, Any]]:
    """Points of an earlier, killed run; a line that the kill cut short does not count."""
    from llmi2i_cli.data.fusion import Choice

    finished: dict[Choice, dict[str, Any]] = {}
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) != len(lines):
            path.write_text("".join(whole), encoding="utf-8")
        for line in whole:
            point = json.loads(line)
            finished[Choice(**{field.name: point.pop(field.name) for field in fields(Choice)})] = point
    return finished
