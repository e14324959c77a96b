"""Networks that end in spiking layers: what their logits are, and that the layer which gives them is left alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar.lab import arms, data, paradigms
from ahsar.lab.arms.spiking import spiking_layers
from ahsar.lab.models import is_answer
from ahsar.lab.report.comparison.heatmaps import layers as heatmaps
from ahsar.lab.spec.workload import load
from ahsar.lab.study.cells import load as load_cells
from ahsar.lab.trial.run import run_trial
from tests.lab import small
from tests.models import MOVING

NETS = ("mlp", "spikingjelly-conv", "snntorch-conv", "snntorch-mlp")
OUTPUTS = ("membrane", "spikes")
SHAPE, T = (1, 8, 8), 3


def network(name: str, output: str, paradigm: str = "bptt", **fields: Any) -> nn.Module:
    fields = {"threshold": 0.05, **fields} if name == "snntorch-mlp" else fields  # that of others is lowered below
    return small.network(small.workload(name, paradigm, depth=2, output=output, **fields), SHAPE)


def currents_and_logits(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """What drives the last neurons, and what the network gives, [T, N, classes] each."""
    seen: list[Tensor] = []
    readout: Any = next(module for name, module in model.named_modules() if name.endswith("readout"))
    with torch.no_grad():
        readout.weight *= 10  # such that the last neurons fire
    handle = readout.register_forward_hook(lambda module, args, out: seen.append(out))
    logits = model(x)
    handle.remove()
    return seen[0] if len(seen) == 1 else torch.stack(seen), logits


def by_hand(name: str, currents: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Membranes before the reset, and spikes, of neurons that take their threshold off a step later or at once."""
    v, membranes, spikes = torch.zeros_like(currents[0]), [], []
    for current in currents:
        v = 0.5 * v + current if name.startswith("snntorch") else v + (current - v) / 2.0
        if name.startswith("snntorch") and spikes:
            v = v - spikes[-1] * threshold  # it decays first
        membranes.append(v)
        spikes.append((v > threshold).float())
        if not name.startswith("snntorch"):
            v = v - spikes[-1] * threshold
    return torch.stack(membranes), torch.stack(spikes)


@pytest.mark.parametrize("paradigm", ["bptt", "tbptt"])
@pytest.mark.parametrize("name", NETS)
def test_membranes_are_those_before_the_reset(name: str, paradigm: str) -> None:
    model = network(name, "membrane", paradigm)
    threshold = 1.0 if name == "snntorch-conv" else 0.05
    currents, logits = currents_and_logits(model, 20 * small.samples(4, *SHAPE))
    membranes, spikes = by_hand(name, currents.detach(), threshold)
    assert logits.shape == (T, 4, 5)
    torch.testing.assert_close(logits.detach(), membranes)
    assert 0 < spikes[:-1].mean() < 1  # resets took part


@pytest.mark.parametrize("paradigm", ["bptt", "tbptt"])
@pytest.mark.parametrize("name", NETS)
def test_the_mean_of_spikes_over_time_is_their_count(name: str, paradigm: str) -> None:
    model = network(name, "spikes", paradigm)
    currents, logits = currents_and_logits(model, 20 * small.samples(4, *SHAPE))
    assert set(logits.unique().tolist()) == {0.0, float(T)}
    if not name.startswith("snntorch"):  # others reset to 0
        return
    _, spikes = by_hand(name, currents.detach(), 1.0 if name == "snntorch-conv" else 0.05)
    torch.testing.assert_close(logits.detach().mean(0), spikes.sum(0))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", NETS)
def test_a_cut_is_one_of_the_last_neurons_too(name: str, output: str) -> None:
    model: Any = network(name, output, "tbptt")
    frame = small.samples(4, *SHAPE)
    state = (lambda: model.membranes[-1]) if name.startswith("snntorch") else (lambda: neurons.v)
    neurons: Any = next(module for key, module in model.named_modules() if key.endswith("answer.lif"))
    model.begin()
    model.step(frame)
    assert state().requires_grad
    model.cut()
    assert not state().requires_grad


