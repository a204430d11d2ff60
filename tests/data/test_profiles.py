import polars as pl

from llmi2i_cli.data.profiles import profile_chunks, with_profiles


def test_the_profile_column_or_all_others_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,age,profile\n1,25,likes  tea\n2,,\n")
    (tmp_path / "b.user").write_text("user_id:token\tage:token\ttown:token\n3\t25\t\n4\t\tUlm\n")
    chunks = profile_chunks([tmp_path / "a.csv", tmp_path / "b.user"])
    rows = [row for chunk in chunks for row in chunk.iter_rows()]
    assert rows == [("1", "likes tea"), ("2", ""), ("3", "age: 25"), ("4", "town: Ulm")]


def test_values_of_json_lines_may_nest(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"user_id": 1, "likes": ["tea", "jam"]}\n{"user_id": 2, "home": {"town": "Ulm"}}\n'
    )
    rows = [row for chunk in profile_chunks([tmp_path / "a.jsonl"]) for row in chunk.iter_rows()]
    assert rows == [("1", "likes: tea jam"), ("2", "home: Ulm")]


def test_users_keep_their_order_and_the_first_profile_counts():
    users = pl.DataFrame({"user_id": ["b", "a", "c"]})
    profiles = pl.DataFrame({"user_id": ["a", "z", "b", "a"], "profile": ["one", "two", "three", "four"]})
    assert with_profiles(users, profiles).rows() == [("b", "three"), ("a", "one"), ("c", "")]
    assert with_profiles(users, None).rows() == [("b", ""), ("a", ""), ("c", "")]
