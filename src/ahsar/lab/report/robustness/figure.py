"""The picture of a robustness test: a map of rows and corruptions, and accuracy by severity."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.lab.report import labels, style
from ahsar.lab.report.colours import letters_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# of the modes; colour says which arm it is
_DASHES: dict[str, Any] = {
    "frozen": "-",
    "norm": (0, (1.4, 1.4)),
    "episodic": (0, (5, 1.6)),
    "continual": (0, (3, 1.5, 1, 1.5)),
    "norm+episodic": (0, (5, 1.6, 1.4, 1.6)),
    "norm+continual": (0, (3, 1.5, 1, 1.5, 1, 1.5)),
}


def draw(summary: dict[str, Any]) -> "Figure":
    """Two panels, side by side."""
    rows, names = summary["rows"], summary["corruptions"]
    wide = 0.5 * (max(len(names), 6) + 2)
    made, (left, right) = style.figure(
        2, width=5.5 + wide, height=2.0 + 0.42 * max(len(rows), 5), width_ratios=[wide + 1.2, 3.2]
    )
    _map(left, rows, names)
    _lines(right, rows, summary["severities"])
    return made


def _map(ax: "Axes", rows: list[dict[str, Any]], names: list[str]) -> None:
    """Accuracy in %, coloured by its difference to the baseline's."""
    values = np.array([[row["clean"]["mean"], *(row["corruptions"][name]["mean"] for name in names)] for row in rows])
    base = next(i for i, row in enumerate(rows) if (row["arm"], row["mode"]) == ("baseline", "frozen"))
    gaps = values - values[base]
    reach = max(float(np.abs(gaps).max()), 0.05) * 1.3
    cells = ax.imshow(gaps, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        ink = letters_on(cells.to_rgba(gaps[i, j]).tolist())
        ax.text(j, i, f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=ink)
    ax.axvline(0.5, color="white", linewidth=4)
    ax.set_yticks(range(len(rows)), [row["label"] for row in rows])
    ax.set_xticks(range(len(names) + 1), ["clean", *names], rotation=40, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    style.words(ax, "Accuracy in %; blue beats the baseline")


def _lines(ax: "Axes", rows: list[dict[str, Any]], severities: list[int]) -> None:
    """Accuracy over severity, clean as 0; bands would hide each other, so intervals are left to the table."""
    ends = []
    for row in rows:
        heights = [row["clean"]["mean"], *(row["severities"][str(level)]["mean"] for level in severities)]
        colour = style.colour(row["arm"])
        ax.plot([0, *severities], heights, color=colour, linestyle=_DASHES[row["mode"]], linewidth=1.6)
        ends.append((heights[-1], row["label"], colour))
    ax.set_xticks([0, *severities], ["clean", *map(str, severities)])
    style.words(ax, "By severity, mean over corruptions", "severity", "accuracy")
    labels.beside([(ax, ends)])
