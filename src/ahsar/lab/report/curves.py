"""Curves of several trials read at the same places, and what is typical of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ahsar.lab.results.records import Record


def steps_of(trials: Sequence[Record]) -> np.ndarray:
    """Every step at which one of the trials was evaluated, (k,)."""
    return np.unique([point["step"] for trial in trials for point in trial["curve"]]).astype(float)


def middle_half(trials: Sequence[Record], key: str, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quartiles of the validation metric over trials.

    Args:
        key: what `grid` is in: "step" or "seconds".
        grid: where to read the curves, (k,).

    Returns:
        The places of `grid` that more than half of the trials reach (beyond them the median would drop the slow ones), (j,);
        lower quartile, median and upper quartile there, (3, j).
    """
    curves = np.array([_at(trial, key, grid) for trial in trials]).reshape(len(trials), len(grid))
    enough = np.isfinite(curves).sum(axis=0) > len(trials) / 2
    if not enough.any():
        return grid[enough], np.empty((3, 0))
    return grid[enough], np.nanquantile(curves[:, enough], [0.25, 0.5, 0.75], axis=0)


def last_of(trials: Sequence[Record], key: str) -> dict[str, float]:
    """Median over trials of each layer's value at its last evaluation; layers in the order of the first trial that has them.

    Args:
        key: "rates" or "scales".
    """
    by_layer: dict[str, list[float]] = {}
    for trial in trials:
        points: list[dict[str, Any]] = [point for point in trial["curve"] if point.get(key)]
        for name, value in (points[-1][key] if points else {}).items():
            if value is not None and np.isfinite(value):
                by_layer.setdefault(name, []).append(float(value))
    return {name: float(np.median(values)) for name, values in by_layer.items()}


def _at(trial: Record, key: str, grid: np.ndarray) -> np.ndarray:
    """The trial's curve read at `grid`, NaN past its end and where the metric is not finite."""
    points = [(point[key], np.nan if point["val_metric"] is None else point["val_metric"]) for point in trial["curve"]]
    if not points:
        return np.full(len(grid), np.nan)
    x, y = np.array(points, dtype=float).T
    return np.interp(grid, x, y, right=np.nan)
