"""Data of the lab, as in-memory tensors in three splits: train, validation (held out from train) and test."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from ahsar.errors import DataError
from ahsar.lab.spec.catalogue import DATA, part
from ahsar.lab.spec.workload import Workload

Pair = tuple[Tensor, Tensor]
Normalisation = tuple[Tensor, Tensor]  # mean and deviation [C, 1, 1] of pixels in [0, 1], which were taken out of them


@dataclass(frozen=True)
class Splits:
    """Pairs of samples (float32: images `[N, C, H, W]`, events `[N, T, C, H, W]` or `[N, T, F]`) and labels (int64, `[N]`).

    Attributes:
        classes: number of classes; labels are 0 ... classes - 1.
        source: where the data came from, in words.
        fingerprint: 12 hex digits of the SHA-256 of all samples and labels in their splits.
        normalised: mean and deviation, that broadcast over samples: sample × deviation + mean is what it was before, pixels in
            [0, 1] or log(1 + events). None where there is no way back.
    """

    train: Pair
    val: Pair
    test: Pair
    classes: int
    source: str
    fingerprint: str
    normalised: Normalisation | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without N."""
        return tuple(self.train[0].shape[1:])


def load(workload: Workload, source: str | Path | None = None) -> Splits:
    """Load the workload's data, from its public name or from `source`, a local file or folder. Deterministic.

    Raises:
        DataError: nothing is there, it is not what the workload expects, or there is too little of it.
    """
    spec = workload.data
    check(workload, source)
    return part("data", f"{DATA[spec.name].loader}:load")(spec, None if source is None else Path(source))


def check(workload: Workload, source: str | Path | None) -> None:
    """What of `load` can be checked at once: that the workload takes a `source`, if one is given, and that it is there.

    Raises:
        DataError: it does not, or nothing is there.
    """
    if source is None:
        return
    if DATA[workload.data.name].bundled:
        refuse(source, [workload.data.name])
    if not Path(source).exists():
        raise DataError(f"{source}: no such file or folder; give an existing one with --data PATH")


def refuse(source: str | Path, names: Iterable[str]) -> NoReturn:
    """Raise for a `source` of which nothing would be read, since these data sets take none."""
    raise DataError(f"{source}: nothing would be read from there for {', '.join(sorted(set(names)))}; leave --data out")


def make_splits(
    train: Pair, val: Pair, test: Pair, classes: int, source: str, normalised: Normalisation | None = None
) -> Splits:
    """Splits with their fingerprint.

    Raises:
        DataError: a class is missing from a split.
    """
    digest = hashlib.sha256()
    for name, (x, y) in {"train": train, "val": val, "test": test}.items():
        digest.update(f"{name} {tuple(x.shape)}".encode())
        digest.update(x.numpy().data)
        digest.update(y.numpy().data)
        absent = sorted(set(range(classes)) - set(torch.unique(y).tolist()))
        if absent:
            raise DataError(f"{source}: the {name} split has no sample of class {absent[0]}; raise its size in the workload")
    return Splits(train, val, test, classes, source, digest.hexdigest()[:12], normalised)


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A shuffled order of all samples in which every stretch holds the classes in about their overall proportions.

    So that any slice of it is a stratified sample, and disjoint slices never share a sample.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(place, kind="stable")


def take(order: np.ndarray, start: int, size: int, what: str, source: str) -> np.ndarray:
    """`size` entries of `order` from `start`, all that are left for 0.

    Raises:
        DataError: there are not that many.
    """
    left = len(order) - start
    if size > left or left < 1:
        raise DataError(f"{source}: {what} = {size} but only {max(left, 0)} samples are left for it; lower it in the workload")
    return order[start : start + size] if size else order[start:]
