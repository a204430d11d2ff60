from __future__ import annotations

import json

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generator_training import GeneratorExamples, item_weights, prepare_generator, write_examples
from llmi2i_cli.llm.prompts import PromptPieces
from tests.llm.tiny import catalogue_of, layout_of, random_histories, save_pretrained_base, titles_of

N_ITEMS = 10
CATALOGUE = catalogue_of(titles_of(N_ITEMS), tail=(1, 4))


def options(base_model="llama-tiny", **changes):
    return GeneratorOptions(base_model=base_model, beta=0.5, seed=1, **changes)


def test_the_train_tail_weighs_alpha():
    assert item_weights(CATALOGUE, 4, 0.5).tolist() == [0.5, 4, 0.5, 0.5, 4, 0.5, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    "softmax, n_items, samples",
    [
        ("auto", 1_000_000, False),
        ("auto", 1_000_001, True),
        ("full", 10_000_000, False),
        ("sampled", 10, True),
    ],
)
def test_a_large_catalogue_is_sampled_unless_said_otherwise(softmax, n_items, samples):
    assert options(softmax=softmax).samples(n_items) is samples


def test_users_with_nothing_to_predict_are_no_examples():
    log = Histories.from_rows([[3], [], [1, 2], [4], [5, 6, 7]], N_ITEMS)
    weights = item_weights(CATALOGUE, 4, 1)
    begun = prepare_generator(options(), CATALOGUE, [""] * 5).pieces
    assert GeneratorExamples(begun, log, weights, 64).users.tolist() == [0, 2, 3, 4]  # <s> stands before the first
    empty = np.zeros(0, np.int64)
    bare = PromptPieces(layout_of(6, N_ITEMS), empty, empty, empty, empty, profiles=None, titles=None)
    examples = GeneratorExamples(bare, log, weights, 64)
    assert examples.users.tolist() == [2, 4]
    sequence, targets, target_weights = examples.sequence(0)
    assert (sequence.tokens.tolist(), targets.tolist(), target_weights.tolist()) == ([7], [2], [1.0])


def test_the_prompt_must_have_room():
    with pytest.raises(UsageError, match="--max-length 2 is too short for this prompt and these titles: it must be at"):
        prepare_generator(options(max_length=2), CATALOGUE, [])
    prepare_generator(options(max_length=3), CATALOGUE, [])


@pytest.mark.parametrize("family", ["llama-tiny", "llama"])
def test_written_examples_are_the_trained_targets(tmp_path, family):
    spec = family if family == "llama-tiny" else str(save_pretrained_base(tmp_path / "base", family))
    log = random_histories(6, N_ITEMS, seed=4, shortest=0, longest=5)
    profiles = ["red lamp"] + [""] * 5
    written = write_examples(options(spec), CATALOGUE, profiles, log, tmp_path / "examples.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = []
    for user in range(6):
        row = log.row(user).tolist()
        for place, target in enumerate(row):
            expected.append((user, row[:place], target))
    assert written == len(lines) == len(expected) == len(log.items)
    for line, (user, before, target) in zip(lines, expected, strict=True):
        assert line.keys() == {"prompt", "completion", "weight"}
        assert line["completion"] == f"<item:i{target}>"
        assert line["weight"] == (4.0 if target in (1, 4) else 0.5)
        places = [line["prompt"].index(f"<item:i{item}>") for item in before if before.count(item) == 1]
        assert places == sorted(places)
        assert line["prompt"].count("<item:") == len(before)
        assert line["prompt"].startswith("<s>")
        assert ("red lamp" in line["prompt"].partition("<item")[0]) == (user == 0)
        if family == "llama":
            assert "continue with the next item" in line["prompt"]
            if before:
                assert line["prompt"].endswith(f"<item:i{before[-1]}> {CATALOGUE.titles[before[-1]]}")
