"""The processes of one run: torchrun may start several; the first owns the run, the others only compute with it.

The first process takes the stage's lock, decides what there is to do, logs, saves, publishes and speaks. The others
learn from it over torchrun's own key-value store, and write nothing of their own. In a run of one process all of this
is nothing.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmi2i_cli.errors import UsageError

if TYPE_CHECKING:
    from torch.distributed import Store

T = TypeVar("T")

PATIENCE = timedelta(days=7)  # for the first process; torchrun ends the others when it dies


def rank() -> int:
    """The number of this process in its run, from 0. A launcher that numbers processes sets LOCAL_RANK."""
    return _numbered("RANK", 0) if "LOCAL_RANK" in os.environ else 0


def world_size() -> int:
    """How many processes the run has."""
    return _numbered("WORLD_SIZE", 1) if "LOCAL_RANK" in os.environ else 1


def is_first() -> bool:
    return rank() == 0


def local_rank() -> int:
    """The number of this process on its machine, from 0: the GPU that is its own."""
    return _numbered("LOCAL_RANK", 0)


def _numbered(name: str, default: int) -> int:
    """What a launcher has put into an environment variable. UsageError if that is not a number."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise UsageError(f"the environment variable {name} is {value!r}, where a launcher writes a number: unset it")
    return int(value)


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """Within the block only the first process is heard on stdout and stderr."""
    if is_first():
        yield
        return
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def from_first(make: Callable[[], T]) -> T:
    """What `make` returns in the first process, in every process: the others do not call it but wait until it is done.

    All processes call this equally often and in the same order. The value is one that JSON keeps as it is. If `make`
    raises, so does the first process alone; the others wait for torchrun to end them.
    """
    if not is_first():
        told: T = hear()
        return told
    value = make()
    tell(value)
    return value


def tell(value: Any) -> None:
    """In the first process: what the others `hear`."""
    if world_size() > 1:
        _store().set(_next_word(), json.dumps(value))


def hear() -> Any:
    """In any other process: wait for what the first one tells next."""
    return json.loads(_store().get(_next_word()))


def _next_word() -> str:
    """The key of the next message; every process counts for itself."""
    return f"word {_store().add(f'words of process {rank()}', 1)}"


@functools.cache
def _store() -> Store:
    from torch.distributed import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    return PrefixStore("llmi2i", store)
