"""Test splits that are corrupted on purpose: images as in CIFAR-10-C, event streams before they are framed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ahsar.errors import DataError, WorkloadError
from ahsar.lab.data import Splits
from ahsar.lab.spec.catalogue import DATA, part
from ahsar.lab.spec.workload import Workload

LEVELS = (1, 2, 3, 4, 5)


class Source(Protocol):
    """A test split that can be corrupted.

    Attributes:
        names: of its corruptions.
        clean: samples as they are, [N, ...].
        labels: [N].
    """

    names: tuple[str, ...]
    clean: Tensor
    labels: Tensor

    def corrupted(self, name: str, severity: int) -> Tensor:
        """The samples after a corruption of severity 1 to 5, normalised as the clean ones. The same at every call."""
        ...


def source(workload: Workload, splits: Splits, path: Path | None, limit: int = 0) -> Source:
    """The test split of a workload, its first `limit` samples (0: all). Splits are stratified, so these are too.

    Raises:
        DataError: the data cannot be taken back to what it was before it was normalised.
    """
    name, known = workload.data.name, DATA[workload.data.name]
    if splits.normalised is None or (known.events and not known.streams):
        others = " or ".join(name for name, other in DATA.items() if other.streams)
        raise DataError(f"data.name = {name!r}: its samples cannot be corrupted here; choose an image set or {others}")
    limit = min(limit or len(splits.test[1]), len(splits.test[1]))
    return EventSource(workload, splits, path, limit) if known.events else ImageSource(splits, limit)


class ImageSource:
    """Images, corrupted as pixels in [0, 1]."""

    clean: Tensor
    labels: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, splits: Splits, limit: int) -> None:
        from ahsar.lab.corruptions import images

        assert splits.normalised is not None
        self.names: tuple[str, ...] = tuple(images.SEVERITIES)
        self.clean, self.labels = splits.test[0][:limit], splits.test[1][:limit]
        self.mean, self.deviation = splits.normalised
        self.pixels: np.ndarray = (self.clean * self.deviation + self.mean).clamp(0, 1).numpy()

    def corrupted(self, name: str, severity: int) -> Tensor:
        """Images [N, C, H, W] after a corruption of severity 1 to 5, normalised as the clean ones."""
        from ahsar.lab.corruptions.images import corrupt

        return (torch.from_numpy(corrupt(self.pixels, name, severity)) - self.mean) / self.deviation


class EventSource:
    """Windows of events, corrupted as streams."""

    clean: Tensor
    labels: Tensor
    windows: list[np.ndarray]
    frame: Callable[[np.ndarray], np.ndarray]

    def __init__(self, workload: Workload, splits: Splits, path: Path | None, limit: int) -> None:
        from ahsar.lab.corruptions import events

        assert splits.normalised is not None
        self.clean, self.labels = splits.test[0][:limit], splits.test[1][:limit]
        self.deviation: Tensor = splits.normalised[1]
        windows = part("data", f"{DATA[workload.data.name].loader}:windows_of_test")(workload.data, path)
        self.windows, self.frame = windows.events[:limit], windows.frame
        self.sensor: events.Sensor = events.Sensor(windows.sensor, windows.length)
        self.names: tuple[str, ...] = events.names(self.sensor)

    def corrupted(self, name: str, severity: int) -> Tensor:
        """Samples [N, T, ...] of the corrupted streams, severity 1 to 5, normalised as the clean ones."""
        from ahsar.lab.corruptions.events import corrupt

        return self.framed(corrupt(self.windows, self.sensor, name, severity))

    def framed(self, windows: Sequence[np.ndarray]) -> Tensor:
        """Samples of windows, as the loader makes them."""
        counts = torch.from_numpy(np.stack([self.frame(events) for events in windows]))
        return counts.float().log1p_() / self.deviation


def chosen(names: tuple[str, ...], wanted: str | None) -> tuple[str, ...]:
    """The corruptions of a comma-separated list, in their own order; all of them for None.

    Raises:
        WorkloadError: one is unknown.
    """
    asked = names if wanted is None else tuple(wanted.split(","))
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise WorkloadError(f"unknown corruption {unknown[0]!r}: choose from {', '.join(names)}")
    return tuple(name for name in names if name in asked)


def levels(wanted: str | None) -> tuple[int, ...]:
    """The severities of a comma-separated list, in order; all five for None.

    Raises:
        WorkloadError: one is none of 1 to 5.
    """
    asked = [str(level) for level in LEVELS] if wanted is None else wanted.split(",")
    wrong = [level for level in asked if level not in map(str, LEVELS)]
    if wrong:
        raise WorkloadError(f"unknown severity {wrong[0]!r}: choose from 1, 2, 3, 4, 5")
    return tuple(sorted({int(level) for level in asked}))
