from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from llmi2i_cli.llm.word_tokenizer import SPECIAL, build_word_tokenizer


def words(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False).input_ids)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Red  LAMP, large-size (oak)", ["red", "lamp", "large", "size", "oak"]),
        ("iPhone 15: 3.5mm", ["iphone", "15", "3", "5mm"]),
        ("日本語テスト abc", ["日", "本", "語", "テ", "ス", "ト", "abc"]),
        ("한국어 책", ["한국어", "책"]),
        ("ΟΔΟΣ", ["οδοσ"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("e\u0301cole ÉCOLE", ["école", "école"]),
        ("İstanbul", ["i̇stanbul"]),
        ("", []),
        ("?! --", []),
    ],
)
def test_every_word_that_was_counted_is_found_again(text, expected):
    assert words(build_word_tokenizer([text, text], 100), text) == expected


def test_the_commonest_words_stay_ties_by_spelling():
    texts = ["b a a a", "b c", "c b", "d a", "only"]
    vocabulary = build_word_tokenizer(texts, max_words=3).get_vocab()
    # b is in three texts, a and c in two, d and only in one: a word counts once a text
    assert sorted(vocabulary, key=vocabulary.__getitem__) == [*SPECIAL, "b", "a", "c"]
    assert set(build_word_tokenizer(texts, max_words=2).get_vocab()) == {*SPECIAL, "b", "a"}
    assert set(build_word_tokenizer(reversed(texts), 2).get_vocab()) == {*SPECIAL, "b", "a"}


def test_unknown_words_are_marked():
    assert words(build_word_tokenizer(["red lamp"] * 2, 10), "red chair") == ["red", "<unk>"]


def test_no_texts_leave_the_special_tokens():
    assert build_word_tokenizer(["", ""], 10).get_vocab() == {token: k for k, token in enumerate(SPECIAL)}


def test_saved_and_loaded_it_is_the_same(tmp_path):
    tokenizer = build_word_tokenizer(["Red lamp 日本", "red LAMP"], 10)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    for text in ("<s>Red LAMP, 日本", "chair", "<yes> red"):
        assert loaded(text).input_ids == tokenizer(text).input_ids
    assert (loaded.pad_token_id, loaded.bos_token_id, loaded.eos_token_id, loaded.unk_token_id) == (0, 1, 2, 3)
