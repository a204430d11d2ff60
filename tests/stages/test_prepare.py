import gzip
import json
import random

import polars as pl
import pytest

from llmi2i_cli.__main__ import main
from llmi2i_cli.artifacts.schemas import table_of
from llmi2i_cli.data.bucketed_log import BucketedLog
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.stages import prepare as stage

DAY_MS = 86_400_000
ARTIFACTS = ("interactions", "items", "users")


@pytest.fixture
def log(tmp_path):
    """A log as CSV and as a frame: 60 users, 30 items, 900 interactions, some of them exact duplicates."""
    rng = random.Random(3)
    rows = [
        (f"u{rng.randrange(60)}", f"i{rng.randrange(1, 30) // rng.randrange(1, 4)}", rng.randrange(400))
        for _ in range(900)
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    frame.write_csv(tmp_path / "log.csv")
    return frame


def run(*arguments):
    return main([str(argument) for argument in arguments])


def prepared(workdir):
    frames = [pl.read_parquet(workdir / "prepare" / f"{name}.parquet") for name in ARTIFACTS]
    for frame, name in zip(frames, ARTIFACTS, strict=True):
        assert frame.schema == pl.Schema(table_of(f"prepare/{name}.parquet").schema)
    return frames


def contents(workdir):
    return {path.name: path.read_bytes() for path in (workdir / "prepare").glob("*.parquet")}


def test_sequences_with_a_catalogue_and_profiles_to_the_last_row(tmp_path, capsys):
    (tmp_path / "log.txt").write_text("u2 a b a c\nu1 a b\nu2 b\n")
    (tmp_path / "items.csv").write_text("item_id,title,brand\nb,Rug,Acme\na,Lamp,\nz,Vase,Acme\n")
    (tmp_path / "users.csv").write_text("user_id,age\nu2,30\nu9,40\n")
    arguments = ("--items", tmp_path / "items.csv", "--users", tmp_path / "users.csv", "--tail-max-count", 1)
    assert run("prepare", tmp_path / "log.txt", *arguments, "--tail-fraction", 0.5, "-w", tmp_path / "w", "--json") == 0
    interactions, items, users = prepared(tmp_path / "w")
    assert interactions.rows() == [
        ("u1", "a", 0, "train"),
        ("u1", "b", 1, "train"),
        ("u2", "a", 0, "train"),
        ("u2", "b", 1, "train"),
        ("u2", "a", 2, "train"),
        ("u2", "c", 3, "valid"),
        ("u2", "b", 4, "test"),
    ]
    assert items.rows() == [
        ("a", "Lamp", "Lamp", 3, False, False),
        ("b", "Rug", "Rug. Acme", 2, False, True),
        ("z", "Vase", "Vase. Acme", 0, False, True),
    ]
    assert users.rows() == [("u1", 2, ""), ("u2", 3, "age: 30")]
    output = capsys.readouterr()
    assert json.loads(output.out) == {
        "users": 2,
        "items": 3,
        "interactions": 7,
        "train": 5,
        "valid": 1,
        "test": 1,
        "density": 7 / 6,
        "long_tail_items": 0,
        "long_tail_share": 0.0,
        "train_tail_items": 1,
        "never_bought_items": 1,
        "unknown_targets": 1,
        "up_to_date": False,
    }
    assert output.err == ""
    assert {path.name for path in (tmp_path / "w" / "prepare").iterdir()} == {
        "interactions.parquet",
        "items.parquet",
        "users.parquet",
        "manifest.json",
    }


def test_rows_are_grouped_by_user_oldest_first_without_duplicates(tmp_path, log):
    assert run("prepare", tmp_path / "log.csv", "-w", tmp_path / "w") == 0
    interactions, items, users = prepared(tmp_path / "w")
    expected = log.unique(maintain_order=True).sort("user_id", "timestamp", maintain_order=True)
    assert interactions.drop("split").equals(expected)
    assert users["user_id"].to_list() == sorted(set(log["user_id"]))
    assert items["item_id"].to_list() == sorted(set(log["item_id"]))
    counts = interactions.filter(pl.col("split") == "train")["item_id"].value_counts()
    assert dict(items.select("item_id", "train_count").rows()) == dict.fromkeys(items["item_id"], 0) | dict(
        counts.rows()
    )


def test_all_formats_give_the_same_bytes(tmp_path, log):
    log.write_ndjson(tmp_path / "log.jsonl")
    log.write_parquet(tmp_path / "log.parquet")
    named = log.rename({"user_id": "user_id:token", "item_id": "item_id:token", "timestamp": "timestamp:float"})
    named.write_csv(tmp_path / "log.inter", separator="\t")
    log.rename({"user_id": "reviewerID", "item_id": "asin", "timestamp": "unixReviewTime"}).write_ndjson(
        tmp_path / "reviews.json"
    )
    (tmp_path / "log.tsv.gz").write_bytes(gzip.compress(log.write_csv(separator="\t").encode()))
    found = []
    for name in ("log.csv", "log.jsonl", "log.parquet", "log.inter", "reviews.json", "log.tsv.gz"):
        assert run("prepare", tmp_path / name, "-w", tmp_path / name.replace(".", "-")) == 0
        found.append(contents(tmp_path / name.replace(".", "-")))
    assert all(one == found[0] for one in found)


@pytest.fixture
def atomic_files(tmp_path):
    """A folder as RecBole has them, with what else lies in it."""
    folder = tmp_path / "ml"
    folder.mkdir()
    (folder / "ml.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\ta\t1\n1\tb\t2\n2\ta\t1\n")
    (folder / "ml.item").write_text(
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\na\tHeat\tCrime\nb\tBabe\t\n"
    )
    (folder / "ml.user").write_text("user_id:token\tage:token\n1\t24\n2\t53\n")
    (folder / "ml.link").write_text("item_id:token\tentity_id:token\na\tm.1\n")
    (folder / "README.md").write_text("MovieLens with a few words.\n")
    return folder


def test_a_recbole_folder_is_a_log_with_its_catalogue_and_profiles(tmp_path, capsys, atomic_files):
    assert run("prepare", atomic_files, "--split", "none", "-w", tmp_path / "w") == 0
    interactions, items, users = prepared(tmp_path / "w")
    assert interactions.rows() == [("1", "a", 1, "train"), ("1", "b", 2, "train"), ("2", "a", 1, "train")]
    assert items.select("item_id", "title", "text").rows() == [("a", "Heat", "Heat. Crime"), ("b", "Babe", "Babe")]
    assert users.select("user_id", "profile").rows() == [("1", "age: 24"), ("2", "age: 53")]
    assert capsys.readouterr().err.splitlines() == [
        f"{atomic_files}/ml.item: read as the catalogue; --items takes another file",
        f"{atomic_files}/ml.user: read as the users' profiles; --users takes another file",
        f"{atomic_files}/README.md, {atomic_files}/ml.link: left out, no log",
    ]


def test_a_catalogue_that_was_given_replaces_the_one_beside_the_log(tmp_path, capsys, atomic_files):
    (tmp_path / "items.csv").write_text("item_id,title\na,Hitze\n")
    given = ("--items", tmp_path / "items.csv", "--users", atomic_files / "ml.user")
    assert run("prepare", atomic_files, *given, "--split", "none", "-w", tmp_path / "w") == 0
    _, items, users = prepared(tmp_path / "w")
    assert items["title"].to_list() == ["Hitze", ""]
    assert users["profile"].to_list() == ["age: 24", "age: 53"]
    notices = capsys.readouterr().err.splitlines()
    assert notices[0] == f"{atomic_files}/README.md, {atomic_files}/ml.link, {atomic_files}/ml.item: left out, no log"


def test_several_inputs_follow_each_other(tmp_path, log):
    (tmp_path / "parts").mkdir()
    log[:300].write_csv(tmp_path / "parts" / "a.csv")
    log[300:350].write_parquet(tmp_path / "parts" / "b.parquet")
    log[350:].write_ndjson(tmp_path / "last.jsonl")
    assert run("prepare", tmp_path / "parts", tmp_path / "last.jsonl", "-w", tmp_path / "parted") == 0
    assert run("prepare", tmp_path / "log.csv", "-w", tmp_path / "whole") == 0
    assert contents(tmp_path / "parted") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--min-user-items", 8, "--min-item-users", 9, "--max-user-items", 10),
        ("--split", "last-day", "--time-unit", "s", "--eval-users", 3),
    ],
)
def test_buckets_change_the_order_of_users_alone(tmp_path, log, monkeypatch, options):
    log.with_columns(pl.col("timestamp") * 1000).write_csv(tmp_path / "log.csv")
    (tmp_path / "users.csv").write_text("user_id,profile\n" + "".join(f"u{k},no {k}\n" for k in range(0, 60, 2)))
    arguments = ("prepare", tmp_path / "log.csv", "--users", tmp_path / "users.csv", *options)
    assert run(*arguments, "-w", tmp_path / "one") == 0
    monkeypatch.setattr(stage, "n_buckets_for", lambda files, bucket_bytes: 7)
    assert run(*arguments, "-w", tmp_path / "seven") == 0
    one, seven = prepared(tmp_path / "one"), prepared(tmp_path / "seven")
    for of_one, of_seven in zip(one, seven, strict=True):
        assert of_seven.sort(of_seven.columns[0], maintain_order=True).equals(of_one)
    assert seven[0]["user_id"].unique(maintain_order=True).to_list() == seven[2]["user_id"].to_list()
    assert seven[2]["user_id"].to_list() != one[2]["user_id"].to_list()


