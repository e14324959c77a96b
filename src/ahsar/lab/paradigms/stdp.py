"""Unsupervised STDP in every synapse below a spiking layer, and a linear readout trained by its own gradient.

The rule is the pair-based one of SpikingJelly's `STDPLearner`: a spike leaves a trace that decays by the factor 1 - 1/τ in a
time step; a post-spike adds the pre-traces to its weights, a pre-spike takes the post-traces off. It runs away alone, so
neurons compete, as in Diehl and Cook (2015): where several channels spike at once only the most driven one learns. And their
weights are bounded: the sum of a neuron's weights (subtractive normalisation, Miller and MacKay, 1994) and their length stay
as they are. The first layer sees pixels for spikes, an intensity standing for a rate.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from spikingjelly.activation_based.learning import STDPLearner
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.optim import Optimizer

from ahsar.lab.data import Pair
from ahsar.lab.paradigms import Backward, trainable
from ahsar.lab.spec.sections import Paradigm

Synapse = nn.Conv2d | nn.Linear
TAU = 5.0  # time steps, of both traces
RISE, FALL = 0.4, 0.2  # amplitudes of potentiation and of depression
DRIVEN, SAMPLES = 0.7, 256  # the share of time and of so many samples that a neuron's first input is below its threshold


class STDP:
    """Layers learn from spikes, without labels; the readout by cross-entropy. SGD makes a step on `-Δw` the update `lr Δw`.

    Only weights of synapses learn: biases and batch norm's parameters below the readout stay as they are.
    """

    def __init__(self, spec: Paradigm) -> None:
        self.spec = spec

    def prepare(self, model: nn.Module, train: Pair, seed: int) -> nn.Module:
        """The model, with its weights scaled until every channel spikes now and then: a silent one would never learn."""
        rouse(model, train[0][:SAMPLES])
        return model

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """All that require a gradient."""
        return trainable(model)

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """STDP in every synapse, the readout down its cross-entropy, in one optimiser step; returns the latter, detached."""
        optimizer.zero_grad()
        pairs, readout = synapses(model)
        with torch.no_grad(), plasticity(pairs) as learners, inputs(readout) as features:
            model(x)
            for learner in learners:
                post = learner.out_spike_monitor.records[0]
                learner.step(on_grad=True, scale=post.shape[1] / post.numel())  # the mean over samples and places
        spikes = torch.stack(features).to(readout.weight.dtype)  # of another precision under autocast
        loss = cross_entropy(readout(spikes).mean(0), y)
        backward(loss)
        with bounded([synapse for synapse, _ in pairs]):
            optimizer.step()
        return loss.detach()

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        """The logits' mean over time, [N, classes]."""
        return model(x).mean(0)


def synapses(model: nn.Module) -> tuple[list[tuple[Synapse, BaseNode]], Synapse]:
    """Every convolution or linear layer with the spiking layer that it feeds, in order; and the readout, which feeds none."""
    pairs, last = [], None
    for module in model.modules():
        if isinstance(module, Synapse):
            last = module
        elif isinstance(module, BaseNode) and last is not None:
            pairs.append((last, module))
            last = None
    assert last is not None
    return pairs, last


class Winners(nn.Module):
    """At each place and time step, the spike of the channel with the largest input current, and no other."""

    def forward(self, spikes: Tensor, current: Tensor) -> Tensor:
        """Spikes and currents are `[N, C, ...]`, and so is what is left of the spikes."""
        best = current.masked_fill(spikes == 0, -torch.inf).argmax(1)
        return spikes * one_hot(best, spikes.shape[1]).movedim(-1, 1)


@contextmanager
def plasticity(pairs: list[tuple[Synapse, BaseNode]]) -> Iterator[list[STDPLearner]]:
    """A learner for each synapse, which records the spikes before it and the winners behind it while the context lasts."""
    with ExitStack() as stack:
        learners = []
        for synapse, layer in pairs:
            winners = Winners()
            learner = STDPLearner("s", synapse, winners, TAU, TAU, f_pre=_constant(FALL), f_post=_constant(RISE))
            stack.callback(learner.close)
            stack.callback(layer.register_forward_hook(_showing(winners)).remove)
            learners.append(learner)
        yield learners


def _constant(amplitude: float) -> Any:
    return lambda weight: torch.full_like(weight, amplitude)


def _showing(winners: Winners) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...], spikes: Tensor) -> None:
        winners(spikes, args[0])

    return hook


@contextmanager
def inputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """What the module is given while the context lasts, one entry a forward."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def bounded(layers: list[Synapse]) -> Iterator[None]:
    """Keep the sum and the length of each channel's weights through what is done to them in the context."""
    before = [layer.weight.detach().flatten(1).clone() for layer in layers]
    yield
    with torch.no_grad():
        for layer, old in zip(layers, before, strict=True):
            mean = old.mean(1, keepdim=True)
            new = layer.weight.flatten(1)
            new = new - new.mean(1, keepdim=True)
            new *= (old - mean).norm(dim=1, keepdim=True) / new.norm(dim=1, keepdim=True).clamp_min(1e-12)
            layer.weight.copy_((mean + new).view_as(layer.weight))


@torch.no_grad()
def rouse(model: nn.Module, x: Tensor) -> None:
    """Scale each channel, from the first layer up, such that the share `DRIVEN` of its input current is below threshold."""
    for synapse, layer in synapses(model)[0]:
        with inputs(layer) as seen:
            model(x)
        currents = torch.stack(seen).movedim(2, 0).flatten(1)
        places = torch.linspace(0, currents.shape[1] - 1, min(currents.shape[1], 10_000)).long().to(currents.device)
        level = currents[:, places].quantile(DRIVEN, dim=1).clamp_min(1e-3)
        factor = float(layer.v_threshold) / level
        for parameter in synapse.parameters():
            parameter *= factor.view(-1, *[1] * (parameter.dim() - 1))
