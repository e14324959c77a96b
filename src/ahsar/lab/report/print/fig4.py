"""Firing rates against a constant threshold scale, after the fourth figure of arXiv 2512.05015, from our own runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.lab.report import labels, style
from ahsar.lab.report.curves import last_of
from ahsar.lab.report.print import paper
from ahsar.lab.results.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

NAMED = 10  # lines that have room for a label
LONGEST = 13  # letters of a label, for the lines beside it to keep their width
_MARK: dict[str, Any] = {"marker": "D", "markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.8, "zorder": 5}


@dataclass(frozen=True)
class _Panel:
    """What is drawn of one comparison: names of lines, places of diamonds, and the numbers that stand on these."""

    ax: "Axes"
    ends: list[labels.End]
    diamonds: list[tuple[float, float]]
    numbers: "list[Text]"


def write(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write `out`/fig4.png and .svg, one panel per results folder; raises ResultsError as `paper.comparison` does."""
    return paper.write("fig4", draw, folders, out)


def draw(comparisons: Sequence[paper.Comparison]) -> "Figure":
    """Each layer's rate at the last evaluation against the scale that all layers had, and where AHSAR brought it.

    Lines are medians over trials, at every constant scale and the baseline's 1. A diamond stands at the median scale that
    AHSAR found for a layer and the median rate that the layer then had; it need not lie on the line, as the other layers
    have scales of their own there.
    """
    made, axes = paper.panels(len(comparisons), height=2.9)
    drawn = [_panel(ax, comparison) for ax, comparison in zip(axes, comparisons, strict=True)]
    if any(panel.diamonds for panel in drawn):
        _legend(made)
    labels.beside([(panel.ax, panel.ends) for panel in drawn], paper.SMALL, leaders=True)
    for panel in drawn:
        labels.at_points(panel.ax, panel.numbers, panel.diamonds)
    return made


def _legend(made: "Figure") -> None:
    """Above all panels, where it hides nothing."""
    from matplotlib.lines import Line2D

    mark = Line2D([], [], linestyle="", color=style.SOFT, **_MARK)
    said = ["where AHSAR brought a layer"]
    made.legend([mark], said, loc="outside upper right", fontsize=paper.SMALL, labelcolor=style.SOFT, frameon=False)


def _panel(ax: "Axes", comparison: paper.Comparison) -> _Panel:
    """Draw one comparison."""
    from matplotlib.patheffects import withStroke

    rates = {scale: medians for scale, trials in comparison.constants.items() if (medians := last_of(trials, "rates"))}
    ours, scales = last_of(comparison.ours, "rates"), last_of(comparison.ours, "scales")
    names = list(next(iter(rates.values()), {}))
    inks = dict(zip(names, _inks(len(names)), strict=True))
    shown = {names[i] for i in np.linspace(0, len(names) - 1, min(NAMED, len(names))).round().astype(int)}
    drawn = _Panel(ax, [], [], [])
    halo = [withStroke(linewidth=1.8, foreground="white")]
    for number, (name, short) in enumerate(zip(names, _short(names), strict=True), 1):
        places = [scale for scale in rates if name in rates[scale]]
        values = [rates[scale][name] for scale in places]
        ax.plot(places, values, label=name, color=inks[name], linewidth=1.2, alpha=0.75, marker="o", markersize=2.6)
        if name in shown:
            drawn.ends.append((values[-1], f"{number} {short}", inks[name]))
        if name in ours and name in scales:
            ax.plot(scales[name], ours[name], label=f"AHSAR {name}", color=inks[name], **_MARK)
            drawn.diamonds.append((scales[name], ours[name]))
            if name in shown:
                beside = {"fontsize": paper.SMALL, "color": inks[name], "path_effects": halo, "zorder": 6}
                drawn.numbers.append(ax.text(scales[name], ours[name], f"{number}", ha="center", va="center", **beside))
    if (goal := _set_point(comparison.ours)) is not None:
        text = f"set-point {goal:g}"
        ax.axhline(goal, color=style.SOFT, linewidth=0.8, linestyle=(0, (1.5, 1.5)), zorder=1, label=text)
        drawn.ends.append((goal, text, style.SOFT))
    ax.set_xscale("log")
    ax.margins(x=0.08, y=0.08)
    left, right = ax.get_xlim()
    ax.set_xticks(list(rates), _ticks(list(rates), float(np.log(right / left)) / 10))
    ax.set_xlim(left, right)
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    paper.words(ax, comparison.title, "threshold scale S (log)", "spikes per neuron and time step")
    return drawn


def _inks(count: int) -> list[Any]:
    """Colours of layers by depth, from dark blue over violet to red: none too pale for white paper."""
    from matplotlib import colormaps

    return [colormaps["plasma"](0.48 * i / max(1, count - 1)) for i in range(count)]


def _ticks(scales: Sequence[float], room: float) -> list[str]:
    """Labels of the scales, empty where the logarithm is less than `room` from that of 1, of the ends, or of an earlier one."""
    kept: list[float] = []
    for scale in (*(s for s in scales if s == 1.0), *scales[:1], *scales[-1:], *scales):
        if all(abs(np.log(scale / other)) >= room for other in kept):
            kept.append(scale)
    return [f"{scale:g}" if scale in kept else "" for scale in scales]


def _short(names: Sequence[str]) -> list[str]:
    """Module names without the parts that all begin or end with."""
    parts = [name.split(".") for name in names]
    while min(map(len, parts), default=0) > 1 and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    while min(map(len, parts), default=0) > 1 and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return [_clipped(part) for part in parts]


def _clipped(parts: Sequence[str]) -> str:
    """The name in at most LONGEST letters, as its end tells most; what is left out shows as an ellipsis."""
    kept = [part for part in parts if part not in ("neuron", "lif")] or list(parts)
    while len(kept) > 1 and len(".".join(kept)) > LONGEST:
        kept = kept[1:]
    text = ".".join(kept)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _set_point(trials: Sequence[Record]) -> float | None:
    return next((config["set_point"] for trial in trials if (config := trial.get("config")) and "set_point" in config), None)