def test_the_k_core_and_the_cap(tmp_path, log):
    (tmp_path / "items.csv").write_text("item_id,title\ni1,one\nnever,bought\n")
    options = ("--min-user-items", 8, "--min-item-users", 9, "--items", tmp_path / "items.csv")
    assert run("prepare", tmp_path / "log.csv", *options, "-w", tmp_path / "w") == 0
    interactions, items, _ = prepared(tmp_path / "w")
    pairs = interactions.select("user_id", "item_id").unique()
    assert pairs.group_by("user_id").len()["len"].min() >= 8
    assert pairs.group_by("item_id").len()["len"].min() >= 9
    assert 0 < len(interactions) < len(log.unique())
    assert set(items["item_id"]) == set(interactions["item_id"])  # the catalogue, too, keeps to --min-item-users
    assert run("prepare", tmp_path / "log.csv", "--max-user-items", 4, "-w", tmp_path / "w") == 0
    capped, _, _ = prepared(tmp_path / "w")
    cleaned = log.unique(maintain_order=True).sort("user_id", "timestamp", maintain_order=True)
    assert capped.drop("split").equals(cleaned.group_by("user_id", maintain_order=True).tail(4))


def test_the_last_day_is_told_from_dates(tmp_path):
    days = {
        "a": ["2020-01-01", "2020-01-02T23:59:59", "2020-01-03T00:00:00Z"],
        "b": ["2020-01-01", "2020-01-03T01:00+02:00"],
    }
    lines = [f"{user},i{k},{day}" for user, dates in days.items() for k, day in enumerate(dates)]
    (tmp_path / "log.csv").write_text("user,item,date\n" + "\n".join(lines) + "\n")
    assert run("prepare", tmp_path / "log.csv", "--split", "last-day", "-w", tmp_path / "w") == 0
    assert prepared(tmp_path / "w")[0]["split"].to_list() == ["train", "valid", "test", "train", "valid"]
    assert prepared(tmp_path / "w")[0]["timestamp"][2] == 18_264 * DAY_MS


