"""A comparison of one workload in three pictures: learning, the opponents, and the price."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahsar.errors import ResultsError
from ahsar.lab.report import labels, style
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.curves import middle_half, steps_of
from ahsar.lab.report.names import of_arm, of_folder
from ahsar.lab.report.talk.charts import GAIN, LOSS, Row, rows
from ahsar.lab.report.talk.slide import LEAST, TEXT, axes, slide
from ahsar.lab.report.text import in_words, ratio, times
from ahsar.lab.results.constants import BEST, best_constant
from ahsar.lab.results.records import Record, arms_of, is_rival, known, read
from ahsar.lab.results.stats import FEWEST_PAIRS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Summary = dict[str, Any]
Arms = dict[str, list[Record]]
_MOST = 8  # opponents of a picture


def slides(folder: Path) -> "dict[str, Figure]":
    """The pictures by name. Raises ResultsError if AHSAR and the baseline have no seed in common."""
    records = read(folder)
    summary, name = summarise(records), of_folder(folder, records[0])
    if not (summary["arms"].get("ahsar") or {}).get("speedup"):
        raise ResultsError(
            f"{folder}: AHSAR and the baseline have no seed in common: run `ahsar compare {records[0]['workload']} "
            f"--arms baseline,ahsar,constant --out {folder}` first"
        )
    every, best = arms_of(records), best_constant(records)
    arms = {arm: every[arm] for arm in ("baseline", best, "ahsar") if arm is not None and arm in every}
    drawn = {
        "learning": _learning(summary, arms, name),
        "opponents": _opponents(summary, name),
        "price": _price(summary, arms, name),
    }
    return {key: made for key, made in drawn.items() if made is not None}


def message(summary: Summary) -> str:
    """Whether AHSAR reaches the target sooner than the untouched net."""
    speedup, goal = summary["arms"]["ahsar"]["speedup"], f"{summary['metric']} {summary['target']:.3g}"
    if speedup["median"] is None:
        return f"Neither AHSAR nor the untouched net reached {goal} in any of {speedup['n']} seeds"
    size = f"{_bound(speedup)}{times(speedup['median'])} as fast as the untouched net to {goal}"
    said = {"faster": "AHSAR is", "slower": "AHSAR is slower:", "unclear": "AHSAR is not shown to be faster:"}
    return f"{said[verdict(speedup)]} {size}"


def verdict(speedup: dict[str, Any]) -> str:
    """faster, slower, or unclear, as it is with fewer than 5 pairs."""
    _, high = speedup["ci95"] or (0.0, 2.0)
    if speedup["faster"]:
        return "faster"
    return "slower" if high < 1 and speedup["n"] > FEWEST_PAIRS else "unclear"


def _learning(summary: Summary, arms: Arms, name: str) -> "Figure":
    speedup = summary["arms"]["ahsar"]["speedup"]
    interval = in_words(_interval(speedup), ratio, " Speed-up: ")
    made, ax = slide(message(summary), f"{name}. Medians and middle halves of {speedup['n']} seeds.{interval}")
    ends: list[labels.End] = []
    for arm, trials in arms.items():
        steps, (low, middle, high) = middle_half(trials, "step", steps_of(trials))
        if steps.size:
            ink = style.colour(arm)
            ax.plot(steps, middle, color=ink, linewidth=5 if arm == "ahsar" else 3)
            ax.fill_between(steps, low, high, color=ink, alpha=0.15, linewidth=0)
            ends.append((float(middle[-1]), of_arm(arm), ink))
    ax.axhline(summary["target"], color=style.SOFT, linewidth=1.5, linestyle=(0, (2, 2)), zorder=1)
    ends.append((summary["target"], "target", style.SOFT))
    ax.margins(x=0)
    ax.set_xlim(left=0)
    axes(ax, "training step", f"validation {summary['metric']}")
    labels.beside([(ax, ends)], TEXT, leaders=True)
    return made


def _opponents(summary: Summary, name: str) -> "Figure | None":
    against = {"baseline": summary["arms"]["ahsar"], **summary["against"]}
    speeds = {key: row["speedup"] for key, row in against.items() if row["speedup"] and row["speedup"]["median"]}
    if len(speeds) < 2:
        return None
    key = BEST if BEST in speeds else min(speeds, key=lambda key: speeds[key]["median"])
    words = {"faster": "faster", "slower": "slower", "unclear": "not told apart"}[verdict(speeds[key])]
    size = f"{_bound(speeds[key])}{times(speeds[key]['median'])}"
    named = f"the best constant (× {summary['arms'][BEST]['scale']:g})" if key == BEST else of_arm(key)
    made, ax = slide(
        f"AHSAR is {size} as fast as {named}: {words}", f"{name}. Steps to the target, {speeds[key]['n']} pairs of seeds."
    )
    first = [each for each in speeds if not is_rival(each)]
    rest = sorted((each for each in speeds if is_rival(each)), key=lambda each: speeds[each]["median"])
    inks = {"faster": GAIN, "slower": LOSS, "unclear": style.INK}
    shown = [
        Row(of_arm(each), got["median"], _interval(got), f"{_bound(got)}{times(got['median'])}", inks[verdict(got)])
        for each in [*first, *rest][:_MOST]
        if (got := speeds[each])
    ]
    rows(ax, shown, 1.0, log=True)
    axes(ax, "AHSAR's speed-up against them (log; right: AHSAR is faster)")
    return made


def _price(summary: Summary, arms: Arms, name: str) -> "Figure | None":
    test, untouched = (summary["arms"][arm]["final_test"]["mean"] for arm in ("ahsar", "baseline"))
    price = (summary["arms"]["ahsar"]["pareto"] or {}).get("mean_rate")
    if test is None or untouched is None or not price:
        return None
    said = f"Test {summary['metric']} {test:.3f} with AHSAR, {untouched:.3f} without, at {times(price)} the firing rate"
    made, ax = slide(said, f"{name}. Small: seeds; large: means.")
    texts = []
    for arm, trials in arms.items():
        each = [
            (t["mean_rate"], t["final_test"])
            for t in trials
            if len(known([t], "mean_rate")) == len(known([t], "final_test")) == 1
        ]
        if not each:
            continue
        x, y = (sum(values) / len(each) for values in zip(*each, strict=True))
        ink = style.colour(arm)
        ax.plot(*zip(*each, strict=True), "o", color=ink, markersize=9, alpha=0.4, markeredgewidth=0)
        ax.plot(x, y, "o", color=ink, markersize=20, markeredgecolor="white")
        texts.append(ax.text(x, y, of_arm(arm), fontsize=LEAST, color=ink, ha="center", va="center"))
    ax.margins(0.15)
    axes(ax, "spikes per neuron and time step (linear)", f"final test {summary['metric']} (linear)")
    labels.at_points(ax, texts, radius=10)
    return made


def _interval(speedup: dict[str, Any]) -> Any:
    """Of fewer than 5 pairs an interval says too much."""
    return speedup["ci95"] if speedup["n"] > FEWEST_PAIRS else None


def _bound(speedup: dict[str, Any]) -> str:
    return "at least " if not speedup["reached_baseline"] else "at most " if not speedup["reached_controlled"] else ""
