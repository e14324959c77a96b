"""A population in four pictures: every net, means, better and worse, and the price."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.errors import ResultsError
from ahsar.lab.report import style
from ahsar.lab.report.names import of_arm
from ahsar.lab.report.population.numbers import BASELINE, OURS, POINTS
from ahsar.lab.report.population.page import collect
from ahsar.lab.report.talk.charts import GAIN, LOSS, Row, rows
from ahsar.lab.report.talk.slide import LEAST, TEXT, axes, slide
from ahsar.lab.report.text import signed, times
from ahsar.lab.results.records import is_rival

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = dict[str, Any]
_MOST = 7  # arms of a picture


def slides(folder: Path) -> "dict[str, Figure]":
    """The pictures by name. Raises ResultsError if no net holds both AHSAR and the baseline."""
    numbers = collect(folder)
    ours = numbers["arms"].get(OURS)
    if not ours or not (ours["against_baseline"] or {}).get("n"):
        raise ResultsError(f"{folder}: no net holds both AHSAR and the baseline: run `ahsar population` with this --out again")
    drawn = {"nets": _nets(numbers), "means": _means(numbers), "better-and-worse": _counts(numbers), "price": _price(numbers)}
    return {name: made for name, made in drawn.items() if made is not None}


def chosen(numbers: Numbers) -> list[str]:
    """AHSAR, the best single constant, shuffled scales, and the rivals from the best on, as many as a picture holds."""
    arms = numbers["arms"]
    rivals = [arm for arm in arms if is_rival(arm) and arms[arm]["against_baseline"]["mean"] is not None]
    rivals.sort(key=lambda arm: -arms[arm]["against_baseline"]["mean"])
    known = [arm for arm in (OURS, numbers["best_constant"], "shuffled") if arm in arms]
    return [*known, *rivals][:_MOST]


def opponents(numbers: Numbers) -> dict[str, str]:
    """The best single constant and the best rival, where there are any, each with its words."""
    best = next((arm for arm in chosen(numbers) if is_rival(arm)), None)
    names = {numbers["best_constant"]: "the best constant", best: "the best rival"}
    return {arm: said for arm, said in names.items() if arm is not None}


def _nets(numbers: Numbers) -> "Figure":
    row = numbers["arms"][OURS]
    count = row["against_baseline"]["n"]
    message = f"AHSAR helps {row['better']} of {count} nets and harms {row['worse']}"
    made, ax = slide(message, f"{_basis(numbers)} Helped, harmed: by {POINTS:g} of test accuracy or more.")
    tests = [
        (net["arms"][BASELINE]["test"], net["arms"][OURS]["test"])
        for net in numbers["nets"].values()
        if all(net["arms"].get(arm, {}).get("test") is not None for arm in (BASELINE, OURS))
    ]
    x, y = np.array(tests).T
    inks = np.where(y - x >= POINTS - 1e-9, GAIN, np.where(x - y >= POINTS - 1e-9, LOSS, style.SOFT))
    ax.plot([0, 1], [0, 1], color=style.SOFT, linewidth=1.5, zorder=1)
    ax.scatter(x, y, s=80, color=inks, alpha=0.75, linewidth=0, zorder=2)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    beside: dict[str, Any] = {"transform": ax.transAxes, "fontsize": TEXT, "va": "center"}
    ax.text(1.08, 0.85, f"{row['better']} better with AHSAR", color=GAIN, **beside)
    ax.text(1.08, 0.5, f"{count - row['better'] - row['worse']} about the same", color=style.SOFT, **beside)
    ax.text(1.08, 0.15, f"{row['worse']} worse with AHSAR", color=LOSS, **beside)
    axes(ax, "test accuracy, untouched", "test accuracy, AHSAR")
    return made


def _means(numbers: Numbers) -> "Figure":
    arms = numbers["arms"]
    known = {OURS: "AHSAR", **opponents(numbers)}
    said = [f"{signed(arms[arm]['against_baseline']['mean'])} with {words}" for arm, words in known.items()]
    alike = [words for arm, words in opponents(numbers).items() if _alike(arms[arm])]
    doubt = f" Not told apart from AHSAR: {', '.join(alike)}." if alike else ""
    ran = sorted({arms[arm]["nets"] for arm in chosen(numbers)} - {len(numbers["nets"])})
    fewer = f" Rivals ran on {' to '.join(map(str, dict.fromkeys((ran[0], ran[-1]))))} of them." if ran else ""
    basis = f"{_basis(numbers)}{fewer} Means against untouched, 95 % intervals.{doubt}"
    made, ax = slide(f"Test accuracy {', '.join(said)}", basis)
    shown = [
        Row(of_arm(arm), gap["mean"], gap["ci95"], signed(gap["mean"]), _ink(arm))
        for arm in chosen(numbers)
        if (gap := arms[arm]["against_baseline"])["mean"] is not None
    ]
    rows(ax, shown, 0.0)
    axes(ax, "test accuracy less that of the untouched net (linear)")
    return made


def _counts(numbers: Numbers) -> "Figure":
    arms = numbers["arms"]

    def harmed(arm: str) -> str:
        return f"{arms[arm]['worse']} of {arms[arm]['against_baseline']['n']}"

    rest = ", ".join(f"{said} {harmed(arm)}" for arm, said in opponents(numbers).items())
    message = f"AHSAR harms {harmed(OURS)} nets" + (f", {rest}" if rest else "")
    made, ax = slide(message, f"{_basis(numbers)} Harmed, helped: by {POINTS:g} of test accuracy or more.")
    shown = [arm for arm in chosen(numbers) if arms[arm]["against_baseline"]["n"]]
    places = range(len(shown) - 1, -1, -1)
    for y, arm in zip(places, shown, strict=True):
        count = arms[arm]["against_baseline"]["n"]
        for side, key, ink in ((-1, "worse", LOSS), (1, "better", GAIN)):
            share = 100 * arms[arm][key] / count
            ax.barh(y, side * share, height=0.62, color=ink, alpha=0.85)
            at: dict[str, Any] = {"ha": "left" if side > 0 else "right", "va": "center", "fontsize": TEXT, "color": ink}
            ax.text(side * (share + 1), y, f"{share:.0f} %", **at)
    ax.axvline(0, color=style.INK, linewidth=1.5)
    ax.set_yticks(list(places), [of_arm(arm) for arm in shown], fontsize=TEXT)
    for label, arm in zip(ax.get_yticklabels(), shown, strict=True):
        label.set_color(_ink(arm))
    ax.tick_params(axis="y", length=0)
    ax.set_xticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(visible=False)
    ax.margins(x=0.16)
    axes(ax, "share of nets that are worse (left) and better (right) than untouched")
    ax.xaxis.label.set_fontsize(LEAST)
    return made


def _price(numbers: Numbers) -> "Figure | None":
    arms = numbers["arms"]
    ours = arms[OURS]["operations"]
    if ours["mean"] is None:
        return None
    message = f"AHSAR costs {times(ours['mean'])} the operations of the untouched nets"
    made, ax = slide(message, f"{_basis(numbers)} Geometric means over {ours['n']} nets that learn both ways, 95 % intervals.")
    shown = [
        Row(of_arm(arm), got["mean"], got["ci95"], times(got["mean"]), _ink(arm))
        for arm in chosen(numbers)
        if (got := arms[arm]["operations"])["mean"] is not None
    ]
    rows(ax, shown, 1.0, log=True)
    axes(ax, "synaptic operations, untouched = 1 (log)")
    return made


def _basis(numbers: Numbers) -> str:
    block = "verdict" if numbers["verdict"] else "development"
    return f"{len(numbers['nets'])} nets of {numbers['population']!r} ({block}), one seed each, nothing tuned."


def _alike(row: dict[str, Any]) -> bool:
    """Whether the interval of an arm's difference to AHSAR holds 0, or there is none."""
    low, high = (row["against_ahsar"] or {}).get("ci95") or (-1.0, 1.0)
    return low <= 0 <= high


def _ink(arm: str) -> str:
    return style.COLOURS["ahsar"] if arm == OURS else style.INK
