from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.errors import ModelError, UsageError
from llmi2i_cli.llm.batches import Collator
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generator_training import generator_model, prepare_generator
from llmi2i_cli.llm.memory import memory_needed
from tests.conftest import run
from tests.llm.tiny import catalogue_of, random_histories, save_pretrained_base, titles_of

N_ITEMS, N_USERS = 12, 8
LOG = PreparedLog(catalogue_of(titles_of(N_ITEMS)), [""] * N_USERS, random_histories(N_USERS, N_ITEMS, seed=0))


def options(base, **changes):
    return GeneratorOptions(base_model=str(base), attention="sdpa", batch_size=N_USERS, **changes)


def kept_by_a_real_pass(given):
    """The twin: bytes that real weights and a real batch leave for the backward pass."""
    trainee, examples = prepare_generator(given, LOG)
    model = generator_model(trainee, given, LOG.histories)
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    kept = {}  # by address; what is held here has its address for itself

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(**Collator(examples, 0)(range(N_USERS)))["loss"]
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in kept.values()), sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_weights_states_and_what_a_pass_keeps_are_those_of_the_training_itself(tmp_path, family):
    base = save_pretrained_base(tmp_path, family, tied=True)
    kept, n_weights = kept_by_a_real_pass(options(base))
    (tmp_path / "model.safetensors").unlink()  # weights are not needed
    found = memory_needed(options(base), LOG)
    assert list(found) == ["all weights", "all weights, --deepspeed zero2", "--lora 16"]
    whole = found["all weights"]
    assert (whole.gradients, whole.optimizer) == (4 * n_weights, 8 * n_weights)
    assert whole.parameters == pytest.approx(4 * n_weights, rel=0.01)  # and the buffers
    tables = 2 * 4 * 16 * (len(AutoTokenizer.from_pretrained(base)) + N_ITEMS)
    assert whole.activations - tables == pytest.approx(kept, rel=0.02)
    assert whole.total == whole.parameters + whole.gradients + whole.optimizer + whole.activations


def test_lora_has_gradients_and_states_of_its_matrices_and_rows_alone(tmp_path):
    base = save_pretrained_base(tmp_path, tied=True)
    found = memory_needed(options(base, lora=4), LOG)
    shapes = [p.shape for p in AutoModelForCausalLM.from_pretrained(base).model.layers.parameters() if p.dim() == 2]
    trained = N_ITEMS * 16 + sum(4 * (rows + columns) for rows, columns in shapes)
    lora, whole = found["--lora 4"], found["all weights"]
    assert (lora.gradients, lora.optimizer) == (4 * trained, 8 * trained)
    assert lora.parameters < whole.parameters


def test_processes_share_the_users_and_zero2_the_states(tmp_path):
    base = save_pretrained_base(tmp_path, tied=True)
    alone, four = (memory_needed(options(base), LOG, n) for n in (1, 4))
    name, zero2 = "all weights", "all weights, --deepspeed zero2"
    assert four[name].optimizer == alone[name].optimizer
    assert four[name].activations < alone[name].activations
    n_weights = alone[name].gradients // 4
    assert (four[zero2].gradients, four[zero2].optimizer) == (n_weights, 3 * n_weights)
    assert four[zero2].activations == four[name].activations


def test_a_preset_has_no_lora():
    assert list(memory_needed(options("llama-tiny"), LOG)) == ["all weights", "all weights, --deepspeed zero2"]


def test_what_cannot_be_told(tmp_path):
    with pytest.raises(ModelError, match="has no configuration of a causal language model that can be read"):
        memory_needed(options(tmp_path), LOG)
    with pytest.raises(UsageError, match="--estimate tells of a training that begins with --base-model"):
        memory_needed(GeneratorOptions(earlier=tmp_path), LOG)


def test_the_command_prints_it_and_writes_nothing(prepared, tmp_path, capsys):
    workdir = tmp_path / "work"
    shutil.copytree(prepared, workdir)
    assert run("sft-gen", "-w", workdir, "--estimate", "2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["all weights"]["optimizer"] == 2 * found["all weights"]["gradients"]
    assert [path.name for path in workdir.iterdir()] == ["prepare"]
    assert run("sft-gen", "-w", workdir, "--estimate", "2") == 0
    assert "GB in each process" in capsys.readouterr().out
