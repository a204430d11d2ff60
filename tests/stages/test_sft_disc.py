from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch

from llmi2i_cli.artifacts.features import CandidateRows
from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories, read_profiles
from llmi2i_cli.i2i.evidence import Evidence
from llmi2i_cli.llm import discriminator_training, generator_training, inference, positions
from llmi2i_cli.llm.judge import judge_positions, load_discriminator
from llmi2i_cli.llm.positions import HISTORY, LIST_LENGTH, hold_back_last
from llmi2i_cli.runs.progress import ProgressBar
from tests.conftest import TINY_STAGES, as_own, run
from tests.llm.tiny import save_pretrained_base

GIVEN = next(options for stage, *options in TINY_STAGES if stage == "sft-disc")


@pytest.fixture
def workdir(pipeline, tmp_path):
    """Everything before this stage."""
    for folder in ("prepare", "sft-gen"):
        shutil.copytree(pipeline / folder, tmp_path / "work" / folder)
    return tmp_path / "work"


def contents(workdir, folder="sft-disc"):
    """Every artifact's bytes; manifests hold seconds."""
    root = workdir / folder
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    del found["manifest.json"]
    return found


def manifest(workdir):
    return json.loads((workdir / "sft-disc/manifest.json").read_text())


def rows(histories):
    return [histories.row(user).tolist() for user in range(histories.n_users)]


