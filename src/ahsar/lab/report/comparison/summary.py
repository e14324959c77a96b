"""What a comparison comes to: trial records in, one dictionary of plain numbers (`summary.json`) out."""

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ahsar.errors import ResultsError
from ahsar.lab.arms.names import constant_scale
from ahsar.lab.report.comparison import neurobench
from ahsar.lab.report.comparison.pairs import Pairs, Trials
from ahsar.lab.report.comparison.tables import markdown, table
from ahsar.lab.results.constants import BEST, FOR_ALL, LEFT_OUT, best_scale, grid_of, left_out
from ahsar.lab.results.records import Record, arms_of, best_rivals, is_rival, rank
from ahsar.lab.results.schema import ENDED
from ahsar.lab.results.times import levels_of

__all__ = ["MARGIN", "markdown", "summarise", "table"]

SCHEMA = 1
MARGIN = 0.01  # how much worse the final test metric may be before "faster" is withheld
# What must be the same, digit for digit, for two trials to count as one: everything but the clock and the scales.
_SAME = ("step", "epoch", "train_loss", "val_metric", "val_loss", "rates")
_OURS = ("baseline", "ahsar", "attached", "constant")  # what AHSAR is not held against as a rival
_FROZEN = ("workload", "workload_hash", "quick", "budget", "metric", "higher_is_better", "target")


def summarise(records: Iterable[Record], *, margin: float = MARGIN, one_constant: float | None = None) -> dict[str, Any]:
    """Summarise the trials of one workload; the layout of `summary.json`.

    Trials are paired with the baseline by seed. A failed trial leaves its own arm only. One that diverged counts as not
    reaching the target or any level, and has no final test. Both are listed under `failures`.
    An arm is `faster` if its interval says so (`stats.speedup`), its final test metric is at most `margin` worse, and no more
    of its trials diverged than of the baseline's. Steps are read off the curves, by interpolation between evaluations.
    Every number is finite or None. Raises ResultsError without trials, or with trials of several workloads.

    Args:
        one_constant: the scale that stands for all cells of a matrix; an opponent of its own where it ran.
    """
    latest = {(record["arm"], record["seed"]): record for record in records}  # a trial run again replaces its failure
    if not latest:
        raise ResultsError("there are no trials to summarise: run `ahsar compare WORKLOAD` first")
    every = list(latest.values())
    first = every[0]
    for key in _FROZEN:
        if len(values := {str(record[key]) for record in every}) > 1:
            raise ResultsError(
                f"the trials differ in `{key}` ({', '.join(sorted(values))}): give each comparison its own --out folder"
            )
    ended = arms_of(every)
    names = {record["arm"] for record in every}
    trials: dict[str, Trials] = {name: {row["seed"]: row for row in ended.get(name, [])} for name in names}
    baseline = trials.get("baseline", {})
    of_baseline = levels_of(list(baseline.values()))
    compare = Pairs(baseline, first, margin, of_baseline)
    arms = {arm: {**compare.arm(mine), "scale": constant_scale(arm)} for arm, mine in trials.items()}
    for arm, row in arms.items():
        row["failed"] = sum(record["arm"] == arm and record["status"] not in ENDED for record in every)
    grid = {row["scale"]: row for row in arms.values() if row["scale"] is not None}
    if grid and baseline:
        grid.setdefault(1.0, {**arms["baseline"], "scale": 1.0})
    constants, chosen = _constants(every, one_constant)
    best_numbers = best_rivals(every)
    listed = {arm: row for arm, row in arms.items() if row["scale"] is None}
    opponents = [arm for arm in sorted(listed, key=rank) if arm not in _OURS and (not is_rival(arm) or arm in best_numbers)]
    for name, (scale, mine) in constants.items():
        listed[name] = {**compare.arm(mine), "scale": scale, "failed": 0} if scale is None else grid[scale]
    against = {**{name: mine for name, (_, mine) in constants.items()}, **{arm: trials[arm] for arm in opponents}}
    shown = {**trials, **against}
    return plain(
        {
            "schema": SCHEMA,
            **{key: first[key] for key in _FROZEN},
            "margin": margin,
            "seeds": sorted({record["seed"] for record in every}),
            "versions": first.get("versions") or {},
            "device": first.get("device"),
            "threads": first.get("threads"),
            "levels": None if of_baseline is None else of_baseline.to_dict(),
            "arms": {arm: listed[arm] for arm in sorted(listed, key=rank)},
            "constant_grid": [grid[scale] for scale in sorted(grid)],
            "best_constant": None if BEST not in constants else f"constant@{constants[BEST][0]:g}",
            "constants_chosen": chosen,
            "against": {
                rival: Pairs(theirs, first, margin, of_baseline).arm(trials["ahsar"])
                for rival, theirs in against.items()
                if "ahsar" in trials
            },
            "neurobench": {arm: neurobench.metrics(list(shown[arm].values())) for arm in sorted(listed, key=rank)},
            "attached_identical": _identical(baseline, trials.get("attached", {})),
            "failures": [
                {key: record.get(key) for key in ("trial", "arm", "seed", "status", "error")}
                for record in every
                if record["status"] != "done"
            ],
        }
    )


def _constants(records: list[Record], one: float | None) -> tuple[dict[str, tuple[float | None, Trials]], dict[int, float]]:
    """The constants that are opponents: each with its scale (None where it differs by seed) and its trials; and the scale
    that was chosen for each seed on the others."""
    grid = grid_of(records)
    opponents: dict[str, tuple[float | None, Trials]] = {}
    best = best_scale(grid)
    if best is not None:
        opponents[BEST] = best, grid[best]
    chosen = left_out(grid)
    if chosen:
        opponents[LEFT_OUT] = None, {seed: grid[scale][seed] for seed, scale in chosen.items()}
    if one in grid:
        opponents[FOR_ALL] = one, grid[one]
    return opponents, chosen


def _identical(baseline: Trials, attached: Trials) -> dict[str, Any] | None:
    """In how many pairs the attached arm ended with the same parameters, to the bit, after the same curve."""
    seeds = sorted(set(baseline) & set(attached))
    if not seeds:
        return None

    def trace(record: Record) -> str:  # as JSON, since NaN equals NaN there
        return json.dumps([record.get("digest"), [[point.get(key) for key in _SAME] for point in record["curve"]]])

    different = [seed for seed in seeds if trace(baseline[seed]) != trace(attached[seed])]
    return {"n": len(seeds), "identical": len(seeds) - len(different), "different_seeds": different}


def plain(value: Any) -> Any:
    """The same with plain numbers, lists and dictionaries; what is not finite becomes None, as JSON has no NaN."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
