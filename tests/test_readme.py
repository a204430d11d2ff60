"""README.md names what sets everything up, stays short, and leads to files that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_the_two_commands_that_set_everything_up():
    assert "bash examples/quickstart.sh" in TEXT
    assert "bash tests/run.sh" in TEXT


def test_the_readme_is_read_in_one_go():
    assert len(TEXT.splitlines()) <= 150


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
