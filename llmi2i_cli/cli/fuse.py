"""The command `llmi2i fuse`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from llmi2i_cli.choices.models import BEST, JUDGES
from llmi2i_cli.choices.strategies import DEFAULT, ORDERS, STRATEGIES, WEIGHTS
from llmi2i_cli.cli.options import WORKDIR, AsJson, Force, Plot, Workdir
from llmi2i_cli.cli.printing import print_manifest

HOW = "How candidates are joined: " + "; ".join(f"{row.name}, {row.about}" for row in STRATEGIES.values()) + "."


def fuse(
    workdir: Workdir = WORKDIR,
    tune: Annotated[
        bool | None,
        typer.Option("--tune/--no-tune", help="Choose on validation.", show_default="if there is a validation split"),
    ] = None,
    strategy: Annotated[
        Literal[*STRATEGIES] | None,  # type: ignore[valid-type]
        typer.Option(help=HOW, show_default=f"tuned, or {DEFAULT}"),
    ] = None,
    recall_number: Annotated[
        int | None, typer.Option(help="Candidates per user at most.", show_default="tuned, or all", min=0)
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(help="Confidence that candidates need.", show_default="tuned, or filter's keep", min=0, max=1),
    ] = None,
    order: Annotated[
        Literal[*ORDERS] | None,  # type: ignore[valid-type]
        typer.Option(
            help="Which candidates come first: the generator's best, the discriminator's or, as a control, any.",
            show_default="tuned, or rank",
        ),
    ] = None,
    copied_history: Annotated[
        int | None,
        typer.Option(help="Latest interactions that a pseudo-user copies.", show_default="tuned, or all", min=1),
    ] = None,
    weight: Annotated[
        Literal[*WEIGHTS] | None,  # type: ignore[valid-type]
        typer.Option(
            help="What a candidate counts, times the mean weight of its user's own interactions.",
            show_default="tuned, or confidence",
        ),
    ] = None,
    include_real: Annotated[
        bool, typer.Option("--include-real", help="Leave out real interactions that filter --include-real doubts.")
    ] = False,
    drop_real: Annotated[
        float | None,
        typer.Option(
            help="Share of the real interactions to leave out, the least confident.",
            show_default="tuned, or 0.01",
            min=0,
            max=0.99,
        ),
    ] = None,
    model: Annotated[
        Literal[*JUDGES],  # type: ignore[valid-type]
        typer.Option(help="Model whose validation Recall@10 decides: the one that you serve."),
    ] = BEST,
    plot: Plot = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Join the kept candidates to the real log.

    Example: llmi2i fuse -w work --strategy pseudo-user --recall-number 5
    """
    from llmi2i_cli.stages.fuse import fuse

    if plot:
        from llmi2i_cli.plots.requirements import require_plots

        require_plots("--plot")

    manifest = fuse(
        workdir,
        tune=tune,
        strategy=strategy,
        recall_number=recall_number,
        min_confidence=min_confidence,
        order=order,
        copied_history=copied_history,
        weight=weight,
        include_real=include_real,
        drop_real=drop_real,
        model=model,
        force=force,
    )
    if plot:
        from llmi2i_cli.plots.beside_results import plot_sweep

        plot_sweep(workdir)
    print_manifest(manifest, as_json)
