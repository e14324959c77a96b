"""Steps by interpolation, and the speed to levels of the baseline's curve."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahsar.lab.results import levels, stats, times
from tests.lab.report.test_comparison import trial

STEPS = [0, 10, 20, 30, 40]
curves = st.lists(st.floats(0, 1), min_size=5, max_size=5)
fixed = settings(deadline=None, derandomize=True, database=None)


@fixed
@given(curves, st.floats(0, 1))
def test_a_crossing_is_where_the_piecewise_linear_curve_first_reaches_the_level(curve: list[float], level: float) -> None:
    got = levels.crossing(STEPS, curve, level)
    fine = np.linspace(0, 40, 40001)
    above = np.flatnonzero(np.interp(fine, STEPS, curve) >= level)
    if not len(above):
        assert math.isnan(got) or level == pytest.approx(max(curve), abs=1e-3)
    else:
        # the fine grid sees it at most one of its steps late, or later still where the curve only touches the level
        assert got <= fine[above[0]] + 1e-9
        assert np.interp(got, STEPS, curve) == pytest.approx(level, abs=1e-9) or got == 0
        raw = next(step for step, value in zip(STEPS, curve, strict=True) if value >= level)
        assert raw - 10 <= got <= raw


@fixed
@given(curves, st.integers(0, 4))
def test_a_level_that_an_evaluation_hits_first_is_reached_at_its_step(curve: list[float], at: int) -> None:
    level = max(curve[: at + 1])
    assert levels.crossing(STEPS, curve, level) == STEPS[curve.index(level)]


@fixed
@given(curves, st.floats(0, 1))
def test_lower_is_better_is_the_mirror_image(curve: list[float], level: float) -> None:
    mirrored = levels.crossing(STEPS, [-value for value in curve], -level, higher_is_better=False)
    assert mirrored == pytest.approx(levels.crossing(STEPS, curve, level), nan_ok=True)


def test_no_line_is_drawn_from_an_evaluation_that_is_not_finite() -> None:
    assert levels.crossing(STEPS, [0.0, math.nan, 0.8, 1.0, 1.0], 0.4) == 20
    assert math.isnan(levels.crossing([], [], 0.4))


def test_a_record_keeps_its_own_steps_and_is_read_by_its_curve() -> None:
    record = trial("baseline", 0)
    before = dict(record)
    (steps,), (seconds,) = times.to_target([record]), times.to_target([record], "seconds")
    assert record["steps_to_target"] - 10 < steps <= record["steps_to_target"] and record == before
    assert seconds == pytest.approx(0.012 * steps)  # between evaluations the clock runs evenly
    never = [{**record, "target": 0.99}, {**record, "status": "diverged"}, {**record, "curve": []}]
    assert np.isnan(times.to_target(never)).all()


def test_levels_are_the_baselines_best_after_parts_of_its_budget() -> None:
    rising = levels.mean_best([[0.0, 0.25, 0.5, 0.75, 1.0]])
    assert levels.of_baseline(STEPS, rising, 40) == pytest.approx({0.35: 0.35, 0.5: 0.5, 0.65: 0.65, 0.8: 0.8})
    fallen = levels.mean_best([[0.0, 0.5, 0.6, 0.1, 0.1], [0.0, 0.5, 0.6, 0.3, 0.3]])
    assert levels.of_baseline(STEPS, fallen, 40)[0.8] == pytest.approx(0.6)  # of the best so far
    late = levels.mean_best([[0.1, 0.1, 0.14, 0.5, 0.6]])
    assert list(levels.of_baseline(STEPS, late, 40)) == [0.65, 0.8]  # before, it has learned nothing
    error = levels.mean_best([[1.0, 0.5, 0.7, 0.2, 0.4]], higher_is_better=False)
    assert list(error) == [1.0, 0.5, 0.5, 0.2, 0.2] and levels.learned(error)


def test_twice_as_fast_is_two_at_every_level_and_the_other_way_a_half() -> None:
    slow = np.array([[14.0, 20.0, 26.0, 32.0]] * 3)
    assert levels.pair_speeds(slow, slow, 40, 5) == pytest.approx(1.0)
    assert levels.pair_speeds(slow, slow / 2, 40, 5) == pytest.approx(2.0)
    assert levels.pair_speeds(slow / 2, slow, 40, 5) == pytest.approx(0.5)
    assert levels.pair_speeds(slow, slow * 0, 40, 5) == pytest.approx((14 * 20 * 26 * 32) ** 0.25 / 5)  # not by infinity


def test_a_level_that_is_missed_counts_as_the_budget_and_is_told() -> None:
    slow, dead = np.array([[14.0, 20.0, 26.0, 32.0]]), np.full((1, 4), np.nan)
    assert levels.pair_speeds(slow, dead, 40, 5) == pytest.approx((0.35 * 0.5 * 0.65 * 0.8) ** 0.25)
    bounds = [levels.bound(*pair) for pair in ((slow, slow), (dead, slow), (slow, dead), (dead, dead))]
    assert bounds == ["", "≥", "≤", "≈"]


def test_a_baseline_that_does_not_learn_has_no_levels() -> None:
    dead = times.levels_of([trial("baseline", seed, dead=True) for seed in range(3)])
    assert dead is not None and not dead.learned and dead.values == {} and dead.times([trial("ahsar", 0)]).shape == (1, 0)
    alive = times.levels_of([trial("baseline", seed) for seed in range(3)])
    assert alive is not None and alive.learned and list(alive.values) == list(levels.FRACTIONS) and alive.shortest == 5
    diverged = {**trial("baseline", 3, dead=True), "status": "diverged", "curve": []}
    assert times.levels_of([*(trial("baseline", seed) for seed in range(3)), diverged]) == alive  # it has no end to average
    assert np.isnan(alive.times([diverged])).all() and times.levels_of([diverged]) is None


def simulated(rng: np.random.Generator, n: int, pace: float = 1.0) -> np.ndarray:
    """Noisy saturating curves of n seeds, (n, 17), evaluated every 10 of 160 steps."""
    steps = np.arange(0, 161, 10.0)
    tau = 50 * pace * np.exp(0.2 * rng.standard_normal((n, 1)))
    top = 0.75 + 0.015 * rng.standard_normal((n, 1))
    return 0.1 + (top - 0.1) * (1 - np.exp(-steps / tau)) + 0.02 * rng.standard_normal((n, 17)) * (steps > 0)


def records_of(curves: np.ndarray) -> list[dict]:
    base = {"status": "done", "higher_is_better": True, "budget": 160, "target": 0.6}
    return [{**base, "curve": [{"step": 10 * i, "val_metric": value} for i, value in enumerate(curve)]} for curve in curves]


@pytest.mark.parametrize("n", [5, 10])
def test_equal_arms_are_called_apart_in_five_of_a_hundred(n: int) -> None:
    """A/A, from curves to verdicts: to the target and to the levels, whose estimate is 1 on average as well."""
    rng, runs = np.random.default_rng(n), 300
    apart, faster, logs = np.zeros(2), np.zeros(2), []
    for _ in range(runs):
        theirs, ours = records_of(simulated(rng, n)), records_of(simulated(rng, n))
        target = stats.speedup(times.to_target(theirs), times.to_target(ours), 160)
        known = times.levels_of(theirs)
        assert known is not None and target.ci95 is not None
        speed = levels.speed(known.times(theirs), known.times(ours), 160, known.shortest)
        bounds = [target.ci95, (speed.low, speed.high)]
        apart += [low > 1 or high < 1 for low, high in bounds]
        faster += [low > 1 for low, _ in bounds]
        logs.append(math.log(speed.estimate))
    assert (apart / runs <= 0.1).all() and (faster / runs <= 0.06).all() and (faster > 0).all()
    assert abs(np.mean(logs)) < 3 * np.std(logs) / math.sqrt(runs)


def test_equal_arms_are_rarely_called_apart_over_the_cells_of_a_matrix() -> None:
    """A/A: of 12 cells with 3 seeds each, one ratio a cell, as a matrix takes them."""
    rng, runs = np.random.default_rng(1), 120
    apart = []
    for _ in range(runs):
        ratios = []
        for _ in range(12):
            theirs, ours = records_of(simulated(rng, 3)), records_of(simulated(rng, 3))
            known = times.levels_of(theirs)
            assert known is not None
            ratios.append(levels.speed(known.times(theirs), known.times(ours), 160, known.shortest).estimate)
        apart.append(stats.geometric_mean(ratios).p_value <= 0.05)
    assert 0 < np.mean(apart) <= 0.1


def test_a_real_speed_is_found_along_the_curve() -> None:
    rng, logs, seen = np.random.default_rng(2), [], []
    for _ in range(100):
        theirs, ours = records_of(simulated(rng, 10)), records_of(simulated(rng, 10, pace=2 / 3))
        known = times.levels_of(theirs)
        assert known is not None
        speed = levels.speed(known.times(theirs), known.times(ours), 160, known.shortest)
        logs.append(math.log(speed.estimate))
        seen.append(speed.low > 1)
    assert np.mean(logs) == pytest.approx(math.log(1.5), abs=0.06) and np.mean(seen) > 0.8
