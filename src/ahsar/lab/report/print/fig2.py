"""Convergence against a constant threshold scale, after the second figure of arXiv 2512.05015, from our own runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahsar.lab.report import style
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

    Lines are medians over trials; the bands of the baseline and AHSAR hold the middle half.
    """
    made, axes = paper.panels(len(comparisons))
    ends = [_panel(ax, comparison) for ax, comparison in zip(axes, comparisons, strict=True)]
    made.draw_without_rendering()  # the labels need to know how high the panels are
    for ax, labels in zip(axes, ends, strict=True):
        paper.end_labels(ax, labels)
    return made


def _panel(ax: "Axes", comparison: paper.Comparison) -> paper.Ends:
    """Draw one comparison; returns the labels of its lines."""
    inks = paper.shades("YlOrBr", len(comparison.constants), 0.38, 0.92)
    ends: paper.Ends = []
    for (scale, trials), ink in zip(comparison.constants.items(), inks, strict=True):
        if scale == 1.0:
            ink, dashes = style.COLOURS["baseline"], (0, (4, 1.5))
            _line(ax, ends, trials, "S = 1", "S = 1, baseline", ink, 1.5, linestyle=dashes, zorder=3)
        else:
            _line(ax, ends, trials, f"S = {scale:g}", f"S = {scale:g}", ink, 1.1, zorder=2)
    _line(ax, ends, comparison.ours, "AHSAR", "AHSAR", style.COLOURS["ahsar"], 2.4, zorder=4)
    first = comparison.first
    dots = (0, (1.5, 1.5))
    target = ax.axhline(first["target"], color=style.SOFT, linewidth=0.8, linestyle=dots, zorder=1)
    target.set_label(f"target {first['target']:g}")
    paper.legend(ax, [target])
    ax.margins(x=0)
    ax.set_xlim(left=0)
    paper.words(ax, comparison.title, "training step", f"validation {first['metric']}")
    return ends


def _line(
    ax: "Axes", ends: paper.Ends, trials: Sequence[Record], name: str, label: str, ink: Any, width: float, **options: Any
) -> None:
    """Draw one arm, with its band if its line is a wide one, and note the label of its end."""
    steps, (low, middle, high) = middle_half(trials, "step", steps_of(trials))
    if steps.size:
        ax.plot(steps, middle, label=name, color=ink, linewidth=width, **options)
        ends.append((float(middle[-1]), label, ink))
        if width > 1.2:
            ax.fill_between(steps, low, high, color=ink, alpha=0.14, linewidth=0)
