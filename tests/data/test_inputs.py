import pytest

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.data.inputs import Inputs, expand_inputs, sort_inputs
from llmi2i_cli.errors import InputError


def test_a_directory_stands_for_its_files_by_name(tmp_path):
    for name in ("b.csv", "a.csv", ".hidden", "_SUCCESS"):
        (tmp_path / name).write_text("x")
    for folder in ("_temporary/0", ".git", "dt=2", "dt=10/h=1", "empty"):
        (tmp_path / folder).mkdir(parents=True)
        if folder != "empty":
            (tmp_path / folder / "part").write_text("x")
    found = [str(path).removeprefix(f"{tmp_path}/") for path in expand_inputs([tmp_path])]
    assert found == ["a.csv", "b.csv", "dt=10/h=1/part", "dt=2/part"]
    with pytest.raises(InputError, match="holds no file"):
        expand_inputs([tmp_path / "empty"])
    with pytest.raises(InputError, match="nowhere: no such file"):
        expand_inputs([tmp_path / "nowhere"])


def test_a_pattern_stands_for_what_it_matches(tmp_path):
    for name in ("a.csv", "b.csv", "b.txt", "in/c.csv", "in/deep/d.csv", "log[1].csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    def found(pattern):
        return [str(path).removeprefix(f"{tmp_path}/") for path in expand_inputs([tmp_path / pattern])]

    assert found("[ab].csv") == ["a.csv", "b.csv"]
    assert found("i*") == ["in/c.csv", "in/deep/d.csv"]  # a directory, with all that lies in it
    assert found("**/?.csv") == ["a.csv", "b.csv", "in/c.csv", "in/deep/d.csv"]
    assert found("log[1].csv") == ["log[1].csv"]  # there is a file of this very name
    with pytest.raises(InputError, match=r"x\*: matches no file"):
        expand_inputs([tmp_path / "x*"])


def test_what_lies_beside_a_log_is_told_by_its_name(tmp_path):
    names = ("README.md", "LICENSE", "x.inter.gz", "x.item", "x.kg", "x.user", "x.yaml", "y.inter")
    for name in names:
        (tmp_path / name).write_text("x")
    readme, licence, log, items, graph, users, config, second = (tmp_path / name for name in names)
    assert sort_inputs([tmp_path], None) == Inputs([log, second], [items], [users], [licence, readme, graph, config])
    assert sort_inputs([log, items], FORMATS["recbole"]) == Inputs([log], [items], [], [])
    assert sort_inputs([items], FORMATS["csv"]).logs == [items]  # who names the format knows better
    assert sort_inputs([readme], None).logs == [readme]  # and who names the file
    with pytest.raises(InputError, match=r"x.item: no log is among the inputs, which hold x.item, x.user"):
        sort_inputs([items, users], None)
