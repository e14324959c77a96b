"""Rival: fluctuation-driven initialisation (Rossbroich, Gygax and Zenke, 2022), here fitted to a batch of data."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ahsar.discovery import Found
from ahsar.lab.arms.placebos import Baseline
from ahsar.lab.arms.spiking import refuse, spiking_layers

_SYNAPSES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.modules.batchnorm._BatchNorm)
_NEVER = 1e9  # a threshold that no membrane reaches
_ROUNDS, _CLOSE, _ENOUGH = 8, 0.01, 0.1


class Fluctuation(Baseline):
    """Layer by layer from the input on: mean 0 and standard deviation θ/ξ of the membrane that would never fire.

    Both are over the batch, the time steps and the neurons, the mean per channel. Changed are the weight and bias of what
    feeds the layer last: a convolution or linear layer or, where there is one behind it, its batch norm, which would undo
    any scale before it. Without a bias only the standard deviation is set.

    Args:
        xi: ξ, how many standard deviations lie between mean and threshold; larger is quieter. The paper's default is 1.
    """

    def __init__(self, xi: float) -> None:
        self.xi = xi

    @torch.no_grad()
    def prepare(self, model: nn.Module, x: Tensor) -> nn.Module:
        """The given model with other weights, fitted to x, a batch of training samples; buffers are as before.

        Raises:
            WorkloadError: a spiking layer has no weights that feed it.
        """
        layers = spiking_layers(model, "fluctuation")
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with torch.random.fork_rng([x.device] if x.is_cuda else []):  # dropout draws
            order = _Watch(model, layers)
            order.run(x)
            for name in order.sources:
                self._fit(order, name, x)
            order.end()
        for name, buffer in model.named_buffers():  # statistics of batch norms
            if name in buffers and buffers[name].shape == buffer.shape:
                buffer.copy_(buffers[name])
        return model

    def _fit(self, watch: "_Watch", name: str, x: Tensor) -> None:
        layer = watch.layers[name]
        source: Any = watch.sources[name]
        assert layer.adapter is not None
        if source is None or source.weight is None:
            refuse("fluctuation", layer, "no weight feeds it")
        target = layer.adapter.threshold(layer.module).value(layer.module).mean().item() / self.xi
        deviation = 0.0
        for _ in range(_ROUNDS):  # one is exact, unless a shortcut feeds the layer too
            current = watch.run(x)[name]
            membrane = _membrane(layer, current)
            shift = torch.zeros(membrane.shape[2], device=x.device)  # the constant current that would centre each channel
            centred = getattr(source.bias, "shape", None) == shift.shape
            if centred:
                step = _membrane(layer, torch.ones_like(current))
                shift = -membrane.mean([dim for dim in range(membrane.dim()) if dim != 2]) / step.mean()
                membrane = membrane + step * shift.view(-1, *[1] * (membrane.dim() - 3))
            deviation = membrane.std().item()
            if not deviation > 0:
                refuse("fluctuation", layer, f"no spike reaches it; use a smaller number than {self.xi:g}")
            if abs(deviation / target - 1) < _CLOSE and float(shift.abs().max()) < _CLOSE * target:
                return
            if centred:
                source.bias.add_(shift)
            for parameter in source.parameters(recurse=False):
                parameter *= target / deviation
        if abs(deviation / target - 1) > _ENOUGH:
            reason = f"its membranes' standard deviation stays at {deviation:.3g}, not {target:.3g}: other inputs feed it"
            refuse("fluctuation", layer, reason)


class _Watch:
    """The spiking layers in the order in which they run, what feeds each, and their input currents."""

    def __init__(self, model: nn.Module, layers: list[Found]) -> None:
        self.model, self.layers = model, {layer.name: layer for layer in layers}
        self.sources: dict[str, Any] = {}
        self.currents: dict[str, list[Tensor]] = {}
        self.last: nn.Module | None = None
        self.handles = [layer.module.register_forward_pre_hook(self._note(layer.name)) for layer in layers]
        self.handles += [m.register_forward_hook(self._passed) for m in model.modules() if isinstance(m, _SYNAPSES)]

    def run(self, x: Tensor) -> dict[str, Tensor]:
        """Input currents [T, N, ...] of every layer."""
        self.currents, self.last = {}, None
        self.model(x)
        sequence = {name: getattr(layer.module, "step_mode", "s") == "m" for name, layer in self.layers.items()}
        return {name: seen[0] if sequence[name] else torch.stack(seen) for name, seen in self.currents.items()}

    def end(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _passed(self, module: nn.Module, args: Any, output: Any) -> None:
        self.last = module

    def _note(self, name: str) -> Any:
        def note(module: nn.Module, args: Any) -> None:
            self.sources.setdefault(name, self.last)
            self.currents.setdefault(name, []).append(args[0])

        return note


def _membrane(layer: Found, current: Tensor) -> Tensor:
    """Membrane potentials [T, N, ...] of the layer's neurons, were they never to fire."""
    neuron: Any = copy.deepcopy(layer.module)
    membranes, state = [], torch.zeros_like(current[0])
    if layer.framework == "SpikingJelly":
        neuron.reset()
        neuron.v_threshold, neuron.step_mode = _NEVER, "s"
    elif layer.framework == "snnTorch":
        neuron.threshold = torch.full_like(neuron.threshold, _NEVER, dtype=current.dtype)
    else:
        refuse("fluctuation", layer, "it knows SpikingJelly and snnTorch only")
    for x in current:
        if layer.framework == "SpikingJelly":
            neuron.forward(x)
            state = neuron.v
        else:
            _, state = neuron.forward(x, state)
        membranes.append(state)
    return torch.stack(membranes)
