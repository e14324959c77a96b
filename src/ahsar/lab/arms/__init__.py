"""The arms of a comparison: what is done to the thresholds, or in their place, while everything else stays the same."""

from typing import Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from ahsar.errors import WorkloadError
from ahsar.homeostat import Homeostat
from ahsar.lab.workload import Workload

CONSTANT = "constant"
PLACEBOS = {
    "baseline": "the unattached model",
    "ahsar": "the controller with its default constants",
    "attached": "placebo: all the machinery, every scale computed to be 1; must equal the baseline bit for bit",
    CONSTANT: "placebo: one fixed scale for all layers, from a grid; its best is found with hindsight",
    "shuffled": "placebo: the controller, with each layer's scale given to the next layer",
}
RIVALS: dict[str, str] = {}
ARMS = {**PLACEBOS, **RIVALS}


class Arm(Protocol):
    """What one arm does to a trial, in the order of the calls."""

    def prepare(self, model: nn.Module, x: Tensor) -> nn.Module:
        """The model that is trained, before its optimizer is made: the given one, changed in place, or another.

        Args:
            x: a batch of training samples, for what depends on data. Random numbers come from torch's global generator,
                which is left as it is by arms that draw none.
        """
        ...

    def attach(self, model: nn.Module, optimizer: Optimizer) -> Homeostat | None:
        """Attach the controller, if the arm has one."""
        ...

    def penalty(self) -> Tensor | None:
        """A scalar to add to the loss for the forwards since the last call, or None."""
        ...


def expand(names: list[str] | None, workload: Workload) -> list[str]:
    """The arms to run: the placebos by default; `constant` becomes one arm per scale of the workload's grid, `constant@0.5`.

    Raises:
        WorkloadError: an unknown arm.
    """
    arms = []
    for name in names or list(PLACEBOS):
        if name == CONSTANT:
            arms += [f"{CONSTANT}@{scale:g}" for scale in workload.constant.grid]
        else:
            build(name)
            arms.append(name)
    return list(dict.fromkeys(arms))


def fits(name: str, workload: Workload) -> bool:
    """Whether an arm can be used on the workload's network."""
    return True


def build(name: str) -> Arm:
    """The arm of that name.

    Raises:
        WorkloadError: there is none.
    """
    from ahsar.lab.arms import placebos

    kind, _, number = name.partition("@")
    strength = _number(number)
    if name in ("baseline", "ahsar", "attached", "shuffled"):
        return {
            "baseline": placebos.Baseline, "ahsar": placebos.Controlled, "attached": placebos.Attached,
            "shuffled": placebos.Shuffled,
        }[name]()  # fmt: skip
    if kind == CONSTANT and strength is not None:
        return placebos.Constant(strength)
    raise WorkloadError(f"unknown arm {name!r}: choose from {', '.join(ARMS)}, or {CONSTANT}@SCALE")


def _number(text: str) -> float | None:
    """0.5 for "0.5"; None for what is no positive number."""
    try:
        return float(text) if float(text) > 0 else None
    except ValueError:
        return None
