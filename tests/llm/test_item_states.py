"""What item-to-item models are told by the generator, against one prompt an item."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llmi2i_cli.llm import fixed_shapes, item_states
from llmi2i_cli.llm.item_states import ItemStates
from tests.llm.test_generate import N_ITEMS, generator_of
from tests.llm.tiny import save_pretrained_base


@pytest.fixture(scope="module", params=["llama-tiny", "llama"])
def generator(request, tmp_path_factory):
    trained_elsewhere = request.param == "llama"
    return generator_of(save_pretrained_base(tmp_path_factory.mktemp("base")) if trained_elsewhere else request.param)


@pytest.mark.parametrize("items_at_once", [1024, 7])
def test_states_times_item_vectors_are_the_logits_of_a_history_of_one_item(generator, monkeypatch, items_at_once):
    monkeypatch.setattr(item_states, "ITEMS_AT_ONCE", items_at_once)
    monkeypatch.setattr(fixed_shapes, "TOKENS_AT_ONCE", 64)
    asked = ItemStates(generator, N_ITEMS)
    logits = asked.states_after_each() @ asked.item_vectors().T
    assert (logits.dtype, logits.shape) == (np.float32, (N_ITEMS, N_ITEMS))
    model, pieces = generator.model, generator.pieces
    for item in range(N_ITEMS):
        tokens = np.concatenate([pieces.prefix(0), pieces.item_part(np.array([item], np.int32))])
        with torch.no_grad():
            table = model.input_table()
            state = model.decoder(inputs_embeds=table[torch.from_numpy(tokens)][None]).last_hidden_state[0, -1]
            expected = model.output_rows(table) @ state
        assert logits[item] == pytest.approx(expected.numpy(), abs=1e-3)
