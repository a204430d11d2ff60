"""Write RESULTS.md and its plots from what the studies have measured: the paper's tables and the sceptic's.

Usage: python examples/paper/results.py WORK OUT_DIR [--printed TABLES.tsv]

WORK/LOG/SEED/SETTING are the work directories that study.sh and simulated.sh have made. With the file of the paper's
printed figures, those stand beside ours. What was not run has no row.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import paper_tables
import plots
import sceptic
from measured import Study, table
from printed import Printed

SIMULATED = "simulated"
ABOUT = """# The paper's tables and the sceptic's

Written by `make -C examples/paper`: this page and its plots are generated whole from the evaluations of the work
directories, and no figure in it is typed. Recall and NDCG are of the test split, which was looked at once for
each setting; everything was chosen on validation. Where there are several seeds (of both language models, and of
BPR and YoutubeDNN) a figure is their mean, ± their standard deviation. Intervals are 95% paired bootstraps over
users. "Artifact" is a file under `WORK/LOG/SEED/`.

Three protocols: **ours** (all earlier interactions looked up as validation chooses, seen items left out), **as
the paper** (the same tables; one recent item looked up, seen items kept), **refitted** (ours, with every choice
taken over from validation and every model, the LLMs too, trained once more on train and validation). Printed
figures are those of the paper.
"""
LLM_CF = """LLM-CF is our reading of it as a source of interactions: what came next in the histories of other
users that are most similar to the user's own in the generator's space of states. It writes no chains of thought,
and its candidates are not filtered (`synthesize --method llm-cf`).
"""
NEXT_DAY = """A simulated shop, of whose items a quarter are bought once, in the place of AliExpress's log: test
is its last day, validation the day before. The long tail is what is bought once.
"""
SOURCES = """Every source gives 30 candidates per user; the same discriminator judges them (it was trained on the
generator's lists: rank and likelihood of a source are its own), and `fuse` chooses order, number, threshold,
weight and strategy on validation from the same points, so a source whose confidences mislead can do without them.
Where BM25 + text judges, nothing may be taken from the long tail, so a source that takes from it adds nothing.
The lists of LLM-CF and "not judged" come from the trained generator, too.
"""
PARTS = """Which part of the gain in Recall@10 is whose: the first three add up to the whole, the others compare it with
one source each. Random items are "more rows", but those that the discriminator likes best among thirty.
"""


def sections(studies: Sequence[Study], simulated: Study | None, printed: Printed, folder: Path) -> Iterator[str]:
    """The parts of the page, in their order; the plots are drawn into `folder`."""
    every = [*studies, simulated] if simulated else studies
    yield ABOUT
    yield "## Table 1: the logs\n"
    yield paper_tables.statistics(every, printed)
    yield "## Table 2: backbones and augmentations\n"
    yield LLM_CF
    yield paper_tables.overall(studies, printed)
    if simulated:
        yield "## Table 3: a log split by days\n"
        yield NEXT_DAY
        yield paper_tables.deep(simulated, printed)
    yield "## Table 4: the long tail (Swing)\n"
    yield paper_tables.long_tail(every, printed)
    yield "## Table 5: without each part (Swing)\n"
    yield paper_tables.ablation(studies, printed)
    yield "## Table 6: what serving costs\n"
    yield "Latency is one query on one thread, in memory, on whatever machine ran this: compare within a log.\n"
    yield paper_tables.serving(every, printed)
    yield from _figures(plots.logs_of(every), folder)
    yield "## The sceptic's table\n"
    yield "Every model tuned on validation over its grid, then M and decay.\n"
    yield sceptic.models(studies)
    yield "\n".join(map(sceptic.gap, studies)) + "\n"
    yield "### The same filter and fuse, fed by others\n"
    yield SOURCES
    yield sceptic.sources(studies)
    yield PARTS
    yield "\n".join(sceptic.parts(study, judge) for study in studies for judge in sceptic.JUDGES) + "\n"
    yield "## Three protocols\n"
    yield sceptic.protocols(studies)
    yield "## Not run\n"
    yield "\n".join(f"- **{study.log}**: {missing(study) or 'nothing is missing'}." for study in studies) + "\n"


def missing(study: Study) -> str:
    """What no seed of a log has: its label and its artifact."""
    wanted = {f"{name} (Table 5)": setting for name, setting in paper_tables.ABLATIONS.items()}
    for model, backbone in paper_tables.BACKBONES.items():
        for augmentation, (setting, data) in paper_tables.AUGMENTATIONS.items():
            wanted[f"{backbone}, {augmentation} (Table 2)"] = (setting, f"{model}-{data}")
    wanted |= sceptic.RIVALS | sceptic.WITH_LLM
    for place, (judge, model) in enumerate(sceptic.JUDGES.items()):
        for label, settings in sceptic.SOURCES.items():
            wanted[f"{judge} with candidates from {label}"] = (settings[place], f"{model}-fused")
    wanted["refitted"] = ("refitted", "blend-fused")
    return "; ".join(label for label, (setting, name) in wanted.items() if not study.read(setting, name))


def _figures(studies: Sequence[Study], folder: Path) -> Iterator[str]:
    yield "## Figure 4: popularity (Swing)\n"
    rows = []
    for study in studies:
        rows += plots.popularity(study, folder / "plots" / f"{study.log}-popularity.png")
        yield f"![{study.log}](plots/{study.log}-popularity.png)\n"
    header = ["log", "times in train", "targets", "Recall@10: real", "fused", "interactions: real", "added"]
    yield table(header, rows)
    yield "## Figure 5: confidence and recall number (Swing, validation)\n"
    for study in studies:
        rows = plots.figure_5(study, folder / "plots" / f"{study.log}-figure-5.png")
        yield f"![{study.log}](plots/{study.log}-figure-5.png)\n"
        tried = len(rows[0]) - 3
        header = ["log", "by", "N", *("all" if place == 0 else f"threshold {place}" for place in range(tried))]
        yield table(header, rows)


def page(work: Path, folder: Path, printed: Printed) -> str:
    """Markdown. SystemExit when nothing was measured."""
    found = {study.log: study for study in Study.all_in(work)}
    simulated = found.pop(SIMULATED, None)
    if not found:
        raise SystemExit(f"Error: {work} has no study: run `make -C examples/paper DATA=... WORK={work}` first")
    return "\n".join(sections(list(found.values()), simulated, printed, folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--printed", type=Path)
    arguments = parser.parse_args()
    text = page(arguments.work, arguments.out, Printed.read(arguments.printed))
    (arguments.out / "RESULTS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
