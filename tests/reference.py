"""The reference of commands and options in README.md, made from the program itself.

`python -m tests.reference --write` puts it between the two marks; a test holds that it is up to date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import typer

from llmi2i_cli.cli.app import app

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"


def reference() -> str:
    """Markdown: a heading, the help and a table of options for each command, in the order of `llmi2i --help`."""
    group: Any = typer.main.get_command(app)
    parts = []
    for name, command in group.commands.items():
        summary, _, rest = (command.help or "").partition("\n")
        example = re.search(r"Example: (.*)", rest)
        parts += [f"#### `{name}`", "", summary.strip(), ""]
        if example:
            parts += ["```bash", example.group(1).strip(), "```", ""]
        parts += ["| option | default | meaning |", "|---|---|---|"]
        for parameter in command.params:
            if parameter.name == "help":
                continue
            spelled = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "argument":
                spelled = f"`{parameter.metavar or parameter.name.upper()}`"
            meaning = (parameter.help or "").replace("|", "\\|")
            default, found = parameter.default, re.search(r" ?\[default: (.*?)\]$", meaning)
            if found:
                shown, meaning = found.group(1), meaning[: found.start()]
            elif isinstance(parameter.show_default, str):
                shown = parameter.show_default
            elif default is None or default is False or callable(default):
                shown = ""
            elif isinstance(default, list | tuple):
                shown = ", ".join(f"`{each}`" for each in default)
            else:
                shown = "yes" if default is True else f"`{default}`"
            parts.append(f"| {spelled} | {shown} | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def with_reference(text: str) -> str:
    """`text` with the part between the marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        README.write_text(with_reference(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(reference())
