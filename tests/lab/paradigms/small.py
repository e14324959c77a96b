"""Small networks and workloads for the tests of paradigms that differentiate, and their gradients written out by hand."""

from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from ahsar.lab import data, paradigms
from ahsar.lab.models import build, frames
from ahsar.lab.spec.workload import Budget, Constant, Data, Model, Optimizer, Paradigm, Seeds, Target, Workload
from ahsar.lab.trial.run import run_trial

SHAPES = {"snntorch-conv": (2, 6, 6), "spikingjelly-conv": (2, 6, 6), "spikingjelly-vgg": (3, 8, 8)}
CLASSES = 4


def workload(paradigm: str, model: str = "spikingjelly-conv", steps: int = 4, **fields: Any) -> Workload:
    """T = `steps`; fields of the model and of the paradigm's section are told apart by their names."""
    own = {key: fields.pop(key) for key in ("chunk", "blend", "every", "ann_steps") if key in fields}
    shape = {"name": model, "widths": (6, 8), "strides": (1, 2), "time_steps": steps, "hidden": 7}
    return Workload(
        name="small", title="for tests", quick=False,
        data=Data(name="digits", val_size=300, test_limit=300), model=Model(**{**shape, **fields}),
        optimizer=Optimizer(name="sgd" if paradigm == "stdp" else "adam", lr=2e-2),
        budget=Budget(steps=120, batch_size=32, eval_every=120),
        target=Target(metric="accuracy", value=0.9), seeds=Seeds(count=1), constant=Constant(grid=(0.5, 0.7)),
        paradigm=Paradigm(name=paradigm, **own),
    )  # fmt: skip


def _dtype(spec: Workload) -> torch.dtype:
    return torch.float32 if spec.model.name == "snntorch-conv" else torch.float64


def network(spec: Workload) -> Any:
    """The workload's network in which every layer spikes, in float64 (snnTorch's in float32)."""
    torch.manual_seed(1)
    return lively(build(spec, SHAPES[spec.model.name], CLASSES)).to(_dtype(spec))


def lively(model: nn.Module) -> nn.Module:
    """The same network, stimulated: a silent layer would prove little."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(5.0).add_(0.5 if name.endswith("bias") else 0.0)
    return model


def batch(spec: Workload, samples: int = 5) -> tuple[Tensor, Tensor]:
    """Images or, for SpikingJelly's networks, events whose frames differ, so that no two time steps are alike."""
    generator = torch.Generator().manual_seed(2)
    shape = SHAPES[spec.model.name]
    if spec.model.name != "snntorch-conv":
        shape = (spec.model.time_steps, *shape)
    x = 2 * torch.rand(samples, *shape, generator=generator, dtype=_dtype(spec))
    return x, torch.randint(CLASSES, (samples,), generator=generator)


def gradients(paradigm: Any, model: nn.Module, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], float, list[str]]:
    """Gradients, loss, and the order of backward passes ("b") and optimiser steps ("s") of one `learn`; weights stay."""
    calls: list[str] = []
    optimizer = torch.optim.SGD(paradigm.parameters(model), lr=0.0)
    optimizer.register_step_post_hook(lambda *args: calls.append("s"))

    def backward(loss: Tensor) -> None:
        calls.append("b")
        loss.backward()

    loss = paradigm.learn(model, optimizer, x, y, backward)
    assert not loss.requires_grad
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return found, loss.item(), calls


def learned(spec: Workload, model: nn.Module, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], float, list[str]]:
    """`gradients` of the workload's paradigm, prepared with seed 0."""
    paradigm = paradigms.build(spec)
    return gradients(paradigm, paradigm.prepare(model, (x, y), 0), x, y)


def by_hand(
    model: Any, x: Tensor, y: Tensor, cuts: Collection[int], loss: Callable[[Tensor], Tensor]
) -> tuple[dict[str, Tensor], float]:
    """Gradients of `loss(logits [T, N, classes])` through one unrolled graph of a SpikingJelly convolutional network.

    It is written out with LIF equations of its own; membranes are detached before each time step in `cuts`.
    """
    parameters = dict(model.named_parameters())
    layers = [f"block{i}" for i in range(1, model.depth + 1)] + (["head"] if "head.fc.weight" in parameters else [])
    neurons = {layer: model.get_submodule(f"{layer}.lif") for layer in layers}
    membranes: dict[str, Any] = dict.fromkeys(layers, 0.0)
    logits = []
    for t, frame in enumerate(frames(x, model.time_steps)):
        if t in cuts and t > 0:
            membranes = {layer: v.detach() for layer, v in membranes.items()}
        out = frame
        for layer in layers:
            if layer == "head":
                current = linear(out.flatten(1), parameters["head.fc.weight"], parameters["head.fc.bias"])
            else:
                stride = model.get_submodule(f"{layer}.conv").stride
                current = conv2d(out, parameters[f"{layer}.conv.weight"], parameters[f"{layer}.conv.bias"], stride, 1)
            v = membranes[layer] + (current - membranes[layer]) / neurons[layer].tau
            out = neurons[layer].surrogate_function(v - 1.0)
            membranes[layer] = v * (1 - out.detach())
        logits.append(linear(out.flatten(1), parameters["head.readout.weight"], parameters["head.readout.bias"]))
    value = loss(torch.stack(logits))
    found = torch.autograd.grad(value, list(parameters.values()))
    return dict(zip(parameters, found, strict=True)), value.item()


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of two gradients, relative to the largest entry."""
    assert set(one) == set(other)
    largest = max(g.abs().max().item() for g in other.values())
    assert largest > 0
    return max((one[name] - other[name]).abs().max().item() for name in one) / largest


@cache
def accuracy(paradigm: str, **fields: Any) -> float:
    """Test accuracy on digits after 120 steps of Adam at 2e-2, the best of 5e-3, 1e-2 and 2e-2 for each paradigm; T = 4.

    Seeds 0 to 2: BPTT 0.943 to 0.970, TBPTT 0.947 to 0.957, TET 0.947 to 0.977, OTTT 0.950 to 0.970, SLTT 0.943 to 0.963,
    SLTT-2 0.933 to 0.960. Of 300 test samples one is 0.003, so 0.03 is about twice the standard error of a difference.
    """
    spec = workload(paradigm, **{"hidden": 0, "widths": (8, 16), "surrogate": "triangle", **fields})
    return run_trial(spec, data.load(spec), "baseline", 0)["final_test"]
