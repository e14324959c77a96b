"""What a matrix comes to in numbers: AHSAR against each opponent, cell by cell and over all cells."""

import math
from collections.abc import Mapping
from typing import Any

from ahsar.lab.arms.names import kind_of
from ahsar.lab.results import stats

SCHEMA = 1
# rows of the corrupted samples that act on batch norm and scales at once; only nets with batch norm have them
BOTH = ("norm+episodic", "norm+continual")


def combined(
    summaries: Mapping[str, dict[str, Any]], robust: Mapping[str, dict[str, Any]], one_constant: float | None = None
) -> dict[str, Any]:
    """Numbers of all cells, and of all opponents over the cells in which they ran.

    Args:
        summaries: `summarise` of each cell.
        robust: what `ahsar robustness` wrote for a cell, where it ran.
        one_constant: the scale that is held against AHSAR in all cells, chosen elsewhere.
    """
    cells = {name: _cell(summary, robust.get(name), one_constant) for name, summary in summaries.items()}
    opponents = sorted({key for cell in cells.values() for key in cell["against"]}, key=_place)
    against = {
        key: _opponent({name: c["against"][key] for name, c in cells.items() if key in c["against"]}) for key in opponents
    }
    holm = stats.holm({key: row["steps"]["p_value"] for key, row in against.items()})
    for key, row in against.items():
        row["steps"]["p_holm"] = holm[key]
    return {
        "schema": SCHEMA,
        "cells": cells,
        "opponents": against,
        "one_constant": one_constant,
        "levels": _levels(cells),
        "never_learn": sorted(name for name, cell in cells.items() if cell["learned"] is False),
        "diverged": {name: many for name, cell in cells.items() if (many := cell["diverged"])},
        "ood": {
            **{name: _gaps(cells, name) for name in ("frozen", "continual", "batch_norm")},
            **{name: both for name in BOTH if (both := _both(cells, name))["n"]},
        },
    }


