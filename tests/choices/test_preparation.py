import json

import pytest

from llmi2i_cli.choices.preparation import CleanOptions, PrepareOptions, ReadOptions, SplitOptions
from llmi2i_cli.errors import UsageError


def test_options_are_dealt_out_to_their_steps_and_back():
    given = {"min_user_items": 3, "split": "none", "user_column": "who", "tail_fraction": 0.5, "logs": []}
    options = PrepareOptions.from_flat(given)
    assert options.clean == CleanOptions(min_user_items=3)
    assert options.split == SplitOptions(split="none")
    assert options.read == ReadOptions(user_column="who")
    assert options.tail.tail_fraction == 0.5
    assert PrepareOptions.from_flat(json.loads(json.dumps(options.flat()))) == options


def test_no_two_steps_share_an_option():
    steps = vars(PrepareOptions())
    assert len(PrepareOptions().flat()) == sum(len(vars(step)) for step in steps.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_user_items": 0}, "--max-user-items is at least 1, not 0"),
        ({"eval_users": 0}, "--eval-users is at least 1, not 0"),
        ({"tail_fraction": 1.5}, "--tail-fraction is at most 1, not 1.5"),
        ({"eval_users": 5}, "--eval-users samples users for --split last-day"),
        ({"time_column": "x", "item_column": "x"}, "name the same column 'x'"),
    ],
)
def test_what_a_program_passes_is_checked(given, message):
    with pytest.raises(UsageError, match=message):
        PrepareOptions.from_flat(given).check()