def test_it_leaves_a_checkpoint_a_log_and_its_facts(pipeline):
    assert sorted(contents(pipeline)) == [
        "held-back/log.jsonl",
        "held-back/model/config.json",
        "held-back/model/generation_config.json",
        "held-back/model/item_tokens.parquet",
        "held-back/model/llmi2i.json",
        "held-back/model/model.safetensors",
        "held-back/model/tokenizer.json",
        "held-back/model/tokenizer_config.json",
        "log.jsonl",
        "model/calibration.json",
        "model/config.json",
        "model/feature_buckets.json",
        "model/generation_config.json",
        "model/item_tokens.parquet",
        "model/llmi2i.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
    ]
    facts = manifest(pipeline)
    assert facts["steps_this_run"] == -(-facts["positions"] // 16)
    assert facts["positions"] <= facts["positives"] < facts["pairs"]
    figures = facts["calibration"]
    stored = json.loads((pipeline / "sft-disc/model/calibration.json").read_text())
    assert stored == {"slope": figures["slope"], "intercept": figures["intercept"]}
    assert figures["slope"] > 0
    log = [json.loads(line) for line in (pipeline / "sft-disc/log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "loss" in entry][-1] == facts["steps_this_run"]
    (last,) = [entry for entry in log if "valid_auc" in entry]
    assert 0 < last["valid_auc"] < 1
    assert 0 < last["valid_auc_of_likelihood"] < 1
    assert figures["fitted_users"] + figures["measured_users"] == last["valid_users"]
    card = json.loads((pipeline / "sft-disc/model/llmi2i.json").read_text())
    assert (card["role"], card["n_evidence"]) == ("discriminator", 5 * 16)


class Captured(Exception):
    pass


def capture(monkeypatch):
    """What the discriminator would be trained on, and what the held-back generator was."""
    seen: dict = {"generators": []}
    train = generator_training.train_generator

    def train_generator(options, log, place, **more):
        seen["generators"].append((options, log.histories, more.get("evaluate")))
        return train(options, log, place, **more)

    def train_discriminator(options, base, data, place):
        seen.update(base=base, positions=data.positions)
        raise Captured

    monkeypatch.setattr(generator_training, "train_generator", train_generator)
    monkeypatch.setattr(discriminator_training, "train_discriminator", train_discriminator)
    return seen


def test_it_learns_one_step_back_in_time(workdir, monkeypatch):
    seen = capture(monkeypatch)
    assert run("sft-disc", *GIVEN, "-w", workdir) == 1
    log = read_histories(workdir)
    past, users, items = hold_back_last(log)
    ((options, trained_on, evaluate),) = seen["generators"]
    assert rows(trained_on) == rows(past)
    assert evaluate is None
    assert (options.epochs, options.batch_size, options.seed) == (2, 16, 42)  # as the generator itself was trained

    found = seen["positions"]
    last = dict(zip(users.tolist(), items.tolist(), strict=True))
    asked = np.flatnonzero(np.isfinite(found.features["rank"]))  # the generator's rank is known
    n_proposed = int(np.searchsorted(found.candidate_ptr, asked[-1], side="right"))
    assert asked.tolist() == list(range(found.candidate_ptr[n_proposed]))
    assert set(found.users[:n_proposed]) < set(users)  # those whose held-back item it proposed
    assert found.users[n_proposed:].tolist() == users.tolist()  # and everyone's against random items
    for p, user in enumerate(found.users.tolist()):
        at = found.rows(p)
        assert found.contexts.row(p).tolist() == past.row(user).tolist()
        assert found.candidates[at][found.labels[at]].tolist() == [last[user]]
        assert not set(found.candidates[at][~found.labels[at]].tolist()) & set(log.row(user).tolist())
    evidence = Evidence(past, read_catalogue(workdir).texts)
    position = np.repeat(np.arange(len(found.users)), np.diff(found.candidate_ptr))
    expected = evidence.features(CandidateRows(found.contexts, position, found.users[position], found.candidates))
    for name in ("bm25", "text", "popularity"):
        np.testing.assert_allclose(found.features[name], expected[name], atol=1e-5)
    assert (np.exp(found.features["rank"][asked]).round() <= LIST_LENGTH).all()
    assert seen["base"].llm.get_input_embeddings().num_embeddings == seen["base"].layout.size


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_random_negatives_need_no_second_generator(workdir, monkeypatch, negatives):
    seen = capture(monkeypatch)
    assert run("sft-disc", "--negatives", negatives, "--negatives-per-positive", 4, "-w", workdir) == 1
    assert seen["generators"] == []
    found, log = seen["positions"], read_histories(workdir)
    assert found.labels.sum() == len(found.users)
    assert max(len(found.contexts.row(p)) for p in range(len(found.users))) == HISTORY
    assert np.isnan(found.features["logprob"]).all() and np.isnan(found.features["rank"]).all()
    for p, user in enumerate(found.users[:50].tolist()):
        observed = found.candidates[found.rows(p)][0]
        assert observed in log.row(user)[-4:]


def test_interrupted_twice_and_resumed_it_leaves_the_same_bytes(workdir, pipeline, monkeypatch):
    for title, step in (("Training the held-back generator", 7), ("Training the discriminator", 3)):
        with monkeypatch.context() as patch:
            update = ProgressBar.update

            def stopping(self, done, *more, title=title, step=step, update=update, **text):
                if self.title == title and done == step:
                    raise KeyboardInterrupt
                update(self, done, *more, **text)

            patch.setattr(ProgressBar, "update", stopping)
            assert run("sft-disc", *GIVEN, "--checkpoint-steps", 2, "-w", workdir) == 130
        assert not (workdir / "sft-disc/manifest.json").exists()
    monkeypatch.setattr(generator_training, "train_generator", None)  # that one is done
    assert run("sft-disc", *GIVEN, "--checkpoint-steps", 2, "-w", workdir) == 0
    assert manifest(workdir)["steps_this_run"] == manifest(pipeline)["steps_this_run"] - 2
    found, expected = contents(workdir), contents(pipeline)
    found.pop("log.jsonl"), expected.pop("log.jsonl")  # a checkpoint is a line of the log, and these have more
    assert found == expected


def test_the_calibration_is_of_the_log_odds_that_filter_will_see(workdir, monkeypatch):
    """As on a GPU, where a model is trained in one precision and asked in another."""
    monkeypatch.setattr(inference, "device_and_dtype", lambda: (torch.device("cpu"), torch.bfloat16))
    seen: dict = {}
    calibrate, calibrate_checkpoint = discriminator_training.calibrate, discriminator_training.calibrate_checkpoint

    def calibrate_seen(odds, *rest):
        seen["odds"] = odds
        return calibrate(odds, *rest)

    def calibrate_checkpoint_seen(discriminator, validation, buckets, place):
        seen.update(validation=validation, buckets=buckets)
        return calibrate_checkpoint(discriminator, validation, buckets, place)

    monkeypatch.setattr(discriminator_training, "calibrate", calibrate_seen)
    monkeypatch.setattr(discriminator_training, "calibrate_checkpoint", calibrate_checkpoint_seen)
    assert run("sft-disc", *GIVEN, "-w", workdir) == 0
    catalogue, profiles = read_catalogue(workdir), read_profiles(workdir)

    def odds_of_filter():
        discriminator = load_discriminator(workdir / "sft-disc/model", catalogue, profiles)
        return judge_positions(discriminator, seen["validation"], seen["buckets"])

    np.testing.assert_array_equal(seen["odds"], odds_of_filter())
    monkeypatch.undo()
    assert (seen["odds"] != odds_of_filter()).mean() > 0.5  # float32 says otherwise


def test_a_calibration_that_is_given_is_taken_as_it_is(workdir, pipeline):
    assert run("sft-disc", *GIVEN, "--calibration", 0.5, -1.25, "-w", workdir) == 0
    stored = json.loads((workdir / "sft-disc/model/calibration.json").read_text())
    assert stored == manifest(workdir)["calibration"] == {"slope": 0.5, "intercept": -1.25}
    found, expected = contents(workdir), contents(pipeline)
    del found["model/calibration.json"], expected["model/calibration.json"]
    assert found == expected


def test_held_out_interactions_have_no_say_in_the_weights(workdir, pipeline, capsys):
    path = workdir / "prepare/interactions.parquet"
    as_own(workdir, "prepare/interactions.parquet")
    table = pl.read_parquet(path)
    other = pl.when(split="train").then("item_id").otherwise(pl.lit(table["item_id"][0]))
    table.with_columns(other.alias("item_id")).write_parquet(path)
    assert run("sft-disc", *GIVEN, "-w", workdir) == 0
    found, expected = contents(workdir), contents(pipeline)
    assert found.pop("log.jsonl") != expected.pop("log.jsonl")
    found.pop("model/calibration.json", None), expected.pop("model/calibration.json")  # these hear validation users
    for card in ("model/llmi2i.json", "held-back/model/llmi2i.json"):  # of the user's own log no options are known
        assert json.loads(found.pop(card)) == {**json.loads(expected.pop(card)), "held_out_by": {}}
    assert found == expected
    capsys.readouterr()
    assert run("sft-disc", *GIVEN, "-w", workdir) == 0
    assert "sft-disc is up to date" in capsys.readouterr().err


def test_a_pretrained_base_reads_titles_and_instruction(workdir, tmp_path, capfd):
    base = save_pretrained_base(tmp_path / "base", "qwen2", chat=True)
    given = ("--base-model", base, "--negatives", "uniform", "--negatives-per-positive", 1)
    assert run("sft-disc", *given, "--epochs", 0.2, "--batch-size", 64, "-w", workdir) == 0
    assert capfd.readouterr().err == ""
    card = json.loads((workdir / "sft-disc/model/llmi2i.json").read_text())
    assert (card["titles_in_prompt"], card["from_scratch"], card["max_length"]) == (True, False, 512)
    assert "Answer Yes or No" in card["template"]


def test_a_generator_that_found_nothing(workdir, monkeypatch, capsys):
    original = positions.positions_of_generator

    def found_nothing(generator, past, users, observed, *rest, **more):
        return original(generator, past, users, observed.take(np.zeros(0, np.int64)), *rest, **more)

    monkeypatch.setattr(positions, "positions_of_generator", found_nothing)
    assert run("sft-disc", *GIVEN, "-w", workdir) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: no example to learn from: no held-back interaction is among the generator's cand")
    assert "use --negatives uniform" in error
    assert error.count("\n") == 1


def test_users_of_one_interaction_each_teach_nothing(workdir, capsys):
    as_own(workdir, "prepare/interactions.parquet")
    path = workdir / "prepare/interactions.parquet"
    log = pl.read_parquet(path).filter(split="train").unique("user_id", keep="first", maintain_order=True)
    log.write_parquet(path)
    assert run("sft-disc", "--negatives", "uniform", "-w", workdir) == 1
    told = (
        "no example to learn from: no user of prepare/ has an interaction after the first: run `llmi2i prepare` on more"
    )
    assert capsys.readouterr().err == f"Error: {told}\n"


def test_mistakes_get_one_line(workdir, capsys):
    assert run("sft-disc", "--negatives", "none", "-w", workdir) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run("sft-disc", "--calibration", 0, 1, "-w", workdir) == 2
    assert "--calibration begins with a slope above 0, not 0" in capsys.readouterr().err
    template = workdir / "template.txt"
    template.write_text("Of a shopper{profile} who has bought {history} we ask about {candidate} again")
    short = ("--template", template, "--max-length", 5)
    assert run("sft-disc", "--negatives", "uniform", *short, "-w", workdir) == 2
    assert "--max-length 5 is too short for this prompt and these titles" in capsys.readouterr().err
    shutil.rmtree(workdir / "sft-gen")
    assert run("sft-disc", "-w", workdir) == 1
    assert f"run `llmi2i sft-gen -w {workdir}` first" in capsys.readouterr().err
    assert not (workdir / "sft-disc/model").exists()


# --- going on from an earlier training --------------------------------------------------------------------------------


def test_it_goes_on_from_the_earlier_discriminator_and_from_the_earlier_held_back_generator(
    workdir, pipeline, monkeypatch
):
    assert run("sft-gen", "--from", pipeline, "--batch-size", 16, "--epochs", 1, "-w", workdir) == 0
    with monkeypatch.context() as patch:
        seen = capture(patch)
        assert run("sft-disc", *GIVEN, "--from", pipeline, "-w", workdir) == 1
    ((options, trained_on, _),) = seen["generators"]
    assert options.earlier == pipeline / "sft-disc/held-back/model"  # not sft-gen/model, which knows what is held back
    assert rows(trained_on) == rows(hold_back_last(read_histories(workdir))[0])
    card = seen["base"].continues
    assert (card.role, card.n_evidence, seen["base"].title_words) == ("discriminator", 5 * 16, None)
    assert run("sft-disc", *GIVEN, "--from", pipeline, "-w", workdir) == 0
    buckets = "sft-disc/model/feature_buckets.json"
    assert (workdir / buckets).read_bytes() == (pipeline / buckets).read_bytes()
    inputs = manifest(workdir)["inputs"]
    for name in ("held-back/model/model.safetensors", "model/model.safetensors"):
        assert f"{pipeline}/sft-disc/{name}" in inputs
    assert f"{pipeline}/sft-gen/model/model.safetensors" not in inputs
    assert contents(workdir)["model/model.safetensors"] != contents(pipeline)["model/model.safetensors"]


def test_a_generator_that_went_on_needs_an_earlier_held_back_one(workdir, pipeline, tmp_path, capsys):
    assert run("sft-gen", "--from", pipeline, "--batch-size", 16, "--epochs", 1, "-w", workdir) == 0
    capsys.readouterr()
    assert run("sft-disc", *GIVEN, "-w", workdir) == 2
    told = f"Error: sft-gen went on from {pipeline}, so the held-back generator has to: give --from WORKDIR, too\n"
    assert capsys.readouterr().err == told
    without = tmp_path / "without"
    shutil.copytree(pipeline / "sft-disc/model", without / "sft-disc/model")
    assert run("sft-disc", *GIVEN, "--from", without, "-w", workdir) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {without}/sft-disc/held-back/model is missing, and the held-back generator has to")
    assert error.count("\n") == 1