def _both(cells: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The same as `_gaps` of a row where both act, and how far it lies above batch-norm adaptation alone in these cells."""
    above = [cell["ood"][name] - cell["ood"]["batch_norm"] for cell in cells.values() if cell["ood"] and name in cell["ood"]]
    return {**_gaps(cells, name), "above_batch_norm": stats.mean_interval(above).to_dict()}


def _gaps(cells: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """One row of the corrupted samples over the cells that have it, and whether it wins, ties (within 0.01) or loses there."""
    gaps = [gap for cell in cells.values() if cell["ood"] and (gap := cell["ood"].get(name)) is not None]
    counts = [sum(gap > 0.01 for gap in gaps), sum(abs(gap) <= 0.01 for gap in gaps), sum(gap < -0.01 for gap in gaps)]
    return {"n": len(gaps), "difference": stats.mean_interval(gaps).to_dict(), "wins_ties_losses": counts}


def _levels(cells: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Of every arm the geometric mean over cells of its speed to four levels of the baseline's curve: over all cells, and over
    those whose baseline learns at all; and the cells where it is slower than 0.9 of the baseline."""
    arms = sorted({arm for cell in cells.values() for arm in cell["levels"]}, key=_place)
    told = {}
    for arm in arms:
        speeds = {name: cell["levels"][arm]["speed"] for name, cell in cells.items() if arm in cell["levels"]}
        learned = {name: speed for name, speed in speeds.items() if cells[name]["learned"]}
        told[arm] = {
            "all": _geometric(list(speeds.values())),
            "learned": _geometric(list(learned.values())),
            "slower": sorted(name for name, speed in speeds.items() if speed < 0.9),
        }
    return told


def _cell(summary: dict[str, Any], robust: dict[str, Any] | None, one_constant: float | None) -> dict[str, Any]:
    arms = summary["arms"]
    constants = {f"constant@{row['scale']:g}": row for row in summary["constant_grid"]}
    against: dict[str, Any] = {}
    if arms.get("baseline") and arms.get("ahsar"):
        against["baseline"] = arms["ahsar"]
    against.update({kind_of(key): row for key, row in summary["against"].items()})
    if summary["left_out"]:
        against["constant-left-out"] = summary["left_out"]
    if one_constant is not None and f"{one_constant:g}" in summary["against_constants"]:
        against["one-constant"] = summary["against_constants"][f"{one_constant:g}"]
    keys = ("speedup", "seconds_speedup", "final_test_difference", "pareto")
    return {
        **{key: summary[key] for key in ("workload_hash", "metric", "target", "budget", "seeds", "best_constant", "failures")},
        "arms": {arm: {k: row[k] for k in ("n", "reached", "final_test", "mean_rate", "synops")} for arm, row in arms.items()},
        "against": {key: {k: row[k] for k in keys} for key, row in against.items() if row["speedup"]},
        "attached_identical": summary["attached_identical"],
        "learned": summary["learned"],
        "levels": {key: row["levels"] for key, row in {**constants, **arms}.items() if row.get("levels")},
        "diverged": sum(row["diverged"] for row in {**constants, **arms}.values()),
        "ood": _ood(robust),
    }


def _opponent(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One opponent over the cells in which it ran."""
    adjusted = stats.holm({cell: p for cell, row in rows.items() if (p := row["speedup"]["p_value"]) is not None})
    speed, sure, final = [0, 0, 0], [0, 0, 0], [0, 0, 0]
    for cell, row in rows.items():
        ratio, gap = row["speedup"]["median"], row["final_test_difference"]
        side = 1 if ratio is None or ratio == 1 else 0 if ratio > 1 else 2
        speed[side] += 1
        sure[side if adjusted.get(cell, 1.0) <= 0.05 else 1] += 1
        if gap["mean"] is not None:
            final[1 if abs(gap["mean"]) <= 0.01 else 0 if gap["mean"] > 0 else 2] += 1
    return {
        "n": len(rows),
        "steps": _mean(rows, "speedup"),
        "seconds": _mean(rows, "seconds_speedup"),
        "final_test_difference": stats.mean_interval(
            [g for r in rows.values() if (g := r["final_test_difference"]["mean"]) is not None]
        ).to_dict(),
        "rate": _geometric([(row["pareto"] or {}).get("mean_rate") for row in rows.values()]),
        "wins_ties_losses": speed,
        "after_holm": sure,
        "final_wins_ties_losses": final,
    }


def _mean(rows: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    return _geometric([row[key]["median"] for row in rows.values()])


def _geometric(ratios: list[float | None]) -> dict[str, Any]:
    got = stats.geometric_mean([math.nan if ratio is None or ratio <= 0 else ratio for ratio in ratios])
    ci95 = (got.low, got.high) if math.isfinite(got.low) else None
    return {"mean": got.estimate, "ci95": ci95, "p_value": got.p_value, "n": got.n}


def _ood(robust: dict[str, Any] | None) -> dict[str, Any] | None:
    """Mean accuracy under all corruptions less the baseline's: AHSAR frozen, adapting, the adapting rival, and both at once."""
    rows = {(row["arm"], row["mode"]): row for row in (robust or {}).get("rows", [])}
    if ("baseline", "frozen") not in rows or ("ahsar", "frozen") not in rows:
        return None
    shown = {"frozen": ("ahsar", "frozen"), "continual": ("ahsar", "continual"), "batch_norm": ("baseline", "norm")}
    gaps = {name: rows[key]["gap"]["mean"] if key in rows else None for name, key in shown.items()}
    if gaps["batch_norm"] is not None:
        gaps.update({mode: rows["ahsar", mode]["gap"]["mean"] for mode in BOTH if ("ahsar", mode) in rows})
    clean = rows["ahsar", "frozen"]["clean_gap"]["mean"]
    return {"baseline": rows["baseline", "frozen"]["mean"]["mean"], "clean_gap": clean, **gaps}


def _place(opponent: str) -> tuple[int, str]:
    order = ("baseline", "ahsar", "constant", "constant-left-out", "one-constant", "shuffled")
    return (order.index(opponent) if opponent in order else len(order), opponent)
