"""The sceptic's tables: the best that needs no LLM, and the same filter and fuse fed by other candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from measured import Measured, Study, table
from paper_tables import PAPERS

# What is measured on the real log alone, without an LLM: the setting and MODEL-DATA.
RIVALS = {
    "Swing": ("base", "swing-real"),
    "BM25": ("base", "bm25-real"),
    "ItemKNN": ("base", "itemknn-real"),
    "RP3beta": ("base", "rp3beta-real"),
    "EASE": ("base", "ease-real"),
    "text alone": ("base", "text-real"),
    "Swing + text": ("swing+text", "blend-real"),
    "BM25 + text": ("base", "blend-real"),
    "ItemKNN + text": ("itemknn+text", "blend-real"),
    "RP3beta + text": ("rp3beta+text", "blend-real"),
    "EASE + text": ("ease+text", "blend-real"),
}
WITH_LLM = {
    "the generator itself, at query time": ("base", "generator-real"),
    "Swing, fused": ("llm-i2i", "swing-fused"),
    "BM25, fused": ("served", "bm25-fused"),
    "BM25 + text, fused": ("served", "blend-fused"),
    "BM25 + text + next-item": ("base", "llm-blend-real"),
    "BM25 + text + next-item, fused": ("served", "llm-blend-fused"),
}
SERVED = "BM25 + text, fused"
# Where candidates come from: the setting in which Swing judges ways to fuse, and that in which BM25 + text does.
OURS = "the generator, judged by the discriminator"
SOURCES = {
    "random items": ("random-swing", "random-blend"),
    "the generator's, of another user": ("another-user-swing", "another-user-blend"),
    "BM25 + text's own list": ("table-swing", "table-blend"),
    "LLM-CF": ("llm-cf-swing", "llm-cf-blend"),
    "a generator that reads no text": ("text-free-swing", "text-free-blend"),
    "the generator, not judged": ("no-discriminator", "no-discriminator-blend"),
    OURS: ("llm-i2i", "served"),
}
JUDGES = {"Swing": "swing", "BM25 + text": "blend"}
REAL = {"Swing": "Swing", "BM25 + text": "BM25 + text"}  # what each is on the real log, among `RIVALS`


def validation(study: Study, setting: str, name: str) -> float:
    """Validation Recall@10 that tuning has found, the mean over the seeds; NaN where nothing was tuned."""
    manifests = study.manifests(f"{setting}/i2i/{name}.manifest.json").values()
    return float(np.mean([each["validation_recall_at_10"] for each in manifests])) if manifests else np.nan


def read(study: Study, settings: Mapping[str, tuple[str, str]]) -> dict[str, Measured]:
    """Those of the settings that were measured."""
    found = {label: study.read(setting, name) for label, (setting, name) in settings.items()}
    return {label: measured for label, measured in found.items() if measured is not None}


def best_rival(study: Study) -> str:
    """What needs no LLM and is best on validation."""
    return max(read(study, RIVALS), key=lambda label: validation(study, *RIVALS[label]))


def models(studies: Sequence[Study]) -> str:
    """Every model with the same care, and its lead over the rival that validation takes for the best."""
    rows = []
    for study in studies:
        settings = {**RIVALS, **WITH_LLM}
        found, best = read(study, settings), best_rival(study)
        for label, measured in found.items():
            valid = validation(study, *settings[label])
            gain = "the best rival" if label == best else measured.gain_over(found[best])
            figures = [measured.cell(), measured.cell(group="long_tail"), measured.cell("ndcg@10")]
            told = "" if np.isnan(valid) else f"{valid:.4f}"
            rows.append([study.log, label, told, *figures, gain, measured.path])
    header = ["log", "what is served", "valid Recall@10", "test Recall@10", "long tail", "NDCG@10"]
    return table([*header, "over the best rival", "artifact"], rows)


def gap(study: Study) -> str:
    """A sentence: the best rival, and what the served table with an LLM has more."""
    best = best_rival(study)
    found = read(study, {**RIVALS, **WITH_LLM})
    if SERVED not in found:
        return f"- **{study.log}**: the best rival is {best}, {found[best].cell()}."
    ours = found[SERVED]
    return (
        f"- **{study.log}**: the best rival is {best} with {found[best].cell()}; {SERVED} has {ours.cell()}, "
        f"{ours.gain_over(found[best])}; in the long tail {ours.cell(group='long_tail')} where the rival has "
        f"{found[best].cell(group='long_tail')}."
    )


def sources(studies: Sequence[Study]) -> str:
    """The same fuse fed by others: what each source adds to the real log, and what ours adds to it."""
    rows = []
    for study in studies:
        for judge, model in JUDGES.items():
            found, real = by_source(study, judge), read(study, RIVALS).get(REAL[judge])
            if real is None:
                continue
            rows.append([study.log, judge, "none: the real log", "0", "", real.cell(), "", "", real.path])
            for label, measured in found.items():
                setting = SOURCES[label][list(JUDGES).index(judge)]
                fuses = study.manifests(f"{setting}/fuse/manifest.json").values()
                added = np.mean([fuse["sources"].get("synthetic", 0) for fuse in fuses])
                lead = "" if label == OURS or OURS not in found else found[OURS].lead_over(measured)
                figures = [f"{validation(study, setting, f'{model}-fused'):.4f}", measured.cell()]
                told = [measured.gain_over(real), lead, measured.path]
                rows.append([study.log, judge, label, f"{added:,.0f}", *figures, *told])
    header = ["log", "table", "candidates from", "added", "valid", "test Recall@10", "gain over the real log"]
    return table([*header, "our lead", "artifact"], rows)


def by_source(study: Study, judge: str) -> dict[str, Measured]:
    """The judge's table on the log fused with the candidates of each source that was measured."""
    place, name = list(JUDGES).index(judge), f"{JUDGES[judge]}-fused"
    return read(study, {label: (settings[place], name) for label, settings in SOURCES.items()})


