"""The command `llmi2i evaluate`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from llmi2i_cli.choices.models import GENERATOR, MODELS
from llmi2i_cli.cli.options import WORKDIR, AsJson, Data, Force, Plot, Ray, Workdir, decay_option, recent_option
from llmi2i_cli.cli.printing import print_json
from llmi2i_cli.cli.printing_evaluation import print_evaluation


def evaluate(
    workdir: Workdir = WORKDIR,
    model: Annotated[
        Literal[*MODELS, GENERATOR],  # type: ignore[valid-type]
        typer.Option(help="What ranks: an item-to-item model, or the LLM of sft-gen itself."),
    ] = "swing",
    data: Data = "real",
    split: Annotated[Literal["test", "valid"], typer.Option(help="Held-out interactions to find.")] = "test",
    k: Annotated[
        list[int] | None, typer.Option(help="Cut-off K of the metrics. Repeatable.", show_default="5, 10", min=1)
    ] = None,
    recent: Annotated[
        str,
        typer.Option(help="M, how many recent items are looked up; auto: the best of 1 to 100 (generator: 5 to 50)."),
    ] = "auto",
    decay: Annotated[
        str,
        typer.Option(help="Weight of a recent item relative to the next newer one; auto: the best of 0.5 to 1."),
    ] = "auto",
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen/--keep-seen", help="Leave out of the ranking what the user already has.")
    ] = True,
    ranking: Annotated[
        Literal["auto", "index", "user-vectors"],
        typer.Option(help="Rank by the index or by the model's own user vectors; auto: by these where it has them."),
    ] = "auto",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="real|MODEL-DATA",
            help="Compare with the same model trained on the real log, or with another table, such as blend-real.",
        ),
    ] = None,
    ray: Ray = None,
    every: Annotated[
        bool, typer.Option("--all", help="Print every figure: at each K, and MRR. --json always has them.")
    ] = False,
    plot: Plot = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Measure Recall, NDCG and MRR on held-out interactions, with 95% intervals.

    Example: llmi2i evaluate --model swing --data real -w work
    """
    from llmi2i_cli.stages.evaluate import evaluate

    if plot:
        from llmi2i_cli.plots.requirements import require_plots

        require_plots("--plot")

    result = evaluate(
        workdir,
        model=model,
        data=data,
        split=split,
        ks=k or (5, 10),
        recent=recent_option(recent),
        decay=decay_option(decay),
        exclude_seen=exclude_seen,
        ranking=ranking,
        baseline=baseline,
        ray=ray,
        force=force,
    )
    if plot:
        from llmi2i_cli.plots.beside_results import plot_evaluation

        plot_evaluation(workdir, result)
    if as_json:
        print_json(result)
        return
    print_evaluation(result, every=every)
