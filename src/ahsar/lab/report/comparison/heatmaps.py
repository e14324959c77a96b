"""Rates and scales of every layer over time, as heat maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.lab.report import style
from ahsar.lab.report.text import arm_name
from ahsar.lab.results.records import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BESIDE: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 8, "color": style.SOFT}
LONGEST = 22  # characters of a layer's name that fit beside its row


def layers(arms: dict[str, list[Record]]) -> "Figure":
    """Baseline's rates, AHSAR's rates on the same colours, AHSAR's scales: one row per layer, means over the trials."""
    panels = [
        ("baseline", "rates", "Rate, baseline"),
        ("ahsar", "rates", "Rate, AHSAR"),
        ("ahsar", "scales", "Threshold scale, AHSAR"),
    ]
    grids = {(arm, key): _grid(arms.get(arm, []), key) for arm, key, _ in panels}
    most = max((len(grid[0]) for grid in grids.values() if grid), default=1)
    made, axes = style.figure(3, width=12.0, height=1.9 + min(8.0, 0.32 * max(most, 3)))
    rates = [grid[2] for (_, key), grid in grids.items() if grid and key == "rates"]
    top = max((float(np.nanmax(values)) for values in rates if np.isfinite(values).any()), default=1.0) or 1.0
    goal = _set_point(arms.get("ahsar", []))
    top = max(top, 1.1 * (goal or 0.0))
    named: list[str] = []
    for ax, (arm, key, title) in zip(axes, panels, strict=True):
        grid = grids[arm, key]
        if not grid or not np.isfinite(grid[2]).any():
            style.placeholder(ax, f"No finished trial\nof {arm_name(arm)}")
            continue
        names, steps, values = grid
        mesh = ax.pcolormesh(_edges(steps), np.arange(len(names) + 1) - 0.5, values, **_colours(key, values, top))
        ax.invert_yaxis()
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.set_yticks(range(len(names)), [] if names == named else [_short(name) for name in names])
        ax.tick_params(axis="y", length=0)
        named = names
        style.words(ax, title, "training step", "")
        bar = made.colorbar(mesh, ax=ax, fraction=0.05, pad=0.03, aspect=5 * made.get_size_inches()[1])
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.ax.tick_params(labelsize=8.5, colors=style.SOFT, length=2)
        if key == "rates" and goal is not None:
            bar.ax.axhline(goal, color="white", linewidth=2.6)
            bar.ax.axhline(goal, color=style.INK, linewidth=1.2)
            bar.ax.annotate("set-point", (0, goal), xytext=(-3, 0), textcoords="offset points", rotation=90, **_BESIDE)
        if key == "scales":
            ticks = _scale_ticks(float(np.nanmax(mesh.get_clim())))
            bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
            bar.ax.minorticks_off()
    return made


def _grid(trials: Sequence[Record], key: str) -> tuple[list[str], np.ndarray, np.ndarray] | None:
    """(layer names, steps (k,), mean over trials (layers, k)); scales are averaged in their logarithm."""
    curves = [[point for point in trial["curve"] if point.get(key)] for trial in trials]
    curves = [curve for curve in curves if curve]
    if not curves:
        return None
    names = list(max(curves, key=len)[0][key])
    steps = np.unique([point["step"] for curve in curves for point in curve]).astype(float)
    total, count = np.zeros((len(names), len(steps))), np.zeros((len(names), len(steps)))
    for curve in curves:
        for point in curve:
            at = int(np.searchsorted(steps, point["step"]))
            for row, name in enumerate(names):
                value = point[key].get(name)
                if value is not None and np.isfinite(value) and (key == "rates" or value > 0):
                    total[row, at] += np.log(value) if key == "scales" else value
                    count[row, at] += 1
    with np.errstate(invalid="ignore"):
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return names, steps, np.exp(mean) if key == "scales" else mean


def _colours(key: str, values: np.ndarray, top: float) -> dict[str, Any]:
    """Rates run from dark to bright; scales diverge from 1, warm below (more spikes) and cool above."""
    from matplotlib.colors import LogNorm

    if key == "rates":
        return {"cmap": "viridis", "vmin": 0.0, "vmax": top}
    reach = max(float(np.nanmax(np.abs(np.log(values)))), np.log(1.25)) * 1.1  # short of the darkest ends
    return {"cmap": "RdBu", "norm": LogNorm(float(np.exp(-reach)), float(np.exp(reach)))}


def _scale_ticks(top: float) -> list[float]:
    """A few round scales between 1/top and top."""
    choices = (4.0, 2.0, 1.25) if top < 8 else (10.0, 4.0, 2.0)
    upper = sorted(choice for choice in choices if choice <= top * 1.001)[-2:]
    return [*(1 / tick for tick in reversed(upper)), 1.0, *upper]


def _edges(steps: np.ndarray) -> np.ndarray:
    """Cell borders halfway between evaluations, (k + 1,)."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middle = (steps[1:] + steps[:-1]) / 2
    return np.r_[steps[0], middle, steps[-1]]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else "…" + name[1 - LONGEST :]


def _set_point(trials: Sequence[Record]) -> float | None:
    configs = [trial.get("config") or {} for trial in trials]
    set_points = [config["set_point"] for config in configs if config.get("set_point") is not None]
    return float(set_points[0]) if set_points else None
