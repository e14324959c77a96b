"""`ahsar matrix --tune`: the baseline's learning rate and the target of every cell, on seeds that are never compared."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ahsar.cli.console import console as make_console
from ahsar.files import write_whole
from ahsar.lab.study.cells import Cell, tuned_text
from ahsar.lab.study.pool import in_processes

FACTORS = (1.0, 0.5, 2.0)  # times the learning rate of the file, which wins a tie
MOST_RATES = 6  # where the best is at the end of those tried
SEEDS = (1000, 1001)
Found = dict[str, Any]


def tune_matrix(cells: Sequence[Cell], root: Path | None, out: Path, jobs: int) -> Path:
    """Tune what is not tuned yet in `out`; returns the file to keep beside the matrix.

    Learning rates go on from the better end until the best lies between others, or six were tried, with two seeds each. The
    target is, at that rate, the median of the best validation metric in the first half of the budget (`ahsar.lab.tune`),
    but at least the cell's floor.
    """
    console = make_console()
    budget = "quick" if cells[0].workload.quick else "full"
    files = {cell.name: out / "tuning" / f"{cell.name}.json" for cell in cells}
    found = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items() if path.exists()}
    missing = [cell for cell in cells if next_rate(_rates(found, cell), cell.middle) is not None]
    calls = [(cell, partial(_tune, cell, cell.source(root), found.get(cell.name))) for cell in missing]
    for cell, result in in_processes(calls, jobs, console):
        found[cell.name] = result
        write_whole(files[cell.name], json.dumps(result))
        rates = sorted(_rates(found, cell), key=lambda rate: rate["lr"])
        said = " ".join(f"{rate['lr']:g}: {rate['best']:.3f}" for rate in rates)
        console.print(f"{cell.name}: {said}", highlight=False)
    tuned = {}
    for cell in cells:
        if rates := _rates(found, cell):
            best = best_of(rates)
            tuned[cell.name] = {"lr": best["lr"], "target": max(cell.floor, round(best["best_of_first_half"], 4))}
    written = out / "tuned.toml"
    write_whole(written, tuned_text({budget: tuned}))
    console.print(f"tuned: {written}; keep it beside the matrix as NAME.tuned.toml", soft_wrap=True)
    return written


def best_of(rates: Sequence[Found]) -> Found:
    """The learning rate to freeze, by the rule of `ahsar.lab.tune`."""
    return max(rates, key=lambda rate: (rate["best"], rate["mean_curve"]))


def next_rate(rates: Sequence[Found], middle: float) -> float | None:
    """The learning rate to try next: `middle`, half and twice of it, then on from the better end; None when it is enough."""
    tried = sorted(rate["lr"] for rate in rates)
    for lr in (factor * middle for factor in FACTORS):
        if lr not in tried:
            return lr
    best = best_of(rates)["lr"]
    if len(tried) >= MOST_RATES or tried[0] < best < tried[-1]:
        return None
    return best * 2 if best == tried[-1] else best / 2


def _rates(found: dict[str, Found], cell: Cell) -> list[Found]:
    return found.get(cell.name, {}).get("rates", [])


def _tune(cell: Cell, source: Path | None, known: Found | None) -> Found:
    """One learning rate after the other, beside those that are known; in a process of its own."""
    import torch

    from ahsar.lab.study.tune import tune

    torch.set_num_threads(1)  # as a comparison's trials
    found: Found = known or {"rates": [], "trials": []}
    while (lr := next_rate(found["rates"], cell.middle)) is not None:
        more = tune(cell.workload, source, [lr], SEEDS)
        for key in ("rates", "trials"):
            found[key] += more[key]
    return found
