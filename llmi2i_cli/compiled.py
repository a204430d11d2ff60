"""Kernels compiled by Numba: kept on disk for the next process where there is a place to keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Kernel], Kernel]:
    """`numba.njit` with these options, cached beside the module, else in the user's cache.

    Kernels release the GIL: other threads work, and the one that shows others that this process lives is heard.
    Where neither can be written to (a container's read-only file system), each process compiles for itself. A cache is
    code that is run, so no place that others may write to, such as the temporary directory, will do.
    """

    def decorate(function: Kernel) -> Kernel:
        try:
            kernel: Kernel = njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # "cannot cache function"
            kernel = njit(nogil=True, **options)(function)
        return kernel

    return decorate
