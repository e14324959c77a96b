"""Tuning of baselines: their learning rate, and the target that comparisons then have to reach.

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
from ahsar.lab.study.cells import Cell
from ahsar.lab.trial.run import run_trial

FIRST_SEED = 1000
LRS = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)  # for a workload
FACTORS = (1.0, 0.5, 2.0)  # for a cell of a matrix: times the learning rate of the file, which wins a tie
MOST_RATES = 6  # for such a cell, where the best is at the end of those tried
Row = dict[str, Any]


def tune(
    workload: Workload,
    source: str | Path | None = None,
    lrs: Sequence[float] = LRS,
    seeds: Sequence[int] = tuple(range(FIRST_SEED, FIRST_SEED + 5)),
    report: Callable[[], None] = lambda: None,
    **run_options: Any,
) -> dict[str, Any]:
    """Train the baseline at every learning rate with every seed and say which rate and target to freeze.

    The rate is that of `best_of`. The target is, at that rate, the median over
    seeds of the best validation metric in the first half of the budget: the other half is then there for a run to be
    late in, where the best of the whole budget would leave every second baseline run censored.

    Args:
        report: called as each trial ends.
        run_options: passed on to `run_trial`.

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
    chosen = best_of(rates, workload.target.higher_is_better)
    return {
        "lr": chosen["lr"],
        "target": chosen["best_of_first_half"],
        "at_end": len(lrs) > 1 and chosen["lr"] in (min(lrs), max(lrs)),
        "rates": rates,
        "trials": rows,
    }


def best_of(rates: Sequence[Row], higher_is_better: bool = True) -> Row:
    """The rate to freeze: of the best median over seeds of the best validation metric; between equal medians the one whose
    mean over the whole curve is better, which is the faster."""
    sign = 1 if higher_is_better else -1
    return max(rates, key=lambda rate: (sign * rate["best"], sign * rate["mean_curve"]))


def next_rate(rates: Sequence[Row], middle: float, higher_is_better: bool = True) -> float | None:
    """The learning rate to try next: `middle`, half and twice of it, then on from the better end; None when it is enough."""
    tried = sorted(rate["lr"] for rate in rates)
    for lr in (factor * middle for factor in FACTORS):
        if lr not in tried:
            return lr
    best = best_of(rates, higher_is_better)["lr"]
    if len(tried) >= MOST_RATES or tried[0] < best < tried[-1]:
        return None
    return best * 2 if best == tried[-1] else best / 2


def missing_rate(cell: Cell, known: Row, lrs: Sequence[float] | None) -> float | None:
    """What a cell still has to try: the next of `lrs`, or of the search from its file's learning rate; None if nothing."""
    if lrs is None:
        return next_rate(known["rates"], cell.middle, cell.workload.target.higher_is_better)
    tried = {rate["lr"] for rate in known["rates"]}
    return next((lr for lr in lrs if lr not in tried), None)


def tune_cell(cell: Cell, source: Path | None, known: Row, lrs: Sequence[float] | None, seeds: Sequence[int]) -> Row:
    """Try what a cell still has to, one learning rate after the other; in a process of its own.

    Args:
        known: `rates` and `trials` of `tune` as far as they are known; added to.
    """
    import torch

    torch.set_num_threads(1)  # as a comparison's trials
    while (lr := missing_rate(cell, known, lrs)) is not None:
        more = tune(cell.workload, source, [lr], seeds)
        for key in ("rates", "trials"):
            known[key] += more[key]
    return known


def tuned(cell: Cell, rates: Sequence[Row]) -> Row:
    """The `lr` and `target` that a `.tuned.toml` freezes for a cell: those of `tune`, but at least the cell's floor."""
    best = best_of(rates, cell.workload.target.higher_is_better)
    return {"lr": best["lr"], "target": max(cell.floor, round(best["best_of_first_half"], 4))}


def tuned_text(budgets: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A `.tuned.toml`: for each budget ("quick", "full") and cell its `lr` and `target`."""
    lines = ["# Written by `ahsar tune`: the baseline's learning rate and the target, on seeds that no comparison uses."]
    for budget, cells in sorted(budgets.items()):
        for name, row in sorted(cells.items()):
            lines += ["", f'[{budget}."{name}"]', f"lr = {row['lr']!r}", f"target = {row['target']!r}"]
    return "\n".join(lines) + "\n"


def _row(record: Record, lr: float, seed: int, sign: int) -> dict[str, Any]:
    points = record["curve"][:1] if record["status"] == "diverged" else record["curve"]  # it has learned nothing that lasts
    curve = [round(point["val_metric"], 6) for point in points]
    steps = [point["step"] for point in points]
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
