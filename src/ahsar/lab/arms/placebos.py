"""The baseline, the controller, and the placebos that say what of its effect comes from where."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

import ahsar
from ahsar import controller
from ahsar.controller import Scales
from ahsar.errors import WorkloadError
from ahsar.homeostat import Homeostat
from ahsar.lab.arms.spiking import spiking_layers
from ahsar.state import ControllerState


class Baseline:
    """The unattached model."""

    def prepare(self, model: nn.Module, x: Tensor) -> nn.Module:
        """The given model as it is."""
        return model

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat | None:
        """No controller: None."""
        return None

    def penalty(self) -> Tensor | None:
        """No penalty: None."""
        return None


class Controlled(Baseline):
    """The controller with its default constants but for `changes`, told whether the network was trained before."""

    config: ahsar.Config
    scales: Scales

    def __init__(self, trained: bool = False, scales: Scales = controller.scales, **changes: Any) -> None:
        self.config, self.scales = ahsar.Config(trained=trained, **changes), scales

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat:
        """Attach the controller, which follows the optimizer."""
        return ahsar.attach(model, optimizer, config=self.config, scales=self.scales)


class Attached(Baseline):
    """All the machinery, but no reaction: every scale is computed to be 1."""

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat:
        """Attach a controller with `reaction` 0."""
        return ahsar.attach(model, optimizer, config=ahsar.Config(reaction=0.0))


class Constant(Baseline):
    """One fixed scale for all hidden layers."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat:
        """Attach the controller and hold all scales."""
        # by name: unasked, the controller learns in the first step which layer is the answer, and this scale acts before
        homeostat = ahsar.attach(model, optimizer, layers=[layer.name for layer in spiking_layers(model, "constant")])
        homeostat.hold(self.scale)
        return homeostat


class Shuffled(Controlled):
    """The controller, with each layer's scale given to the next layer."""

    def __init__(self, trained: bool = False) -> None:
        super().__init__(trained, of_the_next_layer)

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat:
        """Attach the controller.

        Raises:
            WorkloadError: there is one spiking layer alone.
        """
        if len(spiking_layers(model, "shuffled")) < 2:
            raise WorkloadError("arm 'shuffled' needs at least two spiking layers: leave it out with --arms")
        return super().attach(model, optimizer)


def of_the_next_layer(state: ControllerState, config: ahsar.Config) -> Tensor:
    """The controller's scales, [L], each given to the layer behind its own."""
    return controller.scales(state, config).roll(1)
