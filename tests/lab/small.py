"""Small networks of any paradigm, spiking ones from the start, and the gradients that a paradigm gives them."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ahsar.lab import data, paradigms
from ahsar.lab.models import build
from ahsar.lab.spec.workload import Model, Paradigm, Workload, load
from ahsar.lab.trial.run import run_trial


def workload(name: str, paradigm: str = "bptt", **fields: Any) -> Workload:
    """A workload on digits with this network, of 3 time steps and width 6 unless given otherwise."""
    shape = {} if "widths" in fields else {"width": 6}
    return replace(load("digits"), model=Model(name=name, **{"time_steps": 3, **shape, **fields}), paradigm=Paradigm(paradigm))


def network(spec: Workload, shape: tuple[int, ...], threshold: float = 0.05, seed: int = 0) -> nn.Module:
    """The workload's network for 5 classes, with thresholds low enough that every layer spikes with initial weights."""
    torch.manual_seed(seed)
    model = build(spec, shape, 5)
    for module in model.modules():
        if hasattr(module, "v_threshold"):
            setattr(module, "v_threshold", threshold)  # noqa: B010 - a float that torch's stubs do not know of
    return model


def samples(*shape: int) -> Tensor:
    """Random samples of that shape, always the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(9))


def gradients(name: str, model: nn.Module, x: Tensor, y: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """What one `learn` of the paradigm leaves in every parameter's gradient; the parameters stay."""
    paradigm = paradigms.build(replace(load("digits"), paradigm=Paradigm(name), model=Model("mlp", time_steps=3)))
    model = paradigm.prepare(model, (x, y), seed)
    paradigm.learn(model, torch.optim.SGD(paradigm.parameters(model), 0.0), x, y, lambda loss: loss.backward())
    return {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}


def trained(spec: Workload, arm: str = "baseline", steps: int = 120, lr: float = 5e-3, seed: int = 0) -> dict[str, Any]:
    """The record of a trial on digits, evaluated at its end."""
    budget = replace(spec.budget, steps=steps, eval_every=steps)
    spec = replace(spec, optimizer=replace(spec.optimizer, lr=lr), budget=budget)
    return run_trial(spec, data.load(spec), arm, seed)
