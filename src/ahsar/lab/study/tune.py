"""Tuning of a baseline: its learning rate, and the target that comparisons then have to reach.

Tuning seeds start at 1000, where no comparison's seed can be, so no comparison is scored on what it was tuned on.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from ahsar.errors import WorkloadError
from ahsar.lab import data
from ahsar.lab.results.schema import Record
from ahsar.lab.spec.workload import Workload
from ahsar.lab.trial.run import run_trial

FIRST_SEED = 1000
LRS = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)


def tune(
    workload: Workload,
    source: str | Path | None = None,
    lrs: Sequence[float] = LRS,
    seeds: Sequence[int] = tuple(range(FIRST_SEED, FIRST_SEED + 5)),
    report: Callable[[], None] = lambda: None,
    **run_options: Any,
) -> dict[str, Any]:
    """Train the baseline at every learning rate with every seed and say which rate and target to freeze.

    The rate is the one with the highest median over seeds of the best validation metric; between equal medians the
    one whose mean over the whole curve is higher, which is the faster. The target is, at that rate, the median over
    seeds of the best validation metric in the first half of the budget: the other half is then there for a run to be
    late in, where the best of the whole budget would leave every second baseline run censored.

    Args:
        report: called as each trial ends.
        run_options: passed on to `trial.run`.

    Returns:
        `lr`, `target`; `at_end`: whether `lr` is at an end of `lrs`, so that more of them should be tried; `rates`:
        per learning rate the medians `best` and `best_of_first_half`, and `mean_curve`; `trials`: per trial the same
        with its lr, seed, final, test, seconds and curve.

    Raises:
        WorkloadError: no learning rate or seed given, or a seed that comparisons may use.
        DataError: as `ahsar.lab.data.load`.
    """
    if not lrs or not seeds:
        raise WorkloadError("tuning needs at least one learning rate and one seed")
    if min(seeds) < FIRST_SEED:
        raise WorkloadError(f"seed {min(seeds)} belongs to comparisons; tune with seeds from {FIRST_SEED} on")
    splits = data.load(workload, source)
    sign = 1 if workload.target.higher_is_better else -1
    rows, rates = [], []
    for lr in lrs:
        changed = replace(workload, optimizer=replace(workload.optimizer, lr=lr))
        for seed in seeds:
            record = run_trial(changed, splits, "baseline", seed, **run_options)
            rows.append(_row(record, lr, seed, sign))
            report()
        mine = rows[-len(seeds) :]
        rates.append({
            "lr": lr,
            "best": median(row["best"] for row in mine),
            "best_of_first_half": median(row["best_of_first_half"] for row in mine),
            "mean_curve": mean(mean(row["curve"]) for row in mine),
        })  # fmt: skip
    chosen = max(rates, key=lambda rate: (sign * rate["best"], sign * rate["mean_curve"]))
    return {
        "lr": chosen["lr"],
        "target": chosen["best_of_first_half"],
        "at_end": len(lrs) > 1 and chosen["lr"] in (min(lrs), max(lrs)),
        "rates": rates,
        "trials": rows,
    }


def _row(record: Record, lr: float, seed: int, sign: int) -> dict[str, Any]:
    curve = [round(point["val_metric"], 6) for point in record["curve"]]
    steps = [point["step"] for point in record["curve"]]
    early = [value for value, step in zip(curve, steps, strict=True) if 2 * step <= record["budget"]]
    return {
        "lr": lr,
        "seed": seed,
        "best": sign * max(sign * value for value in curve),
        "best_of_first_half": sign * max(sign * value for value in early),
        "final": curve[-1],
        "test": record["final_test"],
        "seconds": record["seconds_with_evaluation"],
        "curve": curve,
    }
