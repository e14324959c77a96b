"""Steps by interpolation, four levels of the baseline's curve, and a choice that does not flatter itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahsar.lab.results import levels

STEPS = [0, 10, 20, 30, 40]
curves = st.lists(st.floats(0, 1), min_size=5, max_size=5)


@settings(deadline=None, derandomize=True, database=None)
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


@settings(deadline=None, derandomize=True, database=None)
@given(curves, st.integers(0, 4))
def test_a_level_that_an_evaluation_hits_first_is_reached_at_its_step(curve: list[float], at: int) -> None:
    level = max(curve[: at + 1])
    assert levels.crossing(STEPS, curve, level) == STEPS[curve.index(level)]


@settings(deadline=None, derandomize=True, database=None)
@given(curves, st.floats(0, 1))
def test_lower_is_better_is_the_mirror_image(curve: list[float], level: float) -> None:
    mirrored = levels.crossing(STEPS, [-value for value in curve], -level, higher_is_better=False)
    assert mirrored == pytest.approx(levels.crossing(STEPS, curve, level), nan_ok=True)


def test_levels_are_the_baselines_best_after_parts_of_its_budget() -> None:
    rising = np.array([[0.0, 0.25, 0.5, 0.75, 1.0]])
    assert levels.of_baseline(STEPS, rising) == pytest.approx([0.35, 0.5, 0.65, 0.8])
    fallen = np.array([[0.0, 0.5, 0.6, 0.1, 0.1], [0.0, 0.5, 0.6, 0.3, 0.3]])
    assert levels.of_baseline(STEPS, fallen)[-1] == pytest.approx(0.6)  # of the best so far


def test_speed_against_itself_is_one_and_twice_as_fast_is_two() -> None:
    slow = np.array([np.linspace(0, 1, 5)])
    fast = np.array([np.minimum(1, np.linspace(0, 2, 5))])
    wanted = levels.of_baseline(STEPS, slow)
    assert levels.speed(STEPS, slow, slow, wanted) == (1.0, 0)
    assert levels.speed(STEPS, fast, slow, wanted)[0] == pytest.approx(2.0)
    assert levels.speed(STEPS, slow, fast, wanted)[0] == pytest.approx(0.5)


def test_a_level_that_is_missed_counts_as_the_budget_and_is_told() -> None:
    slow, dead = np.array([np.linspace(0, 1, 5)]), np.zeros((2, 5))
    ratio, missed = levels.speed(STEPS, dead, slow, levels.of_baseline(STEPS, slow))
    assert missed == 4 and ratio == pytest.approx((0.35 * 0.5 * 0.65 * 0.8) ** 0.25)
    assert not levels.learned(STEPS, dead) and levels.learned(STEPS, slow)


def test_leaving_one_out_does_not_flatter_where_all_constants_are_alike() -> None:
    """Five equal constants, three seeds: the best in hindsight looks better than another constant, the one left out does not."""
    rng = np.random.default_rng(0)
    hindsight, honest = [], []
    for _ in range(400):
        merits = rng.normal(size=(5, 3))
        hindsight.append(merits[merits.sum(axis=1).argmax()].mean())
        honest.append(np.mean([merits[arm, seed] for seed, arm in enumerate(levels.leave_one_out(merits))]))
    assert np.mean(hindsight) > 0.5
    assert abs(np.mean(honest)) < 3 * np.std(honest) / math.sqrt(len(honest))


def test_the_choice_for_a_seed_does_not_look_at_it() -> None:
    merits = np.array([[0.0, 0.0, 9.0], [1.0, 1.0, 0.0]])
    assert levels.leave_one_out(merits) == [0, 0, 1]
    assert levels.leave_one_out([[1.0], [2.0]]) == []


def test_equal_arms_are_rarely_called_apart() -> None:
    """A/A: the logarithm of the speed between two arms of the same kind is centred at 0."""
    rng = np.random.default_rng(1)

    def arm() -> np.ndarray:
        return np.clip(np.linspace(0.1, 0.8, 21) + rng.normal(0, 0.03, (3, 21)), 0, 1)

    steps = np.arange(21) * 8
    logs = []
    for _ in range(300):
        ours, theirs = arm(), arm()
        logs.append(math.log(levels.speed(steps, ours, theirs, levels.of_baseline(steps, theirs))[0]))
    # levels are cut from the baseline's own best curve, which costs the other arm a little: never in its favour
    assert -0.1 < np.mean(logs) < 0.02
