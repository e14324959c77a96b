"""The baseline, the controller, and the placebos that say what of its effect comes from where."""

from torch import Tensor, nn
from torch.optim import Optimizer

import ahsar
from ahsar import functional
from ahsar.attach import attach_as
from ahsar.errors import WorkloadError
from ahsar.homeostat import Homeostat


class Baseline:
    """The unattached model."""

    def prepare(self, model: nn.Module, x: Tensor) -> nn.Module:
        return model

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat | None:
        return None

    def penalty(self) -> Tensor | None:
        return None


class Controlled(Baseline):
    """The controller with its default constants."""

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat:
        return ahsar.attach(model, optimizer)


class Attached(Baseline):
    """All the machinery, but no reaction: every scale is computed to be 1."""

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat:
        return ahsar.attach(model, optimizer, config=ahsar.Config(reaction=0.0))


class Constant(Baseline):
    """One fixed scale for all layers."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat:
        homeostat = ahsar.attach(model, optimizer)
        homeostat.hold(self.scale)
        return homeostat


class Shuffled(Baseline):
    """The controller, with each layer's scale given to the next layer."""

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat:
        homeostat = attach_as(_ShuffledHomeostat, model, optimizer)
        if len(homeostat.layers) < 2:
            homeostat.detach()
            raise WorkloadError("arm 'shuffled' needs at least two spiking layers: leave it out with --arms")
        return homeostat


class _ShuffledHomeostat(Homeostat):
    def _write(self) -> None:
        self._give(functional.bound(self.state, self.config.reach).roll(1))