def test_dates_written_as_numbers_have_no_last_day(tmp_path, capsys):
    (tmp_path / "log.csv").write_text("user,item,date\na,i1,20261119\na,i2,20261120\n")
    assert run("prepare", tmp_path / "log.csv", "--split", "last-day", "-w", tmp_path / "w") == 1
    assert "dates written as numbers, the latest is 20261120" in capsys.readouterr().err
    assert run("prepare", tmp_path / "log.csv", "-w", tmp_path / "w") == 0  # an order is all that this asks for


def test_nothing_is_held_out_without_a_split(tmp_path, log):
    assert run("prepare", tmp_path / "log.csv", "--split", "none", "-w", tmp_path / "w") == 0
    assert set(prepared(tmp_path / "w")[0]["split"]) == {"train"}


BY_DAYS = ("--split", "last-day", "--time-unit", "s")


@pytest.mark.parametrize("options", [(), BY_DAYS, (*BY_DAYS, "--eval-users", 5)])
def test_train_takes_in_all_up_to_a_split(tmp_path, options):
    """And what stays held out is what it was, although a sample of users had its held-out interactions dropped."""
    rng = random.Random(5)
    rows = [f"u{rng.randrange(60)},i{rng.randrange(30)},{rng.randrange(5 * 86_400)}" for _ in range(900)]
    (tmp_path / "days.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    found = {}
    for to_split in ("train", "valid", "test"):
        workdir = tmp_path / to_split
        assert run("prepare", tmp_path / "days.csv", *options, "--to-split", to_split, "-w", workdir) == 0
        found[to_split] = prepared(workdir)
    splits = {to_split: frames[0].group_by("split").len() for to_split, frames in found.items()}
    assert {name: set(counts["split"]) for name, counts in splits.items()} == {
        "train": {"train", "valid", "test"},
        "valid": {"train", "test"},
        "test": {"train"},
    }
    assert len(found["test"][0]) == len(set(rows))  # all of the log
    held_out = pl.col("split") == "test"
    assert found["valid"][0].filter(held_out).equals(found["train"][0].filter(held_out))
    for interactions, items, users in found.values():
        train = interactions.filter(split="train")
        assert items["train_count"].sum() == users["train_count"].sum() == len(train)


def test_training_sees_nothing_of_the_test_items(tmp_path, log):
    catalogue = sorted(set(log["item_id"]))
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"{item},{item}\n" for item in catalogue))
    ordered = log.unique(["user_id", "timestamp"], maintain_order=True).sort("user_id", "timestamp")
    rng = random.Random(0)
    last = pl.int_range(pl.len()).over("user_id") == pl.len().over("user_id") - 1
    other = pl.Series(rng.choices(catalogue, k=len(ordered)))
    ordered.write_csv(tmp_path / "real.csv")
    changed = ordered.with_columns(item_id=pl.when(last).then(other).otherwise("item_id"))
    changed.write_csv(tmp_path / "changed.csv")
    for name in ("real", "changed"):
        assert run("prepare", tmp_path / f"{name}.csv", "--items", tmp_path / "items.csv", "-w", tmp_path / name) == 0
    (rows, items, users), (rows_changed, items_changed, users_changed) = map(
        prepared, (tmp_path / "real", tmp_path / "changed")
    )
    seen = pl.col("split") != "test"
    assert rows.filter(seen).equals(rows_changed.filter(seen))
    assert not rows.equals(rows_changed)
    assert items.drop("is_long_tail").equals(items_changed.drop("is_long_tail"))
    assert users.equals(users_changed)


