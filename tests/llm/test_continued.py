from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import Catalogue, PreparedLog
from llmi2i_cli.errors import ArtifactError, UsageError
from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.continued import base_from_earlier
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generate import Generator, rank_block
from llmi2i_cli.llm.item_model import GeneratorModel, ItemModel, tables_of
from llmi2i_cli.llm.presets import PRETRAINED, continued_defaults
from llmi2i_cli.llm.saved_models import save_checkpoint
from llmi2i_cli.llm.trainee import prepare_trainee
from tests.llm.tiny import catalogue_of, save_pretrained_base, titles_of

YESTERDAY = catalogue_of(titles_of(8))
# i2 and i6 are gone; n0 has words that are known, n1 has none, and the order is another.
TODAY_IDS = ["i7", "n0", "i0", "i1", "i3", "n1", "i5", "i4"]
TITLE = dict(zip(YESTERDAY.ids, YESTERDAY.titles, strict=True)) | {"n0": "red lamp", "n1": ""}


def today() -> Catalogue:
    titles = [TITLE[item] for item in TODAY_IDS]
    return replace(catalogue_of(titles), ids=pl.Series("item_id", TODAY_IDS))


def log_of(catalogue, held_out=("test", "valid"), by=None):
    return PreparedLog(catalogue, [""], Histories.from_rows([[0, 1]], catalogue.n_items), held_out, by or {})


def checkpoint(folder, spec, role="generator", *, n_evidence=0, held_out=("test", "valid"), by=None, template=None):
    """What a training on yesterday's catalogue would have saved, with rows that no title explains."""
    base = load_base(spec, YESTERDAY, attention="sdpa", seed=0, n_evidence=n_evidence)
    options = GeneratorOptions(template=template, max_length=60)
    trainee = prepare_trainee(role, base, options, log_of(YESTERDAY, held_out, by))
    with torch.no_grad():
        for table in tables_of(base.llm):
            table.add_(torch.randn(table.shape, generator=torch.Generator().manual_seed(3)))
    words = base.title_words if role == "generator" else None
    model = ItemModel(base.llm, base.layout, titles=words)
    save_checkpoint(model, base.tokenizer, trainee.card, YESTERDAY.ids, folder)
    return replace(base, title_words=None)  # saving has added them up


def rows_of(base, item_ids, table):
    """Each item's row as the model uses it."""
    model = GeneratorModel(base.llm, base.layout, titles=base.title_words)
    used = model.input_table() if table == 0 else model.output_rows(model.input_table())
    rows = used[base.layout.item_rows] if table == 0 else used
    return dict(zip(item_ids, rows.detach(), strict=True))


@pytest.mark.parametrize("spec", ["llama-tiny", "llama", "gpt2"])
def test_items_keep_their_rows_by_id_and_new_ones_start_from_their_text(tmp_path, spec):
    source = spec if spec == "llama-tiny" else str(save_pretrained_base(tmp_path / "base", spec))
    earlier = checkpoint(tmp_path / "model", source)
    base = base_from_earlier(tmp_path / "model", "generator", log_of(today()), attention="sdpa", seed=1)
    assert (base.spec, base.from_scratch) == (source, spec == "llama-tiny")
    assert (base.layout.base_vocab, base.layout.n_items) == (earlier.layout.base_vocab, 8)
    assert base.llm.get_input_embeddings().num_embeddings == base.layout.size
    for table in (0, 1):
        before, after = (rows_of(each, ids, table) for each, ids in ((earlier, YESTERDAY.ids), (base, TODAY_IDS)))
        for item in set(TODAY_IDS) & set(YESTERDAY.ids):
            torch.testing.assert_close(after[item], before[item], rtol=0, atol=1e-5)
        words = tables_of(base.llm)[-1 if table else 0][: base.layout.base_vocab].detach()
        tokens = base.tokenizer("red lamp", add_special_tokens=False).input_ids
        for item, mean in (("n0", words[tokens].mean(0)), ("n1", words.mean(0))):
            spread = ((after[item] - mean) / words.std(0)).abs()
            assert spread.max() < (1 if spec == "llama-tiny" else 0.5)  # its words weigh by how rare they are
    unchanged = [(a, b) for a, b in zip(earlier.llm.state_dict().items(), base.llm.state_dict().items(), strict=True)]
    assert all(
        torch.equal(a[1], b[1])
        for a, b in unchanged
        if "embed" not in a[0] and "wte" not in a[0] and "head" not in a[0]
    )


def test_a_preset_goes_on_learning_words(tmp_path):
    """What a title's words have learnt is a part of the item's vector again, so that a new item profits from it."""
    checkpoint(tmp_path / "model", "llama-tiny")
    base = base_from_earlier(tmp_path / "model", "generator", log_of(today()), attention="sdpa", seed=1)
    before = rows_of(base, TODAY_IDS, 0)
    [red] = base.tokenizer("red", add_special_tokens=False).input_ids
    with torch.no_grad():
        tables_of(base.llm)[0][red] += 1.0
    after = rows_of(base, TODAY_IDS, 0)
    for item in TODAY_IDS:
        moved = bool((after[item] - before[item]).abs().max() > 1e-3)
        assert moved == ("red" in TITLE[item].split())


