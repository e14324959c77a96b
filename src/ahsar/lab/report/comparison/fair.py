"""What keeps a comparison from flattering: whole curves instead of one target, and constants chosen on other seeds."""

from typing import Any

import numpy as np

from ahsar.lab.results import levels
from ahsar.lab.results.records import Record, constant_scale, curves_of, rank, times_to_target

Trials = dict[int, Record]  # one arm's finished trials, by seed


def speeds(done: dict[str, Trials]) -> tuple[bool | None, dict[str, dict[str, Any]]]:
    """Whether the baseline learned (None without one), and of every arm its speed to four levels of the baseline's curve, with
    the levels that it or the baseline missed, of four each."""
    reference = list(done.get("baseline", {}).values())
    if not reference or any(len(row["curve"]) < 2 for row in reference):
        return None, {}
    higher = reference[0]["higher_is_better"]
    steps, theirs = curves_of(reference)
    wanted, marks = levels.of_baseline(steps, theirs, higher), {}
    for arm, trials in done.items():
        rows = list(trials.values())
        if not rows or not all(row["curve"] for row in rows):
            continue
        x, ours = curves_of(rows)
        if np.array_equal(x, steps):
            speed, missed = levels.speed(steps, ours, theirs, wanted, higher)
            marks[arm] = {"speed": speed, "missed": missed}
    return levels.learned(steps, theirs, higher), marks


def left_out(done: dict[str, Trials], budget: float) -> dict[int, str] | None:
    """For each seed the constant with the smallest restricted mean of steps to target over all other seeds.

    The baseline counts as the constant 1, which it equals bit for bit. None where there is nothing to choose from or on.
    """
    constants = {
        arm: trials for arm, trials in done.items() if trials and (arm == "baseline" or constant_scale(arm) is not None)
    }
    seeds = sorted(set.intersection(*map(set, [*constants.values(), done.get("ahsar", {})])))
    if len(constants) < 2 or len(seeds) < 2:
        return None
    arms = sorted(constants, key=rank)
    steps = [times_to_target([constants[arm][seed] for seed in seeds])[0] for arm in arms]
    choice = levels.leave_one_out([-np.nan_to_num(row, nan=budget) for row in steps])
    return {seed: arms[i] for seed, i in zip(seeds, choice, strict=True)}
