"""What a word is in the catalogue's texts, for tokenizers and for text similarity alike."""

from __future__ import annotations

import re
import unicodedata

# A run of letters or digits is a word; where a script writes no spaces (CJK, kana, Thai), each character is one.
NO_SPACES = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs and accents belong to the word that they stand in; Python's \w leaves them out, other engines' does not.
MARKS = "\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
WORD = rf"[{NO_SPACES}]|(?:[^\W{NO_SPACES}]|[{MARKS}])+"


def split_words(text: str) -> list[str]:
    """The words of a text in order: Unicode spellings made one (NFKC), lower-cased, without punctuation.

    >>> split_words("Red LAMP 日本")
    ['red', 'lamp', '日', '本']
    """
    return re.findall(WORD, unicodedata.normalize("NFKC", text).lower())
