"""robustness.json, its tables in words and its page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.files import write_whole
from ahsar.lab.arms.names import constant_scale
from ahsar.lab.report import page
from ahsar.lab.report.robustness.seen import seen
from ahsar.lab.report.style import save
from ahsar.lab.report.text import arm_name, in_words, signed, spread
from ahsar.lab.results import stats
from ahsar.lab.results.records import rank

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]
_MODES = {
    "frozen": "",
    "norm": ", batch statistics",
    "episodic": ", episodic",
    "continual": ", continual",
    "norm+episodic": ", batch statistics, episodic",
    "norm+continual": ", batch statistics, continual",
}
# of the sentences about adapting, what the scales are compared with: AHSAR's own frozen ones, or the frozen baseline
_ADAPTING = {
    "episodic": ("Adapting to each batch by itself", "own_gap", "frozen AHSAR"),
    "continual": ("Adapting on and on", "own_gap", "frozen AHSAR"),
    "norm+episodic": ("With batch statistics and scales adapting to each batch by itself", "gap", "the frozen baseline"),
    "norm+continual": ("With batch statistics and scales adapting on and on", "gap", "the frozen baseline"),
}
NOTE = (
    "Accuracy, means over the seeds with the half-width of their 95 % interval. Gap: mean over all corruptions and severities "
    "against the baseline's, paired by seed; ✓ and ✗ where its interval excludes 0. Batch statistics: batch norm uses those of "
    "the test batch. Episodic and continual: the scales follow each unlabelled batch, from the learned ones or on and on."
)


def summarise(measured: dict[str, Any]) -> dict[str, Any]:
    """The measured accuracies with means, 95 % intervals over the seeds, and paired differences to the baseline."""
    cells = {(c["arm"], c["mode"], c["seed"], c["corruption"], c["severity"]): c["accuracy"] for c in measured["accuracy"]}
    keys = sorted({key[:2] for key in cells}, key=lambda key: (rank(key[0]), list(_MODES).index(key[1])))
    seeds = sorted({key[2] for key in cells})
    corrupted = [(c, s) for c in measured["corruptions"] for s in measured["severities"]]

    def column(key: tuple[str, str], chosen: Callable[[tuple[str, int]], bool]) -> np.ndarray:
        """Mean over the chosen corruptions and severities, one number per seed."""
        return np.array([np.mean([cells[*key, seed, *c] for c in corrupted if chosen(c)]) for seed in seeds])

    def clean(key: tuple[str, str]) -> np.ndarray:
        return np.array([cells[*key, seed, "clean", 0] for seed in seeds])

    def everything(_: tuple[str, int]) -> bool:
        return True

    base, rival = ("baseline", "frozen"), ("baseline", "norm")
    rows = [
        {
            "arm": key[0],
            "mode": key[1],
            "label": label(*key),
            "clean": _mean(clean(key)),
            "mean": _mean(column(key, everything)),
            "clean_gap": _mean(clean(key) - clean(base)),
            "gap": _mean(column(key, everything) - column(base, everything)),
            "own_gap": _mean(column(key, everything) - column((key[0], "frozen"), everything)),
            "rival_gap": _mean(column(key, everything) - column(rival, everything)) if rival in keys else None,
            "corruptions": {n: _mean(column(key, lambda c, n=n: c[0] == n)) for n in measured["corruptions"]},
            "severities": {str(s): _mean(column(key, lambda c, s=s: c[1] == s)) for s in measured["severities"]},
        }
        for key in keys
    ]
    return {
        **{k: v for k, v in measured.items() if k != "accuracy"},
        "seeds": seeds,
        "rows": rows,
        "accuracy": measured["accuracy"],
    }


def write(out: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """Write robustness.json, robustness.png and robustness.html into `out`; returns what the first holds."""
    from ahsar.lab.report.robustness.figure import draw

    summary = summarise(measured)
    figure = page.drawn(
        "robustness", seen(summary), lambda path: save(draw(summary), path), out / "robustness.png", stacks=False
    )
    write_whole(out / "robustness.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    write_whole(out / "robustness.html", page.render(_content(summary, figure)))
    return summary


def label(arm: str, mode: str) -> str:
    """A row's name."""
    return arm_name(arm) + _MODES[mode]


