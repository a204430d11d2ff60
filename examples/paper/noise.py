"""Inject random clicks into a log, and tell how well the discriminator finds them: the Python half of noise.sh.

Usage: python examples/paper/noise.py inject SEQUENCES OUT_DIR [--share 0.05] [--seed 42]
       python examples/paper/noise.py report WORKDIR    (OUT_DIR was WORKDIR/noise)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.features import CandidateRows
from llmi2i_cli.artifacts.prepared import read_catalogue, read_histories
from llmi2i_cli.artifacts.schemas import read_artifact
from llmi2i_cli.i2i.evidence import Evidence
from llmi2i_cli.llm.positions import HISTORY

HELD_OUT = 2  # leave-last-two: the last items of a line stay where they are


def inject(lines: list[list[str]], share: float, seed: int) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Put items drawn uniformly from the log into users' train histories, at random places.

    Parameters
    ----------
    lines : of each user the id and the items, oldest first
    share : injected interactions for each train interaction

    Returns
    -------
    the lines with the injected items, and every (user, item) that was injected. No user gets an item that the line
    already holds, so the pair names its interaction. Long histories get more, as they have more train interactions.
    """
    rng = np.random.default_rng(seed)
    catalogue = sorted({item for _, *items in lines for item in items})
    n_train = np.array([max(0, len(items) - HELD_OUT) for _, *items in lines])
    receivers = rng.choice(len(lines), size=round(share * int(n_train.sum())), p=n_train / n_train.sum())
    noisy, pairs = [[*line] for line in lines], []
    for user in receivers.tolist():
        line = noisy[user]
        item = catalogue[rng.integers(len(catalogue))]
        while item in line[1:]:
            item = catalogue[rng.integers(len(catalogue))]
        line.insert(int(rng.integers(1, len(line) - HELD_OUT + 1)), item)  # before a train item or behind the last
        pairs.append((line[0], item))
    return noisy, pairs


def auc(scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_]) -> float:
    """How often a labelled row scores higher than another one; ties count half."""
    ranks = pl.Series(scores).rank("average").to_numpy()
    n_labelled, n_others = int(labels.sum()), int((~labels).sum())
    return float((ranks[labels].sum() - n_labelled * (n_labelled + 1) / 2) / (n_labelled * n_others))


def signs_of_noise(workdir: Path) -> dict[str, NDArray[np.floating[Any]]]:
    """What speaks against each train interaction, in the log's order: the discriminator, and single facts beside it.

    The facts are those that the discriminator reads: popularity, BM25 co-occurrence and likeness of text with the
    user's interactions around it, none of them counting the interaction itself.
    """
    histories = read_histories(workdir)
    places = np.arange(len(histories.items))
    facts = Evidence(histories, read_catalogue(workdir).texts).features(
        CandidateRows(histories.around(places, HISTORY), places, histories.user_of_each(), histories.items)
    )
    judged = read_artifact(workdir, "filter/scored-real.parquet")
    alone = {name: -facts[name] for name in ("popularity", "bm25", "text")}
    return {"discriminator": 1 - judged["confidence"].to_numpy(), **alone}


def is_injected(workdir: Path) -> NDArray[np.bool_]:
    """Which rows of ``filter/scored-real.parquet`` were injected, bool (n,)."""
    judged = read_artifact(workdir, "filter/scored-real.parquet").select("user_id", "item_id")
    pairs = pl.read_parquet(workdir / "noise/injected.parquet").with_columns(injected=True)
    joined = judged.join(pairs, on=["user_id", "item_id"], how="left", maintain_order="left")
    return joined["injected"].fill_null(value=False).to_numpy()


def report(workdir: Path) -> list[str]:
    """Lines of Markdown: the AUC of every sign of noise, and what Swing makes of the log without it."""
    injected = is_injected(workdir)
    lines = [f"{injected.sum()} of {len(injected)} train interactions are injected.", "", "| sign | AUC |", "|---|---|"]
    lines += [f"| {name} | {auc(signs, injected):.3f} |" for name, signs in signs_of_noise(workdir).items()]
    lines += ["", "| Swing on | share dropped | Recall@10 | gain (95% interval) |", "|---|---|---|---|"]
    for name in ("left of it", "fused", "fused with what is left"):
        result = json.loads((workdir / f"noise/{name}-test.json").read_text(encoding="utf-8"))
        choice = json.loads((workdir / f"noise/{name}-fuse.json").read_text(encoding="utf-8"))["choice"]
        if name == "left of it":
            lines.append(f"| the noisy log | | {result['baseline']['metrics']['all']['recall@10']:.4f} | |")
        low, high = result["gain_intervals"]["all"]["recall@10"]
        gain = f"{result['gain']['all']['recall@10']:+.1%} ({low:+.1%} .. {high:+.1%})"
        lines.append(f"| {name} | {choice['drop_real']:.0%} | {result['metrics']['all']['recall@10']:.4f} | {gain} |")
    return lines


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    injecting = commands.add_parser("inject")
    injecting.add_argument("sequences", type=Path)
    injecting.add_argument("out", type=Path)
    injecting.add_argument("--share", type=float, default=0.05)
    injecting.add_argument("--seed", type=int, default=42)
    commands.add_parser("report").add_argument("workdir", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "inject":
        lines = [line.split() for line in given.sequences.read_text(encoding="utf-8").splitlines() if line.strip()]
        noisy, pairs = inject(lines, given.share, given.seed)
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "sequences.txt").write_text("".join(" ".join(line) + "\n" for line in noisy), encoding="utf-8")
        frame = pl.DataFrame(pairs, schema={"user_id": pl.String, "item_id": pl.String}, orient="row")
        frame.write_parquet(given.out / "injected.parquet")
    else:
        sys.stdout.write("\n".join(report(given.workdir)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
