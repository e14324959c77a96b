"""AHSAR against the baseline seed by seed, for the dots of the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ahsar.lab.results import times
from ahsar.lab.results.records import Record, arms_of, known


@dataclass(frozen=True)
class Seeds:
    """Of one cell.

    Attributes:
        speedups: the baseline's steps to the target over AHSAR's, of the seeds in which both reached it.
        gaps: AHSAR's final test less the baseline's, of the seeds in which both have one.
    """

    speedups: list[float]
    gaps: list[float]


def of_cell(records: Sequence[Record]) -> Seeds:
    """The seeds that both arms have."""
    arms = arms_of(records)
    ours, theirs = ({trial["seed"]: trial for trial in arms.get(arm, [])} for arm in ("ahsar", "baseline"))
    pairs = [(ours[seed], theirs[seed]) for seed in sorted(set(ours) & set(theirs))]
    steps = [times.to_target(pair) for pair in pairs]
    ends = [known(pair, "final_test") for pair in pairs]
    return Seeds(
        [float(b / a) for a, b in steps if np.isfinite([a, b]).all() and a > 0 and b > 0],
        [end[0] - end[1] for end in ends if len(end) == 2],
    )
