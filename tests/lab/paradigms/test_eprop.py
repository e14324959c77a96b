"""E-prop: autograd's gradient once spikes no longer act through recurrent weights, without a graph over time."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import ahsar
from ahsar.lab import paradigms
from ahsar.lab.models import build
from tests.lab.small import gradients, network, samples, trained, workload

LABELS = torch.tensor([0, 1, 2, 3])


def oracle(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Autograd's gradients with the path from a layer's spikes to its recurrent currents cut."""
    recurrent = [module for name, module in model.named_modules() if name.endswith("recurrent")]
    cut = [module.register_forward_pre_hook(lambda module, args: (args[0].detach(),)) for module in recurrent]
    cross_entropy(model(x).mean(0), LABELS).backward()
    for handle in cut:
        handle.remove()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def unequal(one: dict[str, Tensor], two: dict[str, Tensor]) -> set[str]:
    assert one.keys() == two.keys()
    return {name for name in one if not torch.allclose(one[name], two[name], rtol=1e-4, atol=1e-6)}


@pytest.mark.parametrize("fields", [{}, {"neuron": "if"}, {"detach_reset": False}, {"tau": 8.0, "surrogate": "sigmoid"}])
@pytest.mark.parametrize("shape", [(6, 7), (2, 4, 4)])
def test_equals_autograd_without_the_recurrent_path(fields: dict[str, Any], shape: tuple[int, ...]) -> None:
    spec, x = workload("recurrent", "eprop", time_steps=6, **fields), samples(4, *shape)
    found = gradients("eprop", network(spec, shape), x, LABELS)
    expected = oracle(network(spec, shape), x)
    assert all(g.abs().sum() > 0 for g in expected.values())
    assert unequal(found, expected) == set()


def test_differs_from_bptt_by_the_recurrent_weights_alone() -> None:
    spec, x = workload("recurrent", "eprop", time_steps=6), samples(4, 6, 7)
    eprop, bptt = (gradients(name, network(spec, (6, 7)), x, LABELS) for name in ("eprop", "bptt"))
    assert unequal(eprop, bptt) == {"layer1.input.weight", "layer1.input.bias", "layer1.recurrent.weight"}
    models = [network(spec, (6, 7)) for _ in range(2)]
    for model in models:
        model.get_submodule("layer1.recurrent").weight.data.zero_()  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    eprop, bptt = (gradients(name, model, x, LABELS) for name, model in zip(("eprop", "bptt"), models, strict=True))
    assert unequal(eprop, bptt) == set()


@pytest.mark.parametrize("name", ["mlp", "recurrent"])
def test_layers_before_the_last_get_fixed_random_feedback(name: str) -> None:
    spec, x = workload(name, "eprop", time_steps=6, depth=2, width=16), samples(4, 6, 7)
    found, again, other = (gradients("eprop", network(spec, (6, 7)), x, LABELS, seed) for seed in (3, 3, 4))
    assert unequal(found, again) == set()
    first = {key for key in found if "layer1" in key or "fc1" in key}
    assert unequal(found, other) == first
    assert unequal(found, oracle(network(spec, (6, 7)), x)) == first  # the last layer and the readout are exact


def test_random_feedback_by_hand() -> None:
    """The first layer's gradient is autograd's for its mean rates weighed with the fed-back error."""
    spec, x = workload("mlp", "eprop", time_steps=6, depth=2), samples(4, 6, 7)
    found = gradients("eprop", network(spec, (6, 7)), x, LABELS)
    model, spikes = network(spec, (6, 7)), []
    model.get_submodule("layers.lif1").register_forward_hook(lambda module, inputs, out: spikes.append(out))
    logits = model(x).mean(0)
    error = (logits.softmax(1) - torch.eye(5)[LABELS]).detach() / 4
    bound = 6**-0.5
    feedback = bound * (2 * torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) - 1)
    (torch.stack(spikes).mean(0) * (error @ feedback)).sum().backward()
    torch.testing.assert_close(found["layers.fc1.weight"], model.get_parameter("layers.fc1.weight").grad)


