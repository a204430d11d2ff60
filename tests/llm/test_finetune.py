from __future__ import annotations

import contextlib
import json
import math
import shutil
from functools import partial

import numpy as np
import pytest
import torch

from llmi2i_cli.errors import ArtifactError, ModelError, UsageError
from llmi2i_cli.llm.bases import load_base
from llmi2i_cli.llm.checkpoints import COMPLETE, last_complete_checkpoint
from llmi2i_cli.llm.finetune import Outcome, fine_tune
from llmi2i_cli.llm.generator_training import GeneratorExamples
from llmi2i_cli.llm.item_model import GeneratorModel
from llmi2i_cli.llm.packing import pack
from llmi2i_cli.llm.prompts import BARE, build_pieces
from llmi2i_cli.llm.training_options import TrainingOptions
from llmi2i_cli.llm.training_place import TrainingPlace
from tests.llm.tiny import catalogue_of, random_histories, titles_of

N_ITEMS, N_USERS = 12, 18  # of batches of 4: five steps an epoch, the last of two users


def options(**changes):
    values = {"epochs": 3, "learning_rate": 1e-2, "batch_size": 4, "weight_decay": 0.01, "warmup_share": 0.1, "seed": 5}
    return TrainingOptions(**(values | changes))


class Recorded(GeneratorExamples):
    """Remembers which users were asked for, in order."""

    asked: list[int]

    def sequence(self, index):
        self.asked.append(index)
        return super().sequence(index)


def a_model(*, dropout=0.3, n_users=N_USERS):
    base = load_base("llama-tiny", catalogue_of(titles_of(N_ITEMS)), attention="sdpa", seed=1)
    torch.manual_seed(1)
    model = GeneratorModel(base.llm, base.layout, dropout=dropout, titles=base.title_words)
    pieces = build_pieces(base.tokenizer, base.layout, BARE["generator"], profiles=None, titles=None)
    weights = np.where(np.arange(N_ITEMS) < 3, 4, 1).astype(np.float32)
    examples = Recorded(pieces, random_histories(n_users, N_ITEMS, seed=0), weights, 64)
    examples.asked = []
    return model, examples


class Killed(BaseException):
    pass


def train(folder, trained=None, *, stop_at=None, given=None, resume=True, evaluate=None):
    """Train a fresh model in `folder`; returns its weights, the steps done and the log."""
    model, examples = trained or a_model()

    def on_step(done, total, text):
        if done == stop_at:
            raise Killed

    outcome = fine_tune(
        model,
        examples,
        given or options(),
        TrainingPlace(folder, resume, on_step),
        pad_token=0,
        evaluate=evaluate,
    )
    assert not model.training
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    return weights, outcome.steps_this_run, read_log(folder)


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        assert torch.equal(found[name], expected[name]), name


CHECKPOINTS = [
    {"checkpoint_steps": 0},  # at the end of each epoch, 5, 10 and 15
    {"checkpoint_steps": 4},  # at 4, 8, 12, too: in the middle of epochs
    {"checkpoint_steps": 2, "gradient_accumulation": 2},
]


