"""Tasks done by the workers of a Ray cluster. Nothing else in the package knows Ray.

Ray Core alone: an actor per processor, or per GPU, does one task after the other and keeps what it has loaded. All data
goes through the files of the work directory, which every node sees; what comes back says only that a task is done. An
actor that is lost, with its node or alone, costs the task that it was at; another one does it. A driver that is lost
costs the tasks of all actors, and the same command goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from llmi2i_cli.errors import ClusterError, PackageError
from llmi2i_cli.runs.tasks import Runner, Task

LOCAL = "local"
CONNECT_SECONDS = 10
MOST_LOSSES = 5  # of each actor on average, without a task done in between: the next ones would be lost, too
OBJECT_STORE_BYTES = 100 * 2**20  # of a cluster on this machine: what is to be done, and no data


@contextlib.contextmanager
def ray_runner(address: str, *, on_gpus: bool) -> Iterator[Runner]:
    """A runner on the cluster at `address`, or with ``local`` on one of this machine's processors.

    Parameters
    ----------
    on_gpus : a worker has a GPU of its own, where the cluster has any

    Raises
    ------
    PackageError : Ray is not installed
    ClusterError : no cluster answers at `address`
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of anything
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # spares a warning
    try:
        import ray
    except ImportError as error:
        raise PackageError("--ray needs Ray: pip install 'llmi2i[ray]'") from error
    _see_who_answers(address)
    own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES} if address == LOCAL else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, str(error).split("\n", 1)[0]) from error
    try:
        yield partial(_run, ray, "GPU" if on_gpus and ray.cluster_resources().get("GPU") else "CPU")
    finally:
        ray.shutdown()


def _see_who_answers(address: str) -> None:
    """ClusterError if nobody does at HOST:PORT. Ray itself would ask again for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # a word of Ray's: local, auto
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str, reason: str) -> ClusterError:
    return ClusterError(
        f"--ray {address}: no Ray cluster is to be had there ({reason}): "
        "start one by `ray start --head`, or take --ray local"
    )


class _Worker:
    """An actor: does tasks in a process of its own, on one thread."""

    def __init__(self, do: Sequence[Any]) -> None:
        os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # before anything loads Numba; Ray sees to the other libraries
        self._reference = do[0]
        self._do: Callable[[Any], None] | None = None

    def is_there(self) -> None:
        """Returns when the actor has a place."""

    def do(self, task: Any) -> None:
        if self._do is None:
            import ray

            self._do = ray.get(self._reference)
        assert self._do is not None
        self._do(task)


def _run(
    ray: ModuleType, resource: str, do: Callable[[Task], None], tasks: Sequence[Task], on_done: Callable[[], None]
) -> None:
    """The runner. An actor that has no place yet waits for one without a task, so that no task waits for a place."""
    kind = ray.remote(_Worker).options(num_cpus=1, num_gpus=int(resource == "GPU"))
    to_do = ray.put(do)
    waiting = deque(tasks)
    idle: list[Any] = []
    at_work: dict[Any, tuple[Any, Task | None]] = {}  # by what is to come: the actor, and the task that it is at
    losses = 0

    def begin() -> None:
        actor = kind.remote([to_do])
        at_work[actor.is_there.remote()] = actor, None

    n_actors = min(len(tasks), max(int(ray.cluster_resources().get(resource, 1)), 1))
    for _ in range(n_actors):
        begin()
    while waiting or any(task is not None for _, task in at_work.values()):
        (first,), _ = ray.wait(list(at_work), num_returns=1)
        actor, task = at_work.pop(first)
        try:
            ray.get(first)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            losses += 1
            if losses > MOST_LOSSES * n_actors:
                raise ClusterError(
                    f"the cluster has lost {losses} workers in a row ({type(error).__name__}): see that its nodes have "
                    "the memory, the work directory and this version of llmi2i, and run the same command again"
                ) from error
            if task is not None:
                waiting.appendleft(task)
            begin()
        else:
            idle.append(actor)
            if task is not None:
                losses = 0
                on_done()
        while waiting and idle:
            actor, task = idle.pop(), waiting.popleft()
            at_work[actor.do.remote(task)] = actor, task
