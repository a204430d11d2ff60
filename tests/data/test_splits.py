import hashlib
import itertools

import polars as pl
import pytest

from llmi2i_cli.data.splits import EvalUsers, LastDay, leave_last_two, only_targets, split_none, train_up_to

DAY = 86_400


def log(**times):
    rows = [(user, f"i{t}", t) for user, ts in times.items() for t in ts]
    return pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}, orient="row")


def splits(frame):
    return frame["split"].to_list()


def test_none_is_all_train():
    assert splits(split_none(log(a=[1, 2, 3]))) == ["train"] * 3


def test_the_last_is_test_and_the_one_before_it_valid():
    expected = ["train", "train", "valid", "test", "train", "valid", "test"]
    assert splits(leave_last_two(log(a=[1, 2, 3, 4], b=[5, 5, 5]))) == expected


def test_users_with_fewer_than_three_are_all_train():
    assert splits(leave_last_two(log(a=[1], b=[1, 2]))) == ["train"] * 3


def plainly_held_out(targets):
    """The splits of one user's interactions, from which of them may be held out; None for what is left out."""
    held_out = [place for place, target in enumerate(targets) if target][-2:]
    if not held_out or held_out[0] == 0:
        return ["train"] * len(targets)
    split_of = dict(zip(held_out, ["valid", "test"][-len(held_out) :], strict=True))
    return [split_of.get(place, "train" if place < held_out[0] else None) for place in range(len(targets))]


@pytest.mark.parametrize("length", range(1, 7))
def test_only_targets_are_held_out_and_nothing_behind_the_first_of_them_is_trained_on(length):
    for targets in itertools.product((False, True), repeat=length):
        frame = log(a=range(length)).with_columns(is_target=pl.Series(targets))
        expected = [(time, split) for time, split in enumerate(plainly_held_out(targets)) if split]
        assert only_targets(leave_last_two(frame)).select("timestamp", "split").rows() == expected
        fitted = only_targets(train_up_to(leave_last_two(frame), "test"))
        assert splits(fitted) == ["train"] * length  # what is served is trained on all


@pytest.mark.parametrize(
    ("to_split", "expected"),
    [
        ("train", ["train", "train", "valid", "test", "train"]),
        ("valid", ["train", "train", "train", "test", "train"]),
        ("test", ["train"] * 5),
    ],
)
def test_train_takes_in_all_up_to_a_split(to_split, expected):
    assert splits(train_up_to(leave_last_two(log(a=[1, 2, 3, 4], b=[1])), to_split)) == expected


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_the_last_calendar_day_is_test(unit, factor):
    end = 16_000 * DAY + 100  # the last interaction, 100 s after midnight
    times = [end - 3 * DAY, 15_999 * DAY - 1, 15_999 * DAY, 16_000 * DAY - 1, 16_000 * DAY, end]
    frame = log(a=[t * factor for t in times])
    found = LastDay.of(end * factor, unit).split(frame)
    assert splits(found) == ["train", "train", "valid", "valid", "test", "test"]


def test_days_before_1970_are_days_too():
    assert splits(LastDay.of(-1, "s").split(log(a=[-2 * DAY - 1, -2 * DAY, -DAY - 1, -DAY, -1]))) == [
        "train",
        "valid",
        "valid",
        "test",
        "test",
    ]


def held_out_users(frame, split):
    return set(frame.filter(pl.col("split") == split)["user_id"])


def test_a_sample_of_users_keeps_its_held_out_interactions():
    users = {f"u{k}": [1, 8 * DAY + k, 9 * DAY + k] for k in range(20)} | {"new": [9 * DAY]}
    frame = LastDay.of(9 * DAY, "s").split(log(**users))
    sample = EvalUsers(5, seed=7)
    sample.add(frame[:30])
    sample.add(frame[30:])
    kept = sample.keep(frame)
    place = {u: hashlib.blake2b(u.encode(), digest_size=8, key=b"7").digest()[::-1] for u in users}
    expected = set(sorted(users.keys() - {"new"}, key=place.__getitem__)[:5])
    assert held_out_users(kept, "test") == held_out_users(kept, "valid") == expected
    train = frame.filter(pl.col("split") == "train")
    assert kept.filter(pl.col("split") == "train").equals(train)
    assert kept.columns == frame.columns
    assert len(kept) == len(train) + 10


def test_each_day_has_its_own_sample():
    frame = LastDay.of(9 * DAY, "s").split(log(a=[1, 8 * DAY], b=[1, 9 * DAY], c=[1, 8 * DAY, 9 * DAY]))
    sample = EvalUsers(2, seed=0)
    sample.add(frame)
    assert sample.keep(frame).equals(frame)


def test_the_seed_decides_the_sample():
    frame = LastDay.of(9 * DAY, "s").split(log(**{f"u{k}": [1, 9 * DAY] for k in range(50)}))

    def drawn(seed):
        sample = EvalUsers(5, seed)
        sample.add(frame)
        return held_out_users(sample.keep(frame), "test")

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