@pytest.mark.parametrize("given", CHECKPOINTS)
def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path, given):
    given = options(**given)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, steps, log = train(tmp_path / "whole", given=given)
    assert steps == 15
    for stop_at in (3, 7, 12, 15):
        with pytest.raises(Killed):
            train(tmp_path / "killed", given=given, stop_at=stop_at)
    found, steps, resumed_log = train(tmp_path / "killed", given=given)
    every = given.checkpoint_steps or 5
    assert steps == 15 - max(10, 14 // every * every)  # it went on from the last checkpoint before the kill at 15
    assert_same(found, whole)
    assert resumed_log == log
    again, steps, _ = train(tmp_path / "killed", given=given)  # complete, but not published: nothing is done again
    assert steps == 0
    assert_same(again, whole)


def test_a_checkpoint_between_two_lines_of_the_log_leaves_no_trace_in_it(tmp_path):
    logs = []
    for name in ("whole", "killed"):
        (folder := tmp_path / name).mkdir()
        given = options(checkpoint_steps=3, epochs=1)
        if name == "killed":
            with pytest.raises(Killed):
                train(folder, a_model(n_users=38), given=given, stop_at=5)
        logs.append(train(folder, a_model(n_users=38), given=given)[2])
    assert [entry["step"] for entry in logs[0]] == [2, 3, 4, 6, 8, 9, 10]
    assert logs[1] == logs[0]


def test_the_log_has_each_step_once_and_the_validation_figures_of_each_epoch(tmp_path):
    evaluations = []

    def evaluate():
        evaluations.append(1)
        return {"valid_recall@10": len(evaluations) / 10}

    _, _, log = train(tmp_path, evaluate=evaluate)
    losses = [entry for entry in log if "loss" in entry]
    assert [entry["step"] for entry in losses] == list(range(1, 16))
    assert losses[-1].keys() == {"step", "epoch", "loss", "learning_rate", "gradient_norm"}
    assert losses[4]["epoch"] == 1
    validation = [entry for entry in log if "valid_recall@10" in entry]
    assert [(entry["step"], entry["valid_recall@10"]) for entry in validation] == [(5, 0.1), (10, 0.2), (15, 0.3)]
    assert losses[0]["loss"] > losses[-1]["loss"]


def test_an_evaluation_leaves_the_number_of_threads_as_it_was(tmp_path):
    model, examples = a_model()
    n_threads, seen = torch.get_num_threads(), set()
    model.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))

    def evaluate():
        torch.set_num_threads(n_threads + 1)  # as a kernel of Numba does
        return {}

    try:
        train(tmp_path, (model, examples), evaluate=evaluate, given=options(epochs=2))
    finally:
        torch.set_num_threads(n_threads)
    assert seen == {n_threads}


def test_evaluation_is_calm_and_training_lively(tmp_path):
    model, examples = a_model()
    modes = []

    def evaluate():
        modes.append(model.training)
        return {}

    train(tmp_path, (model, examples), evaluate=evaluate, given=options(epochs=2))
    assert modes == [False, False]
    (tmp_path / "other").mkdir()
    with_evaluation = {name: p.detach() for name, p in model.named_parameters()}
    assert_same(train(tmp_path / "other", given=options(epochs=2))[0], with_evaluation)  # it does not influence


@pytest.mark.parametrize("accumulation", [1, 2])
def test_it_is_adamw_on_the_mean_over_targets_with_linear_decay_and_clipping(tmp_path, accumulation):
    """The twin: a plain loop over the same users, each batch in one piece."""
    model, examples = a_model(dropout=0)
    given = options(epochs=2, weight_decay=0.0, gradient_accumulation=accumulation, warmup_share=0.0)
    found, steps, log = train(tmp_path, (model, examples), given=given)
    asked = examples.asked
    assert steps == 10
    assert sorted(asked[:N_USERS]) == sorted(asked[N_USERS:]) == list(range(N_USERS))
    assert asked[:N_USERS] != asked[N_USERS:]  # another order each epoch

    model, examples = a_model(dropout=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)
    batches = [
        asked[epoch + k : min(epoch + k + 4, epoch + N_USERS)] for epoch in (0, N_USERS) for k in range(0, 18, 4)
    ]
    losses = []
    for step, batch in enumerate(batches):
        sequences, targets, weights = zip(*(examples.sequence(user) for user in batch), strict=True)
        labels, w = torch.from_numpy(np.concatenate(targets)).long(), torch.from_numpy(np.concatenate(weights))
        loss = model(labels=labels, weights=w, **vars(pack(sequences, 0)))["loss"]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 10)
        optimizer.step()
        assert log[step]["gradient_norm"] == pytest.approx(float(norm), rel=1e-3)
    assert [entry["loss"] for entry in log] == pytest.approx(losses, rel=1e-3)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter, rtol=0, atol=2e-4)


