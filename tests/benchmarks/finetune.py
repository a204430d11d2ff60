"""What training the generator costs, against the same training written by the book, in the same run.

    python -m tests.benchmarks.finetune [--data FOLDER] [--threads N] [--part PEER]  # what a step costs
    python -m tests.benchmarks.finetune --data FOLDER --users N --quality EPOCHS     # the same, trained to an end
    python -m tests.benchmarks.finetune --data FOLDER --text EPOCHS                  # with item texts and without
    python -m tests.benchmarks.finetune --catalogue N                                # full and sampled softmax, N items

FOLDER holds sequences.txt (USER ITEM ITEM ..., oldest first) and items.csv (item_id,title); without it a shop is
simulated. All of them train the default preset, from the same weights, with the same dropout, text features, AdamW,
schedule, gradient clipping and targets a step; each in a process of its own, in turns. A run's seconds are the median
of its steps but the first three. Ours is `fine_tune` as `sft-gen` runs it; the peers:

- one-prompt: transformers' Trainer on every prefix of every history, sorted by length within a step and padded in parts
  of 256, logits at the last position alone, cross entropy over the whole vocabulary;
- padded, packed: all targets of a user in one pass in a plain PyTorch loop, a user a row or packed as ours are, all
  logits over the catalogue at once in float32, torch's cross entropy;
- compiled: ours with the decoder through torch.compile; only where it is named.

--quality trains each for whole epochs and compares validation Recall@10 and the loss, too.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue, PreparedLog
from llmi2i_cli.llm.finetune import fine_tune
from llmi2i_cli.llm.finetuning_options import Softmax
from llmi2i_cli.llm.generator_training import GeneratorExamples, train_generator
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.packing import attention_mask, pack
from llmi2i_cli.llm.training_options import TrainingOptions
from llmi2i_cli.llm.training_place import TrainingPlace
from tests.benchmarks import fair
from tests.benchmarks.fair import Comparison, Side
from tests.benchmarks.own_process import in_own_process
from tests.benchmarks.shop import OPTIONS, Shop, Training, default_training, prepare_shop

OURS = "ours"
PEERS = {
    "one-prompt": "one prompt a target, transformers' Trainer",
    "padded": "plain PyTorch, all logits, padded",
    "packed": "plain PyTorch, all logits, packed",
    "compiled": "ours through torch.compile",
}
WARM_UP = 3  # first steps, not timed
PART = 256  # prompts padded together


@dataclass(frozen=True)
class Outcome:
    """What a training came to: seconds and targets of a step, seconds before the timed ones, loss at last, recalls."""

    step_s: float
    targets_per_step: float
    steps_per_epoch: int
    start_s: float
    loss: float
    recall: dict[str, float]


class Clock:
    """When each step was done."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def tick(self) -> None:
        self.times.append(time.perf_counter())

    @property
    def step_s(self) -> float:
        return float(np.median(np.diff(self.times[WARM_UP:])))

    @property
    def start_s(self) -> float:
        return self.times[WARM_UP] - self.times[0]


class PlainModel(GeneratorModel):
    """The same weights, read as one would write it down: right padding, causal attention, all logits at once."""

    def forward(  # type: ignore[override]
        self,
        tokens: list[torch.Tensor],  # (B, L), right padded
        places: list[torch.Tensor],  # (n,), of the targets in the flattened B * L
        labels: torch.Tensor,  # (T,), token ids
        weights: torch.Tensor,  # (T,)
        over_items: bool,
        num_items_in_batch: torch.Tensor | int,
        masks: list[Any] | None = None,
        positions: list[Any] | None = None,
        **_: Any,
    ) -> dict[str, torch.Tensor]:
        table = self.input_table()
        found = []
        for part, (ids, place) in enumerate(zip(tokens, places, strict=True)):
            embedded = functional.dropout(functional.embedding(ids, table), self.dropout, self.training)
            state = self.decoder(
                inputs_embeds=embedded,
                attention_mask=masks[part] if masks else None,
                position_ids=positions[part] if positions else None,
                use_cache=False,
            ).last_hidden_state
            found.append(functional.dropout(state.flatten(0, 1)[place], self.dropout, self.training))
        start = self.layout.base_vocab if over_items else 0
        logits = torch.cat(found) @ table[start:].T
        losses = functional.cross_entropy(logits, labels - start, reduction="none")
        return {"loss": (losses * weights).sum() / num_items_in_batch}


