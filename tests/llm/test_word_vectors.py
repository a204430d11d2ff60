from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generator_training import prepare_generator
from llmi2i_cli.llm.word_vectors import start_from_vectors
from tests.llm.tiny import WORDS, catalogue_of, random_histories, save_pretrained_base, titles_of

CATALOGUE = catalogue_of(titles_of(12))


def base_of(spec="llama-tiny"):
    return load_base(str(spec), CATALOGUE, attention="sdpa", seed=0)


def rows_of(base, words):
    vocabulary = base.tokenizer.get_vocab()
    return base.llm.get_input_embeddings().weight.detach()[[vocabulary[word] for word in words]].numpy()


def write(path, vectors, header=""):
    lines = [" ".join([word, *(f"{value:.6f}" for value in vector)]) + "\n" for word, vector in vectors.items()]
    path.write_text(header + "".join(lines), encoding="utf-8")
    return path


def random_vectors(words, width, seed=0):
    return dict(zip(words, np.random.default_rng(seed).normal(3, 1, (len(words), width)), strict=True))


@pytest.mark.parametrize("width", [4, 200])  # narrower and wider than the model
def test_words_keep_their_angles(tmp_path, width):
    vectors = random_vectors(WORDS, width)
    base, before = base_of(), base_of()
    path = write(tmp_path / "v.txt", {"elsewhere": np.ones(width), **vectors}, header=f"11 {width}\n")
    assert start_from_vectors(base, path) == len(WORDS)
    given = np.stack([vectors[word] for word in WORDS])
    given = given - given.mean(0)
    used = min(width, 128, len(WORDS))
    found = rows_of(base, WORDS)
    scale = np.linalg.norm(given) / np.linalg.norm(found[:, :used])
    np.testing.assert_allclose((found[:, :used] @ found[:, :used].T) * scale**2, given @ given.T, atol=1e-3)
    assert np.array_equal(found[:, used:], rows_of(before, WORDS)[:, used:])
    assert found[:, :used].std() == pytest.approx(rows_of(before, WORDS).std(), rel=1e-4)
    others = sorted(set(base.tokenizer.get_vocab()) - set(WORDS))
    assert np.array_equal(rows_of(base, others), rows_of(before, others))


def test_the_generator_starts_from_them_and_the_file_is_an_input(tmp_path):
    path = write(tmp_path / "v.txt", random_vectors(WORDS, 4))
    options = GeneratorOptions(attention="sdpa", word_vectors=path)
    log = PreparedLog(CATALOGUE, [""] * 3, random_histories(3, 12, seed=0, shortest=2))
    trainee, _ = prepare_generator(options, log)
    assert not np.array_equal(rows_of(trainee.base, WORDS), rows_of(base_of(), WORDS))
    assert options.own_files() == [path]
    assert GeneratorOptions.from_manifest({"word_vectors": str(path)}).word_vectors == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("red 1 2\nblue 1\n", "line 2: not a word and 2 numbers"),
        ("red 1 2\nblue 1 x\n", "line 2: not a word and 2 numbers"),
        ("red 1 nan\n", "line 1: not a word and 2 numbers"),
        ("rouge 1 2\nbleu 3 4\nred 1 2\n", "has vectors of 1 of the"),
        (None, "cannot be read as word vectors"),
    ],
)
def test_what_is_no_file_of_vectors(tmp_path, text, message):
    if text is not None:
        (tmp_path / "v.txt").write_text(text)
    with pytest.raises(InputError, match=rf"v\.txt.*{message}"):
        start_from_vectors(base_of(), tmp_path / "v.txt")


def test_a_base_with_words_of_its_own_keeps_them(tmp_path):
    with pytest.raises(UsageError, match="--word-vectors starts the words of a preset"):
        start_from_vectors(base_of(save_pretrained_base(tmp_path)), tmp_path / "v.txt")
