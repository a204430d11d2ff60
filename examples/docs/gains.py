"""Draws the gains in the first table of results.md as gains.svg: `python examples/docs/gains.py` (extra: plots)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from llmi2i_cli.plots.drawing import write_picture
from llmi2i_cli.plots.gains import Gain, gains_figure

HERE = Path(__file__).parent
ROW = re.compile(r"^\| (\w+) \| ([^|]+) \| 0\.\d+ \| 0\.\d+ \| (\S+)% \((\S+)% \.\. (\S+)%\) \|", re.MULTILINE)


def gains_by_log(page: str) -> Mapping[str, list[Gain]]:
    """Log -> the gain of each model, from the table's rows."""
    found = defaultdict(list)
    for log, model, *percents in ROW.findall(page):
        gain, low, high = (float(percent) / 100 for percent in percents)
        found[log].append(Gain(model, gain, (low, high)))
    return found


if __name__ == "__main__":
    gains = gains_by_log((HERE / "results.md").read_text(encoding="utf-8"))
    figure = gains_figure(gains, title="What the language models add", metric="test Recall@10", over="the real log")
    write_picture(figure, HERE / "gains.svg")
