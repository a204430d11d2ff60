from __future__ import annotations

import threading
from functools import partial

import pytest

from llmi2i_cli.publishing.made_ahead import made_ahead


def test_the_next_are_made_meanwhile_and_come_in_their_order():
    begun = [threading.Event() for _ in range(6)]
    may_end = threading.Event()

    def call(number):
        begun[number].set()
        if number:
            assert may_end.wait(60)
        return number

    made = made_ahead((partial(call, number) for number in range(6)), at_work=2)
    assert next(made) == 0
    assert begun[1].wait(60)
    assert begun[2].wait(60)
    assert not any(event.is_set() for event in begun[3:])
    may_end.set()
    assert list(made) == [1, 2, 3, 4, 5]


def test_what_fails_fails_in_its_turn():
    made = made_ahead([lambda: 1.0, lambda: 1 / 0, lambda: 3.0], at_work=2)
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert list(made_ahead([], at_work=2)) == []
