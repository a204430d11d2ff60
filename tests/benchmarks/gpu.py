"""What fine-tuning costs on one large GPU (an H200 or the like): measured, not looked up.

    python -m tests.benchmarks.gpu [--data FOLDER] [--tokens N]     # without a CUDA device it says what it would take
    python -m tests.benchmarks.gpu --tiny                           # the same code on toy shapes, anywhere

- The card's own rate: the best of large square bfloat16 matrix products.
- A random model of Llama-2-7B's shape in bfloat16 with item tokens, trained through `fine_tune` as any base with
  weights (packed rows, all targets in one pass, the loss over 100,000 items in chunks): tokens a second, and the share
  of the card's rate that the model's own operations make up (6 a weight and token, and attention's; goal: 45%). With
  DeepSpeed installed it is ZeRO-2 and AdamW's states are float32, without they are bfloat16 as the weights are;
  flash-attn is used if installed; gradient checkpointing only after running out of memory without.
- The default preset on a log (--data, else simulated): seconds an epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.errors import ModelError
from llmi2i_cli.llm.batches import Collator
from llmi2i_cli.llm.finetune import fine_tune
from llmi2i_cli.llm.item_model import GeneratorModel, TokenLayout
from llmi2i_cli.llm.memory import kept_for_backward
from llmi2i_cli.llm.packing import TokenSequence
from llmi2i_cli.llm.pretrained import attention_implementation
from llmi2i_cli.llm.training_options import TrainingOptions
from llmi2i_cli.llm.training_place import TrainingPlace
from tests.benchmarks.finetune import WARM_UP, Clock, train_ours
from tests.benchmarks.shop import Shop, default_training, prepare_shop

GOAL = 0.45


@dataclass(frozen=True)
class Shape:
    """A Llama, its catalogue, and what a step holds. Histories take `history_tokens`, a title 9 of each 10 tokens."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    base_vocab: int
    n_items: int
    history_tokens: int
    users_per_step: int


LLAMA_2_7B = Shape(4096, 11008, 32, 32, 32_000, 100_000, history_tokens=1024, users_per_step=16)
TOY = Shape(32, 64, 2, 2, 50, 100, history_tokens=40, users_per_step=2)
TITLE_TOKENS = 9


class Histories:
    """Random users: an item token, nine tokens of its title, the next item; the items are the targets."""

    def __init__(self, shape: Shape, steps: int) -> None:
        self.shape, self.n_users = shape, steps * shape.users_per_step

    def __len__(self) -> int:
        return self.n_users

    def sequence(self, index: int) -> tuple[TokenSequence, NDArray[np.int64], NDArray[np.float32]]:
        shape, rng = self.shape, np.random.default_rng(index)
        n_items = shape.history_tokens // (1 + TITLE_TOKENS)
        items = rng.integers(0, shape.n_items, n_items + 1)
        words = rng.integers(0, shape.base_vocab, (n_items, TITLE_TOKENS))
        tokens = np.concatenate([shape.base_vocab + items[:-1, None], words], axis=1).flatten()
        outputs = np.arange(n_items) * (1 + TITLE_TOKENS) + TITLE_TOKENS
        positions, groups = np.arange(len(tokens)), np.zeros(len(tokens), np.int32)
        return TokenSequence(tokens, positions, groups, outputs), items[1:], np.ones(n_items, np.float32)


def matmul_rate(size: int, device: torch.device) -> float:
    """The card's bfloat16 operations a second, by square products."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        _synchronize(device)
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        _synchronize(device)
        best = min(best, (time.perf_counter() - start) / 10)
    return 2 * size**3 / best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def build(shape: Shape, device: torch.device, checkpointing: bool) -> GeneratorModel:
    from transformers import LlamaConfig, LlamaForCausalLM

    layout = TokenLayout(shape.base_vocab, shape.n_items)
    config = LlamaConfig(
        vocab_size=layout.size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=4096,
        attn_implementation=attention_implementation("auto"),
    )
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            llm = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    if checkpointing:
        llm.gradient_checkpointing_enable()
    return GeneratorModel(llm, layout, loss_dtype=torch.bfloat16)


def told(shape: Shape) -> str:
    """What a step would take in memory, from shapes alone: weights and gradients bfloat16, ZeRO-2's states float32."""
    model = build(shape, torch.device("meta"), checkpointing=False)
    batch = Collator(Histories(shape, 1), pad_token=0)(range(shape.users_per_step))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    kept, _ = kept_for_backward(model, batch)
    return (
        f"{parameters / 1e9:.2f} G parameters: weights and gradients {4 * parameters / 2**30:.0f} GiB, float32 copies "
        f"and AdamW's states {12 * parameters / 2**30:.0f} GiB, kept for the backward pass {kept / 2**30:.0f} GiB"
    )


