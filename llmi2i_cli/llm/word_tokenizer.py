"""The tokenizer of the presets: the words of the catalogue's own titles, as a plain Hugging Face fast tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmi2i_cli.artifacts.words import WORD

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BEGIN, END, UNKNOWN, YES, NO = "<pad>", "<s>", "</s>", "<unk>", "<yes>", "<no>"
SPECIAL = (PAD, BEGIN, END, UNKNOWN, YES, NO)


def build_word_tokenizer(texts: Iterable[str], max_words: int, min_count: int = 2) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of the commonest `max_words` words (in at least `min_count` texts; ties by spelling).

    Words are counted as the tokenizer itself will see them: Unicode spellings made one (NFKC), lower-cased, split.
    """
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import NFKC, Lowercase, Sequence
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    normalizer = Sequence([NFKC(), Lowercase()])
    splitter = Split(Regex(WORD), behavior="removed", invert=True)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))})
    common = sorted((word for word, n in counts.items() if n >= min_count), key=lambda word: (-counts[word], word))
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *common[:max_words]])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[YES, NO],
    )
