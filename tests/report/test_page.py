from __future__ import annotations

import re
from html.parser import HTMLParser

from llmi2i_cli.choices.models import TableName
from llmi2i_cli.plots.gains import Gain, gains_figure
from llmi2i_cli.report.contents import Contents
from llmi2i_cli.report.page import render

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def neighbour(item_id, title, **more):
    told = {"score": 1.0, "shares": {"counts": 0.25, "text": 0.0, "llm": 0.75}, "users": 1, "generated": 3.0}
    return {"item_id": item_id, "title": title, **told, "rank_in_other": None, **more}


def both(model):
    return TableName(model, "real"), TableName(model, "fused")


def text_of(page):
    """What a reader sees, words apart by one space; fails on an element that is not closed."""

    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.seen, self.open = [], []

        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "link", "br", "img"}:
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            if "style" not in self.open:
                self.seen.append(data)

    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return " ".join(" ".join(reader.seen).split())


def test_an_empty_work_directory_says_what_to_run():
    text = text_of(render(Contents("shop", [], None)))
    assert "Nothing was evaluated yet: run llmi2i evaluate --data fused --baseline real" in text
    assert "There are no two tables to compare" in text


def test_whatever_a_log_holds_is_text_and_nothing_is_fetched_or_run():
    item = {"item_id": EVIL, "title": EVIL, "train_count": 2}
    compared = [("Bestsellers", [{**item, "before": [neighbour(EVIL, EVIL)], "after": [neighbour(EVIL, None)]}])]
    page = render(Contents(EVIL, [], both("bm25"), compared=compared, reasons=[EVIL]))
    assert "<script" not in page
    assert "<img" not in page
    assert text_of(page).count(EVIL) == 7  # title, heading, reason, the item's two and one of each neighbour
    assert re.findall(r"(?:src|href)=\"([^#][^\"]*)\"", page) == ["data:,"]
    assert "default-src 'none'" in page


def test_neighbours_tell_where_they_come_from_and_where_they_stood():
    real = [
        neighbour("a", "Anvil", shares={"counts": 1.0}, users=4, generated=0.0, rank_in_other=7),
        neighbour("b", "Bell"),
    ]
    fused = [neighbour("c", None), neighbour("a", "Anvil", users=0, rank_in_other=1)]
    item = {"item_id": "x", "title": "Xylophone", "train_count": 1, "before": real, "after": fused}
    page = render(Contents("shop", [], both("swing"), compared=[("Long tail", [item])]))
    text = text_of(page)
    assert "before (Swing, real log) and after (Swing, fused log)" in text
    assert "Long tail Xylophone x · 1 time in train Swing, real log" in text
    assert "Anvil counts 100% · 4 users · now 7 Bell counts 25%, LLM 75% · 1 user, 3 generated · now gone" in text
    assert "Swing, fused log c new counts 25%, LLM 75% · 1 user, 3 generated Anvil" in text
    assert "0 users, 3 generated · was 1" in text
    assert '<i class="counts" style="width:25.0%"></i><i class="llm" style="width:75.0%"></i>' in page


def test_figures_take_the_colours_of_the_page():
    figure = gains_figure({"": [Gain("Swing", 0.1, (-0.1, 0.3))]}, title="Gains", metric="Recall@10", over="x")
    told = dict.fromkeys(("recall", "interval", "ndcg", "gain", "gain_interval"))
    results = [{"split": "test", "model": "Swing", "data": "real", "over": "", "all": told, "long_tail": told}]
    best = {
        **{"model": "swing", "data": "real", "split": "test", "users": 3},
        "protocol": {"exclude_seen": True, "recent": 5},
        "metrics": {"all": {"recall@10": 0.5}, "long_tail": {"recall@10": 0.25}},
        "intervals": {"all": {"recall@10": None}, "long_tail": {"recall@10": [0.2, 0.3]}},
    }
    page = render(Contents("shop", [], None, best=best, k=10, results=results, figures={"gains": figure}))
    assert page.count("<svg") == 1
    svg = page[page.index("<svg") : page.index("</svg>")]
    assert "currentColor" in svg
    assert "var(--paper)" in svg
    assert not re.search("#1b1d21|#c9ccd1|#fefefe", svg)
    text = text_of(page)
    assert (
        "Swing, Recall@10, all targets 0.5000 95%: none Swing, Recall@10, long-tail targets 0.2500 95%: 0.2000 … 0.3000"
        in text
    )
    assert "Swing looks up 5 recent items; 3 users." in text