def test_a_second_run_does_nothing_and_says_so(tmp_path, log, capsys):
    arguments = ("prepare", tmp_path / "log.csv", "-w", tmp_path / "w", "--json")
    assert run(*arguments) == 0
    before, first = contents(tmp_path / "w"), json.loads(capsys.readouterr().out)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "w" / "prepare").iterdir()}
    assert run(*arguments) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {**first, "up_to_date": True}
    assert "up to date" in output.err
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "w" / "prepare").iterdir()}
    assert run(*arguments, "--force") == 0
    assert json.loads(capsys.readouterr().out)["up_to_date"] is False
    assert contents(tmp_path / "w") == before


@pytest.mark.parametrize("kills", range(1, 16, 2))
def test_a_killed_run_goes_on_where_it_stopped(tmp_path, log, monkeypatch, kills):
    """The run is stopped once, at its `kills`-th table; it does not write again what it has, and ends the same."""
    monkeypatch.setattr(stage, "n_buckets_for", lambda files, bucket_bytes: 3)
    arguments = ("prepare", tmp_path / "log.csv", "--min-user-items", 8, "--min-item-users", 9)
    assert run(*arguments, "-w", tmp_path / "whole") == 0
    written = []

    def step(frame, path, *schema):
        written.append(path.name)
        if len(written) == kills:
            raise KeyboardInterrupt
        write_table(frame, path, *schema)

    for module in ("stages.prepare", "data.prepared_parts", "data.bucketed_log", "data.buckets"):
        monkeypatch.setattr(f"llmi2i_cli.{module}.write_table", step)
    assert run(*arguments, "-w", tmp_path / "w") == 130
    assert not (tmp_path / "w" / "prepare" / "interactions.parquet").exists()
    done = written[: kills - 1]
    assert run(*arguments, "-w", tmp_path / "w") == 0
    last_of_step = {name: name.replace("interactions", "items").replace("users", "items") for name in done}
    whole_steps = {name for name, last in last_of_step.items() if last in done}
    restarts = {"core-items.parquet", *(written[:3] if kills <= 3 else ())}  # a pass, a file that is being cut
    assert (whole_steps - restarts).isdisjoint(written[kills:])
    assert contents(tmp_path / "w") == contents(tmp_path / "whole")


