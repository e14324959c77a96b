"""When curves reach a level: by interpolation between evaluations, and for several levels of the baseline's own curve.

A curve is rows of (step, metric), steps rising from 0, of which the first is before training. "Reached" is the first time at
which the straight lines between evaluations cross the level.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
# The levels: what the baseline had reached after these parts of its budget.
FRACTIONS = (0.35, 0.5, 0.65, 0.8)
# A baseline that gains less than this over the untrained network, in the metric, has not learned.
LEARNED = 0.05


def crossing(steps: ArrayLike, metrics: ArrayLike, level: float, higher_is_better: bool = True) -> float:
    """The step at which a curve (k,) first reaches `level`, NaN if it never does; at an evaluation that hits it, its step."""
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(metrics, dtype=np.float64)
    if not higher_is_better:
        y, level = -y, -level
    reached = np.flatnonzero(y >= level)
    if not len(reached):
        return math.nan
    i = int(reached[0])
    if i == 0 or not np.isfinite(y[i - 1]):
        return float(x[i])
    return float(x[i - 1] + (level - y[i - 1]) / (y[i] - y[i - 1]) * (x[i] - x[i - 1]))


def mean_best(steps: ArrayLike, metrics: ArrayLike, higher_is_better: bool = True) -> Floats:
    """The best so far of the mean curve of several trials, metrics (n, k): monotone, so that every level has one time."""
    mean = np.asarray(metrics, dtype=np.float64).mean(axis=0)
    return np.maximum.accumulate(mean) if higher_is_better else np.minimum.accumulate(mean)


def of_baseline(steps: ArrayLike, metrics: ArrayLike, higher_is_better: bool = True) -> list[float]:
    """The four levels: the baseline's mean best curve, metrics (n, k), at `FRACTIONS` of the last step."""
    x = np.asarray(steps, dtype=np.float64)
    return [float(level) for level in np.interp(np.multiply(FRACTIONS, x[-1]), x, mean_best(x, metrics, higher_is_better))]


def learned(steps: ArrayLike, metrics: ArrayLike, higher_is_better: bool = True) -> bool:
    """Whether the mean best curve of the trials, metrics (n, k), rose by `LEARNED` over its start."""
    curve = mean_best(steps, metrics, higher_is_better)
    return bool(abs(curve[-1] - curve[0]) >= LEARNED)


def speed(
    steps: ArrayLike, ours: ArrayLike, theirs: ArrayLike, levels: Sequence[float], higher_is_better: bool = True
) -> tuple[float, int]:
    """How much sooner the mean best curve of one arm, (n, k), reaches the levels than that of another, (m, k).

    Means over seeds are taken first, since a single curve crosses a level by luck as often as by merit. A level that is not
    reached counts as reached at the end of the budget, which makes the ratio a bound.

    Returns:
        The geometric mean over levels of their step over our step, and how many levels either of the two missed.
    """
    x = np.asarray(steps, dtype=np.float64)
    logs, missed = [], 0
    for level in levels:
        times = [crossing(x, mean_best(x, arm, higher_is_better), level, higher_is_better) for arm in (ours, theirs)]
        missed += sum(math.isnan(time) for time in times)
        # before the first step there is nothing to be sooner than
        mine, other = (max(x[-1] if math.isnan(time) else time, x[1] / 2) for time in times)
        logs.append(math.log(other / mine))
    return math.exp(sum(logs) / len(logs)), missed


def leave_one_out(merits: ArrayLike) -> list[int]:
    """For each seed the arm that is best on the other seeds: merits (arms, seeds), the higher the better; ties to the first.

    Choosing and scoring on the same seeds flatters the choice; this does not. With one seed there is nothing to choose on.
    """
    table = np.asarray(merits, dtype=np.float64)
    total = table.sum(axis=1, keepdims=True)
    return [int(np.argmax((total - table)[:, seed])) for seed in range(table.shape[1])] if table.shape[1] > 1 else []
