"""What LoRA saves: a random model of SmolLM2-135M's shape trained by LoRA and whole, in the same run.

    python -m tests.benchmarks.lora [--rank 16] [--title-tokens 0] [--threads N] [--runs N]

Both sides are `fine_tune` on the same random histories, packed as in any training, 16 users a step; what is counted is
the targets of a step by the median of its seconds, but for the first three, and the peak memory of the process.
Goal: at least 1.5 times the targets a second, in at most 60% of the memory.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llmi2i_cli.llm.finetune import fine_tune
from llmi2i_cli.llm.item_model import GeneratorModel, TokenLayout
from llmi2i_cli.llm.lora import Adapters
from llmi2i_cli.llm.packing import TokenSequence
from llmi2i_cli.llm.precision import fast_dtype
from llmi2i_cli.llm.training_options import TrainingOptions
from llmi2i_cli.llm.training_place import TrainingPlace
from tests.benchmarks import fair
from tests.benchmarks.fair import Comparison, Side
from tests.benchmarks.finetune import WARM_UP, Clock, EnoughStepsError
from tests.benchmarks.own_process import in_own_process

SMOLLM2 = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "max_position_embeddings": 2048,
}
WORDS, ITEMS, USERS_PER_STEP, PROMPT_TOKENS = 49_152, 3_459, 16, 30


@dataclass(frozen=True)
class RandomHistories:
    """Users of 4 to 10 items, each followed by its title's tokens, behind one prompt; all items are targets."""

    n_users: int
    title_tokens: int

    def __len__(self) -> int:
        return self.n_users

    def sequence(self, index: int) -> tuple[TokenSequence, NDArray[np.int64], NDArray[np.float32]]:
        rng = np.random.default_rng(index)
        items = rng.integers(0, ITEMS, rng.integers(4, 11))
        words = rng.integers(0, WORDS, (len(items), self.title_tokens))
        history = np.concatenate([WORDS + items[:, None], words], axis=1).flatten()
        tokens = np.concatenate([rng.integers(0, WORDS, PROMPT_TOKENS), history])
        outputs = PROMPT_TOKENS - 1 + (1 + self.title_tokens) * np.arange(len(items))
        tokens = tokens[: outputs[-1] + 1]
        groups = np.zeros(len(tokens), np.int32)
        return TokenSequence(tokens, np.arange(len(tokens)), groups, outputs), items, np.ones(len(items), np.float32)


def train(rank: int | None, title_tokens: int, steps: int) -> tuple[float, float]:
    """Median seconds of a step, and targets a step, in the process that calls it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    layout = TokenLayout(WORDS, ITEMS)
    low = None if fast_dtype() == torch.float32 else fast_dtype()
    llm = LlamaForCausalLM(LlamaConfig(vocab_size=layout.size, attn_implementation="sdpa", **SMOLLM2))
    model = GeneratorModel(llm, layout, decoder_dtype=low, loss_dtype=fast_dtype())
    if rank:
        Adapters(model, rank, 2 * rank)
    examples = RandomHistories(USERS_PER_STEP * steps, title_tokens)
    clock = Clock()

    def on_step(done: int, total: int, text: str) -> None:
        clock.tick()
        if done == steps:
            raise EnoughStepsError

    options = TrainingOptions(1, 5e-5, USERS_PER_STEP, weight_decay=0, warmup_share=0, seed=42)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(EnoughStepsError):
        fine_tune(model, examples, options, TrainingPlace(Path(folder), on_step=on_step), pad_token=0)
    targets = sum(len(examples.sequence(index)[1]) for index in range(len(examples)))
    return clock.step_s, targets / steps


def main() -> None:
    parser = fair.parser(__doc__, [], runs=2)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--title-tokens", type=int, default=0, help="behind each item token")
    parser.add_argument("--steps", type=int, default=8, help="of which the first three are not timed")
    options = fair.parse(parser)
    steps = max(options.steps, WARM_UP + 2)
    found: dict[int | None, list[tuple[tuple[float, float], float]]] = {options.rank: [], None: []}
    for _ in range(options.runs):
        for rank, of_rank in found.items():
            of_rank.append(in_own_process(train, rank, options.title_tokens, steps))
    ours, theirs = (
        Side([step_s for (step_s, _), _ in some], some[0][0][1], max(peak for _, peak in some))
        for some in found.values()
    )
    what = f"LoRA of rank {options.rank}, SmolLM2-135M's shape, {1 + options.title_tokens} tokens per item"
    fair.print_comparisons([Comparison(what, "all weights", ours, theirs, "targets")])
    assert ours.peak_mib
    assert theirs.peak_mib
    print(f"memory: {ours.peak_mib / theirs.peak_mib:.0%} of that of training all weights")


if __name__ == "__main__":
    main()
