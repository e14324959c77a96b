"""The arms of a comparison: what is done to the thresholds, or in their place, while everything else stays the same."""

from typing import Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from ahsar.errors import WorkloadError
from ahsar.homeostat import Homeostat
from ahsar.lab.arms.names import kind_of, number_of
from ahsar.lab.spec.catalogue import MODELS, PARADIGMS, part
from ahsar.lab.spec.workload import Workload

CONSTANT = "constant"
PLACEBOS = {
    "baseline": "the unattached model",
    "ahsar": "the controller with its default constants",
    "attached": "placebo: all the machinery, every scale computed to be 1; must equal the baseline bit for bit",
    CONSTANT: "placebo: one fixed scale for all layers, from a grid; its best is found with hindsight",
    "shuffled": "placebo: the controller, with each layer's scale given to the next layer",
}
# The controller with one thing changed.
VARIANTS = {
    "no-band": "every layer is led to the set-point, healthy ones too",
    "no-rest": "layers are led on for ever",
    "no-response": "layers that do not follow are pushed on to the end of the grace",
    "slow-start": "a tenth of each correction is made at once, and not seven",
    "diffusing": "neighbouring layers share 0.15 of their corrections",
    "one-scale": "one scale for all layers, the geometric mean of theirs",
    "frugal": "the slow loop raises thresholds while validation holds",
}
# Each has one number that can be tuned, written NAME@NUMBER.
RIVALS = {
    "lr": "the baseline with its learning rate times NUMBER",
    "learnable": "a learnable threshold scale per layer, its learning rate times NUMBER",
    "rate-loss": "NUMBER times the squared distance of every layer's rate from the set-point is added to the loss",
    "adaptation": "every spike raises its neuron's threshold by NUMBER thresholds, which decays over time steps",
    "ds-atgo": "every layer's threshold is NUMBER times mean plus standard deviation of its membranes, per time step",
    "fluctuation": "initial weights are scaled until the membranes' standard deviation is the threshold over NUMBER",
    "tebn": "a learnable scale per time step behind every batch norm, its learning rate times NUMBER",
}
# What a rival may be tuned over: equally many numbers for all, so that none is tuned better.
GRIDS: dict[str, tuple[float, ...]] = {
    "lr": (0.5, 2, 5),
    "learnable": (1, 3, 10),
    "rate-loss": (0.01, 0.1, 1),
    "adaptation": (0.05, 0.2, 0.5),
    "ds-atgo": (0.5, 1, 2),
    "fluctuation": (0.5, 1, 2),
    "tebn": (0.3, 1, 3),
}
# Of its grid the one with the best validation accuracy on a development workload that no result is reported of: Fashion-MNIST
# at 14×14, five convolutions of 16 and 32 channels with batch norm, T = 4, Adam 5e-3, 160 steps of 32, seeds 1000 and 1001.
DEFAULTS: dict[str, float] = {
    "lr": 5, "learnable": 10, "rate-loss": 0.01, "adaptation": 0.05, "ds-atgo": 1, "fluctuation": 0.5, "tebn": 3,
}  # fmt: skip
ALL_RIVALS, ALL_VARIANTS = "rivals", "variants"
_WHERE = {
    "lr": "retuned:Retuned",
    "learnable": "learnable:Learnable",
    "rate-loss": "rate_loss:RateLoss",
    "adaptation": "adaptation:Adaptation",
    "ds-atgo": "ds_atgo:DSATGO",
    "fluctuation": "fluctuation:Fluctuation",
    "tebn": "tebn:TEBN",
}
ARMS = {**PLACEBOS, **VARIANTS, **RIVALS}


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
    """The arms to run: the placebos by default.

    `constant` becomes one arm per scale of the workload's grid, `constant@0.5`; a rival without a number gets its default,
    `lr@5`; and `rivals` becomes all of them, but for those that the workload's network or paradigm cannot take;
    `variants` becomes the controller with one thing changed, each in turn.

    Raises:
        WorkloadError: an unknown arm.
    """
    arms = []
    for name in names or list(PLACEBOS):
        if name == CONSTANT:
            arms += [f"{CONSTANT}@{scale:g}" for scale in workload.constant.grid]
        elif name == ALL_VARIANTS:
            arms += VARIANTS
        elif name == ALL_RIVALS:
            arms += [with_number(rival) for rival in RIVALS if fits(rival, workload)]
        else:
            build(name)
            arms.append(with_number(name))
    return list(dict.fromkeys(arms))


def with_number(name: str) -> str:
    """The arm's full name: a rival without a number gets its default."""
    return f"{name}@{DEFAULTS[name]:g}" if name in DEFAULTS else name


def build(name: str, trained: bool = False) -> Arm:
    """The arm of that name.

    Args:
        trained: whether the network comes to it trained, as a converted one does.

    Raises:
        WorkloadError: there is none.
    """
    from ahsar.lab.arms import placebos

    kind, number = kind_of(with_number(name)), number_of(with_number(name))
    strength = _number(number)
    if name in ("ahsar", "shuffled"):
        return {"ahsar": placebos.Controlled, "shuffled": placebos.Shuffled}[name](trained)
    if name in VARIANTS:
        return part("arms", "variants:Variant")(name, trained)
    if name in ("baseline", "attached"):
        return {"baseline": placebos.Baseline, "attached": placebos.Attached}[name]()
    if kind == CONSTANT and strength is not None:
        return placebos.Constant(strength)
    if kind in RIVALS and strength is not None:
        return part("arms", _WHERE[kind])(strength)
    raise WorkloadError(f"unknown arm {name!r}: choose from {', '.join(ARMS)}, {CONSTANT}@SCALE or RIVAL@NUMBER")


def fits(rival: str, workload: Workload) -> bool:
    """Whether the network and the paradigm can take the rival, as far as the workload says."""
    model, paradigm = MODELS[workload.model.name], PARADIGMS[workload.paradigm.name]
    if rival == "tebn":
        normed = workload.model.batch_norm if model.planned else not (model.flat or model.form == "attention")
        return normed and model.framework == "SpikingJelly" and not paradigm.stepwise
    if rival == "fluctuation":  # nothing that it could scale stands between attention and its neurons
        return model.form != "attention"
    if rival in ("adaptation", "ds-atgo"):
        return not paradigm.neuron
    if rival in ("learnable", "rate-loss"):
        return paradigm.through_outputs
    return True


def _number(text: str) -> float | None:
    """0.5 for "0.5"; None for what is no positive, finite number."""
    try:
        return float(text) if 0 < float(text) < float("inf") else None
    except ValueError:
        return None
