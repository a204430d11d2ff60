"""README.md names what sets everything up."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readme_names_the_two_commands_that_set_everything_up():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "bash examples/quickstart.sh" in text
    assert "bash tests/run.sh" in text
