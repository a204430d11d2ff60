from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.generator_training import GeneratorExamples, item_weights, prepare_generator
from llmi2i_cli.llm.prompts import PromptPieces
from tests.llm.tiny import catalogue_of, layout_of, random_histories, titles_of

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
    begun = prepare_generator(options(), PreparedLog(CATALOGUE, [""] * 5, log))[0].pieces
    assert GeneratorExamples(begun, log, weights, 64).users.tolist() == [0, 2, 3, 4]  # <s> stands before the first
    empty = np.zeros(0, np.int64)
    bare = PromptPieces(layout_of(6, N_ITEMS), empty, empty, empty, empty, profiles=None, titles=None)
    examples = GeneratorExamples(bare, log, weights, 64)
    assert examples.users.tolist() == [2, 4]
    sequence, targets, target_weights = examples.sequence(0)
    assert (sequence.tokens.tolist(), targets.tolist(), target_weights.tolist()) == ([7], [2], [1.0])


def test_the_prompt_must_have_room():
    log = PreparedLog(CATALOGUE, [], random_histories(3, N_ITEMS, seed=0))
    with pytest.raises(UsageError, match="--max-length 2 is too short for this prompt and these titles: it must be at"):
        prepare_generator(options(max_length=2), log)
    prepare_generator(options(max_length=3), log)
