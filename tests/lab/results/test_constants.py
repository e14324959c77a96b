"""Constants as opponents: chosen on the seeds that score them they flatter themselves, chosen on others they do not."""

import math

import numpy as np
import pytest

from ahsar.lab.results.constants import best_constant, best_scale, grid_of, left_out
from tests.lab.report.test_comparison import trial

SCALES = (0.25, 0.4, 0.6, 1.4, 2.0)


def record(arm: str, seed: int, steps: float | None, final: float = 0.9, status: str = "done") -> dict:
    """A trial of a budget of 100 that reaches its target at `steps`, or never."""
    curve = [{"step": 0, "val_metric": 0.0}, {"step": steps or 100, "val_metric": 0.0 if steps is None else 1.0}]
    base = {"status": status, "target": 1.0, "higher_is_better": True, "budget": 100, "final_test": final}
    return {**base, "arm": arm, "seed": seed, "curve": curve}


def test_the_baseline_is_the_constant_one_and_may_be_the_best() -> None:
    slow = [record("constant@0.4", seed, 60) for seed in range(3)]
    quick = [record("baseline", seed, 40) for seed in range(3)]
    assert list(grid_of([*slow, *quick])) == [0.4, 1.0] and best_constant([*slow, *quick]) == "baseline"
    own = [record("constant@1", seed, 50) for seed in range(3)]
    assert grid_of([*slow, *quick, *own])[1.0][0]["arm"] == "constant@1"  # where 1 itself ran
    assert grid_of(quick) == {} and best_constant(quick) is None and left_out({}) == {}


def test_the_choice_for_a_seed_does_not_look_at_it() -> None:
    steps = {"constant@0.4": [50, 50, 10], "constant@2": [40, 40, 90]}
    grid = grid_of(record(arm, seed, step) for arm, row in steps.items() for seed, step in enumerate(row))
    assert best_scale(grid) == 0.4 and left_out(grid) == {0: 0.4, 1: 0.4, 2: 2.0}
    changed = {scale: {**trials, 2: record("x", 2, None)} for scale, trials in grid.items()}
    assert left_out(changed)[2] == left_out(grid)[2]


def test_a_seed_without_others_has_no_choice_and_one_that_a_scale_lacks_not_that_scale() -> None:
    assert left_out(grid_of([record("constant@0.4", 0, 50), record("constant@2", 0, 60)])) == {}
    grid = grid_of([*(record("constant@0.4", seed, 50) for seed in range(3)), *(record("constant@2", s, 40) for s in (0, 1))])
    assert left_out(grid) == {0: 2.0, 1: 2.0, 2: 0.4}


def test_a_constant_that_diverges_counts_as_never_there() -> None:
    wild = [record("constant@0.25", seed, 10, status="diverged" if seed else "done") for seed in range(3)]
    tame = [record("constant@0.6", seed, 60) for seed in range(3)]
    assert best_constant([*wild, *tame]) == "constant@0.6"


def test_ties_go_to_the_better_end() -> None:
    rows = [record("constant@0.4", 0, 50, final=0.8), record("constant@2", 0, 50, final=0.9)]
    assert best_constant(rows) == "constant@2"
    assert best_constant([{**row, "higher_is_better": False, "target": 0.0} for row in rows]) == "constant@0.4"


@pytest.mark.parametrize("seeds", [3, 5])
def test_leaving_one_out_does_not_flatter_where_all_constants_are_alike(seeds: int) -> None:
    """Against a fresh arm of the same kind the best in hindsight looks faster; the one chosen on other seeds does not."""
    rng, runs = np.random.default_rng(seeds), 150
    hindsight, honest = np.zeros(runs), np.zeros(runs)
    for run in range(runs):
        steps = np.minimum(100 * np.exp(0.4 * rng.standard_normal((len(SCALES) + 1, seeds)) - 0.6), 100)
        grid = grid_of(
            record(f"constant@{scale:g}", seed, steps[row, seed]) for row, scale in enumerate(SCALES) for seed in range(seeds)
        )
        best, chosen = best_scale(grid), left_out(grid)
        rows = [SCALES.index(chosen[seed]) for seed in range(seeds)]
        assert best is not None
        fresh = np.log(steps[-1]).mean()
        hindsight[run] = fresh - np.log(steps[SCALES.index(best)]).mean()
        honest[run] = fresh - np.log(steps[rows, range(seeds)]).mean()
    assert math.exp(hindsight.mean()) > 1.15
    assert abs(honest.mean()) < 3 * honest.std() / math.sqrt(runs)


def test_the_opponents_stand_in_the_summary() -> None:
    from ahsar.lab.report.comparison.summary import summarise

    rows = [trial(arm, seed) for arm in ("baseline", "ahsar", "constant@0.4", "constant@2") for seed in range(5)]
    got = summarise(rows, one_constant=2.0)
    assert [row["scale"] for row in got["constant_grid"]] == [0.4, 1.0, 2.0]
    assert got["constant_grid"][1]["final_test"] == got["arms"]["baseline"]["final_test"]
    assert list(got["against"]) == ["constant", "constant-left-out", "constant-for-all"]
    assert got["arms"]["constant-for-all"]["scale"] == 2.0
    for absent in (None, 0.7):
        assert "constant-for-all" not in summarise(rows, one_constant=absent)["arms"]
