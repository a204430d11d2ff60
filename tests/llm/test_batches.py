from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmi2i_cli.llm.batches import Collator, Shares
from tests.llm.test_finetune import a_model


def parts(n_examples, part_size, rank, world_size, epoch=0):
    shares = Shares(n_examples, part_size, seed=5, rank=rank, world_size=world_size)
    shares.set_epoch(epoch)
    assert len(shares) == len(list(shares))
    return list(shares)


@settings(deadline=None)
@given(
    n_examples=st.integers(1, 30), part_size=st.integers(1, 9), world_size=st.integers(1, 5), epoch=st.integers(0, 3)
)
def test_the_shares_of_all_processes_are_the_batch_of_one(n_examples, part_size, world_size, epoch):
    whole = parts(n_examples, part_size, 0, 1, epoch)
    assert sorted(index for part in whole for index in part) == list(range(n_examples))
    assert all(len(part) == part_size for part in whole[:-1])
    for part, *shares in zip(
        whole, *(parts(n_examples, part_size, rank, world_size, epoch) for rank in range(world_size)), strict=True
    ):
        assert sorted(index for share in shares for index in share) == sorted(part)
        sizes = [len(share) for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_every_epoch_has_an_order_of_its_own():
    orders = [parts(20, 4, 0, 1, epoch) for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_who_stands_in_for_an_empty_share_counts_for_nothing():
    model, examples = a_model(dropout=0)
    batch = Collator(examples, pad_token=0)([])
    assert batch["shift_labels"].ne(-100).sum() == 0
    loss = model(**batch, num_items_in_batch=7)["loss"]
    loss.backward()
    assert loss.item() == 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name  # DDP waits for every parameter's
        assert not parameter.grad.any(), name


def test_a_batch_holds_each_example_once():
    _, examples = a_model()
    batch = Collator(examples, pad_token=0)([3, 1])
    labels = torch.cat([torch.from_numpy(examples.sequence(index)[1]).long() for index in (3, 1)])
    assert torch.equal(batch["labels"], labels)
    assert torch.equal(batch["shift_labels"], labels)
    assert batch["segments"].max() == 2
    assert pytest.approx(batch["weights"].tolist()) == [4.0 if label < 3 else 1.0 for label in labels.tolist()]
