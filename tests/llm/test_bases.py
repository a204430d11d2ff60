from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, normalizers
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertForMaskedLM

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.errors import ArtifactError, ModelError, UsageError
from llmi2i_cli.llm.bases import answer_tokens, base_from_checkpoint, load_base
from llmi2i_cli.llm.generate import Generator, load_generator, rank_block
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.packing import pack
from llmi2i_cli.llm.pretrained import attention_implementation
from llmi2i_cli.llm.prompts import BARE, build_pieces, generator_sequence
from llmi2i_cli.llm.saved_models import CARD, Card, catalogue_digest, load_checkpoint, save_checkpoint
from tests.llm.tiny import bpe_tokenizer, catalogue_of, save_pretrained_base, titles_of

CATALOGUE = catalogue_of([*titles_of(9), ""])
REMEDY = "run it again"


def load(spec, **options):
    return load_base(str(spec), CATALOGUE, attention="sdpa", seed=0, **options)


def card_of(base, **changes):
    card = Card(
        role="generator",
        base_model="llama-tiny",
        base_vocab=base.layout.base_vocab,
        n_items=base.layout.n_items,
        n_evidence=base.layout.n_evidence,
        catalogue=catalogue_digest(CATALOGUE.ids),
        template=BARE["generator"],
        titles_in_prompt=not base.from_scratch,
        max_length=64,
        from_scratch=base.from_scratch,
        held_out=[],
    )
    return replace(card, **changes)


@pytest.mark.parametrize("tied", [False, True])
def test_item_rows_start_as_the_mean_of_the_titles_rows(tmp_path, tied):
    plain = AutoModelForCausalLM.from_pretrained(save_pretrained_base(tmp_path, tied=tied))
    with torch.no_grad():
        for table in {plain.get_input_embeddings().weight, plain.get_output_embeddings().weight}:
            table.add_(1)  # the mean over all words is not the origin
    plain.save_pretrained(tmp_path)
    base = load(tmp_path, n_evidence=2)
    vocabulary = plain.get_input_embeddings().num_embeddings
    assert (base.layout.base_vocab, base.layout.n_items, base.layout.n_evidence) == (vocabulary, 10, 2)
    assert (base.llm.get_output_embeddings().weight is base.llm.get_input_embeddings().weight) == tied
    for before, after in (
        (plain.get_input_embeddings().weight, base.llm.get_input_embeddings().weight),
        (plain.get_output_embeddings().weight, base.llm.get_output_embeddings().weight),
    ):
        assert after.shape == (vocabulary + 12, 16)
        assert torch.equal(after[:vocabulary], before)
        spread = before.std(0)
        for item, title in enumerate(CATALOGUE.titles):
            tokens = base.tokenizer(title, add_special_tokens=False).input_ids
            mean = before[tokens].mean(0) if tokens else before.mean(0)
            noise = (after[vocabulary + item] - mean) / spread
            assert 0 < noise.abs().max() < 0.5  # a tenth of the spread tells items of the same title apart
    again = load(tmp_path, n_evidence=2)
    assert torch.equal(again.llm.get_input_embeddings().weight, base.llm.get_input_embeddings().weight)


