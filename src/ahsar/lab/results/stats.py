"""How the lab decides "faster": paired speed-ups with misses as censored times.

One resampler serves every speed-up. It is the half-sample ("double or nothing") bootstrap over pairs: each resample
keeps every pair with probability ½, and the 2.5 % and 97.5 % quantiles of the statistic over the resamples bound it.
Hartigan (1969) showed that these bounds invert the sign-flip test: the interval and the p-value agree, and where the
arms are interchangeable within a pair the interval excludes 1 at the stated rate from 5 pairs on, where resampling
with replacement covers too little. `tests/lab/results/test_stats.py` measures both error rates by simulation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
FEWEST_PAIRS = 4  # below this even the range of all pairs covers less than 80 %
_TOLERANCE = 1e-9  # two sums of the same times in another order are the same number

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; `low` and `high` are NaN where there are too few values for one."""

    estimate: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """As pages and summaries hold it: `mean`, and `ci95`, a pair, or None where there are too few values."""
        return {"mean": self.estimate, "ci95": (self.low, self.high) if np.isfinite(self.low) else None}


@dataclass(frozen=True)
class Speedup:
    """Speed-up = baseline / controlled, over pairs; above 1 the controlled arm is faster.

    Attributes:
        median: the median ratio of a pair; the ratio of restricted means where a trial missed; None if none reached.
        ci95: interval of `median`; None below 4 pairs.
        p_value: two-sided p of "the arms are interchangeable", exact up to 12 pairs; from 6 pairs on it is at most 0.05
            where ci95 excludes 1.
        method: in words, how it was computed, and why it is not to be trusted where it is not.
        n: pairs.
        reached_baseline: baseline trials that reached the target within the budget, of `n`.
        reached_controlled: the same of the controlled arm.
        faster: at least 5 pairs, and ci95 lies above 1. Of interchangeable arms at most 5 % (6.3 % at n = 5) get a ci95
            that excludes 1, half of them on this side.
    """

    median: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    method: str
    n: int
    reached_baseline: int
    reached_controlled: int
    faster: bool


def speedup(baseline: ArrayLike, controlled: ArrayLike, budget: float, *, resamples: int = 4096, seed: int = 0) -> Speedup:
    """Compare two arms by their times to target, (n,) each, paired by position, NaN = not reached within `budget`.

    Times after the budget count as not reached. All subsets of the pairs are used where they number at most `resamples`
    (n ≤ 12), else `resamples` random ones drawn with `seed`. Raises ValueError on unequal lengths or negative times.
    """
    a, b = _times(baseline, budget), _times(controlled, budget)
    if len(a) != len(b):
        raise ValueError(f"paired arms differ in length: {len(a)} baseline times, {len(b)} controlled times")
    n, reached_a, reached_b = len(a), int((~np.isnan(a)).sum()), int((~np.isnan(b)).sum())

    def result(
        method: str,
        median: float | None = None,
        ci95: tuple[float, float] | None = None,
        p: float | None = None,
        faster: bool = False,
    ) -> Speedup:
        return Speedup(median, ci95, p, method, n, reached_a, reached_b, faster)

    if n == 0:
        return result("no pairs to compare")
    if not reached_a and not reached_b:
        return result("neither arm reached the target within the budget")
    keep = _subsets(n, resamples, seed)
    if reached_a == reached_b == n and min(a.min(), b.min()) > 0:
        logs = np.sort(np.log(a) - np.log(b))
        low, high = _middles(n, resamples, seed)
        centre, draws, method = np.median(logs), (logs[low] + logs[high]) / 2, "median log-ratio of the pairs"
    else:  # a ratio of means, as a mean of ratios would let one near-zero time decide
        x, y = np.nan_to_num(a, nan=budget), np.nan_to_num(b, nan=budget)
        with np.errstate(divide="ignore", invalid="ignore"):
            centre, draws = np.log(x.sum() / y.sum()), np.log((keep @ x) / (keep @ y))
        draws[np.isnan(draws)] = 0.0  # 0 / 0: pairs of zeros are ties
        method = "ratio of mean times restricted to the budget"
        if not reached_a:
            method += "; a lower bound, as the baseline never reached the target"
        if not reached_b:
            method += "; an upper bound, as the controlled arm never reached the target"
    estimate = float(np.exp(centre))
    if np.array_equal(a, b, equal_nan=True):
        return result("the times are identical in every pair", 1.0, (1.0, 1.0), 1.0)
    if n < FEWEST_PAIRS:
        return result(f"{method}; {n} pair{'s' * (n > 1)}, too few for an interval", estimate)
    bottom, top, p = _bounds(draws)
    ci95 = (
        1.0 if abs(bottom) < _TOLERANCE else float(np.exp(bottom)),
        1.0 if abs(top) < _TOLERANCE else float(np.exp(top)),
    )
    method += "; half-sample bootstrap over pairs, sign-flip p"
    if top - bottom < _TOLERANCE:
        method += "; the interval is not to be trusted, as every pair gives the same ratio: evaluate more often"
    elif n <= 5:
        method += f"; the interval is the range of {n} pairs and covers about {1 - 2 * 0.5**n:.0%}"
    return result(method, estimate, ci95, p, n > FEWEST_PAIRS and bottom > _TOLERANCE)


@dataclass(frozen=True)
class Ratio:
    """A geometric mean of ratios, its 95 % interval (NaN below 4 of them), and the two-sided p of "it is 1"."""

    estimate: float
    low: float
    high: float
    p_value: float
    n: int


