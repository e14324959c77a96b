"""A matrix in four pictures: every cell's speed, the opponents, every cell's final test, and the price."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahsar.errors import ResultsError
from ahsar.lab.report import labels, style
from ahsar.lab.report.matrix.fronts import NONE
from ahsar.lab.report.matrix.numbers import LEVEL
from ahsar.lab.report.matrix.page import collect
from ahsar.lab.report.names import of_arm, of_arms, of_cells
from ahsar.lab.report.talk.charts import GAIN, LOSS, Row, ranked, rows
from ahsar.lab.report.talk.slide import LEAST, axes, slide
from ahsar.lab.report.text import in_words, signed, times
from ahsar.lab.results.constants import BEST, FOR_ALL, LEFT_OUT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = dict[str, Any]
_MOST = 8  # opponents of a picture
_TOLERATED = 0.01  # of test accuracy: within this a cell is level


def slides(folder: Path) -> "dict[str, Figure]":
    """The pictures by name. Raises ResultsError if no cell holds both AHSAR and the baseline."""
    numbers = collect(folder)
    if "baseline" not in numbers["opponents"]:
        raise ResultsError(f"{folder}: no cell holds both AHSAR and the baseline: run `ahsar compare` with this --out again")
    names = of_cells({cell: folder / cell for cell in numbers["cells"]})
    cells = {names[cell]: row["against"]["baseline"] for cell, row in numbers["cells"].items() if "baseline" in row["against"]}
    drawn = {"final-test": _final(numbers, cells), "price": _price(numbers)}
    if numbers["opponents"]["baseline"]["steps"]["mean"]:  # some cell reached its target
        drawn = {"speed": _speed(numbers, cells), "opponents": _opponents(numbers), **drawn}
    return {name: made for name, made in drawn.items() if made is not None}


def _speed(numbers: Numbers, cells: dict[str, Any]) -> "Figure":
    row = numbers["opponents"]["baseline"]
    win, _, loss = row["wins_ties_losses"]
    sure = row["after_holm"]
    message = f"AHSAR is {_mean(row)} as fast as untouched nets: faster in {win}, slower in {loss} of {row['n']} cells"
    basis = f"{_basis(numbers)} After Holm's correction {sure[0]} wins and {sure[2]} losses stand by themselves."
    made, ax = slide(message, basis)
    speeds = {name: row["speedup"] for name, row in cells.items() if row["speedup"]["median"]}
    values = {f"{name}{_bound(speed)}": speed["median"] for name, speed in speeds.items()}
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    ax.set_yticks(
        [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if min(values.values()) / 2 < tick < 2 * max(values.values())]
    )
    ax.minorticks_off()
    axes(ax, "cells, from the slowest to the fastest", "speed-up in steps (log)")
    ranked(ax, values, 1.0, (1 / LEVEL, LEVEL), times)
    return made


def _opponents(numbers: Numbers) -> "Figure":
    against = numbers["opponents"]
    words = {BEST: "the best constant of each cell", FOR_ALL: "one constant for all"}
    held = {key: said for key, said in words.items() if key in against} or {"baseline": "untouched nets"}
    message = "AHSAR is " + ", ".join(f"{_mean(against[key])} as fast as {said}" for key, said in held.items())
    made, ax = slide(message, f"{_basis(numbers)} Steps to the target, geometric means, 95 % intervals over cells.")
    first = [key for key in ("baseline", BEST, LEFT_OUT, FOR_ALL, "shuffled") if key in against]
    rest = sorted((key for key in against if key not in first), key=lambda key: against[key]["steps"]["mean"] or 1.0)
    names = {
        BEST: "best constant of each cell",
        FOR_ALL: f"all thresholds × {numbers['one_constant'] or 1:g}",
        LEFT_OUT: of_arm(LEFT_OUT),
    }
    shown = [
        Row(names.get(key) or of_arm(key), got["mean"], got["ci95"], times(got["mean"]), _ink(got))
        for key in [*first, *rest][:_MOST]
        if (got := against[key]["steps"])["mean"]
    ]
    rows(ax, shown, 1.0, log=True)
    axes(ax, "AHSAR's speed-up against them (log; right: AHSAR is faster)")
    return made


def _final(numbers: Numbers, cells: dict[str, Any]) -> "Figure | None":
    row = numbers["opponents"]["baseline"]
    win, tie, loss = row["final_wins_ties_losses"]
    gap = row["final_test_difference"]
    if gap["mean"] is None:
        return None
    message = f"Test accuracy ends {signed(gap['mean'])} on average: better in {win}, level in {tie}, worse in {loss} cells"
    mean = in_words(gap["ci95"], signed, " Mean: ")
    made, ax = slide(message, f"{_basis(numbers)} Level: within {_TOLERATED:g}.{mean}")
    values = {name: got for name, row in cells.items() if (got := row["final_test_difference"]["mean"]) is not None}
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:+.3g}".replace("-", "−") if abs(value) > 1e-9 else "0")
    axes(ax, "cells, from the worst to the best", "AHSAR − untouched (linear)")
    ranked(ax, values, 0.0, (-_TOLERATED, _TOLERATED), signed)
    return made


def _price(numbers: Numbers) -> "Figure | None":
    if "ahsar" not in numbers["front"]:
        return None
    front = {"baseline": NONE} | {arm: {key: row[key]["mean"] for key in NONE} for arm, row in numbers["front"].items()}
    ours = front["ahsar"]
    message = f"AHSAR takes {times(ours['operations'])} the operations for {signed(ours['gap'])} in test accuracy"
    made, ax = slide(message, f"{_basis(numbers)} ×: all thresholds times that.")
    for arm, point in front.items():
        ax.plot(point["operations"], point["gap"], "o", color=style.colour(arm), markersize=13)
    values = [point["operations"] for point in front.values()]
    style.log_axis(ax, min(values) / 1.5, max(values) * 1.5, "{:g}×")
    ax.margins(y=0.15)
    axes(ax, "synaptic operations, untouched = 1 (log)", "final test − untouched (linear)")
    at: dict[str, Any] = {"fontsize": LEAST, "ha": "center", "va": "center"}
    texts = [
        ax.text(front[arm]["operations"], front[arm]["gap"], name.replace("all thresholds ", ""), color=style.colour(arm), **at)
        for arm, name in of_arms(front).items()
    ]
    labels.at_points(ax, texts, radius=8)
    return made


def _bound(speed: dict[str, Any]) -> str:
    return " (at least)" if not speed["reached_baseline"] else " (at most)" if not speed["reached_controlled"] else ""


def _ink(steps: dict[str, Any]) -> str:
    low, high = steps["ci95"] or (0.0, 2.0)
    return LOSS if high < 1 else GAIN if low > 1 else style.INK


def _mean(row: dict[str, Any]) -> str:
    return times(row["steps"]["mean"]) if row["steps"]["mean"] else "–"


def _basis(numbers: Numbers) -> str:
    seeds = sorted({len(cell["seeds"]) for cell in numbers["cells"].values()})
    silent = len(numbers["never_learns"])
    never = f" In {silent} of them the untouched net never learns." if silent else ""
    return f"{len(numbers['cells'])} cells of {numbers['matrix']!r}, {' or '.join(map(str, seeds))} seeds each.{never}"
