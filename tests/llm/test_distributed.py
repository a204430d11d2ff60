"""Two processes take the same steps as one: on a CPU, by DDP and by DeepSpeed's ZeRO-2, over gloo."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmi2i_cli.errors import InputError, ModelError, UsageError
from llmi2i_cli.llm.deepspeed_config import SHIPPED, deepspeed_config, own_file
from llmi2i_cli.llm.finetune import _Arguments
from tests.llm.test_finetune import read_log
from tests.llm.trained_by_two import WAYS, trained
from tests.torchrun import torchrun

needs_deepspeed = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed")
BY_DEEPSPEED = [pytest.param(f"zero2{how}", marks=needs_deepspeed) for how in ("", "-accumulated", "-lora")]


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    done = torchrun("tests.llm.trained_by_two", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.mark.parametrize("way", ["ddp", "ddp-accumulated", "ddp-lora", *BY_DEEPSPEED])
def test_two_processes_take_the_steps_of_one(by_two, tmp_path, way):
    trained(tmp_path, {name: value for name, value in WAYS[way].items() if name != "deepspeed"})
    alone, together = read_log(tmp_path), read_log(by_two / way)
    assert [entry["step"] for entry in together] == [entry["step"] for entry in alone] == list(range(1, 16))
    assert [entry["learning_rate"] for entry in together] == [entry["learning_rate"] for entry in alone]
    for figure in ("loss", "gradient_norm"):
        assert [entry[figure] for entry in together] == pytest.approx([entry[figure] for entry in alone], rel=1e-4)
    expected, found = load_file(tmp_path / "weights.safetensors"), load_file(by_two / way / "weights.safetensors")
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-4)
    left = sorted(path.name for path in (by_two / way / "checkpoints/checkpoint-15").iterdir())
    assert ("global_step15" in left, "optimizer.pt" in left) == ("zero2" in way, "ddp" in way)  # it was what it says


@pytest.mark.parametrize("way", ["ddp", "ddp-lora", BY_DEEPSPEED[0], BY_DEEPSPEED[2]])
def test_stopped_and_resumed_they_end_with_the_same_bits(by_two, way):
    whole, resumed = by_two / way, by_two / f"{way}-resumed"
    assert json.loads((resumed / "steps.json").read_text()) == 15 - 5  # from the end of the first epoch
    for name in ("weights.safetensors", "log.jsonl"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()


def test_several_gpus_without_torchrun_are_not_shared_out_by_the_trainer(tmp_path):
    arguments = _Arguments(output_dir=str(tmp_path), use_cpu=True)
    arguments._n_gpu = 4  # what the Trainer has found
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, arguments.per_device_train_batch_size)


def test_the_configuration_that_comes_with_us_has_a_name(tmp_path):
    assert own_file(Path("zero2")) is None
    assert own_file(tmp_path / "mine.json") == tmp_path / "mine.json"
    settings = json.loads(SHIPPED["zero2"].read_text())
    assert settings["zero_optimization"]["stage"] == 2
    assert "offload_optimizer" not in settings["zero_optimization"]


@needs_deepspeed
@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", InputError, "is not a DeepSpeed configuration in JSON"),
        ("[]", InputError, "is not a DeepSpeed configuration in JSON"),
        ('{"zero_optimization": {"stage": 3}}', UsageError, "ZeRO stage 3 cuts the weights up"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path, text, error, message):
    (tmp_path / "ds.json").write_text(text)
    with pytest.raises(error, match=rf"ds.json.*{message}"):
        deepspeed_config(tmp_path / "ds.json")


def test_without_the_package_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="--deepspeed needs the package deepspeed: DS_BUILD_OPS=0 pip install"):
        deepspeed_config(Path("zero2"))
