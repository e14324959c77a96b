"""What a comparison comes to: trial records in, one dictionary of plain numbers (`summary.json`) out."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ahsar.errors import ResultsError
from ahsar.lab.report.comparison import neurobench
from ahsar.lab.report.comparison.tables import markdown, table
from ahsar.lab.results import stats
from ahsar.lab.results.records import Record, arms_of, best_constant, best_rivals, column, constant_scale, is_rival, known, rank
from ahsar.lab.results.schema import ENDED

__all__ = ["MARGIN", "markdown", "summarise", "table"]

Trials = dict[int, Record]  # one arm's finished trials, by seed

SCHEMA = 1
MARGIN = 0.01  # how much worse the final test metric may be before "faster" is withheld
# What must be the same, digit for digit, for two trials to count as one: everything but the clock and the scales.
_SAME = ("step", "epoch", "train_loss", "val_metric", "val_loss", "rates")
_OURS = ("baseline", "ahsar", "attached", "constant")  # what AHSAR is not held against as a rival
_FROZEN = ("workload", "workload_hash", "quick", "budget", "metric", "higher_is_better", "target")


def summarise(records: Iterable[Record], *, margin: float = MARGIN) -> dict[str, Any]:
    """Summarise the trials of one workload; the layout of `summary.json`.

    Trials are paired with the baseline by seed. A failed trial leaves its own arm only. One that diverged counts as not
    reaching the target and has no final test. Both are listed under `failures`.
    An arm is `faster` if its interval says so (`stats.speedup`) and its final test metric is at most `margin` worse.
    Every number is finite or None. Raises ResultsError without trials, or with trials of several workloads.
    """
    latest = {(record["arm"], record["seed"]): record for record in records}  # a trial run again replaces its failure
    if not latest:
        raise ResultsError("there are no trials to summarise: run `ahsar compare WORKLOAD` first")
    every = list(latest.values())
    first = every[0]
    for key in _FROZEN:
        if len(values := {str(record[key]) for record in every}) > 1:
            raise ResultsError(
                f"the trials differ in `{key}` ({', '.join(sorted(values))}): give each comparison its own --out folder"
            )
    finished = arms_of(every)
    names = {record["arm"] for record in every}
    done: dict[str, Trials] = {name: {row["seed"]: row for row in finished.get(name, [])} for name in names}
    compare = _Comparison(done.get("baseline", {}), first, margin)
    arms = {arm: compare.arm(trials) for arm, trials in done.items()}
    for arm, row in arms.items():
        mine = [record["status"] for record in every if record["arm"] == arm]
        row["failed"] = sum(status not in ENDED for status in mine)
        row["diverged"] = mine.count("diverged")
        row["scale"] = constant_scale(arm)
    best = best_constant(every)
    grid = sorted((row for row in arms.values() if row["scale"] is not None), key=lambda row: row["scale"])
    listed = {arm: row for arm, row in arms.items() if row["scale"] is None}
    chosen = best_rivals(every)
    opponents = [arm for arm in sorted(listed, key=rank) if arm not in _OURS and (not is_rival(arm) or arm in chosen)]
    if best is not None:
        listed["constant"] = arms[best]
    return plain(
        {
            "schema": SCHEMA,
            **{key: first[key] for key in _FROZEN},
            "margin": margin,
            "seeds": sorted({record["seed"] for record in every}),
            "versions": first.get("versions") or {},
            "device": first.get("device"),
            "threads": first.get("threads"),
            "arms": {arm: listed[arm] for arm in sorted(listed, key=rank)},
            "constant_grid": grid,
            "best_constant": best,
            "against": {
                rival: _Comparison(done[source], first, margin).arm(done["ahsar"])
                for rival, source in {"constant": best, **{name: name for name in opponents}}.items()
                if source in done and "ahsar" in done
            },
            "neurobench": {
                arm: neurobench.metrics(finished.get(best if arm == "constant" and best else arm, []))
                for arm in sorted(listed, key=rank)
            },
            "attached_identical": _identical(done.get("baseline", {}), done.get("attached", {})),
            "failures": [
                {key: record.get(key) for key in ("trial", "arm", "seed", "status", "error")}
                for record in every
                if record["status"] != "done"
            ],
        }
    )


class _Comparison:
    """Describes arms, each paired by seed with one reference arm."""

    def __init__(self, reference: Trials, frozen: Record, margin: float) -> None:
        self.reference, self.margin = reference, margin
        self.budget = float(frozen["budget"])
        self.sign = 1 if frozen["higher_is_better"] else -1

    def arm(self, trials: Trials) -> dict[str, Any]:
        """Everything that is said of one arm; the parts that need a pair are None where there is none."""
        rows = list(trials.values())
        steps = column(rows, "steps_to_target")
        final = known(rows, "final_test")
        seeds = sorted(set(trials) & set(self.reference))
        ours, theirs = [trials[seed] for seed in seeds], [self.reference[seed] for seed in seeds]
        row: dict[str, Any] = {
            "n": len(rows),
            "reached": int((~np.isnan(steps)).sum()),
            "median_steps_to_target": stats.median_time(steps, self.budget),
            "mean_steps_restricted": stats.restricted_mean(steps, self.budget),
            "speedup": None,
            "seconds_speedup": None,
            "final_test": stats.mean_interval(final).to_dict(),
            "final_test_difference": None,
            "mean_rate": _mean(rows, "mean_rate"),
            "spikes": _mean(rows, "spikes"),
            "synops": {kind: _mean([r.get("synops") or {} for r in rows], kind) for kind in ("acs", "macs")},
            "energy_proxy_nj": _mean(rows, "energy_proxy_nj"),
            "seconds": _mean(rows, "seconds"),
            "seconds_per_step_ratio": None,
            "pareto": None,
        }
        if not seeds or trials is self.reference:
            return row
        both = [(a, b) for a, b in zip(ours, theirs, strict=True) if len(known([a, b], "final_test")) == 2]
        gap = stats.difference_interval(*(known([pair[i] for pair in both], "final_test") for i in (0, 1)))
        within = self.sign * gap.estimate >= -self.margin
        worst = gap.low if self.sign > 0 else -gap.high
        row["final_test_difference"] = {
            **gap.to_dict(),
            "within_margin": bool(within),
            "settled": bool(worst >= -self.margin),
        }
        row["speedup"] = self._speedup(theirs, ours, "steps_to_target", self.budget, within)
        # Seconds have no common budget, as trials differ in pace: every time is known up to the first miss.
        both = [r for r in (*ours, *theirs) if r["status"] == "done"]  # what diverged is known never to reach it
        missed = [float(r["seconds"]) for r in both if r["seconds_to_target"] is None and r["seconds"]]
        clock = min(missed, default=1 + max(float(r["seconds_to_target"] or 0) for r in (*ours, *theirs)))
        row["seconds_speedup"] = self._speedup(theirs, ours, "seconds_to_target", clock, within)
        paces = [(_pace(a), _pace(b)) for a, b in zip(ours, theirs, strict=True)]
        row["seconds_per_step_ratio"] = _median([a / b for a, b in paces if a and b])
        price = {"mean_rate": _get("mean_rate"), "acs": _synops("acs"), "energy_proxy": _get("energy_proxy_nj")}
        row["pareto"] = {name: _ratio([get(r) for r in ours], [get(r) for r in theirs]) for name, get in price.items()}
        return row

    def _speedup(self, theirs: list[Record], ours: list[Record], key: str, budget: float, within: bool) -> dict:
        got = stats.speedup(column(theirs, key), column(ours, key), budget)
        names = ("median", "ci95", "p_value", "method", "n", "reached_baseline", "reached_controlled")
        return {**{name: getattr(got, name) for name in names}, "faster": got.faster and bool(within)}


def _identical(baseline: Trials, attached: Trials) -> dict[str, Any] | None:
    """In how many pairs the attached arm ended with the same parameters, to the bit, after the same curve."""
    seeds = sorted(set(baseline) & set(attached))
    if not seeds:
        return None

    def trace(record: Record) -> str:  # as JSON, since NaN equals NaN there
        return json.dumps([record["digest"], [[point.get(key) for key in _SAME] for point in record["curve"]]])

    different = [seed for seed in seeds if trace(baseline[seed]) != trace(attached[seed])]
    return {"n": len(seeds), "identical": len(seeds) - len(different), "different_seeds": different}


def _mean(rows: Sequence[Record], key: str) -> float | None:
    return float(np.mean(values)) if (values := known(rows, key)) else None


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def _pace(record: Record) -> float | None:
    last = record["curve"][-1]["step"] if record["curve"] else 0
    return record["seconds"] / last if last and record["seconds"] and record["status"] == "done" else None


def _get(key: str) -> Callable[[Record], float | None]:
    return lambda record: record.get(key)


def _synops(kind: str) -> Callable[[Record], float | None]:
    return lambda record: (record.get("synops") or {}).get(kind)


def _ratio(ours: list[float | None], theirs: list[float | None]) -> float | None:
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    below = sum(b for _, b in pairs)
    return sum(a for a, _ in pairs) / below if below else None


def plain(value: Any) -> Any:
    """The same with plain numbers, lists and dictionaries; what is not finite becomes None, as JSON has no NaN."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
