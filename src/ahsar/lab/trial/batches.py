"""The order in which a trial sees its training samples."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ahsar.lab.data import Pair


def batches(train: Pair, size: int, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """`steps` batches in an order that depends on the seed alone, each with the number of passes it completes."""
    x, y = train
    generator, passes, done = torch.Generator().manual_seed(seed), 0, 0
    size = min(size, len(y))
    while True:
        order = torch.randperm(len(y), generator=generator).to(y.device)
        starts = range(0, len(y) - size + 1, size)
        for start in starts:
            index = order[start : start + size]
            passes += start == starts[-1]
            yield x[index], y[index], passes
            done += 1
            if done == steps:
                return
