"""Progress as other processes read it; what a terminal shows is rich's."""

from __future__ import annotations

import pytest

from llmi2i_cli.runs import progress
from llmi2i_cli.runs.progress import progress_bar


@pytest.fixture
def clock(monkeypatch):
    """Seconds, set by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_progress_is_reported_at_the_start_and_then_every_two_seconds_at_most(clock):
    told = []
    with progress_bar("Work", 5, report=lambda **progress: told.append(progress)) as bar:
        for clock[0] in (100.5, 101.9, 102.1, 104.0, 104.2):
            bar.advance()
    steps = [(report["done"], report["total"]) for report in told]
    assert steps == [(0, 5), (3, 5), (5, 5)]
    assert {report["doing"] for report in told} == {"Work"}


def test_a_total_that_is_known_later_is_reported_with_it(clock):
    told = []
    with progress_bar("Work", report=lambda **progress: told.append(progress["total"])) as bar:
        clock[0] += 2
        bar.update(1, 7)
    assert told == [None, 7]
