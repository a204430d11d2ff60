"""What training a generator takes in memory, told before any weights are loaded.

The base is built without storage (torch's meta device), from its configuration alone. Its first pass is then traced
with tensors that have a shape and nothing else (torch's FakeTensorMode), so that what the layers keep for the backward
pass is counted, not guessed. What the interpreter, the libraries and CUDA themselves take is not in it.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.bases import base_without_weights
from llmi2i_cli.llm.batches import Collator, Shares
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generator_training import generator_model, prepare_generator
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.lora import Adapters
from llmi2i_cli.llm.presets import PRESETS
from llmi2i_cli.llm.training_options import resolve

LORA_RANK = 16  # where none is asked for
SHARES_LOOKED_AT = 64  # for the one with the most tokens
ADAM_BYTES = 8  # per trained weight: two averages in float32


@dataclass(frozen=True)
class Memory:
    """Bytes of one process: weights, their gradients, the optimiser's states, what is kept for the backward pass."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


def memory_needed(options: GeneratorOptions, log: PreparedLog, processes: int = 1) -> dict[str, Memory]:
    """What each of some processes takes at its largest step, by the way of training.

    Raises
    ------
    ModelError : the base has no configuration or tokenizer that can be read
    UsageError : the training is one that goes on from an earlier one
    """
    if options.earlier is not None:
        raise UsageError("--estimate tells of a training that begins with --base-model: leave --from out")
    rank = options.lora or LORA_RANK
    options = replace(options, attention="sdpa", lora=None, lora_alpha=None)
    whole = _traced(options, log, processes)
    found = {"all weights": whole, "all weights, --deepspeed zero2": _by_zero2(whole, processes)}
    if options.base_model not in (None, *PRESETS):
        found[f"--lora {rank}"] = _traced(options, log, processes, rank)
    return found


def _by_zero2(whole: Memory, processes: int) -> Memory:
    """DeepSpeed keeps weights whole, on GPUs in bfloat16, and shares out gradients, float32 copies and states."""
    n_weights = whole.gradients // 4
    width = 2 if torch.cuda.is_available() else 4
    return Memory(
        parameters=whole.parameters * width // 4,
        gradients=width * n_weights // processes,
        optimizer=(4 + ADAM_BYTES) * n_weights // processes,
        activations=whole.activations,
    )


def _traced(options: GeneratorOptions, log: PreparedLog, processes: int, rank: int | None = None) -> Memory:
    trainee, examples = prepare_generator(options, log, load=base_without_weights)
    with torch.device("meta"):
        model = generator_model(trainee, options, log.histories)
        if rank:
            Adapters(model, rank, 2.0 * rank)
    training = resolve(options, trainee.defaults, len(examples))
    part_size = training.batch_size // training.gradient_accumulation
    shares = itertools.islice(Shares(len(examples), part_size, options.seed, world_size=processes), SHARES_LOOKED_AT)
    largest = max(shares, key=lambda share: sum(len(examples.sequence(index)[0].tokens) for index in share))
    batch = Collator(examples, trainee.pad_token)(largest)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    kept, held = kept_for_backward(model, batch)
    # The table's gradient comes from its slices and from the embedding, each as large as the whole table; LoRA's table
    # is itself put together anew, from words that stay and rows that are trained.
    tables = (3 if rank else 2) * 4 * trainee.base.layout.size * trainee.base.llm.config.hidden_size
    return Memory(held, 4 * trained, ADAM_BYTES * trained, kept + tables)


def kept_for_backward(model: GeneratorModel, batch: dict[str, torch.Tensor]) -> tuple[int, int]:
    """Bytes that a pass over a batch keeps for the backward pass, and bytes that the model itself holds."""
    kept: dict[int, torch.UntypedStorage] = {}  # by identity; holding them keeps the identities apart

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept.setdefault(storage._cdata, storage)
        return tensor

    with FakeTensorMode() as mode:
        own = _give_fake_storage(model)
        fake = {name: mode.from_tensor(tensor) for name, tensor in batch.items()}
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(**fake)
    kept_bytes = sum(storage.nbytes() for key, storage in kept.items() if key not in own)
    return kept_bytes, sum(own.values())


def _give_fake_storage(model: GeneratorModel) -> dict[int, int]:
    """Put fake tensors on the CPU in the place of a model's own; returns bytes by the identity of their storage."""
    fakes: dict[int, torch.Tensor] = {}
    for module in {*model.modules(), *model.llm.modules()}:
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    if id(tensor) not in fakes:
                        fake = torch.empty(tensor.shape, dtype=tensor.dtype)
                        trained = isinstance(tensor, nn.Parameter)
                        fakes[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if trained else fake
                    tensors[name] = fakes[id(tensor)]
    storages = [fake.untyped_storage() for fake in fakes.values()]
    return {storage._cdata: storage.nbytes() for storage in storages}
