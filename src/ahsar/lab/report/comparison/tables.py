"""The table of a summary, in plain words: once for the terminal, once for Markdown, once for the page."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

from ahsar.lab.report.text import arm_name, count, level_speed, markdown_table, parts, speedup, spread, times
from ahsar.lab.results.constants import FOR_ALL

Summary = dict[str, Any]

_WIDE = ("in seconds", "gap", "ACs")
NOTE = (
    "Speed-up: baseline / arm, paired by seed, with its 95 % interval; ✓ marks an arm that is faster, ≥ and ≤ bounds. "
    "Gap: final test against the baseline's. Rate and ACs: spikes per neuron and time step, additions per sample, "
    "and their ratio to the baseline."
)
_MORE = " A wider terminal, and the page, show all columns."

LEVELS_NOTE = (
    "Mean steps to the levels at which the baseline's mean curve stood after these parts of the budget, a miss counted as the "
    "budget, and the trials that reached it where not all did. Speed-up: the baseline's steps over the arm's, geometric mean "
    "over levels and pairs; where trials missed a level it is a bound: ≥ if only the baseline's did, ≤ if only the arm's, ≈ if "
    "both. Levels at which the baseline has not yet left its start are no levels."
)

PRICE = ["arm", "final test", "rate", "spikes", "ACs", "MACs", "energy proxy"]
PRICE_NOTE = (
    "Per test sample, and its ratio to the baseline. Rate: spikes per neuron and time step. ACs: additions that spikes cause; "
    "MACs: multiplications and additions of inputs that are no spikes. Energy proxy: 0.9 pJ per AC and 4.6 pJ per MAC (32 bit, "
    "45 nm, Horowitz 2014); batch norm, pooling, neuron dynamics and memory are left out."
)


def header(summary: Summary) -> list[str]:
    """Column titles of `rows`."""
    final = f"final test {summary['metric']}"
    return ["arm", "reached", "median steps", "speed-up", "in seconds", final, "gap", "rate", "ACs"]


def rows(summary: Summary) -> list[list[str]]:
    """Cells of the main table: one row per arm, the best constant standing for its grid."""
    return [_cells(arm, row) for arm, row in summary["arms"].items()]


def grid_rows(summary: Summary) -> list[list[str]]:
    """Cells of the table of all constant scales, in order of scale."""
    return [_cells("constant", row) for row in summary["constant_grid"]]


def levels_header(summary: Summary) -> list[str]:
    """Column titles of `levels_rows`."""
    known = summary["levels"]
    levels = zip(known["values"], known["fractions"], strict=True)
    return ["arm", *(f"{summary['metric']} {value:.3f} (at {part * 100:.0f} %)" for value, part in levels), "speed-up"]


def levels_rows(summary: Summary) -> list[list[str]]:
    """Cells of the table of steps to the levels of the baseline's curve; empty where it has none."""
    if not summary["levels"] or not summary["levels"]["values"]:
        return []
    return [
        [_label(arm, row), *(_level(level, row["n"]) for level in row["levels"]), level_speed(row["level_speed"])]
        for arm, row in summary["arms"].items()
    ]


def _level(level: dict[str, Any], n: int) -> str:
    if not level["reached"]:
        return "never" if n else "–"
    return f"{level['steps']:.3g}" + (f" ({level['reached']}/{n})" if level["reached"] < n else "")


def price_rows(summary: Summary) -> list[list[str]]:
    """Cells of the table of what each arm costs in spikes, operations and energy, under the titles `PRICE`."""
    reference = _price(summary["arms"].get("baseline"))
    cells = []
    for arm, row in summary["arms"].items():
        ours = _price(row)
        ratios = [a / b if arm != "baseline" and a is not None and b else None for a, b in zip(ours, reference, strict=True)]
        shown = ["–" if ours[0] is None else f"{ours[0]:.3f}", *map(count, ours[1:4]), _joules(ours[4])]
        priced = [cell + _priced(ratio) for cell, ratio in zip(shown, ratios, strict=True)]
        cells.append([_label(arm, row), spread(row["final_test"], ".3f"), *priced])
    return cells


