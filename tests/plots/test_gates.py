from __future__ import annotations

import numpy as np

from llmi2i_cli.plots.gates import gates_figure


def test_a_bar_for_each_figure_and_a_line_at_its_gate():
    gates = {
        "max_lost": {"figure": 0.02, "bound": 0.05, "passed": True},
        "min_overlap": {"figure": 0.1, "bound": 0.2, "passed": False},
        "min_recall": {"figure": None, "bound": 0.9, "passed": None},
    }
    [axis] = gates_figure(gates).axes
    assert [bar.get_width() for bars in axis.containers for bar in bars] == [0.02, 0.1, 0]
    assert len({bar.get_facecolor() for bars in axis.containers for bar in bars}) == 3
    assert [np.asarray(line.get_xdata()).tolist() for line in axis.get_lines()] == [[0.05] * 2, [0.2] * 2, [0.9] * 2]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["lost", "overlap", "recall"]
    assert [text.get_text() for text in axis.texts] == [
        "0.02 (at most 0.05)",
        "0.1 (at least 0.2)",
        "not known (at least 0.9)",
    ]
