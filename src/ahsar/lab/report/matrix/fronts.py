"""The front of accuracy against synaptic operations: what each arm pays for its final test, over the cells and in each."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.lab.arms.names import kind_of
from ahsar.lab.report import labels
from ahsar.lab.report.names import wrapped
from ahsar.lab.report.style import FAINT, INK, SOFT, colour, figure, log_axis, save, words
from ahsar.lab.report.text import arm_name
from ahsar.lab.results import stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = dict[str, float]
NONE = {"operations": 1.0, "gap": 0.0}  # where the baseline stands
_LEFT_OUT = ("baseline", "attached")  # the reference itself, and its double
_COLUMNS, _MOST_CELLS = 4, 15


def of_cell(summary: Mapping[str, Any]) -> dict[str, Point]:
    """Each arm of a cell by its name: `operations`, accumulates of spikes over the baseline's, and `gap`, its final test less
    the baseline's. Arms that have no pair, or whose operations were not counted, are left out."""
    rows = {arm: row for arm, row in summary["arms"].items() if row["scale"] is None and "constant" not in kind_of(arm)}
    rows |= {f"constant@{row['scale']:g}": row for row in summary["constant_grid"] if row["scale"] != 1.0}
    points = {}
    for arm, row in rows.items():
        operations = (row["pareto"] or {}).get("acs")
        gap = (row["final_test_difference"] or {}).get("mean")
        if arm not in _LEFT_OUT and operations and gap is not None and math.isfinite(gap):
            points[arm] = {"operations": operations, "gap": gap}
    return points


def over(cells: Mapping[str, dict[str, Point]]) -> dict[str, dict[str, Any]]:
    """The arms that every cell has: geometric mean of operations, mean gap, their intervals, and whether `on_front`: no other
    arm, nor the baseline, has fewer operations and a gap as good, or as few and a better one."""
    shared = [arm for arm in next(iter(cells.values()), {}) if all(arm in points for points in cells.values())]
    rows: dict[str, dict[str, Any]] = {}
    for arm in shared:
        ratio = stats.geometric_mean([points[arm]["operations"] for points in cells.values()])
        rows[arm] = {
            "n": len(cells),
            "operations": {"mean": ratio.estimate, "ci95": (ratio.low, ratio.high) if math.isfinite(ratio.low) else None},
            "gap": stats.mean_interval([points[arm]["gap"] for points in cells.values()]).to_dict(),
        }
    points = {"baseline": NONE, **{arm: {key: row[key]["mean"] for key in NONE} for arm, row in rows.items()}}
    edge = front(points)
    return {arm: {**row, "on_front": arm in edge} for arm, row in rows.items()}


def front(points: Mapping[str, Point]) -> list[str]:
    """The arms that none beats in one of the two and equals in the other, from the fewest operations to the most."""

    def beaten(mine: Point) -> bool:
        return any(
            other != mine and other["operations"] <= mine["operations"] and other["gap"] >= mine["gap"]
            for other in points.values()
        )

    return sorted((arm for arm, mine in points.items() if not beaten(mine)), key=lambda arm: points[arm]["operations"])


def draw(numbers: dict[str, Any], names: Mapping[str, str], path: Path) -> Path | None:
    """Write the front over all cells, and of each where they are few, as PNG to `path`; None with fewer than two arms.

    Args:
        numbers: as `numbers.combined` gives them.
        names: of the cells, for people.
    """
    rows = numbers["front"]
    if len(rows) < 2:
        return None
    over_all = {arm: {key: row[key]["mean"] for key in NONE} for arm, row in rows.items()}
    shown = {"all cells (means)": over_all}
    if len(numbers["cells"]) <= _MOST_CELLS:
        shown |= {names[name]: {arm: cell["points"][arm] for arm in rows} for name, cell in numbers["cells"].items()}
    several, deep = len(shown) > 1, math.ceil(len(shown) / _COLUMNS)
    size = {"width": 12.0, "height": 0.7 + 2.9 * deep} if several else {"width": 8.5, "height": 4.8}
    made, axes = figure(_COLUMNS if several else 1, deep, **size)
    for ax, (title, points) in zip(axes, shown.items(), strict=False):
        _panel(ax, title, {"baseline": NONE, **points})
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    made.supxlabel("synaptic operations, log, baseline = 1 (to the left is cheaper)", fontsize=9.5, color=SOFT)
    made.supylabel("final test − baseline, linear", fontsize=9.5, color=SOFT)
    points = {"baseline": NONE, **over_all}
    if several:
        _legend(made, axes[0], list(points))
    else:
        places = [(point["operations"], point["gap"]) for point in points.values()]
        at = {"ha": "center", "va": "center", "fontsize": 9, "zorder": 4}
        texts = [
            axes[0].text(*place, arm_name(arm), color=colour(arm), **at) for arm, place in zip(points, places, strict=True)
        ]
        labels.at_points(axes[0], texts, _along(*_stairs([points[arm] for arm in front(points)])))
    return save(made, path)


def _legend(made: "Figure", ax: "Axes", arms: list[str]) -> None:
    """Above all panels."""
    marks = [ax.scatter([], [], s=34, color=colour(arm), marker=_marker(arm, arms)) for arm in arms]
    said = [arm_name(arm) for arm in arms]
    made.legend(marks, said, loc="outside upper center", ncols=8, frameon=False, fontsize=9, labelcolor=INK)


def _panel(ax: "Axes", title: str, points: dict[str, Point]) -> None:
    edge = front(points)
    ax.axhline(0, color=FAINT, linewidth=0.9)
    ax.axvline(1, color=FAINT, linewidth=0.9)
    ax.plot(*_stairs([points[arm] for arm in edge]), color=SOFT, linewidth=0.9, alpha=0.8)
    for arm, point in points.items():
        ax.scatter([point["operations"]], [point["gap"]], s=34, color=colour(arm), marker=_marker(arm, list(points)), zorder=3)
    values = [point["operations"] for point in points.values()]
    log_axis(ax, min(values) / 1.3, max(values) * 1.3)
    ax.margins(y=0.12)
    words(ax, wrapped(title, 28))
    ax.title.set_fontsize(9.5)


def _stairs(edge: list[Point]) -> tuple[list[float], list[float]]:
    """The line that a front's points, from the left on, hold all others below."""
    x, y = [edge[0]["operations"]], [edge[0]["gap"]]
    for point in edge[1:]:
        x += [point["operations"], point["operations"]]
        y += [y[-1], point["gap"]]
    return x, y


def _along(x: list[float], y: list[float]) -> list[tuple[float, float]]:
    """Places on that line, so close that no label fits between them."""
    parts = np.linspace(0, 1, 20)
    ends = zip(zip(x, y, strict=True), zip(x[1:], y[1:], strict=False), strict=False)
    return [(a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])) for a, b in ends for part in parts]


def _marker(arm: str, arms: list[str]) -> str:
    """Some arms share a colour; their shapes tell them apart."""
    same = [other for other in arms if colour(other) == colour(arm)]
    return "osDv^<>PX*"[same.index(arm) % 10]
