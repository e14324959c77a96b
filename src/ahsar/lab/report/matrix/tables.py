"""The tables of a matrix, in plain words: over its cells, and cell by cell."""

from typing import Any

from ahsar.lab.arms.names import number_of
from ahsar.lab.report.text import arm_name, level_speed, mean_gap, mean_ratio, signed, speedup, times
from ahsar.lab.results.constants import BEST, FOR_ALL, LEFT_OUT

Numbers = dict[str, Any]  # as `numbers.combined` gives them

NOTE = (
    "Speed-ups are AHSAR's against the opponent, above 1 is faster; ≥ and ≤ are bounds, where one of the two never reached "
    "the target. Four levels: the speed to the levels at which the baseline stood after 35, 50, 65 and 80 % of its budget; "
    "cells whose baseline never learns have none. W/T/L: cells in which AHSAR was faster, level (within 2 %) or slower; "
    "in parentheses those of them that are so with 95 % confidence after Holm's correction for the number of cells. Means over "
    "cells are geometric (gaps: arithmetic), their 95 % intervals resample cells. A final test is level within 0.01; trials "
    "that diverged have none. The baseline is the constant 1 of every grid."
)
LEARNING_NOTE = "The same means without the cells whose baseline never learns, where a speed-up is only a bound."
CELLS_NOTE = (
    "Reached: baseline, AHSAR, of so many. Against the baseline where nothing else is said; the best constant scale of the "
    "grid is picked after the fact and stands in parentheses. †: its baseline never learns. OOD: mean accuracy under "
    "corruptions, scales frozen. In speeds to four levels ≥, ≤ and ≈ are bounds: the opponent, AHSAR or both missed a level."
)
OVER = (
    *("opponent", "cells", "speed-up in steps", "p (Holm)", "four levels", "in seconds", "final test, gap", "rate"),
    *("W/T/L (after Holm)", "final test W/T/L"),
)
FRONT = ("arm", "cells", "operations", "final test, gap", "on the front")
FRONT_NOTE = (
    "Accumulates of spikes with weights over the baseline's (geometric mean over cells), and the final test less the "
    "baseline's, of arms that every cell has. On the front: none has fewer operations and as good a test, nor as "
    "few and a better one."
)
LASTING = ("cell", "ahead", "behind", "last ahead at", "final test, gap", "operations")
LASTING_NOTE = (
    "AHSAR against the baseline. Ahead, behind: the share of all evaluations at which its mean validation metric lay a point "
    "or more above or below; last ahead: the share of the budget behind which it no longer was."
)
LEARNING = ("opponent", "cells", "speed-up in steps", "in seconds", "final test, gap")
CELLS = (
    *("cell", "reached", "speed-up", "four levels", "in seconds", "against the best constant", "final test", "gap", "rate"),
    "OOD gap",
)


def opponent_name(opponent: str, numbers: Numbers) -> str:
    """An opponent in words, as in "best constant in hindsight"."""
    names = {BEST: "best constant in hindsight", LEFT_OUT: "constant chosen on other seeds"}
    if opponent == FOR_ALL:
        return f"one constant for all cells, {numbers['one_constant']:g}"
    return names.get(opponent) or arm_name(opponent)


def opponent_rows(numbers: Numbers) -> list[list[str]]:
    """Cells of the table of opponents, under `OVER`."""
    return [
        [
            opponent_name(key, numbers),
            str(row["n"]),
            mean_ratio(row["steps"]),
            f"{row['steps']['p_holm']:.2g}",
            mean_ratio(row["levels"]),
            mean_ratio(row["seconds"]),
            mean_gap(row["final_test_difference"]),
            times(row["rate"]["mean"]) if row["rate"]["mean"] else "–",
            f"{_counts(row['wins_ties_losses'])} ({_counts(row['after_holm'])})",
            _counts(row["final_wins_ties_losses"]),
        ]
        for key, row in numbers["opponents"].items()
    ]


