"""Three pictures of a population: arms against the baseline, which constant would have been right, where regret lies."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.lab.report.population.numbers import FEWEST, POINTS
from ahsar.lab.report.style import FAINT, INK, SOFT, colour, figure, log_axis, placeholder, save, words
from ahsar.lab.report.text import arm_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT_OUT = ("baseline", "attached")  # the reference itself, and its double
_COLUMNS = (4, 5, 3)  # that a page has room for
_BINS = 4  # of equally many nets, in which regret is averaged
_LEAST_RATE = 1e-3  # what a silent net has on a logarithmic axis
_PROPERTIES = {  # of a net: title, name of its axis, whether that is logarithmic
    "threshold": ("by threshold", "threshold, log", True),
    "layers": ("by depth", "spiking layers, linear", False),
    "rate_at_start": ("by rate at start", f"mean rate before training, log (at {_LEAST_RATE:g}: that or less)", True),
}


def scatter(numbers: dict[str, Any], path: Path) -> Path:
    """Write the final test of every arm over the baseline's, one dot a net; without the double of the baseline.

    Args:
        numbers: as `numbers.combined` gives it.
    """
    arms = [arm for arm in numbers["arms"] if arm not in _LEFT_OUT]
    columns = _columns(len(arms))
    rows = max(1, math.ceil(len(arms) / columns))
    made, axes = figure(columns, rows, width=0.6 + 2.6 * columns, height=0.5 + 2.8 * rows, sharey=True)
    for ax, arm in zip(axes, arms, strict=False):
        pairs = [
            (net["arms"]["baseline"]["test"], net["arms"][arm]["test"])
            for net in numbers["nets"].values()
            if _test(net, "baseline") is not None and _test(net, arm) is not None
        ]
        ax.fill_between([0, 1], [-POINTS, 1 - POINTS], [POINTS, 1 + POINTS], color=FAINT, alpha=0.9, linewidth=0)
        ax.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8)
        ax.scatter(*(zip(*pairs, strict=True) if pairs else ((), ())), s=11, color=colour(arm), alpha=0.7, linewidth=0)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=np.linspace(0, 1, 6))
        row = numbers["arms"][arm]
        words(ax, f"{arm_name(arm)}\nbetter {row['better']}, worse {row['worse']} of {len(pairs)}")
        ax.title.set_fontsize(9.5)
    for ax in axes[len(arms) :]:
        ax.remove()
    made.supxlabel(f"final test accuracy of the baseline (grey: less than {POINTS:g} apart)", fontsize=9.5, color=SOFT)
    made.supylabel("final test accuracy of the arm", fontsize=9.5, color=SOFT)
    return save(made, path)


def _columns(count: int) -> int:
    """As many as leave the fewest places blank."""
    return max(1, count) if count <= _COLUMNS[0] else min(_COLUMNS, key=lambda columns: -count % columns)


def constants(numbers: dict[str, Any], path: Path) -> Path:
    """Write how many nets each constant scale would have been right for."""
    counts = numbers["right_constants"]
    made, (ax,) = figure(width=7.0, height=3.2)
    if counts:
        bars = ax.bar(range(len(counts)), list(counts.values()), width=0.7, color=colour("constant"))
        ax.bar_label(bars, fontsize=9, color=INK, padding=2)
        ax.set_xticks(range(len(counts)), [f"{scale}\nbaseline" if scale == "1" else scale for scale in counts])
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.margins(y=0.12)
        words(ax, "Nets that each constant would have been right for, by final test", "scale of all thresholds")
    else:
        placeholder(ax, "no constant ran")
    return save(made, path)


def regret(numbers: dict[str, Any], path: Path) -> Path:
    """Write the regret of the baseline, AHSAR and the best single constant over three properties of a net."""
    arms = [arm for arm in ("baseline", numbers["best_constant"], "ahsar") if arm in numbers["arms"]]
    made, axes = figure(3, width=12.0, height=4.0, sharey=True)
    for i, (ax, (key, (title, name, logarithmic))) in enumerate(zip(axes, _PROPERTIES.items(), strict=True)):
        drawn = [_regret_line(ax, numbers, arm, key) for arm in arms]
        places = [place for each in drawn for place in each]
        if logarithmic and places:
            log_axis(ax, min(places) / 1.15, max(places) * 1.15, most=7)
        ax.xaxis.get_major_locator().set_params(**({} if logarithmic else {"integer": True}))
        words(ax, f"Regret {title}", name, "" if i else "best arm − arm, final test")
    _legend(made, arms)
    return save(made, path)


def _legend(made: "Figure", arms: Sequence[str]) -> None:
    """Above all panels, where it hides nothing."""
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=colour(arm), linewidth=2, marker="o", markersize=4) for arm in arms]
    said = [arm_name(arm) for arm in arms]
    if arms:
        title = "lines: means over equally many nets; dots: nets"
        look = {"fontsize": 9, "title_fontsize": 9, "labelcolor": INK, "frameon": False}
        legend = made.legend(marks, said, title=title, loc="outside upper left", ncols=3, **look)
        legend.set_alignment("left")


def _regret_line(ax: "Axes", numbers: dict[str, Any], arm: str, key: str) -> list[float]:
    """Dots of one arm, and their mean in bins of equally many nets; returns where they stand."""
    rows = [
        (max(net[key], _LEAST_RATE), net["arms"][arm]["regret"])
        for net in numbers["nets"].values()
        if net[key] is not None and _test(net, arm) is not None
    ]
    if not rows:
        return []
    rows.sort()
    x, y = np.array(rows, dtype=float).T
    ax.scatter(x, y, s=9, color=colour(arm), alpha=0.35, linewidth=0)
    ax.plot(*binned(x, y), color=colour(arm), linewidth=2, marker="o", markersize=4)
    return list(x)


def binned(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> tuple[list[float], list[float]]:
    """Median of x and mean of y, in up to 4 bins of about equally many values; x is sorted, equal ones stay together.

    A mean of fewer than 5 nets is not shown: the fewer the values, the fewer the bins, and below 5 there is none.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    count = min(_BINS, len(x) // FEWEST)
    edges = [int(np.searchsorted(x, x[i * len(x) // count])) for i in range(count)]
    starts = sorted({0, *edges}) if count else []
    bins = [(a, b) for a, b in zip(starts, [*starts[1:], len(x)], strict=False) if b - a >= FEWEST]
    return [float(np.median(x[a:b])) for a, b in bins], [float(y[a:b].mean()) for a, b in bins]


def _test(net: dict[str, Any], arm: str) -> float | None:
    return net["arms"].get(arm, {}).get("test")
