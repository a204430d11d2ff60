from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import pytest

from llmi2i_cli.errors import PackageError
from llmi2i_cli.plots import requirements
from llmi2i_cli.plots.drawing import INK, in_style, inline_svg, panels, write_pictures

PROGRAM = """
import sys
from pathlib import Path
from llmi2i_cli.plots.drawing import in_style, panels, write_pictures
with in_style():
    figure, [axis] = panels()
    axis.plot([0, 1], [2, 3])
    axis.set_xlabel("x")
write_pictures({"line": figure}, Path(sys.argv[1]))
"""


def line():
    with in_style():
        figure, [axis] = panels()
        axis.plot([0, 1], [2, 3])
        axis.set_xlabel("x")
    return figure


def test_pictures_have_the_same_bytes_in_every_process_whatever_matplotlib_is_set_to(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run([sys.executable, "-c", PROGRAM, str(other)], check=True)
    with mpl.rc_context({"font.size": 30, "savefig.facecolor": "red", "svg.hashsalt": "another"}):
        written = write_pictures({"line": line()}, tmp_path)
    assert [path.name for path in written] == ["line.png", "line.svg"]
    for path in written:
        assert path.read_bytes() == (other / path.name).read_bytes()
    assert written[0].read_bytes().startswith(b"\x89PNG")
    svg = written[1].read_text()
    assert 'width="576pt"' in svg  # 8 inches
    assert ">x</text>" in svg  # text stays text
    assert INK in svg
    assert "<dc:date>" not in svg


def test_many_figures_fit_on_a_page_without_sharing_ids():
    one, two = inline_svg(line(), "one"), inline_svg(line(), "two")
    assert one.startswith("<svg")
    assert 'id="one-figure_1"' in one
    assert "url(#one-" in one
    assert 'id="figure_1"' not in one
    assert two == one.replace("one-", "two-")


def test_without_matplotlib_a_line_says_what_to_install(monkeypatch):
    requirements.require_plots("--plot")
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(PackageError) as caught:
        requirements.require_plots("--plot")
    assert str(caught.value) == "--plot needs matplotlib and jinja2: run `pip install 'llmi2i[plots]'` first"