def failing(capsys, *arguments):
    status = run("prepare", *arguments)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("Error: ")
    assert output.err.count("\n") == 1
    return status, output.err


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, (), "log.csv: no such file"),
        ("", (), "log.csv is empty"),
        ("user_id,item_id,timestamp\n", (), "log.csv holds no interaction"),
        ("user_id,item_id,timestamp\nu,i,1\nu,i,soon\n", (), "log.csv, line 3: 'timestamp' is 'soon'"),
        ("user_id,item_id,timestamp\nu,i,1\nu,i\n", (), "log.csv, line 3: 2 fields"),
        ("a,b\n1,2\n", (), "has no column 'user_id' (found: a, b): name the right one with --user-column"),
        ("1 2 3\n4\n", ("--format", "sequences"), "log.csv, line 2: user '4' has no item"),
        ("\x89PNG\0\n", (), "log.csv, line 1: binary data"),
        (
            "user_id,item_id,timestamp\nu,i,1\nu,j,2\n",
            ("--min-user-items", "3"),
            "--min-user-items 3 and --min-item-users 0 together remove all 2; lower them",
        ),
        (
            "user_id,item_id,timestamp\nu,i,2020-01-01\nu,j,2020-01-02\n",
            ("--split", "last-day"),
            "no interaction is left for training",
        ),
    ],
)
def test_a_mistake_in_the_input_is_one_line_and_leaves_nothing(tmp_path, capsys, content, options, message):
    if content is not None:
        (tmp_path / "log.csv").write_text(content)
    status, error = failing(capsys, tmp_path / "log.csv", *options, "-w", tmp_path / "w")
    assert status == 1
    assert message in error
    assert not (tmp_path / "w").exists()


def test_a_mistake_leaves_an_earlier_result_alone(tmp_path, log, capsys):
    assert run("prepare", tmp_path / "log.csv", "-w", tmp_path / "w") == 0
    before = contents(tmp_path / "w")
    capsys.readouterr()
    (tmp_path / "bad.csv").write_text("user_id,item_id,timestamp\nu,,1\n")
    assert failing(capsys, tmp_path / "bad.csv", "-w", tmp_path / "w")[0] == 1
    assert contents(tmp_path / "w") == before
    assert not list((tmp_path / "w" / "prepare").glob(".partial*"))


def test_a_mistake_in_the_catalogue_or_the_profiles_is_named(tmp_path, log, capsys):
    (tmp_path / "items.csv").write_text("item_id,title\n,x\n")
    for option in ("--items", "--users"):
        arguments = (tmp_path / "log.csv", option, tmp_path / "items.csv", "-w", tmp_path / "w")
        status, error = failing(capsys, *arguments)
        assert status == 1
        assert "items.csv" in error
        assert not (tmp_path / "w").exists()


def test_inputs_in_different_units_are_refused(tmp_path, capsys):
    (tmp_path / "s.csv").write_text("user_id,item_id,timestamp\nu,i,1400000000\n")
    (tmp_path / "ms.csv").write_text("user_id,item_id,timestamp\nu,j,1500000000000\n")
    status, error = failing(capsys, tmp_path / "s.csv", tmp_path / "ms.csv", "-w", tmp_path / "w")
    assert status == 1
    assert "s.csv has times in s" in error
    assert "ms.csv in ms" in error


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("log.csv", ("--eval-users", 5), "--eval-users samples users for --split last-day"),
        ("log.csv", ("--user-column", "a", "--item-column", "a"), "name the same column 'a'"),
        ("log.txt", ("--split", "last-day"), "sequences have no times"),
        ("log.txt", ("--item-column", "x"), "sequences name no columns"),
        ("log.csv", ("--tail-fraction", 1.5), "tail-fraction"),
    ],
)
def test_options_that_contradict_each_other(tmp_path, log, capsys, name, options, message):
    (tmp_path / "log.txt").write_text("1 2 3\n")
    status, error = failing(capsys, tmp_path / name, *options, "-w", tmp_path / "w")
    assert status == 2
    assert message in error
    assert not (tmp_path / "w").exists()


def test_an_input_given_twice_is_refused(tmp_path, log, capsys):
    status, error = failing(capsys, tmp_path / "log.csv", tmp_path / "log.csv", "-w", tmp_path / "w")
    assert (status, "a file of INPUT, --valid or --test is given twice" in error) == (2, True)


def test_help_shows_an_example(capsys):
    assert run("prepare", "--help") == 0
    assert "llmi2i prepare clicks.csv" in capsys.readouterr().out


def test_one_bucket_is_in_memory_at_a_time(tmp_path, log, monkeypatch):
    """No step reads more than a bucket: what the passes read is never the whole log."""
    monkeypatch.setattr(stage, "n_buckets_for", lambda files, bucket_bytes: 7)
    sizes: list[int] = []
    original = BucketedLog.bucket

    def watched(self, number):
        rows = original(self, number)
        sizes.append(len(rows))
        return rows

    monkeypatch.setattr(BucketedLog, "bucket", watched)
    assert run("prepare", tmp_path / "log.csv", "-w", tmp_path / "w") == 0
    assert len(sizes) == 7
    assert sum(sizes) == len(log.unique())
    assert max(sizes) < len(log) / 3
