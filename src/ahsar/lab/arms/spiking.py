"""What the rivals share: the spiking layers of a network, and parameters of their own for the optimizer."""

from typing import NoReturn

from torch import nn
from torch.optim import Optimizer

import ahsar
from ahsar.discovery import Found
from ahsar.errors import WorkloadError
from ahsar.lab.models import is_answer


def spiking_layers(model: nn.Module, arm: str) -> list[Found]:
    """The layers that the controller would regulate, the hidden ones, so that a rival acts on the same ones.

    Raises:
        WorkloadError: there is none.
    """
    known = [layer for layer in ahsar.discover(model) if layer.adapter is not None and layer.reason is None]
    found = [layer for layer in known if not is_answer(layer.name)]
    if not found:
        raise WorkloadError(f"arm {arm!r}: the network has no spiking layer with a threshold; leave it out with --arms")
    return found


def refuse(arm: str, layer: Found, reason: str) -> NoReturn:
    """Raise the WorkloadError that says why an arm cannot treat a layer."""
    kind = type(layer.module).__name__
    raise WorkloadError(f"arm {arm!r} cannot treat layer {layer.name!r} ({kind}): {reason}; leave it out with --arms")


def own_group(optimizer: Optimizer, parameters: list[nn.Parameter], factor: float) -> None:
    """Move parameters to a group of their own: the first group's learning rate times `factor`, no weight decay.

    Decay would draw scales to 0, or logarithms of scales to the scale 1, which is a prior that the baseline does not have.
    """
    mine = {id(parameter) for parameter in parameters}
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in mine]
    lr = optimizer.param_groups[0]["lr"] * factor
    optimizer.add_param_group({"params": parameters, "lr": lr, "weight_decay": 0.0})
