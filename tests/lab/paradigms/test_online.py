"""OTTT and SLTT: gradients by hand, by autograd and by SpikingJelly's own loop; the controller sees all their spikes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import ahsar
from ahsar.lab import paradigms
from ahsar.lab.models import build
from ahsar.lab.paradigms.online import step_loss
from tests.lab.paradigms.small import accuracy, batch, by_hand, distance, learned, lively, network, workload
from tests.models import MOVING

METHODS = ["ottt", "sltt"]
NETWORKS = ["spikingjelly-conv", "spikingjelly-vgg"]


def neurons(model: nn.Module) -> dict[str, Any]:
    from spikingjelly.activation_based.neuron import BaseNode

    return {name: module for name, module in model.named_modules() if isinstance(module, BaseNode)}


def test_step_loss_is_the_closed_form() -> None:
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]], dtype=torch.float64)
    y = torch.tensor([1, 0])
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    entropy = -(p[0, 1].log() + p[1, 0].log()) / 2
    square = ((1.0**2 + 1.0**2 + 1.0**2) + (1.0**2 + 0.5**2 + 3.0**2)) / 6
    torch.testing.assert_close(step_loss(logits, y, 0.3), 0.7 * entropy + 0.3 * square)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_forward_is_that_of_every_other_paradigm(method: str, model: str) -> None:
    spec, other = workload(method, model), workload("tbptt", model)
    net, reference, (x, _) = network(spec), network(other), batch(spec)
    name = {"ottt": "OTTTLIFNode", "sltt": "SLTTLIFNode"}[method]
    assert [type(neuron).__name__ for neuron in neurons(net).values()] == [name] * 3
    for training in (True, False):
        net.train(training)
        torch.testing.assert_close(net(x), reference(x))


@pytest.mark.parametrize("every", [0, 2])
def test_sltt_is_autograd_of_a_graph_without_membranes(every: int) -> None:
    spec = workload("sltt", steps=5, every=every, blend=0.1)
    net, (x, y) = network(spec), batch(spec)
    paradigm: Any = paradigms.build(spec)
    paradigm.prepare(net, (x, y), 0)
    steps = paradigm.draw(5)
    assert len(steps) == (every or 5)

    def loss(logits: Tensor) -> Tensor:
        return torch.stack([step_loss(logits[t], y, 0.1) / 5 for t in steps]).sum()

    wanted, _ = by_hand(net, x, y, range(5), loss)
    got, total, calls = learned(spec, net, x, y)
    assert distance(got, wanted) < 1e-9
    assert calls == ["b"] * len(steps) + ["s"]
    assert total == pytest.approx(sum(step_loss(logits, y, 0.1).item() for logits in net(x)) / 5)
    through_time, _ = by_hand(net, x, y, [], loss)
    assert distance(got, through_time) > 1e-3


def test_ottt_is_its_closed_form() -> None:
    """Images of one pixel make every convolution a matrix. Each gradient is the error at t, brought down through layers at
    t alone, times the leaky sum of the spikes into the weight; the first layer has its input in the sum's place."""
    steps, blend, samples = 5, 0.2, 6
    spec = workload("ottt", steps=steps, blend=blend, hidden=0, strides=(1, 1), surrogate="triangle", tau=1.5)
    torch.manual_seed(0)
    net: Any = lively(build(spec, (steps, 3, 1, 1), 4)).double()
    x, y = 2 * torch.rand(samples, steps, 3, 1, 1, dtype=torch.float64), torch.randint(4, (samples,))
    w1, b1 = net.block1.conv.weight[:, :, 1, 1].detach(), net.block1.conv.bias.detach()
    w2, b2 = net.block2.conv.weight[:, :, 1, 1].detach(), net.block2.conv.bias.detach()
    w3, b3 = net.head.readout.weight.detach(), net.head.readout.bias.detach()

    def triangle(u: Tensor) -> Tensor:
        return (1 - (u - 1).abs()).clamp(min=0)

    u1, u2, trace1, trace2 = (torch.zeros(samples, n, dtype=torch.float64) for n in (6, 8, 6, 8))
    d1, d2, d3 = torch.zeros_like(w1), torch.zeros_like(w2), torch.zeros_like(w3)
    for t in range(steps):
        frame = x[:, t].flatten(1)
        u1 = u1 + (frame @ w1.T + b1 - u1) / 1.5
        s1 = (u1 >= 1).double()
        u2 = u2 + (s1 @ w2.T + b2 - u2) / 1.5
        s2 = (u2 >= 1).double()
        trace1, trace2 = (1 - 1 / 1.5) * trace1 + s1, (1 - 1 / 1.5) * trace2 + s2
        logits = s2 @ w3.T + b3
        target = one_hot(y, 4).double()
        error = (1 - blend) * (logits.softmax(1) - target) / samples + blend * 2 * (logits - target) / (samples * 4)
        error = error / steps
        delta2 = (error @ w3) * triangle(u2) / 1.5
        delta1 = (delta2 @ w2) * triangle(u1) / 1.5
        d1, d2, d3 = d1 + delta1.T @ frame, d2 + delta2.T @ trace1, d3 + error.T @ trace2
        u1, u2 = u1 * (1 - s1), u2 * (1 - s2)
    got, _, calls = learned(spec, net, x, y)
    assert calls == ["b"] * steps + ["s"]
    assert all(d.any() for d in (d1, d2, d3))
    torch.testing.assert_close(got["block1.conv.weight"][:, :, 1, 1], d1)
    torch.testing.assert_close(got["block2.conv.weight"][:, :, 1, 1], d2)
    torch.testing.assert_close(got["head.readout.weight"], d3)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_one_time_step_is_bptt(method: str, model: str) -> None:
    spec, other = workload(method, model, steps=1, blend=0.0), workload("bptt", model, steps=1)
    x, y = batch(spec)
    got = learned(spec, network(spec), x, y)[0]
    assert distance(got, learned(other, network(other), x, y)[0]) < 1e-9


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_spikingjellys_loop(method: str, model: str) -> None:
    from spikingjelly.activation_based.learning.online_learning import ottt_online_training

    class Steps(nn.Module):  # its loop takes a network that is called once a time step
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, frame: Tensor) -> Tensor:
            return self.inner.step(frame)

    spec = workload(method, model)
    net, (x, y) = network(spec), batch(spec)
    got, loss, _ = learned(spec, net, x, y)
    net.begin()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    targets = y.unsqueeze(1).expand(-1, 4)
    their_loss, _ = ottt_online_training(Steps(net), optimizer, x, targets, lambda a, b: step_loss(a, b, 0.05) / 4, False)
    assert distance(got, {name: p.grad for name, p in net.named_parameters()}) < 1e-9
    assert loss == pytest.approx(float(their_loss))


