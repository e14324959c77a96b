"""The sections of a workload file, one frozen dataclass each; every field has its range or its choices."""

from dataclasses import dataclass

from ahsar.lab.spec.catalogue import DATA, MODELS, PARADIGMS
from ahsar.lab.spec.fields import Section, spec

AUGMENTATIONS = ("crop", "flip", "cutout", "autoaugment", "event-flip", "event-roll")


@dataclass(frozen=True)
class Data(Section):
    """Which data, how much of it, and how it is split. A limit of 0 means all of it."""

    name: str = spec(choices=tuple(DATA))
    val_size: int = spec(low=10)  # samples held out from train: the only ones the slow loop may see
    train_limit: int = spec(0, low=0)
    test_limit: int = spec(0, low=0)  # data without a test split of its own: the size of the one held out
    split_seed: int = spec(0, low=0)
    size: int = spec(0, low=0, high=1024)  # pixels of a side after averaging (events: summing); 0 keeps the side
    time_steps: int = spec(0, low=0, high=1000)  # events only: frames of a window; 0 for images
    window_gap: int = spec(0, low=0, high=100)  # dvs-objects only: windows dropped on both sides of a validation block
    augment: tuple[str, ...] = spec((), choices=AUGMENTATIONS, added=True)  # of training batches, in this order


@dataclass(frozen=True)
class Model(Section):
    """A spiking network with a linear readout. `width` and `depth` shape every network; convolutional ones may name each
    layer with `widths` and `strides` instead."""

    name: str = spec(choices=tuple(MODELS))
    time_steps: int = spec(low=1, high=1000)  # T; event data must bring as many frames
    widths: tuple[int, ...] = spec((), low=1, high=4096)  # channels of each convolution; their number is the depth
    strides: tuple[int, ...] = spec((), low=1, high=2)  # one a convolution; the VGG max-pools after a 2 instead
    width: int = spec(0, low=0, high=4096, added=True)  # channels of the first stage, or neurons of a layer; 0: its own
    depth: int = spec(0, low=0, high=200, added=True)  # convolutions, hidden layers or blocks; 0: the model's own
    hidden: int = spec(0, low=0, high=65536)  # neurons of a spiking linear layer before the readout; 0 for none
    batch_norm: bool = spec(False)
    neuron: str = spec("lif", choices=("lif", "plif", "if"))
    surrogate: str = spec("atan", choices=("atan", "sigmoid", "triangle", "rectangle"))
    tau: float = spec(2.0, low=1.001, high=1e6)  # membrane time constant in time steps
    detach_reset: bool = spec(True)

    @property
    def plan(self) -> tuple[tuple[int, int], ...]:
        """Channels and stride of each convolution. Made from `width` and `depth`, the side is halved by the first and the
        middle one, where channels double."""
        if self.widths:
            return tuple(zip(self.widths, self.strides, strict=True))
        middle = (self.depth + 1) // 2
        return tuple((self.width * (1 + (i >= middle)), 2 if i in (0, middle) else 1) for i in range(self.depth))


@dataclass(frozen=True)
class Paradigm(Section):
    """The training method. The other fields belong to the methods that they name, and are ignored by the rest."""

    name: str = spec("bptt", choices=tuple(PARADIGMS))
    chunk: int = spec(0, low=0, high=1000, added=True)  # tbptt: time steps between two cuts of the graph; 0: half of T
    blend: float = spec(0.05, low=0.0, high=1.0, added=True)  # tet, ottt, sltt: weight of the squared error
    every: int = spec(0, low=0, high=1000, added=True)  # sltt: time steps, drawn for each batch, that learn; 0: all
    ann_steps: int = spec(0, low=0, high=10_000_000, added=True)  # conversion: of the analogue net; 0: the budget's


@dataclass(frozen=True)
class Optimizer(Section):
    """The optimiser and its learning rate."""

    name: str = spec(choices=("adam", "adamw", "sgd"))
    lr: float = spec(low=1e-8, high=10.0)
    weight_decay: float = spec(0.0, low=0.0, high=1.0)
    momentum: float = spec(0.0, low=0.0, high=0.999)  # sgd only
    schedule: str = spec("constant", choices=("constant", "cosine"), added=True)  # cosine: from lr to 0 over the budget


@dataclass(frozen=True)
class Budget(Section):
    """What every trial may spend, in optimiser steps."""

    steps: int = spec(low=1, high=10_000_000)
    batch_size: int = spec(low=1, high=65536)
    eval_every: int = spec(low=1)  # steps between two evaluations


@dataclass(frozen=True)
class Target(Section):
    """The validation metric a trial has to reach, and how much worse on test still counts as no worse."""

    metric: str = spec(choices=("accuracy",))
    value: float = spec(low=0.0, high=1.0)
    higher_is_better: bool = spec(True)
    margin: float = spec(0.01, low=0.0, high=1.0)


@dataclass(frozen=True)
class Seeds(Section):
    """Seeds of a comparison: `first`, `first + 1`, ... Those from 1000 on belong to tuning."""

    count: int = spec(low=1, high=1000)
    first: int = spec(0, low=0, high=999)


@dataclass(frozen=True)
class Constant(Section):
    """Threshold scales of the constant arm."""

    grid: tuple[float, ...] = spec(low=0.01, high=100.0)
