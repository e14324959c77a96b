"""What a matrix comes to in numbers: AHSAR against each opponent, cell by cell and over all cells."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from ahsar.lab.arms.names import kind_of
from ahsar.lab.report.matrix import fronts
from ahsar.lab.results import stats
from ahsar.lab.results.constants import BEST, FOR_ALL, LEFT_OUT

SCHEMA = 1
# rows of the corrupted samples with AHSAR's scales and the batch's statistics; only nets with batch norm have them
BOTH = ("norm", "norm+episodic", "norm+continual")
LEVEL = 1.02  # cells are level up to this ratio, as interpolated steps are never quite the same


def combined(summaries: Mapping[str, dict[str, Any]], robust: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Numbers of all cells, and of all opponents over the cells in which they ran.

    Args:
        summaries: `summarise` of each cell.
        robust: what `ahsar robustness` wrote for a cell, where it ran.

    Returns:
        Of each opponent the means over all its cells, and under `learning` those over the cells whose baseline learns: where
        it never does, a speed-up is a bound that says that something learned, not how fast. `never_learns` names these.
    """
    cells = {name: _cell(summary, robust.get(name)) for name, summary in summaries.items()}
    silent = [name for name, cell in cells.items() if cell["levels"] and not cell["levels"]["learned"]]
    opponents = sorted({key for cell in cells.values() for key in cell["against"]}, key=_place)
    against = {
        key: _opponent({name: c["against"][key] for name, c in cells.items() if key in c["against"]}, silent)
        for key in opponents
    }
    holm = stats.holm({key: row["steps"]["p_value"] for key, row in against.items()})
    for key, row in against.items():
        row["steps"]["p_holm"] = holm[key]
    return {
        "schema": SCHEMA,
        "cells": cells,
        "never_learns": silent,
        "opponents": against,
        "front": fronts.over({name: cell["points"] for name, cell in cells.items()}),
        "ood": {
            **{name: _gaps(cells, name) for name in ("frozen", "continual", "batch_norm")},
            **{name: both for name in BOTH if (both := _both(cells, name))["n"]},
        },
    }


def _both(cells: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The same as `_gaps` of a row with both, and how far it lies above the adapting rival in these cells."""
    above = [cell["ood"][name] - cell["ood"]["batch_norm"] for cell in cells.values() if cell["ood"] and name in cell["ood"]]
    return {**_gaps(cells, name), "above_batch_norm": stats.mean_interval(above).to_dict()}


def _gaps(cells: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """One row of the corrupted samples over the cells that have it, and whether it wins, ties (within 0.01) or loses there."""
    gaps = [gap for cell in cells.values() if cell["ood"] and (gap := cell["ood"].get(name)) is not None]
    counts = [sum(gap > 0.01 for gap in gaps), sum(abs(gap) <= 0.01 for gap in gaps), sum(gap < -0.01 for gap in gaps)]
    return {"n": len(gaps), "difference": stats.mean_interval(gaps).to_dict(), "wins_ties_losses": counts}


def _cell(summary: dict[str, Any], robust: dict[str, Any] | None) -> dict[str, Any]:
    arms = summary["arms"]
    against: dict[str, Any] = {}
    if arms.get("baseline") and arms.get("ahsar"):
        against["baseline"] = arms["ahsar"]
    against.update({kind_of(key): row for key, row in summary["against"].items()})
    keys = ("speedup", "seconds_speedup", "level_speed", "lead", "final_test_difference", "pareto")
    shown = ("n", "reached", "diverged", "final_test", "mean_rate", "synops")
    copied = ("workload_hash", "metric", "target", "budget", "seeds", "levels", "best_constant", "constants_chosen", "failures")
    return {
        **{key: summary[key] for key in copied},
        "arms": {arm: {k: row[k] for k in shown} for arm, row in arms.items()},
        "against": {key: {k: row[k] for k in keys} for key, row in against.items() if row["speedup"]},
        "points": fronts.of_cell(summary),
        "attached_identical": summary["attached_identical"],
        "ood": _ood(robust),
    }


def _opponent(rows: dict[str, dict[str, Any]], silent: Collection[str] = ()) -> dict[str, Any]:
    """One opponent over the cells in which it ran, of which the baseline never learns in the `silent` ones."""
    adjusted = stats.holm({cell: p for cell, row in rows.items() if (p := row["speedup"]["p_value"]) is not None})
    speed, sure, final = [0, 0, 0], [0, 0, 0], [0, 0, 0]
    for cell, row in rows.items():
        ratio, gap = row["speedup"]["median"], row["final_test_difference"]
        side = 1 if ratio is None or 1 / LEVEL <= ratio <= LEVEL else 0 if ratio > 1 else 2
        speed[side] += 1
        sure[side if adjusted.get(cell, 1.0) <= 0.05 else 1] += 1
        if gap["mean"] is not None:
            final[1 if abs(gap["mean"]) <= 0.01 else 0 if gap["mean"] > 0 else 2] += 1
    return {
        **_means(rows),
        "learning": _means({cell: row for cell, row in rows.items() if cell not in silent}),
        "rate": _geometric([(row["pareto"] or {}).get("mean_rate") for row in rows.values()]),
        "wins_ties_losses": speed,
        "after_holm": sure,
        "final_wins_ties_losses": final,
    }


def _means(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over cells: of the speed to the target, to the levels (where there are any) and by the clock, and of the gap."""
    gaps = [gap for row in rows.values() if (gap := row["final_test_difference"]["mean"]) is not None]
    return {
        "n": len(rows),
        "steps": _geometric([row["speedup"]["median"] for row in rows.values()]),
        "levels": _geometric([(row["level_speed"] or {}).get("mean") for row in rows.values()]),
        "seconds": _geometric([row["seconds_speedup"]["median"] for row in rows.values()]),
        "final_test_difference": stats.mean_interval(gaps).to_dict(),
    }


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
    order = ("baseline", BEST, LEFT_OUT, FOR_ALL, "shuffled")
    return (order.index(opponent) if opponent in order else len(order), opponent)
