"""The documentation in examples/docs: it builds without a warning, and says what the program does."""

from __future__ import annotations

import re
import runpy

import pytest
from sphinx.cmd.build import build_main

from tests.reference import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_made_from_the_program_is_up_to_date(name):
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `python -m tests.reference --write`"


def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path):
    site = tmp_path / "html"
    arguments = ["-W", "--keep-going", "-q", "-b", "html", "-d", tmp_path / "doctrees", DOCS, site]
    assert build_main([str(argument) for argument in arguments]) == 0
    pages = {path.stem for path in DOCS.glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} >= pages
    for page in pages:
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]*src=\"(?:https?:)?//", text)
        assert not re.findall(r"<link[^>]*rel=\"stylesheet\"[^>]*href=\"(?:https?:)?//", text)
    text = (site / "method.html").read_text(encoding="utf-8")
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in text
    assert "math notranslate" not in text


SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SNIPPETS = [(path.stem, snippet) for path in sorted(DOCS.glob("*.md")) for snippet in SNIPPET.findall(path.read_text())]


@pytest.mark.parametrize(("page", "snippet"), SNIPPETS, ids=[page for page, _ in SNIPPETS])
def test_snippets_of_python_run(page, snippet, pipeline, tmp_path, monkeypatch):
    (tmp_path / "work").symlink_to(pipeline)
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, f"{page}.md", "exec"), {})


def test_the_plot_of_gains_shows_the_table_of_results():
    gains_by_log = runpy.run_path(str(DOCS / "gains.py"))["gains_by_log"]
    gains = gains_by_log((DOCS / "results.md").read_text(encoding="utf-8"))
    assert [len(rows) for rows in gains.values()] == [3, 3, 3]
    assert gains["Toys"][2] == ("Swing", 0.32, (0.278, 0.364))
    picture = (DOCS / "gains.svg").read_text(encoding="utf-8")
    shown = [f"{row.gain:+.1%}" for rows in gains.values() for row in rows]
    assert [gain for gain in shown if gain not in picture] == [], "run `python examples/docs/gains.py`"
