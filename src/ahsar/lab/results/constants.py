"""The constant scales of a comparison as opponents: the best in hindsight, chosen on other seeds, or one for everything.

The baseline is the constant 1, bit for bit (the placebo `attached` shows it), so every grid holds 1 without a trial more.
"""

from collections.abc import Iterable

from ahsar.lab.arms.names import constant_scale
from ahsar.lab.results.records import Record, arms_of, merit

BEST, LEFT_OUT, FOR_ALL = "constant", "constant-left-out", "constant-for-all"  # as opponents; the arms are `constant@0.5`
Grid = dict[float, dict[int, Record]]


def grid_of(records: Iterable[Record]) -> Grid:
    """Trials that ended by scale, rising, and by seed; empty where no constant ran."""
    arms = arms_of(records)
    grid = {scale: rows for arm, rows in arms.items() if (scale := constant_scale(arm)) is not None}
    if grid and "baseline" in arms:
        grid.setdefault(1.0, arms["baseline"])
    return {scale: {row["seed"]: row for row in grid[scale]} for scale in sorted(grid)}


def best_scale(grid: Grid) -> float | None:
    """The best in hindsight, on the very seeds that score it: no user has it, and it flatters the constants."""
    return min(grid, key=lambda scale: merit(list(grid[scale].values())), default=None)


def best_constant(records: Iterable[Record]) -> str | None:
    """The arm whose trials are those of the best scale; the baseline where that is 1."""
    trials = grid_of(records)
    best = best_scale(trials)
    return None if best is None else next(row["arm"] for row in trials[best].values())


def left_out(grid: Grid) -> dict[int, float]:
    """For each seed the scale that is best on all the others, of those that ran with it: what a search on other seeds finds.

    Seeds for which there are no others are left out.
    """
    chosen = {}
    for seed in sorted({seed for trials in grid.values() for seed in trials}):
        ran = {scale: trials for scale, trials in grid.items() if seed in trials and len(trials) > 1}
        best = best_scale({scale: {k: row for k, row in trials.items() if k != seed} for scale, trials in ran.items()})
        if best is not None:
            chosen[seed] = best
    return chosen
