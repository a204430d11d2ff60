from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.errors import ModelError, UsageError
from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions, GeneratorOptions
from llmi2i_cli.llm.generate import Generator, load_generator, rank_block
from llmi2i_cli.llm.generator_training import generator_model, prepare_generator, train_generator
from llmi2i_cli.llm.item_model import DiscriminatorModel
from llmi2i_cli.llm.lora import Adapters
from llmi2i_cli.llm.training_place import TrainingPlace
from tests.llm.tiny import catalogue_of, random_histories, save_pretrained_base, titles_of

pytest.importorskip("peft")

N_ITEMS, N_USERS = 12, 10
LOG = PreparedLog(catalogue_of(titles_of(N_ITEMS)), [""] * N_USERS, random_histories(N_USERS, N_ITEMS, seed=0))
BASES = {"llama": ("llama", False), "tied": ("llama", True), "gpt2": ("gpt2", True), "qwen3": ("qwen3", True)}


@pytest.fixture(scope="module", params=BASES)
def folder(request, tmp_path_factory):
    family, tied = BASES[request.param]
    return save_pretrained_base(tmp_path_factory.mktemp("base"), family, tied=tied)


def options(base, **changes):
    given: dict[str, Any] = {"epochs": 1, "batch_size": 4, "attention": "sdpa", "lora": 4, "seed": 3} | changes
    return GeneratorOptions(base_model=str(base), **given)


class Killed(BaseException):
    pass


def trained(folder, base, stop_at=None, **changes):
    """Train in `folder` and return the saved weights."""

    def on_step(done, total, text):
        if done == stop_at:
            raise Killed

    folder.mkdir(exist_ok=True)
    facts = train_generator(options(base, **changes), LOG, TrainingPlace(folder, on_step=on_step))
    return load_file(folder / "model/model.safetensors"), facts


def test_only_matrices_and_rows_of_items_are_trained(folder):
    given = options(folder)
    trainee, _ = prepare_generator(given, LOG)
    model = generator_model(trainee, given, LOG.histories)
    hidden = trainee.base.llm.config.hidden_size
    tables = 1 if model.head is None else 2
    n_linear = sum(name.endswith("weight") and p.dim() == 2 for name, p in model.decoder.named_parameters())
    n_linear -= 2 if hasattr(model.decoder, "wpe") else 1  # embeddings, of GPT-2 those of positions, too
    Adapters(model, 4, 8.0)
    names = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = {name: p for name, p in names.items() if "lora_" in name}
    rows = [p for name, p in names.items() if "lora_" not in name]
    assert len(matrices) == 2 * n_linear
    assert all(4 in p.shape for p in matrices.values())
    assert [tuple(p.shape) for p in rows] == [(N_ITEMS, hidden)] * tables
    assert {p.dtype for p in names.values()} == {torch.float32}
    assert model.input_table().shape == (trainee.base.layout.size, hidden)


def test_a_discriminator_trains_the_rows_that_it_reads_alone(tmp_path):
    base = load_base(str(save_pretrained_base(tmp_path)), LOG.catalogue, attention="sdpa", seed=0, n_evidence=2)
    model = DiscriminatorModel(base.llm, base.layout, yes_token=1, no_token=2)
    Adapters(model, 4, 8.0)
    rows = {n: tuple(p.shape) for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n}
    assert rows == {"decoder.embed_tokens.parametrizations.weight.original": (N_ITEMS + 2, 16)}


def test_merged_it_answers_as_it_did_before_and_is_a_plain_model_with_its_own_words(folder, tmp_path, monkeypatch):
    unmerged: list[Any] = []
    merge = Adapters.merge
    trainee, _ = prepare_generator(options(folder), LOG)

    def before_merging(self):
        generator = Generator(self._model, trainee.pieces, trainee.pad_token, 64)
        unmerged.extend(rank_block(generator, range(N_USERS), LOG.histories, LOG.histories, history=5, top_n=6))
        merge(self)

    monkeypatch.setattr(Adapters, "merge", before_merging)
    weights, facts = trained(tmp_path, folder, epochs=4, learning_rate=3e-2)
    generator = load_generator(tmp_path / "model", LOG.catalogue, LOG.profiles)
    items, logprobs = rank_block(generator, range(N_USERS), LOG.histories, LOG.histories, history=5, top_n=6)
    assert items.tolist() == unmerged[0].tolist()
    np.testing.assert_allclose(logprobs, unmerged[1], atol=1e-4)

    before = AutoModelForCausalLM.from_pretrained(folder)
    words = before.get_input_embeddings().weight.detach()
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(saved) is type(before)
    table = saved.get_input_embeddings().weight
    torch.testing.assert_close(table[: len(words)], words, rtol=2**-8, atol=0)  # they were kept in bfloat16
    start = trainee.base.llm.get_input_embeddings().weight[len(words) :]
    assert (table[len(words) : trainee.base.layout.size] - start).abs().max() > 1e-3
    layers = [name for name, p in before.named_parameters() if p.dim() == 2 and ("attn" in name or "mlp" in name)]
    changed = [name for name in layers if not torch.allclose(before.get_parameter(name), weights[name], rtol=2**-7)]
    assert any("mlp" in name for name in changed)
    assert any("attn" in name for name in changed)
    assert 0 < facts["trained_parameters"] < facts["parameters"]
    assert facts["learning_rate"] == 3e-2


def test_killed_and_resumed_it_ends_with_the_same_bytes(tmp_path):
    base = save_pretrained_base(tmp_path / "base", tied=True)
    _, facts = trained(tmp_path / "whole", base, epochs=2)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", base, stop_at=5, epochs=2)
    _, again = trained(tmp_path / "killed", base, epochs=2)
    assert (facts["steps_this_run"], again["steps_this_run"]) == (6, 3)
    assert (tmp_path / "killed/model/model.safetensors").read_bytes() == (
        tmp_path / "whole/model/model.safetensors"
    ).read_bytes()
    assert facts["learning_rate"] == pytest.approx(5e-4)


def test_alpha_scales_what_is_learnt(tmp_path):
    base = save_pretrained_base(tmp_path / "base", tied=True)
    weights = [trained(tmp_path / str(alpha), base, lora_alpha=alpha)[0] for alpha in (None, 8.0, 1.0)]
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(weights[0][name], weights[1][name])  # twice the rank
    assert not torch.equal(weights[0][name], weights[2][name])


def test_what_cannot_be_adapted(tmp_path, monkeypatch):
    with pytest.raises(
        UsageError, match="--lora adapts a base that comes with weights, and llama-tiny is trained whole"
    ):
        prepare_generator(options("llama-tiny"), LOG)
    with pytest.raises(UsageError, match="--lora-alpha scales what --lora RANK learns"):
        GeneratorOptions(lora_alpha=3).check()
    with pytest.raises(UsageError, match="--lora must be above 0, not 0"):
        DiscriminatorOptions(lora=0).check()
    base = save_pretrained_base(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="--lora needs the package peft"):
        prepare_generator(options(base), LOG)
