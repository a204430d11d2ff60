"""Do to the program what goes wrong around it, and see that nothing is lost, half-written, wrong or a traceback.

`python -m tests.faults` prints a table (what, cases, held, fell short), then what fell short; exit status 1 if anything
did. A case depends on the kind, the seed and its number alone: `--only KIND --seed S --first NUMBER --cases 1` tries it
again. `tests/test_faults.py` is a short form.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[threads] = "1"  # before anything that reads it is imported: more would only wait for each other here
os.environ["HF_HUB_OFFLINE"] = "1"

from tests.faults.kinds import KINDS  # noqa: E402
from tests.faults.place import import_all, make_place  # noqa: E402

SHOWN = 10  # of what fell short, of each kind


def main() -> int:
    """Run the kinds that are asked for; 1 if anything fell short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS, action="append", help="kinds to try, by default all; repeatable")
    parser.add_argument("--cases", type=int, help="cases of each kind, by default as many as the table has")
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shop", type=Path, help="a log that was simulated before; with --finished")
    parser.add_argument("--finished", type=Path, help="a work directory that was made of it before, by the same steps")
    asked = parser.parse_args()
    import_all()
    print(f"{'what':<24}{'cases':>7}{'held':>7}{'fell short':>12}{'seconds':>9}", flush=True)
    all_short = 0
    with tempfile.TemporaryDirectory(prefix="llmi2i-faults-") as folder:
        os.environ["TMPDIR"] = folder
        tempfile.tempdir = folder
        place = make_place(Path(folder), asked.shop, asked.finished)
        for name in asked.only or KINDS:
            kind, began = KINDS[name], time.monotonic()
            n_cases, short = asked.cases or kind.n_cases, []
            for number in range(asked.first, asked.first + n_cases):
                case, found = kind.case(place, random.Random(f"{asked.seed} {name} {number}"), number)
                if found:
                    short.append(f"    {number}: {case}: {found}")
                if sys.stderr.isatty():
                    print(f"\r{name} {number} {len(short)}", end="\r", file=sys.stderr)
            seconds = time.monotonic() - began
            print(f"{kind.about:<24}{n_cases:>7}{n_cases - len(short):>7}{len(short):>12}{seconds:>9.0f}", flush=True)
            print("\n".join(short[:SHOWN]), end="\n" * bool(short), flush=True)
            all_short += len(short)
    return int(all_short > 0)


if __name__ == "__main__":
    sys.exit(main())
