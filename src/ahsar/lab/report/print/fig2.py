"""Convergence against a constant threshold scale, after the second figure of arXiv 2512.05015, from our own runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahsar.lab.report import labels, style
from ahsar.lab.report.curves import middle_half, steps_of
from ahsar.lab.report.print import paper
from ahsar.lab.results.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write `out`/fig2.png and .svg, one panel per results folder; raises ResultsError as `paper.comparison` does."""
    return paper.write("fig2", draw, folders, out)


def draw(comparisons: Sequence[paper.Comparison]) -> "Figure":
    """The validation metric against steps for every constant scale, the baseline's 1 among them, and for AHSAR.

    Lines are medians over trials; the bands of the baseline and AHSAR hold the middle half. Scales below 1 are brown, those
    above are violet and dashed, and both the darker the further they are from 1.
    """
    made, axes = paper.panels(len(comparisons))
    ends = [_panel(ax, comparison) for ax, comparison in zip(axes, comparisons, strict=True)]
    labels.beside(list(zip(axes, ends, strict=True)), paper.SMALL, leaders=True)
    return made


def _panel(ax: "Axes", comparison: paper.Comparison) -> list[labels.End]:
    """Draw one comparison; returns the names of its lines."""
    first = comparison.first
    ends: list[labels.End] = []
    for scale, ink in _inks(list(comparison.constants)).items():
        trials = comparison.constants[scale]
        if scale == 1.0:
            _line(ax, ends, trials, "S = 1", "S = 1, baseline", ink, 1.5, linestyle=(0, (4, 1.5)), zorder=3)
        else:
            dashes = (0, (3, 0.8)) if scale > 1 else "-"
            _line(ax, ends, trials, f"S = {scale:g}", f"S = {scale:g}", ink, 1.1, linestyle=dashes, zorder=2)
    _line(ax, ends, comparison.ours, "AHSAR", "AHSAR", style.COLOURS["ahsar"], 2.4, zorder=4)
    target = f"target {first['target']:.3g}"
    ax.axhline(first["target"], color=style.SOFT, linewidth=0.8, linestyle=(0, (1.5, 1.5)), zorder=1, label=target)
    ends.append((first["target"], target, style.SOFT))
    ax.margins(x=0)
    ax.set_xlim(left=0)
    paper.words(ax, comparison.title, "training step", f"validation {first['metric']}")
    return ends


def _inks(scales: Sequence[float]) -> dict[float, Any]:
    """The colours of sorted scales."""
    below, above = [scale for scale in scales if scale < 1], [scale for scale in scales if scale > 1]
    brown, violet = paper.shades("#4F2500", "#B85C00", len(below)), paper.shades("#A050C8", "#3F0E5E", len(above))
    grey = {1.0: style.COLOURS["baseline"]} if 1.0 in scales else {}
    return {**dict(zip(below, brown, strict=True)), **grey, **dict(zip(above, violet, strict=True))}


def _line(
    ax: "Axes", ends: list[labels.End], trials: Sequence[Record], name: str, label: str, ink: Any, width: float, **options: Any
) -> None:
    """Draw one arm, with its band if its line is a wide one, and note the name at its end."""
    steps, (low, middle, high) = middle_half(trials, "step", steps_of(trials))
    if steps.size:
        ax.plot(steps, middle, label=name, color=ink, linewidth=width, **options)
        ends.append((float(middle[-1]), label, ink))
        if width > 1.2:
            ax.fill_between(steps, low, high, color=ink, alpha=0.14, linewidth=0)