PARTS = {  # of the gain: what it is the difference of
    "merely more rows": ("random items", "real"),
    "lists that belong together, whoever's": ("the generator's, of another user", "random items"),
    "a list of the user's own": (OURS, "the generator's, of another user"),
    "the model, over the table's own list": (OURS, "BM25 + text's own list"),
    "the discriminator": (OURS, "the generator, not judged"),
    "the text in the generator": (OURS, "a generator that reads no text"),
}


def parts(study: Study, judge: str) -> str:
    """A line: the whole gain, then its parts. The first three add up to all; the others compare two sources."""
    found, real = by_source(study, judge), read(study, RIVALS).get(REAL[judge])
    if real is None or OURS not in found:
        return f"- **{study.log}, {judge}**: not fused."
    found["real"] = real
    told = [
        f"{part} {found[more].lead_over(found[less])}"
        for part, (more, less) in PARTS.items()
        if more in found and less in found
    ]
    return f"- **{study.log}, {judge}**: " + "; ".join([f"{found[OURS].lead_over(real)} in all", *told]) + "."


COMPARED = {"Swing": "swing", "BM25": "bm25", "BM25 + text": "blend"}


def protocols(studies: Sequence[Study]) -> str:
    """The same models by three protocols."""
    rows = []
    for study in studies:
        for label, model in COMPARED.items():
            places = {
                "ours": {"real": "base", "fused": "served"},
                "as the paper": {"real": f"base/{PAPERS}", "fused": f"served/{PAPERS}"},
                "refitted": {"real": "refitted", "fused": "refitted"},
            }
            for protocol, place in places.items():
                real, fused = (study.read(place[log], f"{model}-{log}") for log in ("real", "fused"))
                if real is None or fused is None:
                    continue
                tails = [each.cell(group="long_tail") for each in (real, fused)]
                told = [fused.path]
                rows.append(
                    [study.log, label, protocol, real.cell(), fused.cell(), fused.gain_over(real), *tails, *told]
                )
    header = ["log", "model", "protocol", "real", "fused", "gain", "long tail: real", "fused", "artifact"]
    return table(header, rows)