def learning_rows(numbers: Numbers) -> list[list[str]]:
    """Cells of the same table without the cells whose baseline never learns, under `LEARNING`; empty if there are none."""
    if not numbers["never_learns"]:
        return []
    return [
        [
            opponent_name(key, numbers),
            str(row["learning"]["n"]),
            mean_ratio(row["learning"]["steps"]),
            mean_ratio(row["learning"]["seconds"]),
            mean_gap(row["learning"]["final_test_difference"]),
        ]
        for key, row in numbers["opponents"].items()
    ]


def cell_rows(numbers: Numbers) -> list[list[str]]:
    """Cells of the table of every cell, under `CELLS`."""
    silent = numbers["never_learns"]
    return [_row(f"{name} †" if name in silent else name, cell) for name, cell in numbers["cells"].items()]


def front_rows(numbers: Numbers) -> list[list[str]]:
    """Cells of the table of accuracy against operations, under `FRONT`, from the fewest; empty with fewer than two arms."""
    rows = numbers["front"]
    if len(rows) < 2:
        return []
    return [
        [
            arm_name(arm),
            str(row["n"]),
            mean_ratio(row["operations"]),
            mean_gap(row["gap"]),
            "yes" if row["on_front"] else "no",
        ]
        for arm, row in sorted(rows.items(), key=lambda item: item[1]["operations"]["mean"])
    ]


def lasting_rows(numbers: Numbers) -> list[list[str]]:
    """Cells of the table of what lasts, under `LASTING`; empty where AHSAR and the baseline never ran both."""
    pairs = {name: cell["against"]["baseline"] for name, cell in numbers["cells"].items() if "baseline" in cell["against"]}
    return [
        [
            name,
            *(f"{100 * row['lead'][side]:.0f} %" for side in ("ahead", "behind")),
            f"{100 * row['lead']['until']:.0f} %" if row["lead"]["until"] else "never",
            mean_gap(row["final_test_difference"]),
            times(acs) if (acs := (row["pareto"] or {}).get("acs")) else "–",
        ]
        for name, row in pairs.items()
        if row["lead"]
    ]


def rival_rows(numbers: Numbers) -> list[list[str]]:
    """AHSAR's speed-up in every cell against all opponents that `cell_rows` leaves out, after a row of titles; or nothing."""
    rivals = [key for key in numbers["opponents"] if key not in ("baseline", BEST)]
    if not rivals:
        return []
    rows = [
        [name, *(speedup(cell["against"][key]["speedup"]) if key in cell["against"] else "" for key in rivals)]
        for name, cell in numbers["cells"].items()
        if any(key in cell["against"] for key in rivals)
    ]
    return [["cell", *(opponent_name(key, numbers) for key in rivals)], *rows]


def _row(name: str, cell: dict[str, Any]) -> list[str]:
    base, ours = cell["arms"].get("baseline"), cell["arms"].get("ahsar")
    against = cell["against"].get("baseline")
    if not base or not ours or not against:
        return [name, *["–"] * (len(CELLS) - 1)]
    constant = cell["against"].get(BEST)
    scale = number_of(cell["best_constant"] or "")
    diverged = f" ({base['diverged']}, {ours['diverged']} diverged)" if base["diverged"] or ours["diverged"] else ""
    return [
        name,
        f"{base['reached']}, {ours['reached']} of {ours['n']}{diverged}",
        speedup(against["speedup"]),
        level_speed(against["level_speed"]),
        speedup(against["seconds_speedup"]),
        f"{speedup(constant['speedup'])} ({scale})" if constant else "–",
        " → ".join("–" if (final := row["final_test"]["mean"]) is None else f"{final:.3f}" for row in (base, ours)),
        mean_gap({"mean": against["final_test_difference"]["mean"]}),
        times(against["pareto"]["mean_rate"]) if (against["pareto"] or {}).get("mean_rate") else "–",
        signed(cell["ood"]["frozen"]) if cell["ood"] else "–",
    ]


def _counts(counts: list[int]) -> str:
    return "/".join(map(str, counts))
