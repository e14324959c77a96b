"""The picture of a matrix: for each cell AHSAR's speed-up against baseline and constants, and its gap in test."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahsar.lab.report.style import COLOURS, FAINT, INK, SOFT, figure, save, words
from ahsar.lab.results.constants import BEST, LEFT_OUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# words, colour, marker, filling and place in the row of each opponent that is shown
_SHOWN = {
    "baseline": ("against the baseline", COLOURS["ahsar"], "o", COLOURS["ahsar"], 0.22),
    LEFT_OUT: ("against the constant chosen on other seeds", COLOURS["constant"], "D", COLOURS["constant"], 0.0),
    BEST: ("against the best constant in hindsight", COLOURS["constant"], "D", "white", -0.22),
}


def draw(numbers: dict[str, Any], path: Path) -> Path:
    """Write the picture as PNG to `path`; cells from the fastest against the baseline to the slowest.

    Args:
        numbers: as `numbers.combined` gives it.
    """
    cells = {name: cell for name, cell in numbers["cells"].items() if "baseline" in cell["against"]}
    order = sorted(cells, key=lambda name: cells[name]["against"]["baseline"]["speedup"]["median"] or 1.0)
    made, (left, right) = figure(2, width=11.0, height=1.6 + 0.3 * max(4, len(order)), width_ratios=[1.7, 1], sharey=True)
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
        ax.grid(axis="x", color=FAINT, linewidth=0.6)
        ax.set_ylim(-0.8, len(order) - 0.2)
    left.set_yticks(range(len(order)), order, fontsize=8.5, color=INK)
    _speedups(left, [cells[name] for name in order])
    gaps = [cells[name]["against"]["baseline"]["final_test_difference"]["mean"] for name in order]
    right.axvline(0, color=SOFT, linewidth=0.9)
    right.axvspan(-0.01, 0.01, color=FAINT, alpha=0.6, linewidth=0)
    known = [(gap, y) for y, gap in enumerate(gaps) if gap is not None]
    right.scatter([gap for gap, _ in known], [y for _, y in known], s=26, color=COLOURS["ahsar"], zorder=3)
    right.set_xscale("symlog", linthresh=0.1, linscale=1.5)
    ticks = [-0.4, -0.1, -0.05, 0, 0.05, 0.1, 0.4]
    low, high = min([gap for gap, _ in known], default=0), max([gap for gap, _ in known], default=0)
    kept = [tick for tick in ticks if min(low, -0.05) * 1.3 <= tick <= max(high, 0.05) * 1.3]
    right.set_xticks(kept, [f"{tick:+g}" if tick else "0" for tick in kept])
    right.minorticks_off()
    words(right, "Final test accuracy", "AHSAR − baseline (band: ±0.01)")
    return save(made, path)


def _speedups(ax: "Axes", cells: list[dict[str, Any]]) -> None:
    ax.axvline(1, color=SOFT, linewidth=0.9)
    seen = [1.0]
    for opponent, (text, ink, marker, filling, lift) in _SHOWN.items():
        for y, cell in enumerate(cells):
            got = (cell["against"].get(opponent) or {}).get("speedup")
            if not got or not got["median"]:
                continue
            if got["ci95"]:
                ax.plot(got["ci95"], [y + lift] * 2, color=ink, linewidth=1.4, alpha=0.6)
            # a bound points to where the true value lies
            shape = ">" if not got["reached_baseline"] else "<" if not got["reached_controlled"] else marker
            ax.scatter([got["median"]], [y + lift], s=24, facecolor=filling, edgecolor=ink, marker=shape, zorder=3)
            seen.append(got["median"])
        ax.scatter([], [], s=24, facecolor=filling, edgecolor=ink, marker=marker, label=text)
    ax.set_xscale("log")
    low, high = min(seen) / 1.25, max(seen) * 1.25
    ax.set_xlim(low, high)
    ticks = [tick for tick in (0.1, 0.2, 0.25, 0.33, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 10, 20) if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    ax.minorticks_off()
    words(ax, "Steps to the target", "speed-up (above 1 AHSAR is faster; triangles are bounds)")
    ax.legend(loc="lower right", fontsize=8.5, frameon=False, labelcolor=INK)
