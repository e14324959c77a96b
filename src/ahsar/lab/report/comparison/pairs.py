"""What is said of one arm: by itself, and held against a reference arm by pairs of equal seeds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ahsar.lab.results import lasting, levels, stats, times
from ahsar.lab.results.records import Record, known
from ahsar.lab.results.times import Levels

Trials = dict[int, Record]  # trials that ended, by seed


class Pairs:
    """Describes arms, each paired by seed with one reference arm.

    Args:
        frozen: any record, of which the budget and the direction of the metric are read.
        margin: how much worse the final test metric may be before "faster" is withheld.
        of_baseline: the levels of the baseline's curve, which stay the same whatever the reference; None if it has none.
    """

    reference: Trials
    margin: float
    levels: Levels | None

    def __init__(self, reference: Trials, frozen: Record, margin: float, of_baseline: Levels | None) -> None:
        self.reference, self.margin, self.levels = reference, margin, of_baseline
        self.budget: float = float(frozen["budget"])
        self.sign = 1 if frozen["higher_is_better"] else -1

    def arm(self, trials: Trials) -> dict[str, Any]:
        """Everything that is said of one arm; the parts that need a pair are None where there is none."""
        rows = list(trials.values())
        steps = times.to_target(rows)
        final = known(rows, "final_test")
        seeds = sorted(set(trials) & set(self.reference))
        ours, theirs = [trials[seed] for seed in seeds], [self.reference[seed] for seed in seeds]
        row: dict[str, Any] = {
            "n": len(rows),
            "reached": int((~np.isnan(steps)).sum()),
            "diverged": _diverged(rows),
            "median_steps_to_target": stats.median_time(steps, self.budget),
            "mean_steps_restricted": stats.restricted_mean(steps, self.budget),
            "speedup": None,
            "seconds_speedup": None,
            "levels": self._at_levels(rows),
            "level_speed": None,
            "lead": None,
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
        end = self._end(theirs, ours)
        good = end["within_margin"] and end["diverged"][0] <= end["diverged"][1]  # to diverge is worse than any margin
        row["final_test_difference"] = end
        row["speedup"] = _speedup(times.to_target(theirs), times.to_target(ours), self.budget, good)
        row["seconds_speedup"] = _seconds_speedup(theirs, ours, good)
        row["level_speed"] = self._level_speed(theirs, ours, good)
        row["lead"] = lasting.lead(theirs, ours)
        paces = [(_pace(a), _pace(b)) for a, b in zip(ours, theirs, strict=True)]
        row["seconds_per_step_ratio"] = _median([a / b for a, b in paces if a and b])
        price = {"mean_rate": _get("mean_rate"), "acs": _synops("acs"), "energy_proxy": _get("energy_proxy_nj")}
        row["pareto"] = {name: _ratio([get(r) for r in ours], [get(r) for r in theirs]) for name, get in price.items()}
        return row

    def _end(self, theirs: list[Record], ours: list[Record]) -> dict[str, Any]:
        """The final test against the reference's, over the pairs that have both; how many trials diverged, ours and theirs."""
        both = [(a, b) for a, b in zip(ours, theirs, strict=True) if len(known([a, b], "final_test")) == 2]
        gap = stats.difference_interval(*(known([pair[i] for pair in both], "final_test") for i in (0, 1)))
        worst = gap.low if self.sign > 0 else -gap.high
        return {
            **gap.to_dict(),
            "within_margin": bool(self.sign * gap.estimate >= -self.margin),
            "settled": bool(worst >= -self.margin),
            "diverged": [_diverged(ours), _diverged(theirs)],
        }

    def _at_levels(self, rows: list[Record]) -> list[dict[str, Any]]:
        """For each level the restricted mean of steps to it, and how many trials reached it."""
        if self.levels is None:
            return []
        reached = self.levels.times(rows).T
        return [{"steps": stats.restricted_mean(t, self.budget), "reached": int((~np.isnan(t)).sum())} for t in reached]

    def _level_speed(self, theirs: list[Record], ours: list[Record], good: bool) -> dict[str, Any] | None:
        """The speed to the levels, a geometric mean over them and the pairs; None where there is no level."""
        if self.levels is None or not self.levels.values:
            return None
        a, b = self.levels.times(theirs), self.levels.times(ours)
        got = levels.speed(a, b, self.budget, self.levels.shortest)
        return {
            "mean": got.estimate,
            "ci95": (got.low, got.high) if np.isfinite(got.low) else None,
            "p_value": got.p_value if np.isfinite(got.low) else None,
            "n": got.n,
            "bound": levels.bound(a, b),
            "faster": bool(got.n > stats.FEWEST_PAIRS and got.low > 1 and good),
        }


def _speedup(theirs: levels.Floats, ours: levels.Floats, budget: float, good: bool) -> dict[str, Any]:
    got = stats.speedup(theirs, ours, budget)
    names = ("median", "ci95", "p_value", "method", "n", "reached_baseline", "reached_controlled")
    return {**{name: getattr(got, name) for name in names}, "faster": got.faster and good}


def _seconds_speedup(theirs: list[Record], ours: list[Record], good: bool) -> dict[str, Any]:
    """Seconds have no common budget, as trials differ in pace: every time is known up to the first miss.

    What diverged is known never to reach the target, however long one waits.
    """
    a, b = times.to_target(theirs, "seconds"), times.to_target(ours, "seconds")
    done = [(r, t) for r, t in zip((*theirs, *ours), (*a, *b), strict=True) if r["status"] == "done" and r["curve"]]
    missed = [float(r["curve"][-1]["seconds"]) for r, t in done if np.isnan(t)]
    longest = max((float(r["curve"][-1]["seconds"]) for r, _ in done), default=0.0)
    return _speedup(a, b, min(missed, default=longest) or 1.0, good)


def _diverged(rows: Sequence[Record]) -> int:
    return sum(row["status"] == "diverged" for row in rows)


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
