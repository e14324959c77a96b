"""When trials reached a level, read off their curves.

A record's own `steps_to_target` is the evaluation that saw it, so it depends on how often one looks; statistics use these.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ahsar.lab.results import levels
from ahsar.lab.results.levels import Floats
from ahsar.lab.results.schema import Record

Clock = Literal["step", "seconds"]


def to_target(rows: Iterable[Record], clock: Clock = "step") -> Floats:
    """Steps or training seconds to each trial's target, (n,); NaN where it was not reached, or the trial diverged."""
    return np.array([_time(row, row["target"], clock) for row in rows], dtype=np.float64)


@dataclass(frozen=True)
class Levels:
    """What the baseline's curve says: of the validation metric, means over its seeds.

    Attributes:
        untrained: before the first step.
        best: the best that the mean curve came to.
        learned: whether that is `levels.LEARNED` or more away from `untrained`.
        values: the levels by the fraction of the budget at which the baseline stood there; without those below.
        shortest: half of the first evaluation interval, in steps: what earlier times count as.
    """

    untrained: float
    best: float
    learned: bool
    values: dict[float, float]
    shortest: float

    def times(self, rows: Sequence[Record]) -> Floats:
        """Steps to each level, (n, k); NaN where it was not reached, or the trial diverged."""
        times = [[_time(row, level, "step") for level in self.values.values()] for row in rows]
        return np.array(times, dtype=np.float64).reshape(len(rows), len(self.values))

    def to_dict(self) -> dict[str, Any]:
        """As summaries hold it: `fractions` and `values`, (k,) each, beside the rest."""
        said = {"untrained": self.untrained, "best": self.best, "learned": self.learned}
        return {**said, "fractions": list(self.values), "values": list(self.values.values())}


def levels_of(baseline: Sequence[Record]) -> Levels | None:
    """The levels of the baseline's finished trials; None if no two evaluations are finite."""
    done = [row for row in baseline if row["status"] == "done"]
    steps = np.unique([point["step"] for row in done for point in row["curve"]]).astype(np.float64)
    curves = np.full((len(done), len(steps)), np.nan)
    for curve, row in zip(curves, done, strict=True):
        curve[np.searchsorted(steps, [point["step"] for point in row["curve"]])] = _metrics(row)
    whole = np.isfinite(curves).all(axis=0)
    if whole.sum() < 2:
        return None
    best = levels.mean_best(curves[:, whole], done[0]["higher_is_better"])
    values = levels.of_baseline(steps[whole], best, float(done[0]["budget"]))
    return Levels(float(best[0]), float(best[-1]), levels.learned(best), values, float(steps[1] / 2))


def _time(row: Record, level: float, clock: Clock) -> float:
    if row["status"] == "diverged":
        return float("nan")
    return levels.crossing([point[clock] for point in row["curve"]], _metrics(row), level, row["higher_is_better"])


def _metrics(row: Record) -> Floats:
    """The validation metric at every evaluation, (k,), NaN for null."""
    return np.array([np.nan if (value := point["val_metric"]) is None else value for point in row["curve"]], dtype=np.float64)
