import math

import pytest

from llmi2i_cli.data import plain_text
from llmi2i_cli.data.plain_text import describe, name_values, normalise, plain


def test_text_becomes_one_line_without_markup():
    assert normalise(" Tom &amp; Jerry<br/>\n\tDVD ") == "Tom & Jerry DVD"
    assert normalise("3 < 4 > 2") == "3 < 4 > 2"
    assert normalise("Cafe\u0301") == "Caf\u00e9"


def test_lists_and_objects_are_flattened():
    assert plain([["Toys", None], "", {"a": "Games", "b": 2}]) == "Toys Games 2"
    assert plain(None) == ""
    assert plain([math.nan, 1.5, math.inf]) == "1.5"  # as pandas writes into JSON what is not there


@pytest.mark.parametrize("nothing", [None, "", "12.99", "$5", "https://x.org/a.jpg", "2014-01-02", []])
def test_a_description_leaves_out_what_says_nothing(nothing):
    assert describe("Lamp", [nothing, "Acme", nothing]) == "Lamp. Acme"


def test_a_description_does_not_repeat_the_title():
    assert describe("Lamp", ["Lamp of glass", "Acme"]) == "Lamp of glass. Acme"
    assert describe("", ["Acme", None]) == "Acme"
    assert describe("", []) == ""


def test_texts_have_an_end(monkeypatch):
    monkeypatch.setattr(plain_text, "LONGEST_TEXT", 8)
    assert describe("Lamp.", ["abcdefgh", "x"]) == "Lamp. ab"
    assert name_values([("age", 5), ("town", "Ulm")]) == "age: 5;"


def test_values_are_named():
    assert name_values([("age", 25), ("town", None), ("likes", ["a", "b"])]) == "age: 25; likes: a b"
