from __future__ import annotations

import pytest

from llmi2i_cli.artifacts.words import split_words


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Red  LAMP, large-size (oak)", ["red", "lamp", "large", "size", "oak"]),
        ("日本語テスト abc", ["日", "本", "語", "テ", "ス", "ト", "abc"]),
        ("한국어 책", ["한국어", "책"]),
        ("ＡＢＣ e\u0301cole", ["abc", "école"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("?! --", []),
    ],
)
def test_words(text, expected):
    assert split_words(text) == expected
