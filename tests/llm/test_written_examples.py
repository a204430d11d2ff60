from __future__ import annotations

import json

import pytest

from llmi2i_cli.artifacts.prepared import PreparedLog
from llmi2i_cli.llm.finetuning_options import GeneratorOptions
from llmi2i_cli.llm.written_examples import write_examples
from tests.llm.tiny import catalogue_of, random_histories, save_pretrained_base, titles_of

N_ITEMS = 10
CATALOGUE = catalogue_of(titles_of(N_ITEMS), tail=(1, 4))


@pytest.mark.parametrize("family", ["llama-tiny", "llama"])
def test_written_examples_are_the_trained_targets(tmp_path, family):
    spec = family if family == "llama-tiny" else str(save_pretrained_base(tmp_path / "base", family))
    options = GeneratorOptions(base_model=spec, beta=0.5, seed=1)
    log = random_histories(6, N_ITEMS, seed=4, shortest=0, longest=5)
    profiles = ["red lamp"] + [""] * 5
    written = write_examples(options, PreparedLog(CATALOGUE, profiles, log), tmp_path / "examples.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = []
    for user in range(6):
        row = log.row(user).tolist()
        for place, target in enumerate(row):
            expected.append((user, row[:place], target))
    assert written == len(lines) == len(expected) == len(log.items)
    for line, (user, before, target) in zip(lines, expected, strict=True):
        assert line.keys() == {"prompt", "completion", "weight"}
        assert line["completion"] == f"<item:i{target}>"
        assert line["weight"] == (4.0 if target in (1, 4) else 0.5)
        places = [line["prompt"].index(f"<item:i{item}>") for item in before if before.count(item) == 1]
        assert places == sorted(places)
        assert line["prompt"].count("<item:") == len(before)
        assert line["prompt"].startswith("<s>")
        assert ("red lamp" in line["prompt"].partition("<item")[0]) == (user == 0)
        if family == "llama":
            assert "continue with the next item" in line["prompt"]
            if before:
                assert line["prompt"].endswith(f"<item:i{before[-1]}> {CATALOGUE.titles[before[-1]]}")
