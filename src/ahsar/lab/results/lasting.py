"""For how much of the training one arm lies ahead of another: a lead at the start may be gone at the end."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ahsar.lab.results.schema import Record

POINT = 0.01  # in the validation metric: what counts as ahead or behind


def lead(theirs: Sequence[Record], ours: Sequence[Record]) -> dict[str, Any] | None:
    """How the mean validation curve of an arm lies to that of its reference, over pairs of which both trials are done.

    Args:
        theirs, ours: records of equal seeds, in the same order.

    Returns:
        `ahead`, `behind`: shares in [0, 1] of the evaluations after the first (which is before training) at which the mean
        lies a point or more on that side; `until`: the share of the budget at which it was last ahead, 0 if never; None
        without a pair, or without an evaluation that all trials have.
    """
    pairs = [(a, b) for a, b in zip(theirs, ours, strict=True) if a["status"] == b["status"] == "done"]
    if not pairs:
        return None
    sign = 1 if pairs[0][0]["higher_is_better"] else -1
    curves = [[_curve(record) for record in pair] for pair in pairs]
    steps = sorted(set.intersection(*(set(curve) for pair in curves for curve in pair)) - {0})
    if not steps:
        return None
    gaps = sign * np.mean([[b[step] - a[step] for step in steps] for a, b in curves], axis=0)
    ahead = np.flatnonzero(gaps >= POINT)
    return {
        "ahead": float((gaps >= POINT).mean()),
        "behind": float((gaps <= -POINT).mean()),
        "until": steps[ahead[-1]] / pairs[0][0]["budget"] if len(ahead) else 0.0,
    }


def _curve(record: Record) -> dict[int, float]:
    return {point["step"]: point["val_metric"] for point in record["curve"] if point["val_metric"] is not None}
