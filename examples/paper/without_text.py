"""A catalogue without its texts: the ids alone. Usage: python examples/paper/without_text.py ITEMS OUT"""

from __future__ import annotations

import sys

import polars as pl

pl.read_csv(sys.argv[1], columns=["item_id"], infer_schema=False).write_csv(sys.argv[2])
