import numpy as np
import pytest

from llmi2i_cli.i2i import slices
from llmi2i_cli.i2i.slices import run_slices


@pytest.fixture(autouse=True)
def small_slices(monkeypatch):
    monkeypatch.setattr(slices, "COST_PER_SLICE", 10)


def test_every_element_is_in_one_slice_and_slices_cost_about_the_same():
    costs = np.random.default_rng(0).integers(0, 5, 200)
    done = []
    shares = list(run_slices(lambda first, last, tag: done.append((first, last, tag)), costs, "x"))
    assert len(done) == costs.sum() // 10 and shares == [n / len(done) for n in range(1, len(done) + 1)]
    done.sort()
    assert [first for first, _, _ in done[1:]] == [last for _, last, _ in done[:-1]]
    assert not costs[: done[0][0]].any() and not costs[done[-1][1] :].any()
    assert all(5 <= costs[first:last].sum() <= 15 for first, last, _ in done)
    assert {tag for _, _, tag in done} == {"x"}


def test_one_costly_element_is_a_slice():
    done = []
    list(run_slices(lambda first, last: done.append((first, last)), np.array([0, 0, 90, 1, 0])))
    assert done == [(2, 4)]


@pytest.mark.parametrize("costs", [[], [0, 0]])
def test_nothing_to_do(costs):
    assert list(run_slices(lambda first, last: pytest.fail("called"), np.array(costs, np.int64))) == []


def test_an_error_reaches_the_caller():
    def fail(first, last):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run_slices(fail, np.full(50, 10)))