def main_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Cells of the main table, under `main_header`."""
    return [
        [row["label"], *(spread(row[key]) for key in ("clean", "mean")), _gap(row), *map(spread, row["severities"].values())]
        for row in summary["rows"]
    ]


def main_header(summary: dict[str, Any]) -> list[str]:
    """Column titles of `main_rows`."""
    return ["arm", "clean", "corrupted", "gap", *(f"severity {level}" for level in summary["severities"])]


def table(summary: dict[str, Any]) -> "Table":
    """The main table for the terminal."""
    from rich import box
    from rich.table import Table

    title = f"{summary['workload']}: accuracy on {summary['samples']} test samples, {len(summary['seeds'])} seeds"
    shown = Table(title=title, caption=NOTE, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left")
    shown.caption_justify = "left"
    for number, name in enumerate(main_header(summary)):
        shown.add_column(name, justify="right" if number else "left")
    for cells in main_rows(summary):
        shown.add_row(*cells)
    return shown


def findings(summary: dict[str, Any]) -> list[str]:
    """The headline, and what belongs beside it."""
    rows = {(row["arm"], row["mode"]): row for row in summary["rows"]}
    frozen, base = rows["ahsar", "frozen"], rows["baseline", "frozen"]
    said = [
        f"On corrupted samples AHSAR with frozen scales {_verdict(frozen['gap'])}: {_score(frozen)}, against {_score(base)}"
        f"{_range(frozen['gap'])}."
    ]
    for mode, (words, gap, other) in _ADAPTING.items():
        if (row := rows.get(("ahsar", mode))) is None:
            continue
        said.append(f"{words}, it {_verdict(row[gap], other)}: {_score(row)}{_range(row[gap])}.")
        if row["rival_gap"]:
            said[-1] += f" It {_verdict(row['rival_gap'], 'the adapting rival')}{_range(row['rival_gap'])}."
    if rival := rows.get(("baseline", "norm")):
        words = "The adapting rival, the baseline with batch statistics,"
        said.append(f"{words} {_verdict(rival['gap'], 'the frozen baseline')}: {_score(rival)}{_range(rival['gap'])}.")
    return said


def _score(row: Row) -> str:
    return f"{row['mean']['mean']:.3f}, clean {row['clean']['mean']:.3f}"


def _verdict(gap: Row, rival: str = "the baseline") -> str:
    if gap["ci95"] is None:
        return f"was {'better' if gap['mean'] > 0 else 'not better'} than {rival} in a single seed"
    low, high = gap["ci95"]
    return f"is {'better than' if low > 0 else 'worse than' if high < 0 else 'not shown to differ from'} {rival}"


def _range(gap: Row) -> str:
    return f" (difference {signed(gap['mean'])}{in_words(gap['ci95'], signed, ', ')})"


def _mean(values: np.ndarray) -> Row:
    return stats.mean_interval(values).to_dict()


def _gap(row: Row) -> str:
    if (row["arm"], row["mode"]) == ("baseline", "frozen"):
        return "–"
    low, high = row["gap"]["ci95"] or (0, 0)
    mark = " ✓" if low > 0 else " ✗" if high < 0 else ""
    return spread(row["gap"], "+.3f") + mark


def _content(summary: dict[str, Any], figure: dict[str, str] | None) -> dict[str, Any]:
    name = summary["workload"] + (" (quick)" if summary["quick"] else "")
    each = [[row["label"], *(spread(accuracy) for accuracy in row["corruptions"].values())] for row in summary["rows"]]
    headline, *rest = findings(summary)
    return {
        "title": f"AHSAR on corrupted {name}",
        "headline": headline,
        "findings": rest,
        "tables": [
            {"title": "Clean and corrupted", "header": main_header(summary), "rows": main_rows(summary), "note": NOTE},
            {
                "title": "Each corruption",
                "header": ["arm", *summary["corruptions"]],
                "rows": each,
                "note": "Means over severities.",
            },
        ],
        "figures": [figure],
        "failures": [],
        "reading": [
            "Models were chosen on clean data: those at the end of the comparison's budget. Nothing was tuned on corruptions.",
            "Intervals are over seeds, with the corrupted samples the same for all: they say nothing about other samples.",
            "Batches hold all classes in their proportions, which helps every row that adapts to a batch.",
            *(["The constant scale was picked after the fact, on clean data."] if _has_constant(summary) else []),
            f"Adapting rows take {summary['updates']} forwards of a batch of {summary['batch']} before the one that is scored.",
            *([f"Adapting scales lead {summary['led_to']}."] if "led_to" in summary else []),
            "Image corruptions are in the style of CIFAR-10-C, with its constants; frost is procedural. Severities of event "
            "corruptions are ours, as there is no standard.",
        ],
        "facts": {
            **page.command_facts({"commands": [summary.get("command", "")]}),
            "workload": f"{name}, hash {summary['workload_hash']}",
            "samples": f"{summary['samples']}, from {summary['data']['source']}",
            "seeds": ", ".join(map(str, summary["seeds"])),
            **summary["versions"],
        },
    }


def _has_constant(summary: dict[str, Any]) -> bool:
    return any(constant_scale(row["arm"]) is not None for row in summary["rows"])