def test_the_same_catalogue_gives_the_same_ranking(tmp_path):
    checkpoint(tmp_path / "model", "llama-tiny")
    log = log_of(YESTERDAY)
    ranked = []
    for base in (
        base_from_earlier(tmp_path / "model", "generator", log, attention="sdpa", seed=1),
        base_from_earlier(tmp_path / "model", "generator", log, attention="sdpa", seed=2),
    ):
        trainee = prepare_trainee("generator", base, GeneratorOptions(), log)
        model = GeneratorModel(base.llm, base.layout, titles=base.title_words).eval()
        asked = Generator(model, trainee.pieces, trainee.pad_token, trainee.max_length)
        ranked.append(rank_block(asked, [0], log.histories, None, history=10, top_n=8)[0].tolist())
    assert ranked[0] == ranked[1]


def test_a_discriminator_keeps_what_its_evidence_means(tmp_path):
    earlier = checkpoint(tmp_path / "model", "llama-tiny", "discriminator", n_evidence=3)
    base = base_from_earlier(tmp_path / "model", "discriminator", log_of(today()), attention="sdpa", seed=1)
    assert base.layout.n_evidence == 3
    evidence = [
        each.llm.get_input_embeddings().weight[each.layout.size - 3 : each.layout.size] for each in (earlier, base)
    ]
    assert torch.equal(*evidence)
    assert base.title_words is None


def test_prompt_and_schedule_are_those_of_the_earlier_training(tmp_path):
    (tmp_path / "template.txt").write_text("He bought{history}")
    spec = str(save_pretrained_base(tmp_path / "base"))
    checkpoint(tmp_path / "model", spec, template=tmp_path / "template.txt")
    base = base_from_earlier(tmp_path / "model", "generator", log_of(today()), attention="sdpa", seed=1)
    trainee = prepare_trainee("generator", base, GeneratorOptions(), log_of(today()))
    assert (trainee.template, trainee.max_length) == ("He bought{history}", 60)
    assert trainee.defaults == replace(continued_defaults(PRETRAINED), max_length=60)
    assert trainee.defaults.epochs < PRETRAINED.epochs
    (tmp_path / "other.txt").write_text("She bought{history}")
    other = prepare_trainee("generator", base, GeneratorOptions(template=tmp_path / "other.txt"), log_of(today()))
    assert other.template == "She bought{history}"


def test_what_has_seen_the_held_out_interactions_is_refused(tmp_path):
    for number, (known, now, refused) in enumerate(
        [
            ((), ("test", "valid"), "test, valid"),
            (("test",), ("test", "valid"), "valid"),
            (("test", "valid"), (), None),
            (("test", "valid"), ("test",), None),
        ]
    ):
        folder = tmp_path / str(number)
        checkpoint(folder, "llama-tiny", held_out=known)
        log = log_of(today(), now)
        if refused is None:
            assert base_from_earlier(folder, "generator", log, attention="sdpa", seed=1).continues
            continue
        with pytest.raises(UsageError, match=rf"trained on interactions that prepare/ now holds out \({refused}\)"):
            base_from_earlier(folder, "generator", log, attention="sdpa", seed=1)


def test_what_may_have_seen_them_is_refused(tmp_path):
    checkpoint(tmp_path, "llama-tiny", by={"split": "leave-last-two"})
    for held_out, split in ((("test", "valid"), "leave-last-two"), ((), "last-day")):
        log = log_of(today(), held_out, {"split": split})
        assert base_from_earlier(tmp_path, "generator", log, attention="sdpa", seed=1).continues
    log = log_of(today(), by={"split": "last-day"})
    with pytest.raises(UsageError, match=r"may now hold out \(--split: leave-last-two then, last-day now\): prepare"):
        base_from_earlier(tmp_path, "generator", log, attention="sdpa", seed=1)


def test_what_is_no_such_checkpoint_is_named(tmp_path):
    checkpoint(tmp_path / "model", "llama-tiny")
    with pytest.raises(ArtifactError, match="is a generator, not a discriminator: give --from"):
        base_from_earlier(tmp_path / "model", "discriminator", log_of(today()), attention="sdpa", seed=1)
    with pytest.raises(ArtifactError, match=r"item_tokens.parquet is not a readable Parquet file.*give --from"):
        base_from_earlier(tmp_path, "generator", log_of(today()), attention="sdpa", seed=1)
    tokens = pl.read_parquet(tmp_path / "model/item_tokens.parquet")
    tokens.head(3).write_parquet(tmp_path / "model/item_tokens.parquet")
    with pytest.raises(ArtifactError, match="another catalogue"):
        base_from_earlier(tmp_path / "model", "generator", log_of(today()), attention="sdpa", seed=1)


def test_matching_is_a_join(tmp_path):
    from llmi2i_cli.llm.continued import _matched

    rows, places = _matched(pl.Series(TODAY_IDS), YESTERDAY.ids)
    assert rows.tolist() == [0, 2, 3, 4, 6, 7]
    np.testing.assert_array_equal(places, [7, 0, 1, 3, 5, 4])