class PromptPerTarget(Dataset[int]):
    """Every target of every user as an example: a prompt, the token that completes it and its weight."""

    def __init__(self, examples: GeneratorExamples, base_vocab: int) -> None:
        self.prompts: list[NDArray[np.int64]] = []
        completions: list[NDArray[Any]] = []
        weights: list[NDArray[Any]] = []
        for index in range(len(examples)):
            sequence, targets, target_weights = examples.sequence(index)
            self.prompts += [sequence.tokens[: place + 1] for place in sequence.outputs]
            completions.append(base_vocab + targets.astype(np.int64))
            weights.append(target_weights)
        self.completions, self.weights = np.concatenate(completions), np.concatenate(weights)

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> int:
        return index

    def batch(self, indices: list[int]) -> dict[str, Any]:
        ordered = sorted(indices, key=lambda index: len(self.prompts[index]))
        tokens, places = [], []
        for first in range(0, len(ordered), PART):
            prompts = [torch.from_numpy(self.prompts[index]) for index in ordered[first : first + PART]]
            tokens.append(pad_sequence(prompts, batch_first=True))
            ends = torch.tensor([len(prompt) - 1 for prompt in prompts])
            places.append(torch.arange(len(prompts)) * tokens[-1].shape[1] + ends)
        labels = torch.from_numpy(self.completions[ordered])
        return {
            "tokens": tokens,
            "places": places,
            "labels": labels,
            "shift_labels": labels,
            "weights": torch.from_numpy(self.weights[ordered]),
            "over_items": False,
        }


class Watch(TrainerCallback):
    def __init__(self, clock: Clock, steps: int) -> None:
        self.clock, self.steps, self.losses = clock, steps, list[float]()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.clock.tick()
        control.should_training_stop |= state.global_step >= self.steps

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


class EnoughStepsError(Exception):
    pass


def train_ours(training: Training, epochs: float, steps: int, folder: Path, clock: Clock) -> float:
    def on_step(done: int, total: int, text: str) -> None:
        clock.tick()
        if done >= steps:
            raise EnoughStepsError

    options = TrainingOptions(
        epochs=epochs,
        learning_rate=training.defaults.learning_rate,
        batch_size=training.users_per_step,
        weight_decay=training.defaults.weight_decay,
        warmup_share=training.defaults.warmup_share,
        seed=OPTIONS.seed,
        checkpoint_steps=10**9,
    )
    place = TrainingPlace(folder, on_step=on_step)
    with contextlib.suppress(EnoughStepsError):
        fine_tune(
            training.model,
            training.examples,
            options,
            place,
            pad_token=training.generator.pad_token,
        )
    losses = [entry["loss"] for entry in map(json.loads, place.log.read_text().splitlines()) if "loss" in entry]
    return float(losses[-1]) if losses else math.nan


