"""The statistics, against brute force, against scipy, and against their own stated error rates."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sp

from ahsar.lab.results import stats

BUDGET = 400.0
RUNS = 2000
times = st.lists(st.one_of(st.just(float("nan")), st.floats(1.0, BUDGET)), min_size=1, max_size=14)
pairs = st.lists(st.tuples(*[st.one_of(st.just(float("nan")), st.floats(1.0, BUDGET))] * 2), min_size=1, max_size=14)


def draw(
    n: int, true: float, budget: float, *, sigma: float = 0.5, shared: float = 0.3, grid: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Log-normal times of RUNS comparisons, (RUNS, n) each; a pair shares a part of its luck; NaN beyond the budget."""
    z = np.random.default_rng(seed).standard_normal((3, RUNS, n)) * sigma
    out = []
    for luck, factor in ((z[1], true), (z[2], 1.0)):
        t = 100 * factor * np.exp(np.sqrt(shared) * z[0] + np.sqrt(1 - shared) * luck)
        t = np.ceil(t / grid) * grid if grid else t
        out.append(np.where(t > budget, np.nan, t))
    return out[0], out[1]


def budget_for(misses: float, true: float, sigma: float = 0.5) -> float:
    """The budget that a share `misses` of the baseline's trials overruns."""
    return float(100 * true * np.exp(sigma * sp.norm.ppf(1 - misses))) if misses else 1e9


def true_speedup(true: float, budget: float, sigma: float = 0.5) -> float:
    """The ratio of restricted means of the whole population."""
    t = 100 * np.exp(sigma * sp.norm.ppf((np.arange(200_000) + 0.5) / 200_000))
    return float(np.minimum(t * true, budget).mean() / np.minimum(t, budget).mean())


def rates(n: int, true: float, misses: float, seed: int, grid: float = 0.0) -> tuple[float, float, float]:
    """(share of intervals that exclude 1, share that cover the truth, share called faster) of RUNS comparisons."""
    budget = budget_for(misses, true)
    truth = true_speedup(true, budget) if misses else true
    rows = [stats.speedup(a, b, budget) for a, b in zip(*draw(n, true, budget, seed=seed, grid=grid), strict=True)]
    low, high = np.array([row.ci95 for row in rows]).T
    faster = np.mean([row.faster for row in rows])
    return float(np.mean((low > 1) | (high < 1))), float(np.mean((low <= truth) & (truth <= high))), float(faster)


@pytest.mark.parametrize("misses", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("n", [10, 20])
def test_arms_that_are_the_same_are_told_apart_in_five_of_a_hundred(n: int, misses: float) -> None:
    excluded, _, faster = rates(n, 1.0, misses, seed=n)
    assert 0.03 <= excluded <= 0.07
    assert faster <= 0.04  # the fast half of them


@pytest.mark.parametrize("misses", [0.0, 0.3])
def test_five_pairs_stay_honest(misses: float) -> None:
    excluded, covered, _ = rates(5, 1.0, misses, seed=5)
    assert excluded <= 0.08  # 2 / 2⁵ = 6.3 % by design, and RUNS runs
    assert covered >= 0.92


@pytest.mark.parametrize("misses", [0.0, 0.3])
@pytest.mark.parametrize("n", [5, 10, 20])
def test_times_on_a_grid_of_evaluations_err_on_the_safe_side(n: int, misses: float) -> None:
    assert rates(n, 1.0, misses, seed=n + 1, grid=25.0)[0] <= 0.07


@pytest.mark.parametrize(("true", "misses"), [(1.5, 0.0), (3.0, 0.0), (1.5, 0.2), (2.0, 0.4), (0.7, 0.3)])
@pytest.mark.parametrize("n", [10, 20])
def test_intervals_cover_the_true_speedup(n: int, true: float, misses: float) -> None:
    assert 0.93 <= rates(n, true, misses, seed=2 * n)[1] <= 0.97


def test_a_real_speedup_is_found() -> None:
    assert rates(10, 2.0, 0.0, seed=3)[2] > 0.8
    assert rates(10, 2.0, 0.4, seed=3)[2] > 0.8


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=6, max_size=10))
@settings(max_examples=30, deadline=None)
def test_p_is_the_exact_sign_flip_test_of_scipy(data: list[tuple[int, int]]) -> None:
    x, y = np.array([(100, 50), *data], dtype=float).T  # the first baseline trial missed a budget of 100
    a = np.where(x == 100, np.nan, x)
    want = sp.permutation_test((x, y), lambda u, v: u.mean() - v.mean(), permutation_type="samples", n_resamples=4096)
    assert stats.speedup(a, y, 100.0).p_value == pytest.approx(want.pvalue)


