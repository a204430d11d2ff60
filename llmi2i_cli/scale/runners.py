"""The runner that a stage was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from llmi2i_cli.runs.tasks import Runner, here


@contextlib.contextmanager
def runner(ray: str | None, *, on_gpus: bool = False) -> Iterator[Runner]:
    """Who does the tasks of a stage: this process, or with `ray` the workers of that cluster (see `ray_workers`)."""
    if ray is None:
        yield here
        return
    from llmi2i_cli.scale.ray_workers import ray_runner

    with ray_runner(ray, on_gpus=on_gpus) as run:
        yield run