def operations_per_token(shape: Shape) -> float:
    """Of forward and backward: 6 a weight that a token meets, and those of causal attention; recomputation is none."""
    per_layer = 4 * shape.hidden_size**2 + 3 * shape.hidden_size * shape.intermediate_size
    attention = 6 * shape.layers * shape.hidden_size * shape.history_tokens  # half of 12: later tokens are not seen
    output = 6 * shape.hidden_size * shape.n_items / (1 + TITLE_TOKENS)  # a target in ten tokens
    return 6 * shape.layers * per_layer + attention + output


class EnoughStepsError(Exception):
    pass


def train_large(shape: Shape, device: torch.device, rate: float, steps: int) -> None:
    """Train until `steps` are timed; with gradient checkpointing if memory does not suffice without."""
    deepspeed = device.type == "cuda" and importlib.util.find_spec("deepspeed") is not None
    for checkpointing in (False, True):
        model = build(shape, device, checkpointing)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        clock = Clock()

        def on_step(done: int, total: int, text: str, clock: Clock = clock) -> None:
            _synchronize(device)
            clock.tick()
            if done == steps:
                raise EnoughStepsError

        with tempfile.TemporaryDirectory() as folder:
            options = TrainingOptions(
                epochs=1,
                learning_rate=5e-5,
                batch_size=shape.users_per_step,
                weight_decay=0,
                warmup_share=0.03,
                seed=42,
                deepspeed=Path("zero2") if deepspeed else None,
                checkpoint_steps=10**9,
            )
            failure = ""
            try:
                with contextlib.suppress(EnoughStepsError):
                    fine_tune(
                        model,
                        Histories(shape, steps + 1),
                        options,
                        TrainingPlace(Path(folder), on_step=on_step),
                        pad_token=0,
                    )
            except ModelError as error:
                if checkpointing:
                    raise
                failure = str(error)
        if failure:  # outside of the handler, whose traceback holds the model
            print(f"without gradient checkpointing: {failure}")
            del model
            gc.collect()
            torch.cuda.empty_cache()
            continue
        tokens_per_s = shape.users_per_step * shape.history_tokens // 10 * 10 / clock.step_s
        share = tokens_per_s * operations_per_token(shape) / rate
        memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
        print(
            f"{parameters / 1e9:.2f} G parameters, {model.decoder.config._attn_implementation}, "
            f"{'ZeRO-2' if deepspeed else 'no DeepSpeed'}, {'with' if checkpointing else 'without'} gradient "
            f"checkpointing: {tokens_per_s:,.0f} tokens a second, {clock.step_s:.3f} s a step of "
            f"{shape.users_per_step} users, {share:.1%} of the card's rate (goal {GOAL:.0%}), peak {memory:.1f} GiB"
        )
        return


def train_default(data: Path | None, n_users: int, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepare_shop(data, Path(folder))
        shop = Shop.read(Path(folder), n_users)
        training, clock = default_training(shop), Clock()
        train_ours(training, 24, steps, Path(folder), clock)
    print(
        f"llama-tiny on {data.name if data else 'a simulated shop'}: {shop.histories.n_users:,} users, "
        f"{shop.catalogue.n_items:,} items: {clock.step_s * training.steps_per_epoch:.2f} s an epoch"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with sequences.txt and items.csv")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--users-per-step", type=int, default=LLAMA_2_7B.users_per_step)
    parser.add_argument("--tiny", action="store_true", help="toy shapes, on the CPU if there is nothing else")
    options = parser.parse_args()
    shape = TOY if options.tiny else Shape(**{**vars(LLAMA_2_7B), "users_per_step": options.users_per_step})
    if not torch.cuda.is_available() and not options.tiny:
        print(
            "no CUDA device here, nothing was measured. On one it would measure bfloat16 matrix products of 8192 and "
            f"16384, train {shape} for {options.steps} steps, and the default preset on a log"
        )
        print(told(shape))
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    rate = max(matmul_rate(size, device) for size in ((256,) if options.tiny else (8192, 16384)))
    print(f"{name}: {rate / 1e12:,.1f} T bfloat16 operations a second")
    train_large(shape, device, rate, WARM_UP + options.steps)
    train_default(options.data, 500 if options.tiny else 0, WARM_UP + options.steps)


if __name__ == "__main__":
    main()