def test_large_samples_agree_with_the_usual_bootstrap() -> None:
    a, b = (rows[0] for rows in draw(400, 1.5, 1e9, seed=9))
    got = stats.speedup(a, b, 1e9)
    want = sp.bootstrap((np.log(a / b),), np.median, n_resamples=4000, rng=np.random.default_rng(0), method="percentile")
    assert got.ci95 == pytest.approx(np.exp(want.confidence_interval), rel=0.02)


@given(pairs)
@settings(deadline=None)
def test_swapping_the_arms_inverts_everything(data: list[tuple[float, float]]) -> None:
    a, b = np.array(data).T
    there, back = stats.speedup(a, b, BUDGET), stats.speedup(b, a, BUDGET)
    if there.median is None:
        assert back.median is None
        return
    assert back.median == pytest.approx(1 / there.median)
    assert back.p_value == (None if there.p_value is None else pytest.approx(there.p_value))
    assert (back.reached_baseline, back.reached_controlled) == (there.reached_controlled, there.reached_baseline)
    assert not (there.faster and back.faster)
    if there.ci95 is not None:
        assert there.ci95[0] <= there.median * (1 + 1e-9) and there.median <= there.ci95[1] * (1 + 1e-9)
        assert back.ci95 == pytest.approx((1 / there.ci95[1], 1 / there.ci95[0]))


@given(pairs, st.sampled_from([1e-3, 0.5, 2.0, 64.0]))
@settings(deadline=None)
def test_the_unit_of_time_does_not_matter(data: list[tuple[float, float]], unit: float) -> None:
    a, b = np.array(data).T
    one, other = stats.speedup(a, b, BUDGET), stats.speedup(a * unit, b * unit, BUDGET * unit)
    assert other.median == (None if one.median is None else pytest.approx(one.median))
    assert other.ci95 == (None if one.ci95 is None else pytest.approx(one.ci95))
    assert other.faster == one.faster


