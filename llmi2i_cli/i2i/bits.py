"""The two machine instructions for sets in 64-bit words that Numba has no name for."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


@intrinsic
def count_ones(typing_context: Any, word: Any) -> Any:
    """Number of bits set in a uint64 (POPCNT)."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), codegen


@intrinsic
def lowest_one(typing_context: Any, word: Any) -> Any:
    """Place of the lowest bit set in a uint64 (TZCNT); 64 when none is."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        never_poison = context.get_constant(types.boolean, False)
        return builder.cttz(arguments[0], never_poison)

    return types.int64(types.uint64), codegen
