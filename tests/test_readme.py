"""README.md says what the program does: every command and option stands in it, with its help and default."""

from __future__ import annotations

from tests.reference import BEGIN, END, README, with_reference


def test_the_reference_in_the_readme_is_what_help_says():
    text = README.read_text(encoding="utf-8")
    assert BEGIN in text
    assert END in text
    assert text == with_reference(text), "run `python -m tests.reference --write`"


def test_the_readme_names_the_two_commands_that_set_everything_up():
    text = README.read_text(encoding="utf-8")
    assert "bash examples/quickstart.sh" in text
    assert "bash tests/run.sh" in text
