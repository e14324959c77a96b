"""The arms of a comparison: what is done to the thresholds while everything else stays the same."""

from torch import nn
from torch.optim import Optimizer

import ahsar
from ahsar import functional
from ahsar.attach import attach_as
from ahsar.errors import WorkloadError
from ahsar.homeostat import Homeostat
from ahsar.lab.workload import Workload

CONSTANT = "constant"
ARMS = {
    "baseline": "the unattached model",
    "ahsar": "the controller with its default constants",
    "attached": "placebo: all the machinery, every scale computed to be 1; must equal the baseline bit for bit",
    CONSTANT: "placebo: one fixed scale for all layers, from a grid; its best is found with hindsight",
    "shuffled": "placebo: the controller, with each layer's scale given to the next layer",
}


class Shuffled(Homeostat):
    """Gives every layer the scale that was meant for the layer before it."""

    def _write(self) -> None:
        self._give(functional.bound(self.state, self.config.reach).roll(1))


def expand(names: list[str] | None, workload: Workload) -> list[str]:
    """The arms to run: all by default; `constant` becomes one arm per scale of the workload's grid, `constant@0.5`.

    Raises:
        WorkloadError: an unknown arm.
    """
    arms = []
    for name in names or list(ARMS):
        if name == CONSTANT:
            arms += [f"{CONSTANT}@{scale:g}" for scale in workload.constant.grid]
        elif name in ARMS or _scale(name) is not None:
            arms.append(name)
        else:
            raise WorkloadError(f"unknown arm {name!r}: choose from {', '.join(ARMS)}, or {CONSTANT}@SCALE")
    return list(dict.fromkeys(arms))


def _scale(name: str) -> float | None:
    """0.5 for `constant@0.5`; None if the name is of another kind."""
    kind, _, number = name.partition("@")
    try:
        return float(number) if kind == CONSTANT and float(number) > 0 else None
    except ValueError:
        return None


def apply(arm: str, model: nn.Module, optimizer: Optimizer) -> Homeostat | None:
    """Attach what the arm asks for; None for the baseline.

    Raises:
        WorkloadError: an unknown arm, or `shuffled` on a model with one spiking layer.
    """
    if arm == "baseline":
        return None
    if arm == "ahsar":
        return ahsar.attach(model, optimizer)
    if arm == "attached":
        return ahsar.attach(model, optimizer, config=ahsar.Config(reaction=0.0))
    if arm == "shuffled":
        homeostat = attach_as(Shuffled, model, optimizer)
        if len(homeostat.layers) < 2:
            homeostat.detach()
            raise WorkloadError("arm 'shuffled' needs at least two spiking layers: leave it out with --arms")
        return homeostat
    scale = _scale(arm)
    if scale is None:
        raise WorkloadError(f"unknown arm {arm!r}: choose from {', '.join(ARMS)}, or {CONSTANT}@SCALE")
    homeostat = ahsar.attach(model, optimizer)
    homeostat.hold(scale)
    return homeostat
