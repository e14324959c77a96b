"""Conversion of a trained analogue network into a spiking one, and fine-tuning of that by surrogate gradients.

The analogue twin has a ReLU where the spiking network has a neuron. Once it is trained, SpikingJelly's rate coding gives every
ReLU an IF neuron with soft reset, whose rate over T steps is the activation divided by the layer's largest one, to 1/T
(Rueckauer et al., 2017). Both scalers that SpikingJelly puts around a neuron are then moved into the weights beside it, so
that spikes are 0 or 1 again, and its threshold, 1, is the only one there is.
"""

import copy
from collections import OrderedDict
from typing import Any

import torch
from spikingjelly.activation_based import base, functional, layer, neuron
from spikingjelly.activation_based.ann2snn import FXConverter, RateCodingRecipe
from spikingjelly.activation_based.ann2snn.modules import VoltageScaler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from ahsar.errors import WorkloadError
from ahsar.lab.data import Pair
from ahsar.lab.models import frames
from ahsar.lab.models.spikingjelly_conv import Show
from ahsar.lab.models.steps import as_sequence
from ahsar.lab.paradigms import Backward, descend, trainable
from ahsar.lab.spec.sections import Paradigm

BATCH, RATE, SAMPLES = 64, 1e-3, 512  # of the analogue net: batch size, Adam's learning rate, samples to take the scales from


class Conversion:
    """Rate-coding conversion (Rueckauer et al., 2017; SpikingJelly's `RateCodingRecipe`), then BPTT.

    The steps of the analogue net are outside the budget, which counts fine-tuning; they are the same in all arms.
    """

    def __init__(self, spec: Paradigm) -> None:
        self.spec = spec

    def prepare(self, model: nn.Module, train: Pair, seed: int) -> nn.Module:
        """A spiking network converted from the trained analogue twin of `model`, a plain stack of SpikingJelly layers.

        Raises:
            WorkloadError: a layer of the trained twin is silent, so that it has no scale.
        """
        twin = analogue(model)
        fit(twin, train, self.spec.ann_steps, seed)
        return convert(twin, model, train[0])

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """All that require a gradient."""
        return trainable(model)

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """One step of fine-tuning down the cross-entropy of `scores`; returns it, detached."""
        return descend(optimizer, cross_entropy(self.scores(model, x), y), backward)

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        """The logits' mean over time, [N, classes]."""
        return model(x).mean(0)


class Converted(nn.Module):
    """A converted stack with the interface of the lab's networks: logits `[T, N, classes]` of images `[N, C, H, W]`."""

    stack: nn.Module
    time_steps: int
    shows: bool

    def __init__(self, stack: nn.Module, time_steps: int, shows: bool) -> None:
        super().__init__()
        self.stack, self.time_steps, self.shows = stack, time_steps, shows

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of images `[N, C, H, W]` or of frames `[N, T, C, H, W]`, from resting neurons."""
        functional.reset_net(self.stack)
        return self.stack(as_sequence(x) if self.shows else frames(x, self.time_steps))


def analogue(module: nn.Module) -> nn.Module:
    """A copy of a plain stack for single time steps, under the same names and with the same weights: neurons are ReLUs,
    SpikingJelly's layers PyTorch's, containers run their children in order."""
    if isinstance(module, neuron.BaseNode):
        return nn.ReLU()
    if isinstance(module, Show):
        return nn.Identity()
    if isinstance(module, layer.Dropout):
        return nn.Dropout(module.p)
    if not list(module.children()):
        plain = copy.deepcopy(module)
        if isinstance(module, base.StepModule):
            # SpikingJelly's layers are PyTorch's with a step mode added, and tracing must see PyTorch's
            plain.__class__ = next(kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn.modules."))
        return plain
    return nn.Sequential(OrderedDict((name, analogue(child)) for name, child in module.named_children()))


def fit(net: nn.Module, train: Pair, steps: int, seed: int) -> None:
    """Train an analogue network by Adam on the cross-entropy; torch's global generator is left as it was."""
    x, y = train
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    net.train()
    with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)  # of dropout
        for _ in range(steps):
            index = torch.randint(len(y), (min(BATCH, len(y)),), generator=generator).to(y.device)
            descend(optimizer, cross_entropy(net(x[index]), y[index]), Tensor.backward)


def convert(twin: nn.Module, model: nn.Module, x: Tensor, time_steps: int = 0) -> Converted:
    """The twin as a spiking network, with the surrogate gradient of `model`'s neurons.

    Args:
        x: samples `[N, C, H, W]`; the largest activations of the first of them are the scales.
        time_steps: T; 0 for that of `model`.
    """
    node = next(module for module in model.modules() if isinstance(module, neuron.BaseNode))
    with torch.no_grad():
        time_steps = time_steps or len(model.eval()(x[:1]))
    model.train()

    def integrate_and_fire(scale: float) -> nn.Module:
        surrogate = copy.deepcopy(node.surrogate_function)
        return neuron.IFNode(v_reset=None, surrogate_function=surrogate, detach_reset=node.detach_reset)

    try:
        stack = FXConverter(_Quiet([x[:SAMPLES]], neuron_factory=integrate_and_fire)).convert(twin)
    except ValueError as error:
        raise WorkloadError(f"paradigm.name = 'conversion': {error} Raise paradigm.ann_steps, or use fewer layers") from None
    assert isinstance(stack, torch.fx.GraphModule)
    absorb(stack)
    shows = [name for name, module in model.named_modules() if isinstance(module, Show)]
    for name in shows:
        stack.set_submodule(name, Show(time_steps))
    functional.set_step_mode(stack, "m")
    return Converted(stack.train(), time_steps, bool(shows))


class _Quiet(RateCodingRecipe):
    """Without the progress bar."""

    def calibrate(self, converter: FXConverter, fx_model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        for x in self.dataloader:
            fx_model(x)
        return fx_model


@torch.no_grad()
def absorb(stack: torch.fx.GraphModule) -> None:
    """Move every scaler into weights: that before a neuron into the layer before it, that behind one into the next layer.

    Pooling and flattening between them commute with a positive scale.
    """
    behind: Any = 1.0
    last: nn.Module = stack
    nodes: list[Any] = list(stack.graph.nodes)
    for node in nodes:
        module: Any = stack.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(module, VoltageScaler):
            scale: Any = module.scale
            if node.target.endswith("scaler0"):
                for parameter in last.parameters():
                    parameter *= scale
            else:
                behind = scale
            node.replace_all_uses_with(node.args[0])
            stack.graph.erase_node(node)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight *= behind
            behind, last = 1.0, module
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            last = module
    stack.delete_all_unused_submodules()
    stack.recompile()
