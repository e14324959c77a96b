"""Frames of event counts, as all event sets give them: counted into one byte each, split by rows, scaled by train."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ahsar.lab.data import Pair, Splits, make_splits

MOST = 255  # events of a pixel in one frame: what is beyond stays at it


@dataclass(frozen=True)
class Windows:
    """Windows of raw events, as they were before they were framed.

    Attributes:
        events: one array with the fields x, y, t and p per window.
        sensor: width, height and number of polarities; height 1 where x numbers places that lie in no row.
        length: of a window, in the unit of t.
        frame: counts the events of one window in frames [T, P, H, W] (uint8).
    """

    events: list[np.ndarray]
    sensor: tuple[int, int, int]
    length: int
    frame: Callable[[np.ndarray], np.ndarray]


def as_bytes(counts: np.ndarray) -> np.ndarray:
    """Counts as uint8: a quarter of the memory, in the cache and in the table from which splits are taken."""
    return np.minimum(counts, MOST).astype(np.uint8)


def make(
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int,
    source: str,
) -> Splits:
    """Splits of `log(1 + events)`, over their deviation in train. Each argument is frames (uint8) and labels of a split."""

    def pair(frames: np.ndarray, labels: np.ndarray) -> Pair:
        # The logarithm keeps a few very active pixels from drowning the rest.
        return torch.from_numpy(frames).float().log1p_(), torch.from_numpy(labels.astype(np.int64))

    pairs = pair(*train), pair(*val), pair(*test)
    deviation = pairs[0][0].std().clamp_min(1e-6)
    for counts, _ in pairs:
        counts.div_(deviation)  # scaled but not centred: a pixel without events stays at zero input
    return make_splits(*pairs, classes, source, (torch.zeros(()), deviation))
