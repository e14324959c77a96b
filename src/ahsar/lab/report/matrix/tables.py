"""The tables of a matrix's page: opponents over cells, the speed to four levels, and every cell."""

from typing import Any

from ahsar.lab.arms.names import number_of
from ahsar.lab.report.text import arm_name, mean_gap, mean_ratio, signed, speedup, times

NOTE = (
    "Speed-ups are AHSAR's against the opponent, above 1 is faster; ≥ and ≤ are bounds, where one of the two never reached "
    "the target. W/T/L: cells in which AHSAR was faster, level or slower; after Holm, those of them that are so with 95 % "
    "confidence, corrected for the number of cells. Means over cells are geometric (gaps: arithmetic), their 95 % intervals "
    "resample cells. A final test is level within 0.01."
)
CELLS_NOTE = (
    "Reached: baseline, AHSAR, of so many. Against the baseline where nothing else is said; the best constant scale of the "
    "grid is picked after the fact and stands in parentheses. OOD: mean accuracy under corruptions, scales frozen."
)
LEVELS = ("arm", "cells", "speed", "without cells whose baseline never learns", "slower than 0.9×")
LEVELS_NOTE = (
    "The levels are what the baseline's mean curve had reached after 35, 50, 65 and 80 % of the budget; speed is the geometric "
    "mean over them of its step over the arm's, interpolated, where a level that is missed counts as reached at the end."
)
OVER = (
    *("opponent", "cells", "speed-up in steps", "p (Holm)", "in seconds", "final test, gap", "rate", "W/T/L"),
    *("after Holm", "final test W/T/L"),
)
CELLS = (*("cell", "reached", "speed-up", "in seconds", "against the best constant", "final test", "gap", "rate", "OOD gap"),)
NO_RIVALS = ("baseline", "constant", "constant-left-out", "one-constant")


def title_of(opponent: str) -> str:
    """An opponent's name in print."""
    names = {
        "constant": "best constant scale, in hindsight",
        "constant-left-out": "constant chosen on other seeds",
        "one-constant": "one constant for all cells",
    }
    return names.get(opponent, arm_name(opponent))


def opponent_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Cells of the table of opponents, under `OVER`."""
    return [
        [
            title_of(key),
            str(row["n"]),
            mean_ratio(row["steps"]),
            f"{row['steps']['p_holm']:.2g}",
            mean_ratio(row["seconds"]),
            mean_gap(row["final_test_difference"]),
            times(row["rate"]["mean"]) if row["rate"]["mean"] else "–",
            "/".join(map(str, row["wins_ties_losses"])),
            "/".join(map(str, row["after_holm"])),
            "/".join(map(str, row["final_wins_ties_losses"])),
        ]
        for key, row in numbers["opponents"].items()
    ]


def level_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Cells of the table of levels, under `LEVELS`: every arm but the baseline."""
    return [
        [
            "AHSAR" if arm == "ahsar" else arm_name(arm),
            str(row["all"]["n"]),
            mean_ratio(row["all"]),
            mean_ratio(row["learned"]),
            str(len(row["slower"])),
        ]
        for arm, row in numbers["levels"].items()
        if arm != "baseline"
    ]


def cell_row(name: str, cell: dict[str, Any]) -> list[str]:
    """Cells of the table of cells, under `CELLS`."""
    base, ours = cell["arms"].get("baseline"), cell["arms"].get("ahsar")
    against = cell["against"].get("baseline")
    if not base or not ours or not against:
        return [name, *["–"] * 8]
    constant = cell["against"].get("constant")
    scale = number_of(cell["best_constant"] or "")
    return [
        name,
        f"{base['reached']}, {ours['reached']} of {ours['n']}",
        speedup(against["speedup"]),
        speedup(against["seconds_speedup"]),
        f"{speedup(constant['speedup'])} ({scale})" if constant else "–",
        " → ".join("–" if (final := row["final_test"]["mean"]) is None else f"{final:.3f}" for row in (base, ours)),
        mean_gap({"mean": against["final_test_difference"]["mean"]}),
        times(against["pareto"]["mean_rate"]) if (against["pareto"] or {}).get("mean_rate") else "–",
        signed(cell["ood"]["frozen"]) if cell["ood"] else "–",
    ]
