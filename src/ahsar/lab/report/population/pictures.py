"""Three pictures of a population: arms against the baseline, which constant would have been right, where regret lies."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.lab.report.style import FAINT, INK, SOFT, colour, end_labels, figure, placeholder, save, words
from ahsar.lab.report.text import arm_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4
_BINS = 4  # of equally many nets, in which regret is averaged
_PROPERTIES = {  # of a net: title, name of its axis, whether that is logarithmic
    "threshold": ("by threshold", "threshold", True),
    "layers": ("by depth", "spiking layers", False),
    "rate_at_start": ("by rate at start", "mean rate before training (baseline)", False),
}


def scatter(numbers: dict[str, Any], path: Path) -> Path:
    """Write the final test of every arm over the baseline's, one dot a net.

    Args:
        numbers: as `numbers.combined` gives it.
    """
    arms = [arm for arm in numbers["arms"] if arm != "baseline"]
    columns = max(1, min(_COLUMNS, len(arms)))
    rows = max(1, math.ceil(len(arms) / columns))
    made, axes = figure(columns, rows, width=0.6 + 2.6 * columns, height=0.5 + 2.6 * rows, sharex=True, sharey=True)
    for ax, arm in zip(axes, arms, strict=False):
        pairs = [
            (net["arms"]["baseline"]["test"], net["arms"][arm]["test"])
            for net in numbers["nets"].values()
            if _test(net, "baseline") is not None and _test(net, arm) is not None
        ]
        ax.fill_between([0, 1], [-0.02, 0.98], [0.02, 1.02], color=FAINT, alpha=0.6, linewidth=0)
        ax.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8)
        ax.scatter(*(zip(*pairs, strict=True) if pairs else ((), ())), s=11, color=colour(arm), alpha=0.7, linewidth=0)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        row = numbers["arms"][arm]
        words(ax, arm_name(arm))
        ax.text(0.96, 0.04, f"{row['better']} : {row['worse']}", transform=ax.transAxes, ha="right", fontsize=9, color=INK)
    for ax in axes[len(arms) :]:
        ax.set_axis_off()
    made.supxlabel("final test accuracy of the baseline", fontsize=9.5, color=SOFT)
    made.supylabel("of the arm", fontsize=9.5, color=SOFT)
    return save(made, path)


def constants(numbers: dict[str, Any], path: Path) -> Path:
    """Write how many nets each constant scale would have been right for."""
    counts = numbers["right_constants"]
    made, (ax,) = figure(width=7.0, height=3.2)
    if counts:
        bars = ax.bar(range(len(counts)), list(counts.values()), width=0.7, color=colour("constant"))
        ax.bar_label(bars, fontsize=9, color=INK, padding=2)
        ax.set_xticks(range(len(counts)), [f"{scale}\nbaseline" if scale == "1" else scale for scale in counts])
        words(ax, "Which constant would have been right", "scale of all thresholds", "nets")
    else:
        placeholder(ax, "no constant ran")
    return save(made, path)


def regret(numbers: dict[str, Any], path: Path) -> Path:
    """Write the regret of the baseline, AHSAR and the best single constant over three properties of a net."""
    arms = [arm for arm in ("baseline", numbers["best_constant"], "ahsar") if arm in numbers["arms"]]
    made, axes = figure(3, width=12.0, height=3.6, sharey=True)
    for i, (ax, (key, (title, name, logarithmic))) in enumerate(zip(axes, _PROPERTIES.items(), strict=True)):
        if logarithmic:
            ax.set_xscale("log")
        ends = [_regret_line(ax, numbers, arm, key) for arm in arms]
        words(ax, f"Regret {title}", name, "" if i else "best arm − arm, final test")
        if i == 2:
            end_labels(ax, [end for end in ends if end is not None])
    return save(made, path)


def _regret_line(ax: "Axes", numbers: dict[str, Any], arm: str, key: str) -> tuple[float, str, str] | None:
    """Dots of one arm and their mean in bins of equally many nets; where the line ends, its name and colour."""
    rows = [
        (net[key], net["arms"][arm]["regret"])
        for net in numbers["nets"].values()
        if net[key] is not None and _test(net, arm) is not None
    ]
    if not rows:
        return None
    rows.sort()
    x, y = np.array(rows, dtype=float).T
    ax.scatter(x, y, s=8, color=colour(arm), alpha=0.25, linewidth=0)
    middles, means = binned(x, y)
    ax.plot(middles, means, color=colour(arm), linewidth=2, marker="o", markersize=4)
    return means[-1], arm_name(arm), colour(arm)


def binned(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> tuple[list[float], list[float]]:
    """Median of x and mean of y, in up to 4 bins of about equally many values; x is sorted, equal ones stay together."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    edges = [int(np.searchsorted(x, x[i * len(x) // _BINS])) for i in range(_BINS)]
    starts = sorted({0, *edges})
    ends = [*starts[1:], len(x)]
    bins = list(zip(starts, ends, strict=True))
    return [float(np.median(x[a:b])) for a, b in bins], [float(y[a:b].mean()) for a, b in bins]


def _test(net: dict[str, Any], arm: str) -> float | None:
    return net["arms"].get(arm, {}).get("test")
