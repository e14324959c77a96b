"""Arms, numbers and intervals as all pages and pictures write them."""

from collections.abc import Callable, Sequence
from typing import Any

Interval = Sequence[float] | None


def arm_name(arm: str) -> str:
    """The name of an arm, as in "AHSAR", "constant 0.5" and "rate-loss 0.1"."""
    return {"ahsar": "AHSAR", "constant-left-out": "constant (other seeds)"}.get(arm, arm.replace("@", " "))


def times(value: float) -> str:
    """A ratio as "1.83×": three digits below 10, then fewer."""
    return f"{value:.2f}×" if value < 10 else f"{value:.1f}×" if value < 100 else f"{value:.0f}×"


def ratio(value: float) -> str:
    """A ratio as "1.83"."""
    return times(value)[:-1]


def signed(value: float) -> str:
    """A difference as "+0.012"."""
    return f"{value:+.3f}"


def count(value: float | None) -> str:
    """A large number as "1.2 M"."""
    if value is None:
        return "–"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def interval(ci95: Interval, form: Callable[[float], str], form_of: str = "{} to {}") -> str:
    """The ends of an interval in words; "" without one."""
    return form_of.format(*map(form, ci95)) if ci95 else ""


def in_words(ci95: Interval, form: Callable[[float], str], before: str = "") -> str:
    """As in "95 % interval 1.52 to 2.20"."""
    return interval(ci95, form, before + "95 % interval {} to {}")


def speedup(outcome: dict[str, Any] | None) -> str:
    """A speed-up with its interval, as in "1.83× ✓ [1.52–2.20]"."""
    if outcome is None:
        return "–"
    if outcome["median"] is None:
        return "neither" if outcome["n"] else "no pairs"
    bound = "≥ " if not outcome["reached_baseline"] else "≤ " if not outcome["reached_controlled"] else ""
    return bound + times(outcome["median"]) + (" ✓" if outcome["faster"] else "") + interval(outcome["ci95"], ratio, " [{}–{}]")


def level_speed(one: dict[str, Any] | None) -> str:
    """A speed to levels with its interval and what misses make of it, as in "≤ 1.83× [1.52–2.20]"."""
    if one is None:
        return "–"
    bound = f"{one['bound']} " if one["bound"] else ""
    return bound + times(one["mean"]) + (" ✓" if one["faster"] else "") + interval(one["ci95"], ratio, " [{}–{}]")


def mean_ratio(estimate: dict[str, Any]) -> str:
    """A mean of ratios with its interval, as in "1.83× [1.52–2.20]"."""
    return "–" if estimate["mean"] is None else times(estimate["mean"]) + interval(estimate["ci95"], ratio, " [{}–{}]")


def mean_gap(gap: dict[str, Any] | None) -> str:
    """A mean difference with its interval, as in "+0.012 [+0.001 to +0.023]"."""
    if gap is None or gap["mean"] is None:
        return "–"
    return signed(gap["mean"]) + interval(gap.get("ci95"), signed, " [{} to {}]")


def spread(estimate: dict[str, Any] | None, form: str = ".3f") -> str:
    """A mean with the half-width of its (symmetric) interval."""
    if estimate is None or estimate["mean"] is None:
        return "–"
    half = f" ±{(estimate['ci95'][1] - estimate['ci95'][0]) / 2:.3f}" if estimate["ci95"] else ""
    return f"{estimate['mean']:{form}}{half}"


def parts(cell: str) -> tuple[str, str]:
    """A cell's number, and what qualifies it (interval, spread or ratio; may be empty), which goes to a second line."""
    start = next((at for mark in (" [", " ±", " (") if (at := cell.find(mark)) > 0), len(cell))
    return cell[:start], cell[start + 1 :]


def markdown_table(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Any table in Markdown: the first column left, the others right."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *cells]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