def test_a_preset_depends_on_the_seed_alone():
    weights = [
        load_base("llama-tiny", CATALOGUE, attention="sdpa", seed=seed).llm.get_input_embeddings().weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("spec", ["llama-tiny", "llama", "tied", "gpt2"])
def test_a_saved_checkpoint_is_a_plain_causal_lm_with_the_same_scores(tmp_path, spec):
    if spec != "llama-tiny":
        spec = str(save_pretrained_base(tmp_path / "base", spec.replace("tied", "llama"), tied=spec == "tied"))
    base = load(spec)
    model = GeneratorModel(base.llm, base.layout, titles=base.title_words).eval()
    with torch.no_grad():
        for parameter in base.llm.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    pieces = build_pieces(
        base.tokenizer,
        base.layout,
        BARE["generator"],
        profiles=None,
        titles=None if base.from_scratch else base.titles,
    )
    history, log = [2, 0, 5], Histories.from_rows([[2, 0, 5]], 10)
    trained, _ = rank_block(Generator(model, pieces, 0, 64), [0], log, None, history=10, top_n=10)
    save_checkpoint(model, base.tokenizer, card_of(base), CATALOGUE.ids, tmp_path / "model")

    tokens = pl.read_parquet(tmp_path / "model/item_tokens.parquet")
    assert tokens["item_id"].to_list() == CATALOGUE.ids.to_list()
    assert tokens["token_id"].to_list() == [base.layout.base_vocab + k for k in range(10)]
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", CARD, "item_tokens.parquet"} <= names

    generator = load_generator(tmp_path / "model", CATALOGUE, [""])
    items, logprobs = rank_block(generator, [0], log, None, history=10, top_n=10)
    assert items[0].tolist() == trained[0].tolist()
    plain, found = AutoModelForCausalLM.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not any(found.values())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    # What servers such as vLLM go by: a vocabulary of whole kernels, and an output layer only where it is not tied.
    config = json.loads((tmp_path / "model/config.json").read_text())
    weights = load_file(tmp_path / "model/model.safetensors")
    tables = [table for table in weights.values() if len(table) == config["vocab_size"]]
    assert config["vocab_size"] % 64 == 0
    assert config["vocab_size"] == plain.get_input_embeddings().num_embeddings
    assert len(tokenizer) <= base.layout.base_vocab
    assert len(tables) == (1 if config["tie_word_embeddings"] else 2)
    assert all(not table[base.layout.size :].any() for table in tables)
    prompt = [tokenizer.bos_token_id]
    for item in history:
        prompt.append(tokens["token_id"][item])
        if not base.from_scratch:
            prompt += tokenizer(CATALOGUE.titles[item], add_special_tokens=False).input_ids
    with torch.no_grad():
        logits = plain(torch.tensor([prompt])).logits[0, -1, tokens["token_id"].to_torch()]
    expected = torch.log_softmax(logits, 0).sort(descending=True)
    assert items[0].tolist() == expected.indices.tolist()
    np.testing.assert_allclose(logprobs[0], expected.values, atol=1e-5)


def test_a_checkpoint_as_the_base_of_a_discriminator_keeps_all_it_knows(tmp_path):
    base = load("llama-tiny")
    model = GeneratorModel(base.llm, base.layout, titles=base.title_words)
    save_checkpoint(model, base.tokenizer, card_of(base), CATALOGUE.ids, tmp_path)
    before = base.llm.get_input_embeddings().weight[: base.layout.size]  # without the padding
    grown = base_from_checkpoint(tmp_path, CATALOGUE, attention="sdpa", seed=3, n_evidence=4, remedy=REMEDY)
    after = grown.llm.get_input_embeddings().weight
    assert torch.equal(after[: len(before)], before)
    assert len(after) == len(before) + 4
    assert after[len(before) :].unique(dim=0).shape[0] == 4
    assert grown.from_scratch
    assert grown.title_words is None  # they are in the rows already
    assert grown.defaults == base.defaults


def saved(tmp_path, **changes):
    base = load("llama-tiny")
    save_checkpoint(
        GeneratorModel(base.llm, base.layout),
        base.tokenizer,
        card_of(base, **changes),
        CATALOGUE.ids,
        tmp_path / "model",
    )
    return tmp_path / "model"


def truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def drop_a_tensor(path):
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda model: (model / CARD).unlink(), "llmi2i.json is missing or damaged"),
        (lambda model: (model / CARD).write_text("{"), "llmi2i.json is missing or damaged"),
        (lambda model: (model / CARD).write_text('{"role": "generator"}'), "llmi2i.json is missing or damaged"),
        (lambda model: (model / CARD).write_text("[1]"), "llmi2i.json is missing or damaged"),
        (lambda model: truncate(model / "model.safetensors"), "is damaged"),
        (lambda model: (model / "model.safetensors").unlink(), "is damaged"),
        (lambda model: drop_a_tensor(model / "model.safetensors"), "is damaged"),
        (lambda model: (model / "config.json").write_text("no"), "is damaged"),
        (lambda model: (model / "tokenizer.json").write_text("no"), "is damaged"),
    ],
)
def test_a_damaged_checkpoint_is_named_in_one_line(tmp_path, damage, message):
    model = saved(tmp_path)
    damage(model)
    with pytest.raises(ArtifactError) as caught:
        load_checkpoint(model, CATALOGUE.ids, attention="sdpa", remedy=REMEDY)
    assert str(model) in str(caught.value)
    assert message in str(caught.value)
    assert str(caught.value).endswith(REMEDY)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_catalogue_is_refused(tmp_path):
    model = saved(tmp_path)
    for ids in (CATALOGUE.ids[::-1], CATALOGUE.ids[:-1], pl.Series([*CATALOGUE.ids[:-1], "new"])):
        with pytest.raises(ArtifactError, match=r"was trained on another catalogue than prepare.items.parquet"):
            load_checkpoint(model, ids, attention="sdpa", remedy=REMEDY)
    card = json.loads((model / CARD).read_text())
    (model / CARD).write_text(json.dumps(card | {"n_evidence": 500}))
    with pytest.raises(ArtifactError, match="its vocabulary does not fit its card"):
        load_checkpoint(model, CATALOGUE.ids, attention="sdpa", remedy=REMEDY)


def test_ids_are_told_apart_at_their_ends():
    assert catalogue_digest(pl.Series(["a", "bc"])) != catalogue_digest(pl.Series(["ab", "c"]))


def bert(folder):
    config = BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertForMaskedLM(config).save_pretrained(folder)
    bpe_tokenizer().save_pretrained(folder)


def no_tokenizer(folder):
    save_pretrained_base(folder)
    for path in folder.glob("tokenizer*"):
        path.unlink()


def broken_weights(folder):
    truncate(save_pretrained_base(folder) / "model.safetensors")


def no_weights(folder):
    (save_pretrained_base(folder) / "model.safetensors").unlink()


def headless(folder):
    model = AutoModelForCausalLM.from_pretrained(save_pretrained_base(folder))
    model.base_model.save_pretrained(folder)