def test_eight_users_in_one_piece_equal_four_and_four(tmp_path):
    weights = []
    for accumulation in (1, 2, 8):
        (folder := tmp_path / str(accumulation)).mkdir()
        given = options(batch_size=8, gradient_accumulation=accumulation, epochs=1, learning_rate=1e-4)
        weights.append(train(folder, a_model(dropout=0, n_users=8), given=given))
    assert [steps for _, steps, _ in weights] == [1, 1, 1]
    for found, _, log in weights[1:]:
        assert log[0]["gradient_norm"] == pytest.approx(weights[0][2][0]["gradient_norm"], rel=1e-5)
        for name in found:
            torch.testing.assert_close(found[name], weights[0][0][name], rtol=0, atol=1e-6)


def test_checkpoints_that_a_kill_cut_short_are_passed_over(tmp_path):
    given = options(checkpoint_steps=4)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, _, _ = train(tmp_path / "a", given=given)
    with pytest.raises(Killed):
        train(tmp_path / "b", given=given, stop_at=10)
    checkpoints = tmp_path / "b/checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-8"]
    shutil.copytree(checkpoints / "checkpoint-8", checkpoints / "checkpoint-10")
    (checkpoints / "checkpoint-10" / COMPLETE).unlink()
    (checkpoints / "checkpoint-10" / "model.safetensors").write_bytes(b"cut short")
    assert last_complete_checkpoint(checkpoints) == checkpoints / "checkpoint-8"
    assert not (checkpoints / "checkpoint-10").exists()
    found, steps, _ = train(tmp_path / "b", given=given)
    assert steps == 7
    assert_same(found, whole)
    assert last_complete_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["optimizer.pt", "model.safetensors", "trainer_state.json", COMPLETE])
@pytest.mark.parametrize("has_one_before", [True, False])
def test_checkpoints_that_were_damaged_are_passed_over(tmp_path, capsys, name, has_one_before):
    given = options(checkpoint_steps=4)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, _, _ = train(tmp_path / "a", given=given)
    checkpoints, saved = tmp_path / "b/checkpoints", tmp_path / "saved"
    if has_one_before:
        with pytest.raises(Killed):
            train(tmp_path / "b", given=given, stop_at=6)
        shutil.copytree(checkpoints / "checkpoint-5", saved)
    with pytest.raises(Killed):
        train(tmp_path / "b", given=given, stop_at=10)
    if has_one_before:
        saved.rename(checkpoints / "checkpoint-5")
    (checkpoints / "checkpoint-8" / name).write_bytes(b"")
    capsys.readouterr()
    found, steps, _ = train(tmp_path / "b", given=given)
    assert "checkpoint-8 is damaged: the training goes on from the one before it" in capsys.readouterr().err
    assert steps == (10 if has_one_before else 15)
    assert_same(found, whole)


def test_a_checkpoint_is_of_no_use_without_the_best_one(tmp_path):
    def evaluate(figures=iter([0.3, 0.1])):
        return {"valid_recall@10": next(figures)}

    with pytest.raises(Killed):
        train(tmp_path, given=options(best_by="valid_recall@10"), evaluate=evaluate, stop_at=11)
    assert last_complete_checkpoint(tmp_path / "checkpoints") == tmp_path / "checkpoints/checkpoint-10"
    (tmp_path / "checkpoints/checkpoint-5/model.safetensors").write_bytes(b"")
    assert last_complete_checkpoint(tmp_path / "checkpoints") is None


def test_without_resume_it_starts_anew(tmp_path):
    given = options(checkpoint_steps=4)
    whole, _, log = train(tmp_path, given=given)
    found, steps, second_log = train(tmp_path, given=given, resume=False)
    assert steps == 15
    assert_same(found, whole)
    assert second_log == log
    with pytest.raises(Killed):
        train(tmp_path, given=given, resume=False, stop_at=6)
    assert last_complete_checkpoint(tmp_path / "checkpoints") == tmp_path / "checkpoints/checkpoint-5"


