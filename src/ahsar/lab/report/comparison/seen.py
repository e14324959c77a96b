"""What each picture of a comparison shows, in words with its numbers: for those who do not see it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ahsar.lab.report.comparison.tables import Summary, target_words
from ahsar.lab.report.curves import last_of
from ahsar.lab.report.text import arm_name, count
from ahsar.lab.results.constants import best_constant
from ahsar.lab.results.records import Record, arms_of, best_rivals

_MOST_LAYERS = 8  # that are told one by one


def seen(summary: Summary, records: Iterable[Record]) -> dict[str, str]:
    """A sentence or two for each picture, by its name."""
    rows = list(records)
    every, best = arms_of(rows), best_constant(rows)
    shown = ("ahsar", "baseline", best or "", "shuffled", *best_rivals(rows))
    curves = {arm: every[arm] for arm in shown if every.get(arm)}
    return {
        "learning": _learning(summary, curves),
        "survival": _survival(summary),
        "layers": _layers(every),
        "spikes": _spikes(summary),
        "scales": _scales(summary),
    }


def _learning(summary: Summary, curves: Mapping[str, Sequence[Record]]) -> str:
    ends = {arm: [trial["curve"][-1]["val_metric"] for trial in trials if trial["curve"]] for arm, trials in curves.items()}
    known = {arm: [value for value in values if value is not None] for arm, values in ends.items()}
    said = [f"{arm_name(arm)} {np.median(values):.3f}" for arm, values in known.items() if values]
    return f"At their last evaluation the median validation {summary['metric']} is: {', '.join(said)}. {_goal(summary)}"


def _survival(summary: Summary) -> str:
    said = []
    for arm, row in _ran(summary).items():
        half = row["median_steps_to_target"]
        when = "" if half is None else f" (half of them by step {half:.3g})"
        said.append(f"{arm_name(arm)} {row['reached']} of {row['n']}{when}")
    return f"{_goal(summary)} Trials that reached it: {', '.join(said)}."


def _layers(every: Mapping[str, Sequence[Record]]) -> str:
    parts = [("baseline", "rates", "Rates of the baseline"), ("ahsar", "rates", "of AHSAR"), ("ahsar", "scales", "its scales")]
    said = [f"{name} {_row(last_of(every.get(arm, []), key))}" for arm, key, name in parts]
    return f"At the last evaluation, layers from the input on: {'; '.join(said)}."


def _row(values: Mapping[str, float]) -> str:
    if not values:
        return "not known"
    if len(values) > _MOST_LAYERS:
        return f"from {min(values.values()):.2f} to {max(values.values()):.2f} over {len(values)} layers"
    return ", ".join(f"{value:.2f}" for value in values.values())


def _spikes(summary: Summary) -> str:
    arms = {arm_name(arm): row for arm, row in _ran(summary).items() if "constant" not in arm and arm != "attached"}
    grid = {f"constant {row['scale']:g}": row for row in summary["constant_grid"]}
    said = [
        f"{name} {count(row['spikes'])} and {row['final_test']['mean']:.3f}"
        for name, row in (arms | grid).items()
        if row["spikes"] is not None and row["final_test"]["mean"] is not None
    ]
    return f"Mean spikes per sample and final test {summary['metric']}: {', '.join(said)}."


def _scales(summary: Summary) -> str:
    arms = {arm: row for arm, row in _ran(summary).items() if arm in ("baseline", "ahsar")}
    rows = {f"{row['scale']:g}": row for row in summary["constant_grid"]} | {arm_name(arm): row for arm, row in arms.items()}
    steps = [f"{name} {value:.3g}" for name, row in rows.items() if (value := row["mean_steps_restricted"]) is not None]
    rates = [f"{name} {row['mean_rate']:.3f}" for name, row in rows.items() if row["mean_rate"] is not None]
    return f"Mean steps to the target by constant scale: {', '.join(steps)}. Mean rates: {', '.join(rates)}."


def _ran(summary: Summary) -> dict[str, Any]:
    return {arm: row for arm, row in summary["arms"].items() if row["n"]}


def _goal(summary: Summary) -> str:
    return f"The target is {target_words(summary)}."
