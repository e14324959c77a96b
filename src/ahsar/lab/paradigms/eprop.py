"""E-prop (Bellec et al., 2020): eligibility traces that run forward in time meet a learning signal at the read-out.

For every synapse from i to j the eligibility vector, the derivative of j's membrane by the weight along j's own past, is
carried from step to step, and with it the eligibility trace e_ji[t] = dz_j[t]/dW_ji; both are those of SpikingJelly's
neurons, reset included. How j's spikes act on others through recurrent weights is left out: that is what BPTT adds. The
loss is BPTT's, on logits meant over time, so the learning signal L_j is one for all steps, and known when the sequence ends:
the gradient is 1/T L_j sum_t e_ji[t], and no graph or history over time is kept.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from ahsar.lab.data import Pair
from ahsar.lab.models import Synapses
from ahsar.lab.paradigms import Backward, local, trainable
from ahsar.lab.spec.sections import Paradigm


class EProp:
    """Feedback to the layer that the readout reads is symmetric, by the readout's own weights; to layers before it, it is
    random and fixed (the paper's random e-prop), drawn from `prepare`'s seed with the variance of the readout's weights.

    The traces take `N x outputs x inputs` numbers a layer, whatever T is.
    """

    def __init__(self, spec: Paradigm) -> None:
        self.spec = spec
        self.feedback: list[Tensor] = []

    def prepare(self, model: nn.Module, train: Pair, seed: int) -> nn.Module:
        """The given model; draws the feedback [classes, neurons] to all layers but the last."""
        generator = torch.Generator().manual_seed(seed)
        layers, readout = _synapses(model)
        bound = readout.in_features**-0.5  # of torch's default initialisation
        for _, linears in layers[:-1]:
            drawn = torch.rand(readout.out_features, linears[0].out_features, generator=generator)
            self.feedback.append((bound * (2 * drawn - 1)).to(readout.weight.device))
        return model

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """All that require a gradient."""
        return trainable(model)

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """One step by e-prop's gradient, the readout's by autograd; returns the cross-entropy, detached."""
        layers, readout = _synapses(model)
        traces = [Trace(neuron, linears) for neuron, linears in layers]
        handles = [linear.register_forward_pre_hook(trace.hear) for trace in traces for linear in trace.linears]
        try:
            with torch.no_grad(), local.forwards({trace.neuron: trace.forward for trace in traces}):
                model(x)
        finally:
            for handle in handles:
                handle.remove()
        optimizer.zero_grad()
        logits = readout(traces[-1].spikes / traces[-1].steps)
        logits.retain_grad()
        loss = cross_entropy(logits, y)
        backward(loss)
        for trace, feedback in zip(traces, [*self.feedback, readout.weight.detach()], strict=True):
            trace.descend(logits.grad @ feedback)
        optimizer.step()
        return loss.detach()

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        """The logits' mean over time, [N, classes]."""
        return model(x).mean(0)


class Trace:
    """The eligibility of one layer's synapses during one sequence.

    Attributes:
        spikes: of the layer `[N, outputs]`, summed over time so far.
        sum: eligibility traces `[N, outputs, inputs]`, likewise; inputs are those of all `linears` and of their biases.
        vector: eligibility vectors `[N, outputs, inputs]` at this time step.
    """

    neuron: Any
    linears: list[nn.Linear]
    membrane: Tensor
    spikes: Tensor
    vector: Tensor
    sum: Tensor
    steps: int

    def __init__(self, neuron: Any, linears: list[nn.Linear]) -> None:
        self.neuron, self.linears = neuron, linears
        self.heard: list[Tensor] = []
        self.steps = 0

    def hear(self, linear: nn.Module, args: tuple[Tensor]) -> None:
        """Before a linear layer's forward: its inputs, and 1 for its bias."""
        self.heard.append(args[0].detach())
        if linear.bias is not None:
            self.heard.append(args[0].new_ones(len(args[0]), 1))

    def forward(self, current: Tensor) -> Tensor:
        """Spikes `[N, outputs]` of a current `[N, outputs]`, in place of the neuron's own forward."""
        inputs, self.heard = torch.cat(self.heard, 1), []
        if self.steps == 0:
            self.membrane, weight = local.resting(self.neuron, current), self.linears[0].weight
            # sums over time are as precise as the weights, whatever the forward's precision
            self.spikes = weight.new_zeros(current.shape)
            self.vector, self.sum = (weight.new_zeros(*current.shape, inputs.shape[1]) for _ in range(2))
        step = local.step(self.neuron, current, self.membrane)
        inputs = inputs.unsqueeze(1)
        self.sum.addcmul_(step.spikes_by_membrane.unsqueeze(2), self.vector)
        self.sum.addcmul_(step.spikes_by_current.unsqueeze(2), inputs)
        self.vector.mul_(step.membrane_by_membrane.unsqueeze(2)).addcmul_(step.membrane_by_current.unsqueeze(2), inputs)
        self.spikes += step.spikes
        self.membrane = step.membrane
        self.steps += 1
        return step.spikes

    def descend(self, signal: Tensor) -> None:
        """Add the gradient under a learning signal `[N, outputs]`, the loss's derivative by the mean rates, to `.grad`."""
        gradient = torch.einsum("no,noi->oi", signal, self.sum) / self.steps
        for linear in self.linears:
            for parameter in (linear.weight, linear.bias):
                if parameter is not None:
                    share, gradient = gradient.split([width := parameter[0].numel(), gradient.shape[1] - width], dim=1)
                    share = share.view_as(parameter)
                    parameter.grad = share if parameter.grad is None else parameter.grad + share


def _synapses(model: nn.Module) -> Synapses:
    network: Any = next(module for module in model.modules() if hasattr(module, "synapses"))  # the model may be wrapped
    return network.synapses()
