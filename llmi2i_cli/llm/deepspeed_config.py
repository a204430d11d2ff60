"""DeepSpeed: which configuration `--deepspeed` means, and what has to be so before it can run."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from llmi2i_cli.errors import InputError, ModelError, UsageError
from llmi2i_cli.files.documents import read_json

SHIPPED: Mapping[str, Path] = MappingProxyType(
    {path.stem: path for path in (Path(__file__).parent / "deepspeed").glob("*.json")}
)


def own_file(given: Path | None) -> Path | None:
    """The user's own file that `--deepspeed` names, an input of the stage; None for a shipped one and for none."""
    return None if given is None or str(given) in SHIPPED else given


def deepspeed_config(given: Path) -> str:
    """The file that `--deepspeed` means, for the Trainer, once DeepSpeed can run with it.

    Raises
    ------
    InputError : it is no JSON object
    ModelError : the package is not installed
    UsageError : it asks for ZeRO stage 3
    """
    if importlib.util.find_spec("deepspeed") is None:
        raise ModelError("--deepspeed needs the package deepspeed: DS_BUILD_OPS=0 pip install deepspeed")
    path = SHIPPED.get(str(given), given)
    try:
        stage = read_json(path).get("zero_optimization", {}).get("stage", 0)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a DeepSpeed configuration in JSON ({error}): mend it, or use zero2") from error
    if stage not in (0, 1, 2):
        raise UsageError(
            f"{path}: ZeRO stage {stage} cuts the weights up, and item vectors are read whole: use stage 2"
        )
    _number_a_process_alone()
    _compile_nothing()
    return str(path)


def _number_a_process_alone() -> None:
    """DeepSpeed knows its processes by what torchrun tells them: without torchrun there is one."""
    if "LOCAL_RANK" not in os.environ:
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
        os.environ.update(alone)


def _compile_nothing() -> None:
    """On a CPU DeepSpeed would first compile, for a minute, a collective that only its inference uses."""
    import torch

    if not torch.cuda.is_available():
        import deepspeed.ops

        deepspeed.ops.__compatible_ops__ = {}