def train_one_prompt_a_target(training: Training, epochs: float, steps: int, folder: Path, clock: Clock) -> float:
    data = PromptPerTarget(training.examples, training.model.layout.base_vocab)
    targets_per_step = -(-len(data) // training.steps_per_epoch)
    transformers_logging.set_verbosity_error()
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        learning_rate=training.defaults.learning_rate,
        per_device_train_batch_size=targets_per_step,
        weight_decay=training.defaults.weight_decay,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        optim="adamw_torch",
        seed=OPTIONS.seed,
        logging_steps=max(1, min(50, training.steps_per_epoch // 4)),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
    )
    watch = Watch(clock, steps)
    trainer = Trainer(
        model=training.model, args=arguments, train_dataset=data, data_collator=data.batch, callbacks=[watch]
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return watch.losses[-1] if watch.losses else math.nan


def plain_batch(training: Training, indices: list[int], packed: bool) -> dict[str, Any]:
    sequences, labels, weights = zip(*(training.examples.sequence(index) for index in indices), strict=True)
    batch: dict[str, Any] = {
        "labels": torch.from_numpy(np.concatenate(labels).astype(np.int64)) + training.model.layout.base_vocab,
        "weights": torch.from_numpy(np.concatenate(weights)),
        "over_items": True,
    }
    batch["num_items_in_batch"] = len(batch["labels"])
    if packed:
        rows = pack(sequences, 0)
        masks = [attention_mask(rows.segments, rows.groups)]
        return batch | {
            "tokens": [rows.input_ids],
            "places": [rows.outputs],
            "masks": masks,
            "positions": [rows.position_ids],
        }
    tokens = pad_sequence([torch.from_numpy(sequence.tokens) for sequence in sequences], batch_first=True)
    places = [number * tokens.shape[1] + sequence.outputs for number, sequence in enumerate(sequences)]
    return batch | {"tokens": [tokens], "places": [torch.from_numpy(np.concatenate(places))]}


def train_plainly(training: Training, epochs: float, steps: int, clock: Clock, *, packed: bool) -> float:
    model, defaults = training.model.train(), training.defaults
    optimizer = torch.optim.AdamW(model.parameters(), lr=defaults.learning_rate, weight_decay=defaults.weight_decay)
    total = round(epochs * training.steps_per_epoch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total)
    rng = np.random.default_rng(OPTIONS.seed)
    losses: list[float] = []
    while len(losses) < min(total, steps):
        order = rng.permutation(len(training.examples))
        for first in range(0, len(order), training.users_per_step):
            batch = plain_batch(training, order[first : first + training.users_per_step].tolist(), packed)
            loss = model(**batch)["loss"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            clock.tick()
            if len(losses) >= min(total, steps):
                break
    return float(np.mean(losses[-training.steps_per_epoch // 4 :]))


def train(kind: str, workdir: Path, n_users: int, epochs: float, steps: int, judged: bool) -> Outcome:
    """Train one way, in the process that calls it."""
    shop = Shop.read(workdir, n_users)
    training = default_training(shop, GeneratorModel if kind in (OURS, "compiled") else PlainModel)
    if kind == "compiled":
        training.model.decoder = torch.compile(training.model.decoder, dynamic=True)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # what another run has compiled does not count
        if kind in (OURS, "compiled"):
            loss = train_ours(training, epochs, steps, Path(folder), clock)
        elif kind == "one-prompt":
            loss = train_one_prompt_a_target(training, epochs, steps, Path(folder), clock)
        else:
            loss = train_plainly(training, epochs, steps, clock, packed=kind == "packed")
    targets = sum(len(training.examples.sequence(index)[1]) for index in range(len(training.examples)))
    recall = shop.recall(training.generator) if judged else {}
    steps_per_epoch = training.steps_per_epoch
    return Outcome(clock.step_s, targets / steps_per_epoch, steps_per_epoch, clock.start_s, loss, recall)


def compare(
    peers: Sequence[str], workdir: Path, n_users: int, epochs: float, steps: int, rounds: int, judged: bool
) -> None:
    runs: dict[str, list[tuple[Outcome, float]]] = {kind: [] for kind in (OURS, *peers)}
    for _ in range(rounds):
        for kind, of_kind in runs.items():
            of_kind.append(in_own_process(train, kind, workdir, n_users, epochs, steps, judged))
    sides = {
        kind: Side([found.step_s for found, _ in some], some[0][0].targets_per_step, max(peak for _, peak in some))
        for kind, some in runs.items()
    }
    what = f"training the generator, {described(workdir, n_users)}"
    fair.print_comparisons(Comparison(what, PEERS[peer], sides[OURS], sides[peer], "targets") for peer in peers)
    best = {kind: min((found for found, _ in some), key=lambda found: found.step_s) for kind, some in runs.items()}
    columns = ["side", "s an epoch", f"s before step {WARM_UP + 1}", *(["loss", *best[OURS].recall] if judged else [])]
    fair.print_table(
        columns,
        (
            [
                kind,
                f"{found.step_s * found.steps_per_epoch:.1f}",
                f"{found.start_s:.1f}",
                *([f"{found.loss:.3f}", *(f"{value:.4f}" for value in found.recall.values())] if judged else []),
            ]
            for kind, found in best.items()
        ),
    )


def described(workdir: Path, n_users: int) -> str:
    histories = Shop.read(workdir, n_users).histories
    return f"{histories.n_users:,} users, {histories.n_items:,} items, {len(histories.items):,} interactions"


def train_with_and_without_text(workdir: Path, n_users: int, epochs: float) -> None:
    for name, shop in (("with", Shop.read(workdir, n_users)), ("without", Shop.read(workdir, n_users).without_text())):
        training = default_training(shop)
        with tempfile.TemporaryDirectory() as folder:
            train_ours(training, epochs, 10**9, Path(folder), Clock())
        found = ", ".join(f"{key} {value:.4f}" for key, value in shop.recall(training.generator).items())
        print(f"  {name:8} text: {found}")


def train_on_catalogue(n_items: int, steps: int, softmax: Softmax) -> tuple[float, float]:
    """Median seconds of a step on random histories and titles, and the loss at last."""
    rng = np.random.default_rng(0)
    titles = pl.Series([" ".join(f"word{word}" for word in words) for words in rng.integers(0, 5000, (20_000, 6))])
    titles = titles.gather(rng.integers(0, len(titles), n_items))
    none = np.zeros(n_items, bool)
    ids = pl.Series(range(n_items)).cast(pl.String)
    catalogue = Catalogue(ids, titles, titles, np.zeros(n_items, np.int64), none, none)
    n_users = steps * 256
    log = Histories(np.arange(n_users + 1) * 8, rng.integers(0, n_items, n_users * 8).astype(np.int32), n_items)
    options = replace(OPTIONS, softmax=softmax, epochs=1)
    times = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train_generator(
            options,
            PreparedLog(catalogue, [""] * n_users, log),
            TrainingPlace(Path(folder), on_step=lambda done, total, text: times.tick()),
        )
        lines = (Path(folder) / "log.jsonl").read_text().splitlines()
    return times.step_s, json.loads(lines[-1])["loss"]


def compare_softmax(n_items: int, steps: int) -> None:
    def softmaxes() -> Iterator[tuple[str, ...]]:
        for softmax in ("full", "sampled"):
            (step_s, loss), peak = in_own_process(train_on_catalogue, n_items, steps, softmax)
            yield softmax, str(fair.threads()), fair.CLOCK, f"{step_s:.2f}", f"{peak:,.0f}", f"{loss:.3f}"

    columns = (f"softmax over {n_items:,} items, 256 users of 8 interactions a step", "threads", "clock")
    fair.print_table((*columns, "s a step", "peak MiB", "loss"), softmaxes())


def main() -> None:
    parser = fair.parser(__doc__, PEERS, runs=2)
    parser.add_argument("--data", type=Path, help="folder with sequences.txt and items.csv")
    parser.add_argument("--users", type=int, default=0, help="a random sample; 0 takes all")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--quality", type=int, metavar="EPOCHS", help="train for so many epochs, and judge")
    parser.add_argument("--text", type=int, metavar="EPOCHS", help="only compare training with texts and without")
    parser.add_argument("--catalogue", type=int, metavar="N", help="only compare the softmax on N items, in 6 steps")
    options = fair.parse(parser)
    if options.catalogue:
        compare_softmax(options.catalogue, 6)
        return
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder)
        prepare_shop(options.data, workdir)
        if options.text:
            in_own_process(train_with_and_without_text, workdir, options.users, options.text)
            return
        peers = options.part or ["one-prompt", "padded", "packed"]
        if options.quality:
            compare(peers, workdir, options.users, options.quality, 10**9, 1, True)
        else:
            compare(peers, workdir, options.users, 24, options.steps, options.runs, False)


if __name__ == "__main__":
    main()
