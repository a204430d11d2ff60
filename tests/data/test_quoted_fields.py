import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from llmi2i_cli.data.quoted_fields import QuotedFields


def is_outside_quotes(text):
    """Whether the csv module begins a new row behind `text`, which ends a line."""
    return list(csv.reader(io.StringIO(text + "S,T\n", newline="\n")))[-1] == ["S", "T"]


@settings(max_examples=300, deadline=None)
@given(st.text('a",\n', max_size=30), st.lists(st.integers(1, 8), min_size=1, max_size=5))
def test_lines_end_where_the_csv_module_ends_them(text, sizes):
    fields, data = QuotedFields(","), text.encode()
    start = 0
    for number in range(len(data)):
        piece = data[start : start + sizes[number % len(sizes)]]
        if not piece:
            break
        places = [place for place in range(1, len(piece) + 1) if piece[place - 1] == ord("\n")]
        ends = [place for place in places if is_outside_quotes(text[: start + place])]
        assert fields.end_of_lines(piece) == max(ends, default=0)
        start += len(piece)
    assert fields.is_open == (not is_outside_quotes(text + "\n"))


def test_a_stray_quote_costs_no_more_than_another_character():
    piece = b'u,19" x\n' + b"u,i\n" * 100_000  # looked through once, and not once for each of its lines
    assert QuotedFields(",").end_of_lines(piece) == len(piece)
