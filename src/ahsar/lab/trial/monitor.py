"""What every arm is measured with at every evaluation, the baseline too: spikes and rates of forwards in eval mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

import ahsar
from ahsar.counting import Spikes, counted


@dataclass
class Activity(Spikes):
    """Spikes and outputs over all forwards while the monitor is on; `samples` is set by whoever runs the forwards."""

    samples: int = 0

    def per_sample(self) -> dict[str, Any]:
        """The fields of a trial's record."""
        return {"mean_rate": self.mean_rate, "spikes": sum(self.spikes.values()) / max(1, self.samples)}


@contextmanager
def watch(model: nn.Module) -> Iterator[Activity]:
    """Measure every forward of `model` within the context; the model is hooked for that time only."""
    activity = Activity()
    with counted(ahsar.discover(model), activity):
        yield activity