def unknown_type(folder):
    save_pretrained_base(folder)
    (folder / "config.json").write_text('{"model_type": "nonesuch"}')


@pytest.mark.parametrize(
    "make", [bert, headless, no_tokenizer, broken_weights, no_weights, unknown_type, lambda folder: None]
)
def test_a_directory_that_is_no_causal_lm(tmp_path, make):
    make(tmp_path)
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path} is ")
    assert "\n" not in str(caught.value)


def with_code(folder):
    """A model of a type that transformers does not have, with the modules that would define it."""
    classes = {"AutoConfig": "foreign.Config", "AutoModelForCausalLM": "foreign.Model"}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "foreign", "auto_map": classes}))
    (folder / "foreign.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Config: ...\nclass Model: ...\n")


@pytest.mark.parametrize("whose", ["a base", "a checkpoint"])
def test_code_that_comes_with_a_model_is_neither_run_nor_asked_about(tmp_path, whose, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    if whose == "a base":
        with_code(model := save_pretrained_base(tmp_path / "base"))
        with pytest.raises(ModelError, match=r"it needs code of its own, which llmi2i does not run\): give"):
            load(model)
    else:
        with_code(model := saved(tmp_path))
        with pytest.raises(ArtifactError, match=r"is damaged \(it needs code of its own, which llmi2i does not run\)"):
            load_checkpoint(model, CATALOGUE.ids, attention="sdpa", remedy=REMEDY)
    assert not (model / "ran").exists()
    assert capsys.readouterr().out == ""


def test_weights_that_can_hold_code_are_not_read(tmp_path):
    base = save_pretrained_base(tmp_path)
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    load(base)
    (base / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"it has no model\.safetensors, and llmi2i reads no weights that can hold"):
        load(base)


def test_a_file_is_no_causal_lm(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelError, match=r"is not a causal language model .* a preset"):
        load(tmp_path / "notes.txt")


def test_flash_attention_where_it_cannot_run(tmp_path):
    model = saved(tmp_path)
    assert attention_implementation("auto") == attention_implementation("sdpa") == "sdpa"
    for attempt in (
        lambda: load_base("llama-tiny", CATALOGUE, attention="flash_attention_2", seed=0),
        lambda: load_checkpoint(model, CATALOGUE.ids, attention="flash_attention_2", remedy=REMEDY),
    ):
        with pytest.raises(ModelError, match="needs a CUDA device and the package flash-attn: use --attention auto"):
            attempt()


def test_no_prompt_is_longer_than_the_positions_of_the_base(tmp_path):
    base = load(save_pretrained_base(tmp_path, "gpt2"))  # 256 positions; the default for pretrained bases is 1,024
    assert base.max_length(None) == base.max_length(256) == 256
    assert base.max_length(7) == 7
    with pytest.raises(UsageError, match="--max-length 257 is more than the 256 positions of the base model"):
        base.max_length(257)
    assert load("llama-tiny").max_length(None) == 64


def test_answers_are_told_apart_by_their_first_different_token():
    preset = load("llama-tiny").tokenizer
    assert preset.convert_ids_to_tokens(answer_tokens(preset)) == ["<yes>", "<no>"]
    tokenizer = bpe_tokenizer()
    yes, no = answer_tokens(tokenizer)
    assert yes != no
    assert tokenizer.decode([yes])[0] == "Y"
    assert tokenizer.decode([no])[0] == "N"


def test_answers_that_are_the_same_tokens_are_refused():
    tokenizer = bpe_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("Yes|No"), "Maybe")
    with pytest.raises(ModelError, match="gives Yes and No the same tokens: it cannot serve as discriminator"):
        answer_tokens(tokenizer)


@pytest.mark.parametrize("spec", ["llama-tiny", "llama"])
def test_a_catalogue_without_titles_trains_on_ids_alone(tmp_path, spec):
    if spec != "llama-tiny":
        spec = str(save_pretrained_base(tmp_path, spec))
    untitled = catalogue_of([""] * 5)
    base = load_base(spec, untitled, attention="sdpa", seed=0)
    model = GeneratorModel(base.llm, base.layout, titles=base.title_words)
    pieces = build_pieces(base.tokenizer, base.layout, BARE["generator"], profiles=None, titles=base.titles)
    sequence, targets = generator_sequence(pieces, 0, np.array([3, 1, 4], np.int32), 64)
    assert sequence.tokens.tolist() == [base.tokenizer.bos_token_id, *base.layout.item_tokens(np.array([3, 1]))]
    rows = vars(pack([sequence], 0))
    loss = model(labels=torch.from_numpy(targets).long(), weights=torch.ones(3), **rows)["loss"]
    loss.backward()
    gradient = base.llm.get_input_embeddings().weight.grad
    assert torch.isfinite(gradient).all()
    assert gradient[base.layout.item_rows][[1, 3]].any(1).all()
    rows_of_items = base.llm.get_input_embeddings().weight[base.layout.item_rows]
    assert rows_of_items.unique(dim=0).shape[0] == 5  # not even two of them start the same
