"""Which options of prepare tell that a model may have been trained on what is held out now."""

from __future__ import annotations

import json

import pytest

from llmi2i_cli.artifacts.holding_out import DECISIVE, held_out_by, what_differs
from llmi2i_cli.choices.preparation import PrepareOptions
from tests.conftest import as_own, run

OPTIONS = json.loads(json.dumps(PrepareOptions().flat()))  # as a manifest has them
DEFAULTS = {name: value for name, value in OPTIONS.items() if name in DECISIVE}


def test_every_name_is_an_option():
    assert set(DEFAULTS) == set(DECISIVE)
    assert what_differs(DEFAULTS, DEFAULTS) is None


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({}, {"split": "last-day"}, "--split: leave-last-two then, last-day now"),
        ({}, {"target_event": ["buy", "cart"]}, "--target-event: none then, buy cart now"),
        ({"days": 30}, {"days": 90}, "--days: 30 then, 90 now"),
        ({}, {"min_rating": 4.0}, "--min-rating: none then, 4.0 now"),
        ({"until": "2026-11-20"}, {"until": "2026-11-21"}, None),
        ({"until": "2026-11-20"}, {}, None),
        ({}, {"until": "2026-11-20"}, "--until: none then, 2026-11-20 now"),
        ({"until": "2026-11-20"}, {"until": "2026-11-19"}, "--until: 2026-11-20 then, 2026-11-19 now"),
        ({"until": "999"}, {"until": "1000"}, None),
        ({"until": "1000"}, {"until": "999"}, "--until: 1000 then, 999 now"),
        ({}, {"since": "2026-11-20"}, None),
        ({"since": "2026-11-20"}, {"since": "2026-11-21"}, None),
        ({"since": "2026-11-20"}, {}, "--since: 2026-11-20 then, none now"),
        ({"since": "2026-11-20"}, {"since": "2026-11-19"}, "--since: 2026-11-20 then, 2026-11-19 now"),
    ],
)
def test_a_window_moves_on_and_all_else_stays(before, now, told):
    assert what_differs({**DEFAULTS, **before}, {**DEFAULTS, **now}) == told


def test_what_is_not_known_is_let_be():
    assert what_differs({}, DEFAULTS) is what_differs(DEFAULTS, {}) is None


def test_the_options_come_from_the_manifest(tmp_path):
    for name, user in (("log", "u"), ("valid", "v")):
        (tmp_path / f"{name}.csv").write_text(f"user_id,item_id,time\n{user},a,1\n{user},b,2\n")
    assert run("prepare", tmp_path / "log.csv", "--until", "2026-11-20", "-w", tmp_path / "work") == 0
    assert held_out_by(tmp_path / "work") == {**DEFAULTS, "until": "2026-11-20"}
    as_own(tmp_path / "work", "prepare/items.parquet")
    assert held_out_by(tmp_path / "work") == {}
    files = (tmp_path / "log.csv", "--valid", tmp_path / "valid.csv")
    assert run("prepare", *files, "-w", tmp_path / "files") == 0
    assert held_out_by(tmp_path / "files")["split"] == "--valid and --test"
