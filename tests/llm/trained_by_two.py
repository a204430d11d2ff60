"""What `test_distributed` lets torchrun start: trains in every way that it compares, and leaves weights and logs."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from llmi2i_cli.llm.lora import Adapters
from llmi2i_cli.runs.processes import from_first, is_first
from tests.llm.test_finetune import Killed, a_model, options, train

N_USERS = 17  # of batches of 4: an epoch's last batch is a single user, and one of two processes has none
WAYS: dict[str, dict[str, Any]] = {}
if importlib.util.find_spec("deepspeed"):  # first: what it leaves behind must not reach the others
    WAYS["zero2"] = {"deepspeed": Path("zero2")}
    WAYS["zero2-accumulated"] = {"deepspeed": Path("zero2"), "gradient_accumulation": 2}
    WAYS["zero2-lora"] = {"deepspeed": Path("zero2"), "lora": 4, "lora_alpha": 8.0}
WAYS["ddp"] = {}
WAYS["ddp-accumulated"] = {"gradient_accumulation": 2}
WAYS["ddp-lora"] = {"lora": 4, "lora_alpha": 8.0}


def trained(folder: Path, given: dict[str, Any], *, stop_at: int | None = None) -> None:
    """Train without dropout in `folder`, and leave ``weights.safetensors`` and ``log.jsonl`` there."""
    from_first(lambda: folder.mkdir(exist_ok=True))
    way = options(learning_rate=1e-3, checkpoint_steps=4, **given)
    model, examples = a_model(dropout=0, n_users=N_USERS)
    if way.lora:
        Adapters(model, way.lora, way.lora_alpha)
    weights, steps, _ = train(folder, (model, examples), given=way, stop_at=stop_at)
    if is_first():
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "weights.safetensors")
        (folder / "steps.json").write_text(json.dumps(steps))


def main(folder: Path) -> None:
    for name, given in WAYS.items():
        trained(folder / name, given)
        if "accumulated" not in name:
            try:
                trained(folder / f"{name}-resumed", given, stop_at=7)
            except Killed:
                trained(folder / f"{name}-resumed", given)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