def judged(model, figures, seen):
    """An evaluation that gives one of `figures` an epoch and remembers the weights it was asked about."""

    def evaluate():
        seen.append(model.head is None and model.decoder.norm.weight.detach().clone())
        return {"good": figures[len(seen) - 1]}

    return evaluate


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    model, examples = a_model()
    seen: list = []
    outcome = fine_tune(
        model,
        examples,
        options(best_by="good"),
        TrainingPlace(tmp_path),
        pad_token=0,
        evaluate=judged(model, [0.1, 0.3, 0.2], seen),
    )
    assert outcome == Outcome(steps_this_run=15, chosen_epoch=2, figures={"good": 0.3})
    assert torch.equal(model.decoder.norm.weight, seen[1])
    assert not torch.equal(model.decoder.norm.weight, seen[2])


def test_the_best_weights_are_found_again_in_a_folder_that_has_moved(tmp_path):
    given = options(best_by="good")
    weights = []
    for folder in ("here", "there"):
        if folder == "here":
            (tmp_path / "here").mkdir()
        else:
            (tmp_path / "here").rename(tmp_path / "there")
        model, examples = a_model()
        seen: list = []
        outcome = fine_tune(
            model,
            examples,
            given,
            TrainingPlace(tmp_path / folder),
            pad_token=0,
            evaluate=judged(model, [0.1, 0.3, 0.2], seen),
        )
        weights.append(model.decoder.norm.weight.detach().clone())
    assert (outcome.steps_this_run, outcome.chosen_epoch) == (0, 2)
    assert torch.equal(weights[0], weights[1])


def test_only_the_best_and_the_last_checkpoint_are_kept(tmp_path):
    model, examples = a_model()
    fine_tune(
        model,
        examples,
        options(best_by="good", checkpoint_steps=2),
        TrainingPlace(tmp_path),
        pad_token=0,
        evaluate=judged(model, [0.3, 0.1, math.nan], []),
    )
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["checkpoint-15", "checkpoint-5"]


def test_figures_that_are_no_numbers_leave_the_last_epoch(tmp_path):
    model, examples = a_model()
    outcome = fine_tune(
        model,
        examples,
        options(best_by="good"),
        TrainingPlace(tmp_path),
        pad_token=0,
        evaluate=judged(model, [math.nan] * 3, []),
    )
    assert outcome.chosen_epoch == 3


def evaluation(figures, reached):
    return {"good": figures[reached[0]]}


@pytest.mark.parametrize("kill_at", [None, 12, 17])
def test_patience_ends_it_and_a_kill_changes_nothing(tmp_path, kill_at):
    """Best at the second epoch, step 10; with a patience of two it ends after the fourth, step 20."""
    figures = {5: 0.1, 10: 0.3, 15: 0.2, 20: 0.3, 25: 0.9}
    given = options(epochs=6, best_by="good", patience=2)
    runs = []
    for stop_at in (None, kill_at):
        (folder := tmp_path / f"{stop_at}").mkdir(exist_ok=True)
        for attempt in range(2 if stop_at else 1):
            model, examples = a_model()
            reached = [0]

            def on_step(done, total, text, reached=reached, stop_at=stop_at if attempt == 0 else None):
                reached[0] = done
                if done == stop_at:
                    raise Killed

            with contextlib.suppress(Killed):
                outcome = fine_tune(
                    model,
                    examples,
                    given,
                    TrainingPlace(folder, on_step=on_step),
                    pad_token=0,
                    evaluate=partial(evaluation, figures, reached),
                )
        runs.append((outcome.chosen_epoch, outcome.figures, read_log(folder), model.decoder.norm.weight))
    assert runs[0][:2] == (2, {"good": 0.3})
    assert runs[0][2][-1]["step"] == 20
    assert runs[1][:3] == runs[0][:3]
    assert torch.equal(runs[1][3], runs[0][3])