@given(pairs, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_pairs_does_not_matter(data: list[tuple[float, float]], random) -> None:
    shuffled = random.sample(data, len(data))
    (a, b), (c, d) = np.array(data).T, np.array(shuffled).T
    one, other = stats.speedup(a, b, BUDGET), stats.speedup(c, d, BUDGET)
    assert other.median == (None if one.median is None else pytest.approx(one.median))


def test_identical_arms_are_not_faster() -> None:
    for t in ([120.0] * 10, [100.0, 140.0, np.nan, 90.0, 70.0, np.nan], [50.0]):
        got = stats.speedup(t, t, BUDGET)
        assert (got.median, got.ci95, got.p_value, got.faster) == (1.0, (1.0, 1.0), 1.0, False)


def test_nobody_reaching_gives_no_speedup() -> None:
    got = stats.speedup([np.nan] * 6, [np.nan] * 6, BUDGET)
    assert (got.median, got.ci95, got.p_value, got.faster) == (None, None, None, False)
    assert "neither" in got.method


def test_one_arm_never_reaching_gives_a_bound() -> None:
    never, always = [np.nan] * 8, [90.0, 100.0, 110.0, 80.0, 100.0, 95.0, 105.0, 120.0]
    fast, slow = stats.speedup(never, always, BUDGET), stats.speedup(always, never, BUDGET)
    assert fast.median == pytest.approx(4.0) and fast.faster and "lower bound" in fast.method
    assert slow.median == pytest.approx(0.25) and not slow.faster and "upper bound" in slow.method
    assert (fast.reached_baseline, fast.reached_controlled, fast.n) == (0, 8, 8)


def test_few_pairs_are_said_to_be_few() -> None:
    assert stats.speedup([], [], BUDGET).median is None
    three = stats.speedup([200.0, 210.0, 190.0], [100.0, 100.0, 100.0], BUDGET)
    assert three.median == pytest.approx(2.0) and three.ci95 is None and not three.faster and "too few" in three.method
    four = stats.speedup([200.0, 210.0, 190.0, 205.0], [100.0] * 4, BUDGET)
    assert four.ci95 == pytest.approx((1.9, 2.1)) and not four.faster and "88%" in four.method
    same = stats.speedup([200.0] * 8, [100.0] * 8, BUDGET)
    assert same.median == pytest.approx(2.0) and "not to be trusted" in same.method


def test_a_time_of_zero_does_not_break_the_ratio() -> None:
    got = stats.speedup([0.0, 0.0, 10.0, 12.0, 9.0, 11.0], [0.0, 5.0, 10.0, 6.0, 8.0, 9.0], BUDGET)
    assert got.median is not None and np.isfinite(got.median) and not got.faster


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        stats.speedup([1.0, 2.0], [1.0], BUDGET)
    with pytest.raises(ValueError, match="≥ 0"):
        stats.survival([-1.0], BUDGET)
    with pytest.raises(ValueError, match="budget"):
        stats.survival([1.0], 0.0)


@given(st.lists(st.floats(1.0, BUDGET), min_size=1, max_size=20))
def test_survival_without_misses_is_one_minus_the_empirical_distribution(t: list[float]) -> None:
    steps, left = stats.survival(t, BUDGET)
    assert left == pytest.approx([np.mean(np.array(t) > s) for s in steps])
    assert (steps[0], left[0]) == (0.0, 1.0) and steps[-1] == BUDGET and (np.diff(steps) > 0).all()


def test_survival_with_misses_by_hand() -> None:
    steps, left = stats.survival([100.0, 100.0, 250.0, np.nan, 999.0], BUDGET)
    assert np.column_stack([steps, left]) == pytest.approx(np.array([[0, 1.0], [100, 0.6], [250, 0.4], [400, 0.4]]))
    assert stats.median_time([100.0, 100.0, 250.0, np.nan, 999.0], BUDGET) == 250.0
    assert stats.median_time([100.0, np.nan, np.nan], BUDGET) is None
    assert stats.survival([np.nan], BUDGET)[1].tolist() == [1.0, 1.0]


@given(times)
def test_restricted_mean_is_the_mean_of_the_shorter_and_the_area_under_the_curve(t: list[float]) -> None:
    want = np.mean([min(x, BUDGET) if x == x else BUDGET for x in t])
    steps, left = stats.survival(t, BUDGET)
    assert stats.restricted_mean(t, BUDGET) == pytest.approx(want)
    assert np.sum(np.diff(steps) * left[:-1]) == pytest.approx(want)


def test_mean_intervals_agree_with_scipy() -> None:
    a, b = np.random.default_rng(0).random((2, 9))
    mine, theirs = stats.mean_interval(a), sp.ttest_1samp(a, 0).confidence_interval(0.95)
    assert (mine.estimate, mine.low, mine.high) == pytest.approx((a.mean(), theirs.low, theirs.high))
    mine, theirs = stats.difference_interval(a, b), sp.ttest_rel(a, b).confidence_interval(0.95)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high))
    assert stats.difference_interval(a, a) == stats.Interval(0.0, 0.0, 0.0)
    one = stats.mean_interval([0.5])
    assert one.estimate == 0.5 and np.isnan(one.low)
    assert np.isnan(stats.mean_interval([]).estimate)


@given(st.dictionaries(st.text(max_size=3), st.floats(0.0, 1.0), max_size=5))
def test_holm_is_the_closed_test_of_bonferroni(p: dict[str, float]) -> None:
    """Brute force: adjusted p = the largest Bonferroni p over all sets of hypotheses that contain this one."""
    got = stats.holm(p)
    assert list(got) == list(p)
    for name in p:
        groups = (g for size in range(1, len(p) + 1) for g in itertools.combinations(p, size) if name in g)
        want = max(min(1.0, len(g) * min(p[key] for key in g)) for g in groups)
        assert got[name] == pytest.approx(want)