def draws(seed: int, batches: int = 6) -> list[set[int]]:
    spec = workload("sltt", steps=8, every=3)
    paradigm: Any = paradigms.build(spec)
    paradigm.prepare(nn.Identity(), batch(spec), seed)
    return [paradigm.draw(8) for _ in range(batches)]


def test_the_seed_alone_decides_which_time_steps_learn() -> None:
    state = torch.get_rng_state()
    first = draws(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert draws(0) == first != draws(1)
    assert all(len(steps) == 3 and steps <= set(range(8)) for steps in first)
    assert set.union(*draws(0, 40)) == set(range(8)) and len({frozenset(steps) for steps in first}) > 1


def test_k_equal_to_t_is_sltt() -> None:
    everything, k = workload("sltt"), workload("sltt", every=4)
    x, y = batch(k)
    got = learned(k, network(k), x, y)[0]
    wanted = learned(everything, network(everything), x, y)[0]
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize(("method", "every"), [("ottt", 0), ("sltt", 0), ("sltt", 2)])
def test_the_controller_finds_every_neuron_and_counts_as_we_do(method: str, every: int, model: str) -> None:
    spec = workload(method, model, **({"every": every} if every else {}))
    net, (x, y) = network(spec).float(), batch(spec)
    x = x.float()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    homeostat = ahsar.attach(net, optimizer, config=MOVING)
    spikes: dict[str, list[Tensor]] = {name: [] for name in neurons(net)}

    def count(name: str, output: Any) -> None:
        spikes[name].append((output[0] if isinstance(output, list) else output).detach())

    for name, neuron in neurons(net).items():
        neuron.register_forward_hook(lambda module, inputs, output, name=name: count(name, output))
    paradigm = paradigms.build(spec)
    before = {name: neuron.v_threshold for name, neuron in neurons(net).items()}
    seen: list[float] = []
    paradigm.prepare(net, (x, y), 0)

    def backward(loss: Tensor) -> None:
        seen.extend(neuron.v_threshold for neuron in neurons(net).values())
        loss.backward()

    paradigm.learn(net, optimizer, x, y, backward)
    assert list(homeostat.rates) == list(spikes) and len(spikes) == 3
    for name, outputs in spikes.items():
        assert len(outputs) == 4  # once a time step
        assert 0 < homeostat.rates[name] == pytest.approx(torch.stack(outputs).mean().item(), rel=1e-5)
    assert set(seen) == set(before.values()) == {1.0}  # thresholds stay within the sequence
    assert any(neuron.v_threshold != 1.0 for neuron in neurons(net).values())


def test_batch_norm_and_sltt_go_together() -> None:
    spec = workload("sltt", batch_norm=True)
    got, _, _ = learned(spec, network(spec), *batch(spec))
    assert got["block1.norm.weight"].any()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "fields"), [("ottt", {}), ("sltt", {}), ("sltt", {"every": 2})])
def test_it_trains(method: str, fields: dict[str, Any]) -> None:
    """Within 0.03 of BPTT's accuracy on digits."""
    assert accuracy(method, **fields) > accuracy("bptt") - 0.03