def test_a_training_that_is_cut_off_has_the_schedule_of_the_whole(tmp_path):
    """What a second generator needs: as far as the first one's chosen epoch, and not a shorter training."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    with pytest.raises(Killed):
        train(tmp_path / "whole", stop_at=11)
    found, steps, log = train(tmp_path / "cut", given=options(stop_after=2))
    assert steps == 10
    assert log == [entry for entry in read_log(tmp_path / "whole") if entry["step"] <= 10]
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "whole/checkpoints/checkpoint-10/model.safetensors")
    assert torch.equal(found["decoder.norm.weight"], kept["decoder.norm.weight"])
    again, steps, _ = train(tmp_path / "cut", given=options(stop_after=2))
    assert steps == 0
    assert_same(again, found)


def test_one_that_was_killed_after_it_had_ended_early_does_nothing_more(tmp_path):
    given = options(epochs=6, best_by="good", patience=1)
    found = []
    for _ in range(2):
        model, examples = a_model()
        outcome = fine_tune(
            model,
            examples,
            given,
            TrainingPlace(tmp_path),
            pad_token=0,
            evaluate=partial(next, iter([{"good": figure} for figure in (0.3, 0.2, 0.9)])),
        )
        found.append((outcome.chosen_epoch, outcome.figures, model.decoder.norm.weight))
    assert outcome.steps_this_run == 0
    assert found[0][:2] == found[1][:2] == (1, {"good": 0.3})
    assert torch.equal(found[0][2], found[1][2])


def test_a_loss_that_is_no_number_ends_it_with_the_last_good_checkpoint_kept(tmp_path):
    model, examples = a_model(n_users=38)  # ten steps an epoch, logged every second one: the seventh is not
    broken = examples.sequence

    def sequence(index):
        found, targets, weights = broken(index)
        return found, targets, weights * (math.nan if len(examples.asked) > 6 * 4 else 1)

    examples.sequence = sequence  # type: ignore[method-assign]
    with pytest.raises(ModelError) as caught:
        train(tmp_path, (model, examples), given=options(checkpoint_steps=1))
    message = str(caught.value)
    assert "step 7" in message
    assert "loss nan" in message
    assert "lower --learning-rate" in message
    assert "\n" not in message
    from safetensors.torch import load_file

    kept = last_complete_checkpoint(tmp_path / "checkpoints")
    assert kept is not None
    assert kept.name == "checkpoint-6"
    assert all(torch.isfinite(tensor).all() for tensor in load_file(kept / "model.safetensors").values())
    assert [entry["step"] for entry in read_log(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_out_of_memory_says_what_to_change(tmp_path):
    for error in (
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ):
        model, examples = a_model()

        def sequence(index, error=error):
            raise error

        examples.sequence = sequence  # type: ignore[method-assign]
        with pytest.raises(ModelError, match=r"out of memory: lower --batch-size .* the last checkpoint is kept"):
            train(tmp_path, (model, examples))


@pytest.mark.parametrize("batch, accumulation", [(4, 3), (1, 2)])
def test_a_batch_that_cannot_be_split(tmp_path, batch, accumulation):
    given = options(batch_size=batch, gradient_accumulation=accumulation)
    with pytest.raises(UsageError, match=f"--batch-size {batch} cannot be split over {accumulation}"):
        train(tmp_path, given=given)


def test_nothing_to_learn_from(tmp_path):
    with pytest.raises(ArtifactError, match="no user of prepare/ has interactions enough"):
        train(tmp_path, a_model(n_users=0))


def test_a_part_of_an_epoch(tmp_path):
    found, steps, log = train(tmp_path, given=options(epochs=0.6))
    assert steps == 3
    assert last_complete_checkpoint(tmp_path / "checkpoints") == tmp_path / "checkpoints/checkpoint-3"
    assert log[-1]["step"] == 3
    again, steps, same_log = train(tmp_path, given=options(epochs=0.6))
    assert (steps, same_log) == (0, log)
    assert_same(again, found)
