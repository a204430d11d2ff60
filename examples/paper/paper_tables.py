"""The paper's Tables 1 to 6, ours beside the printed figures, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from measured import Measured, Study, table
from printed import Printed

BACKBONES = {"bm25": "BM25", "bpr": "BPR", "youtubednn": "YoutubeDNN", "swing": "Swing"}
PAPERS = "as-the-paper"  # the work directory, within a setting's, in which the paper's protocol was used
PROTOCOLS = {"ours": "", "as the paper": f"/{PAPERS}"}
AUGMENTATIONS = {"No": ("base", "real"), "LLM-CF": ("llm-cf-unfiltered", "fused"), "LLM-I2I": ("llm-i2i", "fused")}
GROUPS = {"all": "total", "long_tail": "long tail", "other": "other"}
METRICS = ("Recall@5", "Recall@10", "NDCG@5", "NDCG@10")
DEEP = (5, 10, 20, 50, 100, 200)
ABLATIONS = {  # the paper's name: the setting, MODEL-DATA
    "LLM-I2I": ("llm-i2i", "swing-fused"),
    "w/o all": ("base", "swing-real"),
    "w/o LLM-based generator": ("no-generator", "swing-fused"),
    "w/o long-tail loss": ("no-long-tail-loss-fused", "swing-fused"),
    "w/o LLM-based discriminator": ("no-discriminator", "swing-fused"),
    "w/o threshold filter": ("no-threshold", "swing-fused"),
    "w/o Swing": ("base", "generator-real"),
}
STATISTICS = ("users", "items", "interactions", "long_tail_items")


def statistics(studies: Sequence[Study], printed: Printed) -> str:
    """Table 1."""
    rows = []
    for study in studies:
        rows.append([study.log, "seeds of the language models", ", ".join(study.seeds), "42"])
        counts = next(iter(study.manifests("base/prepare/manifest.json").values()))["summary"]
        rows += [
            [study.log, name.replace("_", " "), f"{counts[name]:,}", printed.of(1, study.log, "", "", name, group="")]
            for name in STATISTICS
        ]
    return table(["log", "", "ours", "the paper"], rows)


def overall(studies: Sequence[Study], printed: Printed) -> str:
    """Table 2: every backbone without and with augmentation, by both protocols and as printed."""
    rows: list[list[str]] = []
    for study in studies:
        for model, backbone in BACKBONES.items():
            for protocol, place in PROTOCOLS.items():
                found = {
                    name: study.read(setting + place, f"{model}-{data}")
                    for name, (setting, data) in AUGMENTATIONS.items()
                }
                rows += _augmented(study.log, backbone, protocol, found)
            rows += _printed_rows(study.log, backbone, printed)
    return table(["log", "backbone", "protocol", "augmentation", *METRICS, "gain in Recall@10", "artifact"], rows)


def _augmented(log: str, backbone: str, protocol: str, found: dict[str, Measured | None]) -> Iterator[list[str]]:
    without = found["No"]
    for augmentation, measured in found.items():
        if measured is not None:
            gain = measured.gain_over(without) if without is not None and measured is not without else ""
            cells = [measured.cell(metric.lower()) for metric in METRICS]
            yield [log, backbone, protocol, augmentation, *cells, gain, measured.path]


def _printed_rows(log: str, backbone: str, printed: Printed) -> Iterator[list[str]]:
    for augmentation in AUGMENTATIONS:
        cells = [printed.of(2, log, backbone, augmentation, metric) for metric in METRICS]
        if any(cells):
            gain = printed.gain(2, log, backbone, augmentation, "No", "Recall@10") if augmentation != "No" else ""
            yield [log, backbone, "printed", augmentation, *cells, gain, "Table 2"]


def deep(study: Study, printed: Printed) -> str:
    """Table 3: a log split by days, down to 200 items."""
    names = [f"{metric}@{k}" for metric in ("Recall", "NDCG") for k in DEEP]
    rows = []
    for model, backbone in BACKBONES.items():
        without = study.read("base", f"{model}-real")
        for augmentation in ("No", "LLM-I2I"):
            setting, data = AUGMENTATIONS[augmentation]
            measured = study.read(setting, f"{model}-{data}")
            if measured is not None and without is not None:
                gain = measured.gain_over(without) if augmentation != "No" else ""
                cells = [measured.cell(name.lower()) for name in names]
                rows.append([backbone, "ours", augmentation, *cells, gain, measured.path])
            cells = [printed.of(3, study.log, backbone, augmentation, name) for name in names]
            if any(cells):
                gain = (
                    printed.gain(3, study.log, backbone, augmentation, "No", "Recall@10")
                    if augmentation != "No"
                    else ""
                )
                rows.append([backbone, "printed, AEDS", augmentation, *cells, gain, "Table 3"])
    return table(["backbone", "", "augmentation", *names, "gain in Recall@10", "artifact"], rows)


def long_tail(studies: Sequence[Study], printed: Printed) -> str:
    """Table 4: Swing by groups of targets."""
    rows: list[list[str]] = []
    for study in studies:
        for group, label in GROUPS.items():
            for augmentation in ("No", "LLM-I2I"):
                setting, data = AUGMENTATIONS[augmentation]
                for protocol, place in PROTOCOLS.items():
                    measured = study.read(setting + place, f"swing-{data}")
                    if measured is not None:
                        cells = [measured.cell(metric.lower(), group) for metric in METRICS]
                        rows.append([study.log, label, augmentation, protocol, *cells, measured.path])
                cells = [printed.of(4, study.log, "Swing", augmentation, metric, group) for metric in METRICS]
                if any(cells):
                    rows.append([study.log, label, augmentation, "printed", *cells, "Table 4"])
    return table(["log", "targets", "augmentation", "protocol", *METRICS, "artifact"], rows)


def ablation(studies: Sequence[Study], printed: Printed) -> str:
    """Table 5: what Recall@10 loses without each part; its sign beside that of the paper, which has it on Toys."""
    rows: list[list[str]] = []
    theirs = {name: printed.of(5, "amazon-toys", name, "", "Recall@10") for name in ABLATIONS}
    for study in studies:
        for protocol, place in PROTOCOLS.items():
            found = {name: study.read(setting + place, model) for name, (setting, model) in ABLATIONS.items()}
            whole = found["LLM-I2I"]
            for name, measured in found.items():
                if measured is None or whole is None:
                    continue
                change = "" if measured is whole else measured.lead_over(whole)
                says = "" if measured is whole else agreement(measured.difference(whole), name, theirs)
                cells = [measured.cell(metric.lower()) for metric in METRICS]
                rows.append([study.log, protocol, name, *cells, change, says, measured.path])
    for name in ABLATIONS:
        cells = [printed.of(5, "amazon-toys", name, "", metric) for metric in METRICS]
        if any(cells):
            drop = "" if name == "LLM-I2I" else f"{float(theirs[name]) - float(theirs['LLM-I2I']):+.4f}"
            rows.append(["Toys And Games", "printed", name, *cells, drop, "", "Table 5"])
    return table(["log", "protocol", "", *METRICS, "change in Recall@10", "the paper's direction", "artifact"], rows)


def agreement(change: float, name: str, printed: dict[str, str]) -> str:
    """Whether leaving a part out moves Recall@10 as it does in the paper."""
    if not printed[name]:
        return ""
    theirs = float(printed[name]) - float(printed["LLM-I2I"])
    return "agrees" if change * theirs > 0 else "does not agree"


def serving(studies: Sequence[Study], printed: Printed) -> str:
    """Table 6, its offline halves: items that a query retrieves, and how long one takes."""
    rows = []
    for study in studies:
        retrieved, latency = {}, {}
        for augmentation in ("No", "LLM-I2I"):
            setting, data = AUGMENTATIONS[augmentation]
            measured = study.read(setting, f"swing-{data}")
            told = study.manifests(f"{setting}/evaluate/swing-{data}-test.manifest.json")
            if measured is not None:
                each = [report["rankings"]["retrieved_items"] for report in measured.reports.values()]
                retrieved[augmentation] = sum(each) / len(each)
                times = [manifest["latency"][data] for manifest in told.values()]
                latency[augmentation] = [min(time[name] for time in times) for name in ("p50_ms", "p99_ms")]
        if len(retrieved) == 2:
            change = f"{retrieved['LLM-I2I'] / retrieved['No'] - 1:+.1%}"
            for augmentation, number in retrieved.items():
                p50, p99 = latency[augmentation]
                gain = change if augmentation != "No" else ""
                rows.append([study.log, augmentation, f"{number:.1f}", gain, f"{p50:.3f}", f"{p99:.3f}"])
    told = ["AliExpress search", "Swing", "LLM-I2I", "online"]
    rn, slower = (printed.figures.get(("6", *told, metric), "") for metric in ("RN", "Latency"))
    if rn:
        rows.append([f"printed, {told[0]}, online", "LLM-I2I", "", rn, f"{slower} (mean)", ""])
    return table(["log", "Swing on", "items retrieved (RN)", "change", "p50, ms", "p99, ms"], rows)
