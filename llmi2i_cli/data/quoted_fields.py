"""Where the lines of delimited text end, when a field in quotes may go on over a line break.

A quote opens a field only where the field begins; anywhere else (``19" screen``) it is a character like the others, and
so are quotes behind the one that closes a field. A doubled quote in a field counts as one that closes it and one that
opens it again. That is how Python's csv module reads.
"""

from __future__ import annotations

import numpy as np

QUOTE = ord('"')


class QuotedFields:
    """Goes through a text, piece by piece, and finds the line breaks outside quotes; time is linear in its length.

    Attributes
    ----------
    is_open : the text so far ends within quotes
    """

    def __init__(self, separator: str) -> None:
        self._field_ends = f"{separator}\n\r".encode()
        self._field_begins = True  # a quote that comes next opens a field
        self.is_open = False

    def end_of_lines(self, piece: bytes) -> int:
        """Where, in the next piece of the text, the last line that has an end in it ends; 0 if none has."""
        turns = self._turns(np.frombuffer(piece, np.uint8))
        gaps = [0, *turns.tolist(), len(piece)]  # in turn outside and inside quotes, in what order `is_open` tells
        end = 0
        for gap in range(len(gaps) - 2, -1, -1):
            is_outside = (gap % 2 == 0) != self.is_open
            if is_outside and (end := piece.rfind(b"\n", gaps[gap], gaps[gap + 1]) + 1):
                break
        self.is_open ^= len(turns) % 2 == 1
        closed = bool(len(turns)) and turns[-1] == len(piece) - 1
        self._field_begins = not self.is_open and (closed or piece[-1:] in self._field_ends)
        return end

    def _turns(self, text: np.ndarray) -> np.ndarray:
        """Positions of the quotes that open or close a field."""
        quotes = np.flatnonzero(text == QUOTE)
        if not len(quotes):
            return quotes
        begins = np.isin(text[quotes - 1], np.frombuffer(self._field_ends, np.uint8))
        if quotes[0] == 0:
            begins[0] = self._field_begins
        behind_another = np.diff(quotes, prepend=-2) == 1
        if (begins | behind_another)[int(self.is_open) :: 2].all():  # nearly always: they open and close in turn
            return quotes
        turns, is_open, closing = [], self.is_open, -2
        for quote, may_open in zip(quotes.tolist(), begins.tolist(), strict=True):
            if is_open:
                closing = quote
            elif not may_open and closing != quote - 1:
                continue  # a character of a field without quotes
            is_open = not is_open
            turns.append(quote)
        return np.array(turns, np.int64)
