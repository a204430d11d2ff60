from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.errors import ModelError
from llmi2i_cli.i2i import youtube_dnn_training
from llmi2i_cli.i2i.training import Validation
from llmi2i_cli.i2i.youtube_dnn import Towers, windows_of
from llmi2i_cli.i2i.youtube_dnn_training import train_youtube_dnn

N_ITEMS = 12


def cycle_log(n_users: int = 60) -> Histories:
    """Everyone goes round the catalogue: item k is followed by k + 1, with one more place to go."""
    return Histories.from_rows([[(user + step) % N_ITEMS for step in range(7)] for user in range(n_users)], N_ITEMS)


def next_items(log: Histories) -> Histories:
    return Histories.from_rows([[(int(log.row(user)[-1]) + 1) % N_ITEMS] for user in range(log.n_users)], N_ITEMS)


SMALL: dict[str, Any] = {"dimensions": 16, "negatives": 8, "batch_size": 32, "learning_rate": 5e-3}


def test_learns_what_follows():
    log = cycle_log()
    model = train_youtube_dnn(log, validation=None, epochs=15, **SMALL)
    users = np.arange(log.n_users, dtype=np.int32)
    ids, _ = model.rank(users, log, top_n=1, exclude=log)
    assert (ids[:, 0] == next_items(log).items).mean() > 0.9


def test_windows_are_the_items_before_a_position():
    log = Histories.from_rows([[5, 6, 7], [8, 9]], N_ITEMS)
    windows = windows_of(log, np.array([0, 0, 3]), np.array([1, 3, 4]), 2)
    assert windows.tolist() == [[0, 6], [7, 8], [0, 9]]


def test_loss_is_the_sampled_softmax_with_the_targets_weight():
    log = Histories.from_rows([[0, 1, 2], [3, 4]], N_ITEMS)
    weighted = Histories(log.ptr, log.items, N_ITEMS, np.array([9, 1, 3, 9, 0], np.float32))
    towers = Towers(2, N_ITEMS, 4)
    batch = np.array([1, 2, 4])  # the targets 1, 2 and 4
    drawn = np.random.default_rng(0).integers(1, N_ITEMS + 1, (3, 6)) - 1
    losses = []
    for user, recent, target, negatives in ((0, [0], 1, drawn[0]), (0, [0, 1], 2, drawn[1]), (1, [3], 4, drawn[2])):
        items = towers.items.weight[1:]
        inputs = torch.cat([towers.users.weight[user + 1], items[recent].mean(dim=0)])
        logits = items @ towers.mlp(inputs)
        others = [negative for negative in negatives.tolist() if negative != target]
        losses.append(torch.logsumexp(logits[[target, *others]], dim=0) - logits[target])
    expected = (1 * losses[0] + 3 * losses[1] + 0 * losses[2]) / 4
    user_of_each = log.user_of_each()
    found = youtube_dnn_training._loss(towers, weighted, user_of_each, batch, 6, 20, np.random.default_rng(0))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    plain = youtube_dnn_training._loss(towers, log, user_of_each, batch, 6, 20, np.random.default_rng(0))
    assert plain.item() == pytest.approx(sum(losses).item() / 3, rel=1e-5)


def test_early_stopping_keeps_the_best_epoch(monkeypatch):
    log = cycle_log(12)
    validation = Validation(np.arange(12, dtype=np.int32), log, next_items(log))
    figures = iter([0.1, 0.3, 0.2, 0.25, 0.9])
    tables = []

    def judged(model, _):
        tables.append(model.item_vectors.copy())
        return next(figures)

    monkeypatch.setattr(youtube_dnn_training, "_recall_at_10", judged)
    model = train_youtube_dnn(log, validation=validation, epochs=50, patience=2, **SMALL)
    assert model.recall_by_epoch == [0.1, 0.3, 0.2, 0.25]
    assert (model.item_vectors == tables[1]).all()
    assert (tables[1] != tables[3]).any()


def test_validation_recall_by_hand():
    log = cycle_log(3)
    model = train_youtube_dnn(log, validation=None, epochs=1, **SMALL)
    seen_already = Histories.from_rows([[0], [1, 11], []], N_ITEMS)  # 0 and 1 are in the histories, 11 is not
    recall = youtube_dnn_training._recall_at_10(model, Validation(np.arange(3, dtype=np.int32), log, seen_already))
    unknown = ~model.known_items[11]
    assert recall == pytest.approx((0 + (0 if unknown else 1 / 2)) / 2)


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path):
    log = cycle_log(20)
    options = {"validation": Validation(np.arange(20, dtype=np.int32), log, next_items(log)), "patience": 9, **SMALL}
    whole = train_youtube_dnn(log, epochs=4, **options)
    train_youtube_dnn(log, epochs=2, checkpoint=tmp_path / "epochs.pt", **options)
    done = []
    resumed = train_youtube_dnn(
        log, epochs=4, checkpoint=tmp_path / "epochs.pt", on_progress=lambda *seen: done.append(seen[:2]), **options
    )
    assert done == [(3, 4), (4, 4)]
    assert resumed.recall_by_epoch == whole.recall_by_epoch
    for name, tensor in whole.towers.state_dict().items():
        assert torch.equal(tensor, resumed.towers.state_dict()[name]), name


def test_the_seed_decides():
    first, again, other = (
        train_youtube_dnn(cycle_log(20), validation=None, epochs=2, seed=seed, **SMALL).item_vectors
        for seed in (1, 1, 2)
    )
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_unknown_users_and_empty_queries_still_get_a_ranking():
    model = train_youtube_dnn(cycle_log(), validation=None, epochs=1, **SMALL)
    ids, scores = model.rank(np.array([-1, 0], np.int32), Histories.from_rows([[], []], N_ITEMS), top_n=4, exclude=None)
    assert (ids >= 0).all()
    assert np.isfinite(scores).all()


def test_a_loss_that_breaks_down_is_told(monkeypatch):
    monkeypatch.setattr(
        youtube_dnn_training, "_loss", lambda towers, *_: towers.users(torch.tensor([1])).sum() * torch.nan
    )
    with pytest.raises(ModelError, match="loss was not finite in epoch 1: lower --learning-rate"):
        train_youtube_dnn(cycle_log(), validation=None, epochs=3, **SMALL)
