"""What the pictures of a matrix show, in words with their numbers: for those who do not see them."""

from collections.abc import Mapping
from typing import Any

from ahsar.lab.report.matrix.tables import Numbers, opponent_name
from ahsar.lab.report.text import arm_name, signed, times
from ahsar.lab.results.constants import BEST, LEFT_OUT


def cells(numbers: Numbers, names: Mapping[str, str]) -> str:
    """Of the picture of every cell, with the names of the cells for people."""
    sides = ("sooner in {}", "level in {}", "later in {}")
    said = [
        f"Against the {opponent_name(key, numbers)} AHSAR reached the target "
        + ", ".join(side.format(n) for side, n in zip(sides, row["wins_ties_losses"], strict=True))
        + f" of {row['n']} cells."
        for key in ("baseline", LEFT_OUT, BEST)
        if (row := numbers["opponents"].get(key))
    ]
    rows = {
        names[name]: cell["against"]["baseline"] for name, cell in numbers["cells"].items() if "baseline" in cell["against"]
    }
    speeds = {name: speed for name, row in rows.items() if (speed := row["speedup"]["median"])}
    gaps = {name: gap for name, row in rows.items() if (gap := row["final_test_difference"]["mean"]) is not None}
    said += [_span("Its speed-up on the baseline goes", speeds, times)] if speeds else []
    said += [_span("Its final test less the baseline's goes", gaps, signed)] if gaps else []
    return " ".join(said)


def _span(words: str, values: dict[str, float], form: Any) -> str:
    low, high = min(values, key=lambda name: values[name]), max(values, key=lambda name: values[name])
    return f"{words} from {form(values[low])} ({low}) to {form(values[high])} ({high})."


def front(numbers: Numbers) -> str:
    """Of the front of accuracy against operations."""
    rows = sorted(numbers["front"].items(), key=lambda item: item[1]["operations"]["mean"])
    edge = {True: " (on the front)", False: ""}
    said = [
        f"{arm_name(arm)} {times(row['operations']['mean'])} and {signed(row['gap']['mean'])}{edge[row['on_front']]}"
        for arm, row in rows
    ]
    return f"Operations over the baseline's, and the final test less its, from the fewest operations: {', '.join(said)}."
