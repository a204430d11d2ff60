"""How far `sft-gen --estimate` is from the memory that training takes: Llamas of three sizes with random weights.

    python -m tests.benchmarks.estimate [--part SIZE] [--threads N]

Each training is a process of its own and takes three steps; what counts is its peak memory above that of a process that
trains a tiny model, where there is next to nothing but the interpreter and the libraries. Goal: within 15%.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generator_training import train_generator
from llmi2i_cli.llm.memory import memory_needed
from llmi2i_cli.llm.training_place import TrainingPlace
from tests.benchmarks import fair
from tests.benchmarks.own_process import in_own_process
from tests.llm.tiny import bpe_tokenizer, catalogue_of, random_histories, titles_of

N_ITEMS, N_USERS = 100, 48
TINY = (32_000, 16, 32, 2, 2)
SIZES = {  # words, hidden size, intermediate size, layers, heads
    "26 M": (32_000, 384, 1024, 8, 6),
    "56 M": (32_000, 512, 1408, 12, 8),
    "135 M": (49_152, 576, 1536, 30, 9),
}


def a_log() -> PreparedLog:
    histories = random_histories(N_USERS, N_ITEMS, seed=0, shortest=6, longest=10)
    return PreparedLog(catalogue_of(titles_of(N_ITEMS)), [""] * N_USERS, histories)


def save_base(folder: Path, size: tuple[int, int, int, int, int]) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    words, hidden, intermediate, layers, heads = size
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    bpe_tokenizer().save_pretrained(folder)


def options(base: Path, lora: int | None) -> GeneratorOptions:
    return GeneratorOptions(base_model=str(base), attention="sdpa", batch_size=16, epochs=1, lora=lora)


def train(base: Path, lora: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        train_generator(options(base, lora), a_log(), TrainingPlace(Path(folder)))


def predicted(base: Path) -> dict[str, int]:
    return {way: memory.total for way, memory in memory_needed(options(base, None), a_log()).items()}


def rows(sizes: list[str]) -> Iterator[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder) / "tiny"
        in_own_process(save_base, tiny, TINY)
        empty = {lora: in_own_process(train, tiny, lora)[1] for lora in (None, 16)}
        for size in sizes:
            base = Path(folder) / size
            in_own_process(save_base, base, SIZES[size])
            told, _ = in_own_process(predicted, base)
            for way, lora in (("all weights", None), ("--lora 16", 16)):
                _, peak = in_own_process(train, base, lora)
                measured, estimate = (peak - empty[lora]) / 1024, told[way] / 2**30
                yield size, way, f"{measured:.2f}", f"{estimate:.2f}", f"{estimate / measured - 1:+.0%}"


def main() -> None:
    parsed = fair.parse(fair.parser(__doc__, SIZES, runs=1))
    fair.print_table(("weights", "trained", "measured GiB", "estimated GiB", "error"), rows(parsed.part or list(SIZES)))


if __name__ == "__main__":
    main()
