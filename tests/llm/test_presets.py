from __future__ import annotations

from dataclasses import replace

import pytest

from llmi2i_cli.llm.presets import PRESETS, PRETRAINED, continued_defaults, discriminator_defaults


@pytest.mark.parametrize(
    ("users", "size"),
    [
        (0, 16),
        (1, 16),
        (640, 16),
        (1_247, 16),
        (1_249, 32),
        (2_496, 32),
        (3_000, 64),
        (9_984, 128),
        (9_985, 256),
        (10**8, 256),
    ],
)
def test_a_small_log_is_trained_in_smaller_steps(users, size):
    defaults = PRESETS["llama-tiny"].training
    assert defaults.batch_size_for(users) == size
    assert size == 16 or -(-users // size) >= 40


def test_a_pretrained_base_keeps_the_papers_batch():
    assert PRETRAINED.batch_size_for(3) == PRETRAINED.batch_size_for(10**6) == 16


def test_the_discriminator_of_a_preset_has_defaults_of_its_own_and_a_pretrained_base_none():
    tiny = PRESETS["llama-tiny"].training
    assert discriminator_defaults(PRETRAINED, from_scratch=False) == PRETRAINED
    ours = discriminator_defaults(tiny, from_scratch=True)
    assert (ours.epochs, ours.batch_size, ours.max_length) == (2, 64, tiny.max_length)


def test_what_was_trained_goes_on_with_one_pass_at_half_the_rate():
    for first in (PRETRAINED, PRESETS["llama-tiny"].training):
        assert continued_defaults(first) == replace(first, epochs=1, learning_rate=first.learning_rate / 2)
