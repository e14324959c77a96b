"""The picture of a matrix: for each cell AHSAR's speed-up against baseline and constants, and its gap in test."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahsar.lab.report.matrix.seeds import of_cell
from ahsar.lab.report.names import of_cells
from ahsar.lab.report.style import COLOURS, FAINT, INK, SOFT, figure, log_axis, save, words
from ahsar.lab.results.constants import BEST, LEFT_OUT
from ahsar.lab.results.records import read
from ahsar.lab.results.stats import FEWEST_PAIRS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# words, colour, marker, filling and place in the row of each opponent that is shown
_SHOWN = {
    "baseline": ("against the baseline (small: each seed)", COLOURS["ahsar"], "o", COLOURS["ahsar"], 0.22),
    LEFT_OUT: ("against the constant chosen on other seeds", COLOURS["constant"], "D", COLOURS["constant"], 0.0),
    BEST: ("against the best constant in hindsight", COLOURS["constant"], "D", "white", -0.22),
}
_OF_A_SEED: dict[str, Any] = {"s": 9, "color": COLOURS["ahsar"], "alpha": 0.45, "linewidth": 0, "zorder": 2}


def draw(numbers: dict[str, Any], folders: Mapping[str, Path], path: Path) -> Path:
    """Write the picture as PNG to `path`; cells from the fastest against the baseline to the slowest.

    Args:
        numbers: as `numbers.combined` gives it.
        folders: of the cells, with their trials.
    """
    names, seeds = of_cells(folders), {name: of_cell(read(folder)) for name, folder in folders.items()}
    cells = {name: cell for name, cell in numbers["cells"].items() if "baseline" in cell["against"]}
    order = sorted(cells, key=lambda name: cells[name]["against"]["baseline"]["speedup"]["median"] or 1.0)
    made, (left, right) = figure(2, width=12.0, height=2.0 + 0.32 * max(4, len(order)), width_ratios=[1.3, 1], sharey=True)
    for ax in (left, right):
        ax.grid(axis="x", color=FAINT, linewidth=0.6)
        ax.set_ylim(-0.8, len(order) - 0.2)
    silent = [name for name in order if name in numbers["never_learns"]]
    left.set_yticks(range(len(order)), [names[name] + " †" * (name in silent) for name in order], fontsize=8.5, color=INK)
    _speedups(left, [cells[name] for name in order], [seeds[name].speedups for name in order])
    gaps = [cells[name]["against"]["baseline"]["final_test_difference"]["mean"] for name in order]
    _gaps(right, gaps, [seeds[name].gaps for name in order])
    _legend(made, any(len(seeds[name].gaps) > 1 for name in order), bool(silent))
    return save(made, path)


def _speedups(ax: "Axes", cells: list[dict[str, Any]], seeds: list[list[float]]) -> None:
    ax.axvline(1, color=SOFT, linewidth=0.9)
    seen = [1.0]
    for opponent, (_, ink, marker, filling, lift) in _SHOWN.items():
        for y, cell in enumerate(cells):
            got = (cell["against"].get(opponent) or {}).get("speedup")
            if not got or not got["median"]:
                continue
            if got["ci95"] and got["n"] > FEWEST_PAIRS:
                ax.plot(got["ci95"], [y + lift] * 2, color=ink, linewidth=1.4, alpha=0.6)
            # a bound points to where the true value lies
            shape = ">" if not got["reached_baseline"] else "<" if not got["reached_controlled"] else marker
            ax.scatter([got["median"]], [y + lift], s=26, facecolor=filling, edgecolor=ink, marker=shape, zorder=3)
            seen.append(got["median"])
    lift = _SHOWN["baseline"][-1]
    for y, ratios in enumerate(seeds):
        if len(ratios) > 1:
            ax.scatter(ratios, [y + lift] * len(ratios), **_OF_A_SEED)
            seen += ratios
    log_axis(ax, min(seen) / 1.15, max(seen) * 1.15, "{:g}×", most=9)
    words(ax, "Steps to the target", "speed-up, log\n(right: AHSAR is faster; triangles: bounds)")


def _gaps(ax: "Axes", gaps: list[float | None], seeds: list[list[float]]) -> None:
    ax.axvline(0, color=SOFT, linewidth=0.9)
    ax.axvspan(-0.01, 0.01, color=FAINT, alpha=0.6, linewidth=0)
    known = [(gap, y) for y, gap in enumerate(gaps) if gap is not None]
    ax.scatter([gap for gap, _ in known], [y for _, y in known], s=26, color=COLOURS["ahsar"], zorder=3)
    for y, each in enumerate(seeds):
        if len(each) > 1:
            ax.scatter(each, [y] * len(each), **_OF_A_SEED)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:+.2g}".replace("-", "−") if abs(value) > 1e-9 else "0")
    words(ax, "Final test accuracy", "AHSAR − baseline, linear\n(grey: level within 0.01)")


def _legend(made: "Figure", several: bool, silent: bool) -> None:
    """Above the panels, where it hides nothing."""
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], linestyle="", marker=marker, color=ink, markerfacecolor=filling, markersize=5.5)
        for _, ink, marker, filling, _ in _SHOWN.values()
    ]
    said = [text if several else text.partition(" (")[0] for text, *_ in _SHOWN.values()]
    if silent:
        marks.append(Line2D([], [], linestyle=""))
        said.append("† its baseline never learns")
    made.legend(marks, said, loc="outside upper left", ncols=4, fontsize=8.5, frameon=False, labelcolor=INK)
