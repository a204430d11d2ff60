import pytest

from llmi2i_cli.choices.formats import FORMATS
from llmi2i_cli.data.inputs import Inputs, expand_inputs, sort_inputs
from llmi2i_cli.errors import InputError


def test_a_directory_stands_for_its_files_by_name(tmp_path):
    for name in ("b.csv", "a.csv", ".hidden", "_SUCCESS"):
        (tmp_path / name).write_text("x")
    (tmp_path / "deeper").mkdir()
    assert [path.name for path in expand_inputs([tmp_path])] == ["a.csv", "b.csv"]
    with pytest.raises(InputError, match="holds no file"):
        expand_inputs([tmp_path / "deeper"])
    with pytest.raises(InputError, match="nowhere: no such file"):
        expand_inputs([tmp_path / "nowhere"])


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
