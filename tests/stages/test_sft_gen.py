from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories, read_profiles
from llmi2i_cli.evaluation.candidate_worth import CandidateWorth
from llmi2i_cli.llm import generator_training, item_model
from llmi2i_cli.llm.generate import load_generator, rank_block
from llmi2i_cli.runs.progress import ProgressBar
from llmi2i_cli.stages.status import status
from tests.conftest import as_own, run
from tests.llm.tiny import save_pretrained_base
from tests.stages.shop import prepare_shop

QUICK = ("--epochs", 1, "--batch-size", 32)


@pytest.fixture
def workdir(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "work")
    return tmp_path / "work"


def manifest(workdir, name="manifest.json"):
    return json.loads((workdir / "sft-gen" / name).read_text())


def files(workdir):
    folder = workdir / "sft-gen"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def contents(workdir):
    """Every artifact's bytes; manifests hold seconds."""
    folder = workdir / "sft-gen"
    return {name: (folder / name).read_bytes() for name in files(workdir) if "manifest" not in name}


def test_it_leaves_a_checkpoint_a_log_and_its_facts(workdir, capfd):
    assert run("sft-gen", *QUICK, "-w", workdir) == 0
    told = capfd.readouterr().err  # stderr is no terminal: no progress bar, only what it is worth
    assert told.startswith("validation Recall@10: ")
    assert "Training" not in told
    assert files(workdir) == [
        "log.jsonl",
        "manifest.json",
        "model/config.json",
        "model/generation_config.json",
        "model/item_tokens.parquet",
        "model/llmi2i.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
    ]
    facts = manifest(workdir)
    histories, catalogue = read_histories(workdir), read_catalogue(workdir)
    share = catalogue.is_train_tail[histories.items].mean()
    assert facts["tail_target_share"] == share > 0
    assert f"--alpha 4 weighed {share:.1%} of the targets, those in the long tail\n" in told
    steps = -(-int((histories.lengths > 0).sum()) // 32)
    assert (facts["steps_this_run"], facts["epochs"], facts["batch_size"]) == (steps, 1, 32)
    assert (facts["learning_rate"], facts["max_length"]) == (1e-3, 64)
    log = [json.loads(line) for line in (workdir / "sft-gen/log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, steps + 1))
    assert [entry["step"] for entry in log if "valid_recall@10" in entry] == [steps]

    # The figure that the log gives is the recall of the checkpoint that was saved.
    validation = read_histories(workdir, ("valid",))
    users = np.flatnonzero((validation.lengths > 0) & (histories.lengths > 0))
    generator = load_generator(workdir / "sft-gen/model", catalogue, read_profiles(workdir))
    ranked, _ = rank_block(generator, users.tolist(), histories, histories, history=64, top_n=10)
    hits = [
        target in items for user, items in zip(users.tolist(), ranked, strict=True) for target in validation.row(user)
    ]
    [last] = [entry for entry in log if "valid_recall@10" in entry]
    assert last["valid_recall@10"] == pytest.approx(np.mean(hits))
    assert sum(hits) > 0


def test_a_second_run_does_nothing_and_another_seed_trains_again(workdir, capsys, monkeypatch):
    assert run("sft-gen", *QUICK, "-w", workdir) == 0
    before = contents(workdir)
    with monkeypatch.context() as patch:
        patch.setattr(generator_training, "train_generator", None)
        assert (
            run("sft-gen", *QUICK, "--checkpoint-steps", 2, "-w", workdir) == 0
        )  # it decides nothing about the result
        assert "sft-gen is up to date" in capsys.readouterr().err
    assert run("sft-gen", *QUICK, "--seed", 43, "-w", workdir) == 0
    assert contents(workdir)["model/model.safetensors"] != before["model/model.safetensors"]


def test_a_sampled_softmax_trains_another_model_and_does_not_ask_for_all_items(workdir, monkeypatch):
    assert run("sft-gen", *QUICK, "-w", workdir) == 0
    full = contents(workdir)
    asked_for = []
    loss = item_model.weighted_item_cross_entropy

    def recorded(hidden, table, *rest, **more):
        asked_for.append(len(table))
        return loss(hidden, table, *rest, **more)

    monkeypatch.setattr(item_model, "weighted_item_cross_entropy", recorded)
    given = ("--softmax", "sampled", "--sampled-items", 5, "--batch-size", 2)
    assert run("sft-gen", *QUICK, *given, "-w", workdir) == 0
    found = contents(workdir)
    assert found["model/model.safetensors"] != full["model/model.safetensors"]
    n_items = read_catalogue(workdir).n_items
    assert max(asked_for) < n_items
    assert min(asked_for) < n_items / 2
    assert run("sft-gen", *QUICK, *given, "--force", "-w", workdir) == 0
    assert contents(workdir) == found


def stop_at(monkeypatch, title, step):
    update = ProgressBar.update

    def stopping(self, done, *rest, **more):
        if self.title == title and done == step:
            raise KeyboardInterrupt
        update(self, done, *rest, **more)

    monkeypatch.setattr(ProgressBar, "update", stopping)


def test_interrupted_and_resumed_it_leaves_the_same_bytes(workdir, monkeypatch):
    given = ("--epochs", 2, "--batch-size", 32, "--checkpoint-steps", 2)
    shutil.copytree(workdir, workdir.parent / "whole")
    assert run("sft-gen", *given, "-w", workdir.parent / "whole") == 0
    with monkeypatch.context() as patch:
        stop_at(patch, "Training the generator", 7)
        assert run("sft-gen", *given, "-w", workdir) == 130
    assert not (workdir / "sft-gen/model").exists()
    assert not (workdir / "sft-gen/manifest.json").exists()
    assert run("sft-gen", *given, "-w", workdir) == 0
    assert manifest(workdir)["steps_this_run"] == manifest(workdir.parent / "whole")["steps_this_run"] - 6
    assert contents(workdir) == contents(workdir.parent / "whole")


def test_test_interactions_have_no_say_and_validation_only_which_epoch_is_kept(workdir):
    """Every test item replaced by another: the same checkpoint and log; every validation item: the same training."""
    found = []
    for name, split in (("as-it-is", ()), ("test", ("test",)), ("valid", ("valid", "test"))):
        changed = workdir.parent / name
        shutil.copytree(workdir, changed)
        path = changed / "prepare/interactions.parquet"
        as_own(changed, "prepare/interactions.parquet")
        table = pl.read_parquet(path)
        other = pl.when(pl.col("split").is_in(split)).then(pl.lit(table["item_id"][0])).otherwise("item_id")
        table.with_columns(other.alias("item_id")).write_parquet(path)
        assert run("sft-gen", *QUICK, "-w", changed) == 0  # one epoch: there is nothing to choose
        found.append(contents(changed))
    assert found[0] == found[1]
    assert found[0]["log.jsonl"] != found[2].pop("log.jsonl")
    assert {name: content for name, content in found[0].items() if name != "log.jsonl"} == found[2]


def log_of(workdir):
    return [json.loads(line) for line in (workdir / "sft-gen/log.jsonl").read_text().splitlines()]


def of_validation(workdir):
    return [entry for entry in log_of(workdir) if "valid_recall@10" in entry]


def test_the_epoch_whose_candidates_make_the_best_table_is_kept(workdir, monkeypatch, capsys):
    given = iter((0.5, 0.9, 0.6))
    monkeypatch.setattr(CandidateWorth, "recall", lambda self, users, ranked: next(given))
    assert run("sft-gen", "--epochs", 3, "--batch-size", 32, "-w", workdir) == 0
    facts = manifest(workdir)
    assert facts["chosen_epoch"] == 2
    assert facts["validation"]["valid_recall@10_with_candidates"] == 0.9
    second = of_validation(workdir)[1]
    assert facts["validation"] == {name: value for name, value in second.items() if name not in ("step", "epoch")}
    real = facts["validation"]["valid_recall@10_real"]
    told = capsys.readouterr().err
    assert f"Blend on the real log {real:.4f}, with candidates 0.9000 ({0.9 / real - 1:+.1%})" in told
    assert "Warning" not in told


def test_a_generator_that_does_not_help_is_told_of(workdir, monkeypatch, capsys):
    monkeypatch.setattr(CandidateWorth, "recall", lambda self, users, ranked: 0.0)
    assert run("sft-gen", *QUICK, "-w", workdir) == 0
    assert "Warning: the generator's candidates do not help the table on validation" in capsys.readouterr().err


def test_patience_ends_the_training(workdir, monkeypatch):
    given = iter((0.1, 0.4, 0.2, 0.3, 0.9))
    monkeypatch.setattr(CandidateWorth, "recall", lambda self, users, ranked: next(given))
    assert run("sft-gen", "--epochs", 5, "--batch-size", 32, "--patience", 2, "-w", workdir) == 0
    assert [entry["epoch"] for entry in of_validation(workdir)] == [1, 2, 3, 4]
    assert manifest(workdir)["chosen_epoch"] == 2


def test_without_validation_it_stops_after_the_epochs_asked_for_on_the_schedule_of_all(workdir):
    as_own(workdir, "prepare/interactions.parquet")
    path = workdir / "prepare/interactions.parquet"
    pl.read_parquet(path).filter(split="train").write_parquet(path)
    given = ("--epochs", 3, "--batch-size", 32)
    assert run("sft-gen", *given, "--stop-after", 2, "-w", workdir) == 0
    facts = manifest(workdir)
    assert (facts["epochs"], facts["chosen_epoch"], facts["validation"]) == (3, 2, {})
    (steps,) = {entry["step"] for entry in log_of(workdir)[-1:]}
    assert steps == facts["steps_this_run"]
    stopped = log_of(workdir)
    assert run("sft-gen", *given, "-w", workdir) == 0
    assert log_of(workdir)[: len(stopped)] == stopped
    assert manifest(workdir)["steps_this_run"] == steps // 2 * 3


def test_examples_only_writes_one_line_a_target(workdir):
    assert run("sft-gen", "--examples-only", "--alpha", 3, "--beta", 0.5, "-w", workdir) == 0
    assert files(workdir) == ["examples.jsonl", "examples.manifest.json"]
    lines = [json.loads(line) for line in (workdir / "sft-gen/examples.jsonl").read_text().splitlines()]
    log = pl.read_parquet(workdir / "prepare/interactions.parquet").filter(split="train")
    train = log.group_by("user_id", maintain_order=True).tail(63)  # 64 tokens, the first of them <s>
    assert len(train) < len(log)
    tail = set(read_catalogue(workdir).ids.filter(pl.Series(read_catalogue(workdir).is_train_tail)))
    assert [line["completion"] for line in lines] == [f"<item:{item}>" for item in train["item_id"]]
    assert [line["weight"] for line in lines] == [3.0 if item in tail else 0.5 for item in train["item_id"]]
    assert 0 < sum(line["weight"] == 3 for line in lines) < len(lines)
    before: dict[str, list[str]] = {}
    for line, (user, item) in zip(lines, train.select("user_id", "item_id").rows(), strict=True):
        assert line["prompt"] == " ".join(["<s>", *before.setdefault(user, [])])
        before[user].append(f"<item:{item}>")
    assert manifest(workdir, "examples.manifest.json")["outputs"]["examples.jsonl"]["rows"] == len(lines)


def test_a_pretrained_base_with_a_template_of_ones_own(workdir, tmp_path, capfd):
    base = save_pretrained_base(tmp_path / "base", "gpt2")
    (tmp_path / "mine.txt").write_text("Next for {profile}: {history}")
    given = ("--base-model", base, "--template", tmp_path / "mine.txt", *QUICK, "--learning-rate", 1e-3)
    assert run("sft-gen", *given, "-w", workdir) == 0
    assert "validation Recall@10" in capfd.readouterr().err
    card = json.loads((workdir / "sft-gen/model/llmi2i.json").read_text())
    assert card["template"] == "Next for {profile}: {history}"
    assert card["titles_in_prompt"]
    assert manifest(workdir)["max_length"] == 256  # as far as this base's positions reach
    assert run("sft-gen", *given, "-w", workdir) == 0
    assert "up to date" in capfd.readouterr().err
    (tmp_path / "mine.txt").write_text("And now {history}")
    assert run("sft-gen", *given, "-w", workdir) == 0  # a template is an input: its change is seen
    assert json.loads((workdir / "sft-gen/model/llmi2i.json").read_text())["template"] == "And now {history}"


def test_training_that_breaks_down_publishes_nothing(workdir, capsys):
    assert run("sft-gen", *QUICK, "--learning-rate", 1e30, "-w", workdir) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: the training broke down by step ")
    assert "lower --learning-rate" in error
    assert error.count("\n") == 1
    assert not (workdir / "sft-gen/model").exists()


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["--alpha", 0, "--beta", 0], 2, "--alpha and --beta are both 0: nothing would be learnt"),
        (["--base-model", "/no/such/model"], 1, "/no/such/model is not a causal language model that can be loaded"),
        (["--template", "/no/such/template"], 1, "/no/such/template"),
        (["--max-length", 5000], 2, "--max-length 5000 is more than the 4096 positions of the base model"),
        (
            ["--batch-size", 10, "--gradient-accumulation", 3],
            2,
            "--batch-size 10 cannot be split over 3 accumulation",
        ),
        (["--attention", "flash_attention_2"], 1, "use --attention auto or sdpa"),
    ],
)
def test_mistakes_get_one_line_and_write_nothing(workdir, capsys, monkeypatch, arguments, status, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run("sft-gen", *arguments, "-w", workdir) == status
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (workdir / "sft-gen").exists() or not (workdir / "sft-gen/model").exists()


@pytest.mark.parametrize("stage", ["sft-gen", "sft-disc"])
@pytest.mark.parametrize("option", ["--epochs", "--learning-rate"])
def test_no_training_at_all_is_refused_and_not_taken_for_the_default(stage, option, workdir, capsys):
    assert run(stage, option, "0", "-w", workdir) == 2
    assert capsys.readouterr().err == f"Error: {option} must be above 0, not 0.0\n"


def test_an_alpha_that_touches_nothing_is_told(tmp_path, capfd):
    """Where every item was bought equally often and the fraction is 0, there is no tail."""
    workdir = prepare_shop(tmp_path, "--tail-fraction", 0)
    assert run("sft-gen", *QUICK, "-w", workdir) == 0
    assert "Warning: no target is in the long tail, so --alpha weighed none" in capfd.readouterr().err
    assert manifest(workdir)["tail_target_share"] == 0


def test_it_goes_on_from_an_earlier_work_directory(workdir, pipeline, tmp_path, capsys):
    """From the same log: what was learnt is there before the first step."""
    untrained = tmp_path / "untrained"
    shutil.copytree(workdir, untrained)
    for each, start in ((workdir, ("--from", pipeline)), (untrained, ())):
        assert run("sft-gen", "--learning-rate", 1e-9, "--epochs", 1, *start, "-w", each) == 0
    first, second = (of_validation(each)[0]["valid_recall@10"] for each in (untrained, workdir))
    trained = json.loads((pipeline / "sft-gen/manifest.json").read_text())["validation"]["valid_recall@10"]
    assert second == trained > first
    facts = manifest(workdir)
    model = str(pipeline / "sft-gen/model/model.safetensors")
    expected = json.loads((pipeline / "sft-gen/manifest.json").read_text())["outputs"]["model/model.safetensors"]
    assert facts["inputs"][model]["digest"] == expected["digest"]
    assert (facts["options"]["earlier"], facts["base_model"]) == (str(pipeline), "llama-tiny")


def test_it_is_stale_when_what_it_went_on_from_is_another(workdir, pipeline, tmp_path, capsys):
    earlier = tmp_path / "earlier"
    shutil.copytree(pipeline / "sft-gen", earlier / "sft-gen")
    given = ("sft-gen", "--from", earlier, "--epochs", 0.2, "--batch-size", 32, "-w", workdir)
    assert run(*given) == 0
    capsys.readouterr()
    assert run(*given) == 0
    assert "sft-gen is up to date" in capsys.readouterr().err
    card = earlier / "sft-gen/model/llmi2i.json"
    card.write_text(card.read_text() + "\n")
    [row] = [row for row in status(workdir) if row["stage"] == "sft-gen"]
    assert (row["state"], row["why"]) == ("stale", f"{card} changed")


def test_it_does_not_go_on_where_other_interactions_are_held_out(shop, pipeline, tmp_path, capsys):
    log = (shop / "interactions.parquet", "--items", shop / "items.parquet")
    assert run("prepare", *log, "--split", "last-day", "-w", tmp_path) == 0
    capsys.readouterr()
    assert run("sft-gen", "--from", pipeline, "-w", tmp_path) == 2
    assert capsys.readouterr().err == (
        f"Error: {pipeline}/sft-gen/model was trained on interactions that prepare/ may now hold out (--split: "
        "leave-last-two then, last-day now): prepare both work directories with the same options, or train anew, "
        "without --from\n"
    )


@pytest.mark.parametrize("stage", ["sft-gen", "sft-disc"])
def test_it_does_not_go_on_from_what_it_would_replace(stage, pipeline, tmp_path, capsys):
    """It would be stale as soon as it is done, and go on once more when it is asked for again."""
    for folder in ("prepare", "sft-gen", "sft-disc"):
        shutil.copytree(pipeline / folder, tmp_path / "work" / folder)
    (tmp_path / "link").symlink_to(tmp_path / "work")
    for earlier in (tmp_path / "work", tmp_path / "link", tmp_path / "work" / stage / "model"):
        capsys.readouterr()
        assert run(stage, "--from", earlier, "-w", tmp_path / "work") == 2
        assert "is what this run would replace: copy the work directory (cp -al)" in capsys.readouterr().err


def test_mistakes_about_what_it_goes_on_from_get_one_line(workdir, tmp_path, capsys):
    for status_, arguments, told in (
        (2, ("--from", workdir, "--base-model", "llama-tiny"), "what --from names has a base model of its own"),
        (1, ("--from", tmp_path / "none"), f"{tmp_path}/none: no such file"),
        (1, ("--from", workdir), f"{workdir}/item_tokens.parquet is not a readable Parquet file"),
    ):
        capsys.readouterr()
        assert run("sft-gen", *arguments, "-w", workdir) == status_
        error = capsys.readouterr().err
        assert error.startswith(f"Error: {told}")
        assert error.count("\n") == 1
