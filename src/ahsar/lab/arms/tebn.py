"""Rival: temporal effective batch normalisation (TEBN, Duan et al., 2022): a learnable scale of every time step."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ahsar.errors import WorkloadError
from ahsar.lab.arms.placebos import Baseline
from ahsar.lab.arms.spiking import own_group


class TEBN(Baseline):
    """SpikingJelly's `TemporalEffectiveBatchNorm` in the place of every batch norm; the scales start at 1.

    Args:
        factor: learning rate of the scales, in multiples of the weights'.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.parameters: list[nn.Parameter] = []

    def prepare(self, model: Any, x: Tensor) -> nn.Module:
        """The given model, its batch norms replaced; their weights and statistics stay.

        Raises:
            WorkloadError: there is no batch norm, one of another kind, or the network does not say how many time steps it has.
        """
        from spikingjelly.activation_based import layer

        kinds = {
            layer.BatchNorm1d: layer.TemporalEffectiveBatchNorm1d,
            layer.BatchNorm2d: layer.TemporalEffectiveBatchNorm2d,
            layer.BatchNorm3d: layer.TemporalEffectiveBatchNorm3d,
        }
        norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)}
        if not norms:
            raise WorkloadError("arm 'tebn': the network has no batch norm; set model.batch_norm = true, or leave it out")
        if not hasattr(model, "time_steps"):
            raise WorkloadError(f"arm 'tebn': {type(model).__name__} does not say its time_steps; leave it out with --arms")
        for name, norm in norms.items():
            if type(norm) not in kinds or norm.step_mode != "m":  # type: ignore[union-attr]
                raise WorkloadError(
                    f"arm 'tebn' cannot replace {name!r} ({type(norm).__name__}): it takes SpikingJelly's batch norm in "
                    "multi-step mode; leave it out with --arms"
                )
        for name, norm in norms.items():
            options = norm.eps, norm.momentum, norm.affine, norm.track_running_stats
            new = kinds[type(norm)](model.time_steps, norm.num_features, *options).to(x.device)
            new.load_state_dict(norm.state_dict(), strict=False)  # all but the new scale
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, new)
            self.parameters.append(new.scale)
        return model

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Give the scales a learning rate of their own in the optimizer. There is no controller."""
        own_group(optimizer, self.parameters, self.factor)
