"""The command `llmi2i fuse`; its options are declared in `choices.fuse_options`."""

from __future__ import annotations

from typing import Any

from llmi2i_cli.choices.fuse_options import FuseOptions
from llmi2i_cli.cli.declared import with_declared
from llmi2i_cli.cli.options import WORKDIR, AsJson, Force, Plot, Workdir
from llmi2i_cli.cli.printing import print_manifest


@with_declared(FuseOptions)
def fuse(
    workdir: Workdir = WORKDIR,
    plot: Plot = False,
    force: Force = False,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Join the kept candidates to the real log.

    Example: llmi2i fuse -w work --strategy pseudo-user --recall-number 5
    """
    from llmi2i_cli.stages.fuse import fuse

    if plot:
        from llmi2i_cli.plots.requirements import require_plots

        require_plots("--plot")

    manifest = fuse(workdir, options=FuseOptions(**options), force=force)
    if plot:
        from llmi2i_cli.plots.beside_results import plot_sweep

        plot_sweep(workdir)
    print_manifest(manifest, as_json)