def geometric_mean(ratios: ArrayLike, *, resamples: int = 4096, seed: int = 0) -> Ratio:
    """Geometric mean of (n,) positive ratios, one of each cell, by the same half-sample bootstrap, here over the cells.

    Not finite ones are left out; without any the mean is NaN. The interval speaks of cells like these, not of one cell.
    """
    values = np.asarray(ratios, dtype=np.float64)
    logs = np.log(values[np.isfinite(values)])
    n = len(logs)
    if n == 0:
        return Ratio(float("nan"), float("nan"), float("nan"), 1.0, 0)
    estimate = float(np.exp(logs.mean()))
    if n < FEWEST_PAIRS:
        return Ratio(estimate, float("nan"), float("nan"), 1.0, n)
    keep = _subsets(n, resamples, seed)
    low, high, p = _bounds(keep @ logs / keep.sum(axis=1))
    return Ratio(estimate, float(np.exp(low)), float(np.exp(high)), p, n)


def survival(times: ArrayLike, budget: float) -> tuple[Floats, Floats]:
    """Kaplan–Meier curve of (n,) times, NaN = not reached: steps from 0 to `budget`, and the probability of not having
    reached the target by then (right-continuous, starts at 1). Both (k,); empty input gives the flat curve at 1.
    """
    t = _times(times, budget)
    missed = np.isnan(t)
    if missed.all():
        return np.array([0.0, budget]), np.array([1.0, 1.0])
    curve = stats.ecdf(stats.CensoredData.right_censored(np.where(missed, budget, t), missed)).sf
    steps, left = np.r_[0.0, curve.quantiles], np.r_[1.0, curve.probabilities]
    return (steps, left) if steps[-1] >= budget else (np.r_[steps, budget], np.r_[left, left[-1]])


def median_time(times: ArrayLike, budget: float) -> float | None:
    """First time by which at least half of the trials had reached the target (Kaplan–Meier median); None if never."""
    steps, left = survival(times, budget)
    half = np.flatnonzero(left <= 0.5 + _TOLERANCE)
    return float(steps[half[0]]) if len(half) else None


def restricted_mean(times: ArrayLike, budget: float) -> float:
    """Mean of min(time, budget), NaN = not reached: the area under the survival curve up to `budget`. NaN if empty."""
    t = np.nan_to_num(_times(times, budget), nan=budget)
    return float(t.mean()) if len(t) else float("nan")


def mean_interval(values: ArrayLike) -> Interval:
    """Mean of (n,) values with Student's t interval; bounds are NaN for n < 2, and everything is for n = 0."""
    v = np.asarray(values, dtype=np.float64)
    if len(v) < 2:
        return Interval(float(v[0]) if len(v) else float("nan"), float("nan"), float("nan"))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(v) - 1) * v.std(ddof=1) / np.sqrt(len(v)))
    return Interval(float(v.mean()), float(v.mean()) - half, float(v.mean()) + half)


def difference_interval(a: ArrayLike, b: ArrayLike) -> Interval:
    """Mean of a − b over pairs, (n,) each, with Student's t interval of the differences."""
    return mean_interval(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values, keys kept: rejecting those ≤ α errs anywhere with probability ≤ α."""
    adjusted: dict[str, float] = {}
    worst = 0.0
    for rank, name in enumerate(sorted(p, key=lambda key: p[key])):
        worst = max(worst, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = worst
    return {name: adjusted[name] for name in p}


def _times(times: ArrayLike, budget: float) -> Floats:
    """Times as (n,) floats with NaN for misses, those after the budget included."""
    t = np.array(times, dtype=np.float64, ndmin=1)
    if t.ndim != 1 or not budget > 0 or (t < 0).any():
        raise ValueError(f"times must be one row of numbers ≥ 0 or NaN, and the budget ({budget}) above 0")
    t[t > budget] = np.nan
    return t


@lru_cache(maxsize=32)
def _subsets(n: int, resamples: int, seed: int) -> Floats:
    """Non-empty subsets of n pairs as rows of 0 and 1, (k, n): all of them, or at most `resamples` at random.

    Random ones come with their complements and mirror images, so that swapping the arms inverts the interval exactly.
    """
    if 2**n - 1 <= resamples:
        return ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)
    keep = np.random.default_rng(seed).random((max(1, resamples // 4), n)) < 0.5
    keep = np.concatenate([keep, keep[:, ::-1]])
    keep = np.concatenate([keep, ~keep])
    return keep[keep.any(axis=1)].astype(np.float64)


@lru_cache(maxsize=32)
def _middles(n: int, resamples: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the two middle members of each subset of n sorted values, (k,) each; equal for odd sizes."""
    count = np.cumsum(_subsets(n, resamples, seed), axis=1)
    size = count[:, -1:]
    return np.argmax(count >= np.ceil(size / 2), axis=1), np.argmax(count >= np.floor(size / 2) + 1, axis=1)


def _bounds(draws: Floats) -> tuple[float, float, float]:
    """95 % bounds of the resampled log speed-ups (k,), and the two-sided p of 0.

    The empty subset, which has no statistic, counts on both sides: it is the flip that changes nothing. p(r) is twice
    the share of draws at or beyond r; the bounds enclose every r with p(r) > 0.05.
    """
    ordered, total = np.sort(draws), len(draws) + 1
    beyond = 1 + min((draws <= _TOLERANCE).sum(), (draws >= -_TOLERANCE).sum())
    rank = max(0, int(np.floor((1 - LEVEL) / 2 * total - 1 + _TOLERANCE)))
    return float(ordered[rank]), float(ordered[-1 - rank]), min(1.0, 2.0 * float(beyond) / total)