@pytest.mark.parametrize("name", NETS)
def test_the_gradient_of_a_membrane_is_its_own(name: str) -> None:
    """At T = 1 no surrogate stands between a membrane and its current, whether or not the neuron fires."""
    model = network(name, "membrane", time_steps=1)
    last: Any = next(module for key, module in model.named_modules() if key.endswith("answer"))
    current = torch.linspace(-1.0, 3.0, 5).view(1, 5).requires_grad_()
    if name.startswith("snntorch"):
        last(current, last.lif.init_leaky())[0].sum().backward()
    else:
        last(current[None]).sum().backward()
    assert current.grad is not None
    assert current.grad.flatten().tolist() == pytest.approx([1.0 if name.startswith("snntorch") else 0.5] * 5)


@pytest.mark.parametrize("paradigm", ["bptt", "tbptt"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", NETS)
def test_the_controller_leaves_the_answer_alone(name: str, output: str, paradigm: str) -> None:
    spec = small.workload(name, paradigm, depth=2, output=output)
    model = small.network(spec, SHAPE)
    method, known = paradigms.build(spec), [layer.name for layer in ahsar.discover(model)]
    optimizer = torch.optim.Adam(method.parameters(model), 1e-3)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    for _ in range(2):
        method.learn(model, optimizer, small.samples(6, *SHAPE), torch.arange(6) % 5, lambda loss: loss.backward())
    answers, hidden = [layer for layer in known if is_answer(layer)], [layer for layer in known if not is_answer(layer)]
    assert (len(answers), len(hidden)) == (1, 2)
    assert list(homeostat.left_alone) == answers and list(homeostat.scales) == hidden
    assert all(scale != 1.0 for scale in homeostat.scales.values())
    assert [layer.name for layer in spiking_layers(model, "rate-loss")] == hidden  # rivals leave it alone too


def test_a_constant_scale_is_of_hidden_layers_only_from_the_start() -> None:
    model = network("mlp", "membrane")
    homeostat = arms.build("constant@0.5").attach(model, torch.optim.SGD(model.parameters(), 0.1))
    assert homeostat is not None and set(homeostat.scales) == {"layers.lif1", "layers.lif2"}


def tiny(name: str, output: str) -> Any:
    spec = load("digits")
    return replace(
        spec,
        model=replace(small.workload(name, output=output, depth=2).model, width=16),
        optimizer=replace(spec.optimizer, lr=1e-2),
        budget=replace(spec.budget, steps=80, eval_every=40),
        data=replace(spec.data, test_limit=200),
    )


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", NETS)
def test_trials_learn_and_their_records_show_the_answer_too(name: str, output: str) -> None:
    spec = tiny(name, output)
    splits = data.load(spec)
    runs = {arm: run_trial(spec, splits, arm, 0) for arm in ("baseline", "attached", "ahsar")}
    assert runs["baseline"]["final_test"] > 0.5
    assert runs["attached"]["digest"] == runs["baseline"]["digest"]
    for arm in ("baseline", "ahsar"):
        last = runs[arm]["curve"][-1]
        (answer,) = (layer for layer in last["rates"] if is_answer(layer))
        assert list(last["scales"]) == list(last["rates"]) and last["scales"][answer] == 1.0
        assert runs[arm]["synops"]["acs"] > 0
    ours = runs["ahsar"]["curve"][-1]["scales"]
    assert sum(scale != 1.0 for scale in ours.values()) == 2
    assert heatmaps({arm: [run] for arm, run in runs.items()}).axes


@pytest.mark.parametrize(("matrix", "cells"), [("development", 4), ("headline", 4)])
def test_the_matrices_have_such_nets_of_both_frameworks(matrix: str, cells: int) -> None:
    models = [cell.workload.model for cell in load_cells(matrix, quick=True).cells]
    answering = [model for model in models if model.output != "linear"]
    assert len(answering) >= cells and {model.output for model in answering} == set(OUTPUTS)
    assert sum(model.name == "snntorch-conv" for model in answering) == len(answering) // 2