def test_no_graph_and_one_backward() -> None:
    """Nothing of the sequence is in the graph of what is differentiated: the readout's weights and the mean rates alone."""
    spec = workload("recurrent", "eprop", time_steps=6)
    model, losses = network(spec, (6, 7)), []
    paradigm = paradigms.build(spec)
    model = paradigm.prepare(model, (samples(4, 6, 7), LABELS), 0)

    def backward(loss: Tensor) -> None:
        (2 * loss).backward()
        losses.append(loss)

    before = gradients("eprop", network(spec, (6, 7)), samples(4, 6, 7), LABELS)
    result = paradigm.learn(model, torch.optim.SGD(model.parameters(), 0.0), samples(4, 6, 7), LABELS, backward)
    assert len(losses) == 1 and not result.requires_grad
    torch.testing.assert_close(result, cross_entropy(model(samples(4, 6, 7)).mean(0), LABELS))
    nodes, todo = set(), [losses[0].grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            todo += [following for following, _ in node.next_functions]
    assert len(nodes) < 10
    for name, parameter in model.named_parameters():  # whatever scales the loss scales every gradient
        torch.testing.assert_close(parameter.grad, 2 * before[name])


def test_ahsar_counts_each_spike_once() -> None:
    spec = workload("recurrent", "eprop", time_steps=6, depth=2)
    model, seen = network(spec, (6, 7)), []
    model.get_submodule("layer2.lif").register_forward_hook(lambda module, inputs, out: seen.append(out))
    homeostat = ahsar.attach(model)
    gradients("eprop", model, samples(4, 6, 7), LABELS)
    homeostat.step()
    assert len(seen) == 6
    assert list(homeostat.rates) == ["layer1.lif", "layer2.lif"]
    assert homeostat.rates["layer2.lif"] == pytest.approx(torch.stack(seen).mean().item())
    assert not any("forward" in vars(module) for module in model.modules())


def order_of_pulses(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two groups of channels fire, one after the other with a gap: which came first is the label. `[N, 12, 20]`."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (count,), generator=generator)
    x = 0.1 * torch.rand(count, 12, 20, generator=generator)
    for i, label in enumerate(y.tolist()):
        start = int(torch.randint(3, (1,), generator=generator))
        for place, group in ((start, label), (start + 5, 1 - label)):
            x[i, place : place + 3, 10 * group : 10 * group + 10] += (torch.rand(3, 10, generator=generator) < 0.5).float()
    return x, y


def learned(name: str) -> float:
    spec = workload("recurrent", name, time_steps=12, width=48, tau=8.0)
    torch.manual_seed(0)
    (x, y), (test_x, test_y) = order_of_pulses(512, 0), order_of_pulses(256, 1)
    paradigm = paradigms.build(spec)
    model = paradigm.prepare(build(spec, (12, 20), 2), (x, y), 0)
    optimizer = torch.optim.Adam(paradigm.parameters(model), 5e-3)
    for step in range(200):
        part = slice(64 * (step % 8), 64 * (step % 8) + 64)
        paradigm.learn(model, optimizer, x[part], y[part], lambda loss: loss.backward())
    return (paradigm.scores(model.eval(), test_x).argmax(1) == test_y).float().mean().item()


@pytest.mark.slow
def test_learns_the_order_of_two_pulses_as_well_as_bptt() -> None:
    """Seeds 0 to 2: e-prop 0.996, BPTT 1.000; with the readout alone trained, 0.527."""
    eprop, bptt = learned("eprop"), learned("bptt")
    assert eprop > bptt - 0.05
    assert eprop > 0.9


def test_a_trial_runs_and_the_attached_placebo_changes_nothing() -> None:
    spec = workload("mlp", "eprop")
    baseline, attached, ahsar = (trained(spec, arm, steps=20) for arm in ("baseline", "attached", "ahsar"))
    assert baseline["digest"] == attached["digest"] != ahsar["digest"]
    assert ahsar["curve"][-1]["scales"].keys() == baseline["curve"][-1]["rates"].keys() == {"layers.lif1", "layers.lif2"}


@pytest.mark.slow
def test_learns_digits_with_random_feedback_nearly_as_well_as_bptt() -> None:
    """Adam at 1e-2, seeds 0 to 2: e-prop 0.915 to 0.933, BPTT 0.910 to 0.958."""
    specs = [workload("mlp", paradigm, time_steps=4, width=64) for paradigm in ("eprop", "bptt")]
    eprop, bptt = (trained(spec, lr=1e-2)["final_test"] for spec in specs)
    assert eprop > bptt - 0.05
    assert eprop > 0.88
