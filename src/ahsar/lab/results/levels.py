"""When curves reach a level: by interpolation between evaluations, and for several levels of the baseline's own curve.

A curve is rows of (step, metric), steps rising from 0, of which the first is before training. "Reached" is the first time at
which the straight lines between evaluations cross the level.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ahsar.lab.results import stats

Floats = NDArray[np.float64]
# The levels: what the baseline had reached after these parts of its budget.
FRACTIONS = (0.35, 0.5, 0.65, 0.8)
# A baseline that gains less than this over the untrained network, in the metric, has not learned. Chance itself stands in
# no record; the untrained network is at chance, or where its conversion from another left it.
LEARNED = 0.05


def crossing(steps: ArrayLike, metrics: ArrayLike, level: float, higher_is_better: bool = True) -> float:
    """The step at which a curve (k,) first reaches `level`, NaN if it never does; at an evaluation that hits it, its step.

    Behind an evaluation that is not finite there is no line to follow, so that the next one counts as a whole.
    """
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


def mean_best(metrics: ArrayLike, higher_is_better: bool = True) -> Floats:
    """The best so far of the mean curve of several trials, metrics (n, k): monotone, so that every level has one time."""
    mean = np.asarray(metrics, dtype=np.float64).mean(axis=0)
    return np.maximum.accumulate(mean) if higher_is_better else np.minimum.accumulate(mean)


def of_baseline(steps: ArrayLike, best: ArrayLike, budget: float) -> dict[float, float]:
    """The levels by fraction: what the baseline's mean best curve (k,) is at `FRACTIONS` of the budget.

    Those less than `LEARNED` away from its start are left out: there it has learned nothing yet that one could be sooner at.
    """
    curve = np.asarray(best, dtype=np.float64)
    levels = np.interp(np.multiply(FRACTIONS, budget), np.asarray(steps, dtype=np.float64), curve)
    return {part: float(level) for part, level in zip(FRACTIONS, levels, strict=True) if abs(level - curve[0]) >= LEARNED}


def learned(best: ArrayLike) -> bool:
    """Whether a mean best curve (k,) ended `LEARNED` or more away from its start."""
    curve = np.asarray(best, dtype=np.float64)
    return bool(abs(curve[-1] - curve[0]) >= LEARNED)


def pair_speeds(theirs: ArrayLike, ours: ArrayLike, budget: float, shortest: float) -> Floats:
    """How much sooner one arm of each pair reaches the levels: times (n, k) in, geometric means over the levels (n,) out.

    Pair by pair, and not on the mean curves of two arms: pairs are what an interval resamples, a trial that diverged is a
    miss where a mean would need a value that nobody measured, and in simulation the estimate is no more biased and varies less.

    Args:
        theirs: times of the reference, NaN = not reached, which counts as `budget` and so gives a bound.
        ours: the same of the arm that is judged.
        shortest: what earlier times count as. Before training there is nothing to be sooner than, and a ratio to almost 0
            would outweigh all others.
    """
    a, b = (np.clip(np.nan_to_num(np.asarray(t, dtype=np.float64), nan=budget), shortest, budget) for t in (theirs, ours))
    return np.exp(np.mean(np.log(a) - np.log(b), axis=1))


def speed(theirs: ArrayLike, ours: ArrayLike, budget: float, shortest: float) -> stats.Ratio:
    """The geometric mean of `pair_speeds` with its interval over the pairs."""
    return stats.geometric_mean(pair_speeds(theirs, ours, budget, shortest))


def bound(theirs: ArrayLike, ours: ArrayLike) -> str:
    """What misses make of the ratio: "≥" where only the reference missed a level, "≤" where only the other did, "≈" where
    both did, and "" without any.
    """
    missed = [bool(np.isnan(np.asarray(t, dtype=np.float64)).any()) for t in (theirs, ours)]
    return {(False, False): "", (True, False): "≥", (False, True): "≤"}.get((missed[0], missed[1]), "≈")
