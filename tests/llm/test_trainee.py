from __future__ import annotations

import pytest

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions, GeneratorOptions
from llmi2i_cli.llm.generate import pieces_of_card
from llmi2i_cli.llm.prompts import BARE, discriminator_sequence, query_sequence
from llmi2i_cli.llm.trainee import prepare_trainee
from tests.llm.tiny import catalogue_of, random_histories, save_pretrained_base, titles_of

N_ITEMS = 12
LOG = PreparedLog(catalogue_of(titles_of(N_ITEMS)), ["", ""], random_histories(2, N_ITEMS, seed=0, shortest=3))


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    return str(save_pretrained_base(tmp_path_factory.mktemp("chat"), chat=True))


def trainee_of(spec, role="generator", **options):
    base = load_base(spec, LOG.catalogue, attention="sdpa", seed=0)
    kind = GeneratorOptions if role == "generator" else DiscriminatorOptions
    return prepare_trainee(role, base, kind(**options), LOG)


def text_of(trainee, tokens):
    """A prompt as text, item k as <k>."""
    first, words = trainee.base.layout.base_vocab, trainee.base.tokenizer
    return "".join(f"<{token - first}>" if token >= first else words.decode([token]) for token in tokens)


def asked(trainee):
    return text_of(trainee, query_sequence(trainee.pieces, 0, LOG.histories.row(0)[:2], trainee.max_length).tokens)


def test_the_prompt_has_titles_item_tokens_alone_or_no_text_at_all(chat_model):
    first, second = LOG.histories.row(0)[:2]
    titles = [LOG.catalogue.titles[int(item)] for item in (first, second)]
    said = "[user]You recommend items. The user's interactions follow, oldest first; continue with the next item."
    whole = f"{said}[assistant]\n\n<{first}>{titles[0]}<{second}>{titles[1]}"
    assert asked(trainee_of(chat_model)).replace("\n", "") == whole.replace("\n", "")
    items = asked(trainee_of(chat_model, prompt="items"))
    assert items.replace("\n", "") == f"{said}[assistant]<{first}><{second}>"
    assert asked(trainee_of(chat_model, prompt="bare")) == f"<s><{first}><{second}>"


def test_a_chat_template_is_left_out_on_request(chat_model):
    found = asked(trainee_of(chat_model, prompt="items", chat_template="none"))
    assert found.startswith("<s>You recommend items.")
    assert "[user]" not in found


@pytest.mark.parametrize("options", [{}, {"prompt": "items"}, {"prompt": "bare"}, {"chat_template": "none"}])
def test_what_is_asked_later_is_what_was_trained(chat_model, options, tmp_path):
    trainee = trainee_of(chat_model, **options)
    trainee.base.tokenizer.save_pretrained(tmp_path)
    from transformers import AutoTokenizer

    later = pieces_of_card(trainee.card, AutoTokenizer.from_pretrained(tmp_path), LOG.catalogue, LOG.profiles)
    items = LOG.histories.row(0)
    sequences = [query_sequence(pieces, 0, items, 200).tokens.tolist() for pieces in (trainee.pieces, later)]
    assert sequences[0] == sequences[1]


def test_the_answer_is_read_where_the_assistant_begins_or_at_a_bare_candidate(chat_model):
    for options, end in (({}, "[assistant]"), ({"chat_template": "none"}, "Answer:"), ({"prompt": "bare"}, "<5>")):
        trainee = trainee_of(chat_model, "discriminator", **options)
        evidence = LOG.histories.row(0)[:0].reshape(1, 0)
        candidates = LOG.histories.row(0)[:1] * 0 + 5
        sequence = discriminator_sequence(trainee.pieces, 0, LOG.histories.row(0), candidates, evidence, 200)
        assert text_of(trainee, sequence.tokens[: sequence.outputs[0] + 1]).endswith(end)


def test_a_preset_has_the_bare_prompt_and_no_other():
    assert trainee_of("llama-tiny", prompt="bare").template == trainee_of("llama-tiny").template == BARE["generator"]
    with pytest.raises(UsageError, match="llama-tiny knows no language, so its prompt is the bare history"):
        trainee_of("llama-tiny", prompt="titles")


def test_no_text_and_a_text_are_one_too_many(tmp_path):
    with pytest.raises(UsageError, match="--prompt bare has no text, and --template gives one"):
        GeneratorOptions(prompt="bare", template=tmp_path / "t.txt").check()