def table(summary: Summary, *, brief: bool = False) -> "Table":
    """The main table for a terminal; `brief`: without what is least asked for."""
    from rich import box
    from rich.table import Table

    target = f"{summary['workload']}{' (quick)' if summary['quick'] else ''}: steps to {target_words(summary)}"
    note = NOTE + _MORE * brief
    shown = Table(title=target, caption=note, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left")
    shown.caption_justify = "left"
    titles = header(summary)
    kept = [number for number, title in enumerate(titles) if not (brief and title in _WIDE)]
    for number in kept:
        shown.add_column(titles[number], justify="right" if number else "left")
    for arm, cells in zip(summary["arms"], rows(summary), strict=True):
        shown.add_row(*(_folded(cells[number]) for number in kept), style="bold" if arm == "ahsar" else "")
    return shown


def markdown(summary: Summary, *, grid: bool = False) -> str:
    """The main table, or that of all constant scales, as a Markdown table that ends with a newline."""
    return markdown_table(header(summary), grid_rows(summary) if grid else rows(summary))


def target_words(summary: Summary) -> str:
    """The target and the budget, as in "accuracy ≥ 0.9 within 300 steps"."""
    sign = "≥" if summary["higher_is_better"] else "≤"
    return f"validation {summary['metric']} {sign} {summary['target']:g} within {summary['budget']:g} steps"


def _label(arm: str, row: dict[str, Any]) -> str:
    """An arm's name, of a constant with its scale."""
    if arm == FOR_ALL:
        return f"constant {row['scale']:g} (all cells)"
    return arm_name(arm if row.get("scale") is None else f"constant@{row['scale']:g}")


def _cells(arm: str, row: dict[str, Any]) -> list[str]:
    steps = row["median_steps_to_target"]
    price = row["pareto"] or {}
    acs = row["synops"]["acs"]
    return [
        _label(arm, row),
        f"{row['reached']}/{row['n']}" + _lost(row),
        f"{steps:.3g}" if steps is not None else "never" if row["n"] else "–",
        speedup(row["speedup"]),
        speedup(row["seconds_speedup"]),
        spread(row["final_test"], ".3f"),
        spread(row["final_test_difference"], "+.3f"),
        "–" if row["mean_rate"] is None else f"{row['mean_rate']:.3f}" + _priced(price.get("mean_rate")),
        count(acs) + _priced(price.get("acs")),
    ]


def _lost(row: dict[str, Any]) -> str:
    """As in " (1 diverged, 2 failed)"; "" where all trials ended well."""
    lost = [f"{row[kind]} {kind}" for kind in ("diverged", "failed") if row[kind]]
    return f" ({', '.join(lost)})" if lost else ""


def _price(row: dict[str, Any] | None) -> list[float | None]:
    """Rate, spikes, ACs, MACs and energy proxy (nJ) of an arm."""
    if row is None:
        return [None] * 5
    return [row["mean_rate"], row["spikes"], row["synops"]["acs"], row["synops"]["macs"], row["energy_proxy_nj"]]


def _joules(value: float | None) -> str:
    """Nanojoules as "1.2 µJ"."""
    if value is None:
        return "–"
    unit = next((unit for size, unit in ((1e6, "mJ"), (1e3, "µJ")) if value >= size), "nJ")
    return f"{value / {'mJ': 1e6, 'µJ': 1e3, 'nJ': 1}[unit]:.3g} {unit}"


def _folded(cell: str) -> "Text":
    """A cell for the terminal, its second line dim."""
    from rich.text import Text

    number, more = parts(cell)
    return Text.assemble(number, ("\n" + more, "dim") if more else "")


def _priced(ratio: float | None) -> str:
    return "" if ratio is None else f" ({times(ratio)})"
