from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.finetuning_options import DiscriminatorOptions, GeneratorOptions


@pytest.mark.parametrize("kind", [GeneratorOptions, DiscriminatorOptions])
def test_every_option_but_the_checkpoints_decides_the_result(kind):
    assert {*kind().decisive(), "checkpoint_steps"} == {field.name for field in fields(kind)}


@pytest.mark.parametrize(
    "options",
    [
        GeneratorOptions(),
        GeneratorOptions(deepspeed=Path("zero2"), template=Path("mine.txt"), epochs=2, softmax="sampled"),
    ],
)
def test_a_manifest_gives_the_options_back(options):
    assert GeneratorOptions.from_manifest(json.loads(json.dumps(options.decisive(), default=str))) == options


def test_the_users_own_files_are_inputs_and_names_are_none(tmp_path):
    assert GeneratorOptions(deepspeed=Path("zero2")).own_files() == []
    assert DiscriminatorOptions().own_files() == []
    template, config = tmp_path / "mine.txt", tmp_path / "mine.json"
    options = DiscriminatorOptions(base_model=str(tmp_path), deepspeed=config, template=template)
    assert options.own_files() == [template, config, tmp_path]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (GeneratorOptions(alpha=-1), "--alpha is a weight and cannot be negative: -1"),
        (GeneratorOptions(beta=-0.5), "--beta is a weight and cannot be negative: -0.5"),
        (GeneratorOptions(alpha=0, beta=0), "--alpha and --beta are both 0: nothing would be learnt"),
        (GeneratorOptions(softmax="some"), "--softmax is auto, full or sampled, not some"),  # type: ignore[arg-type]
        (GeneratorOptions(epochs=0), "--epochs must be above 0, not 0"),
        (GeneratorOptions(sampled_items=0), "--sampled-items must be above 0, not 0"),
        (
            DiscriminatorOptions(negatives="none"),  # type: ignore[arg-type]
            "--negatives is uniform, popularity or generator, not none",
        ),
        (DiscriminatorOptions(negatives_per_positive=0), "--negatives-per-positive must be at least 1, not 0"),
        (DiscriminatorOptions(learning_rate=float("nan")), "--learning-rate must be above 0, not nan"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError) as refused:
        options.check()
    assert str(refused.value) == message


def test_the_defaults_can_be():
    GeneratorOptions().check()
    GeneratorOptions(attention="flash_attention_2").check()
    DiscriminatorOptions().check()
