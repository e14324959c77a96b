"""STDP: weights move by the pair-based rule alone, the readout by its own gradient, and nothing leaks between the two."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar.errors import WorkloadError
from ahsar.lab import data, models, paradigms
from ahsar.lab.paradigms import stdp
from ahsar.lab.spec.workload import Model, Optimizer, Paradigm, Workload, load
from tests.models import MOVING


def workload(**model: Any) -> Workload:
    fields: dict[str, Any] = {"name": "spikingjelly-conv", "widths": (4, 6), "strides": (2, 2), "hidden": 12, "time_steps": 5}
    spec = Model(**{**fields, **model})
    return replace(load("digits", quick=True), model=spec, paradigm=Paradigm(name="stdp"), optimizer=Optimizer("sgd", 0.1))


def prepared(spec: Workload, pair: tuple[Tensor, Tensor]) -> tuple[Any, nn.Module]:
    torch.manual_seed(0)
    paradigm = paradigms.build(spec)
    return paradigm, paradigm.prepare(models.build(spec, (1, 8, 8), 10), pair, 0)


def samples(n: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 1, 8, 8, generator=generator), torch.randint(10, (n,), generator=generator)


class Script(nn.Module):
    """A layer that spikes as it is told, whatever comes in, after a synapse that is given spikes as told."""

    def __init__(self, pre: Tensor, post: Tensor) -> None:
        super().__init__()
        from spikingjelly.activation_based.neuron import IFNode

        class Told(IFNode):
            def single_step_forward(self, x: Tensor) -> Tensor:
                return next(told).expand_as(x)

        told = iter(post)
        self.pre, self.synapse, self.layer = pre, nn.Linear(pre.shape[-1], post.shape[-1], bias=False), Told()

    def forward(self) -> None:
        for spikes in self.pre:
            self.layer(self.synapse(spikes))


def change(pre: Tensor, post: Tensor) -> Tensor:
    """Weight change [post, pre] by the paradigm's learner for spikes [T, N, ...]."""
    script = Script(pre, post)
    with torch.no_grad(), stdp.plasticity([(script.synapse, script.layer)]) as [learner]:
        script()
        learner.step(on_grad=True)
    assert script.synapse.weight.grad is not None
    return -script.synapse.weight.grad


@pytest.mark.parametrize("delay", [-4, -1, 0, 1, 3])
def test_one_pair_of_spikes(delay: int) -> None:
    """Closed form: A+ (1 - 1/τ)^Δ for a pre-spike Δ steps before the post-spike, -A- (1 - 1/τ)^Δ behind it, both at once."""
    pre, post = torch.zeros(8, 1, 1), torch.zeros(8, 1, 1)
    pre[max(0, -delay)], post[max(0, delay)] = 1, 1
    decay = (1 - 1 / stdp.TAU) ** abs(delay)
    expected = (stdp.RISE * decay if delay >= 0 else 0) - (stdp.FALL * decay if delay <= 0 else 0)
    torch.testing.assert_close(change(pre, post), torch.tensor([[expected]]))


def test_many_pairs_add_up() -> None:
    """All pairs of a train, by a double sum over times, for every synapse and sample."""
    generator = torch.Generator().manual_seed(1)
    pre = (torch.rand(9, 3, 4, generator=generator) < 0.4).float()
    post = nn.functional.one_hot(torch.randint(5, (9, 3), generator=generator), 5).float()  # one winner at a time
    expected = torch.zeros(5, 4)
    for s in range(9):
        for t in range(9):
            both = torch.einsum("nj,ni->ji", post[t], pre[s]) * (1 - 1 / stdp.TAU) ** abs(t - s)
            expected += both * ((stdp.RISE if s <= t else 0) - (stdp.FALL if s >= t else 0))
    torch.testing.assert_close(change(pre, post), expected)


def test_only_the_most_driven_spike_learns() -> None:
    spikes = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    current = torch.tensor([[2.0, 3.0, 9.0], [9.0, 1.0, 1.0], [5.0, 1.0, 2.0]])
    won = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert torch.equal(stdp.Winners()(spikes, current), won)
    places = stdp.Winners()(spikes.view(3, 3, 1, 1).expand(3, 3, 2, 2), current.view(3, 3, 1, 1).expand(3, 3, 2, 2))
    assert torch.equal(places, won.view(3, 3, 1, 1).expand(3, 3, 2, 2))


def test_sums_and_lengths_of_weights_are_kept() -> None:
    pair = samples()
    paradigm, model = prepared(workload(), pair)
    layers = [synapse for synapse, _ in stdp.synapses(model)[0]]
    before = [layer.weight.detach().flatten(1).clone() for layer in layers]
    optimizer = torch.optim.SGD(paradigm.parameters(model), 1.0)
    for _ in range(5):
        paradigm.learn(model, optimizer, *pair, Tensor.backward)
    for layer, old in zip(layers, before, strict=True):
        new = layer.weight.detach().flatten(1)
        assert not torch.allclose(new, old, atol=1e-3)
        torch.testing.assert_close(new.sum(1), old.sum(1), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(new.norm(dim=1), old.norm(dim=1))


def test_the_readout_has_its_gradient_and_the_synapses_none_of_the_loss() -> None:
    x, y = samples()
    paradigm, model = prepared(workload(), (x, y))
    optimizer = torch.optim.SGD(paradigm.parameters(model), 0.0)
    loss = paradigm.learn(model, optimizer, x, y, Tensor.backward)
    readout: Any
    pairs, readout = stdp.synapses(model)
    gradients: Any = [synapse.weight.grad for synapse, _ in pairs]
    assert all(g.any() for g in gradients)
    # oracle: autograd through the network's own forward; and other labels leave the synapses' changes as they are
    expected = nn.functional.cross_entropy(model(x).mean(0), y)
    assert loss.item() == pytest.approx(expected.item())
    [weight, bias] = torch.autograd.grad(expected, list(readout.parameters()))
    torch.testing.assert_close(readout.weight.grad, weight)
    torch.testing.assert_close(readout.bias.grad, bias)
    paradigm.learn(model, optimizer, x, (y + 1) % 10, lambda loss: (100 * loss).backward())
    torch.testing.assert_close([synapse.weight.grad for synapse, _ in pairs], gradients, atol=0, rtol=0)


def test_a_silent_network_is_roused() -> None:
    pair = samples()
    torch.manual_seed(0)
    model = models.build(workload(), (1, 8, 8), 10)
    before = [spikes.mean().item() for spikes in counted(model, lambda: model(pair[0]))]
    state = torch.get_rng_state()
    paradigms.build(workload()).prepare(model, pair, 0)
    assert torch.equal(torch.get_rng_state(), state)
    after = [spikes.mean().item() for spikes in counted(model, lambda: model(pair[0]))]
    assert len(after) == 3 and before[-1] == 0.0
    assert all(0.02 < rate < 0.4 for rate in after)


def test_one_optimiser_step_and_rates_agree_with_counting() -> None:
    x, y = samples()
    paradigm, model = prepared(workload(), (x, y))
    optimizer = torch.optim.SGD(paradigm.parameters(model), 0.1)
    taken: list[int] = []
    optimizer.register_step_post_hook(lambda *args: taken.append(1))
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    spikes = counted(model, lambda: paradigm.learn(model, optimizer, x, y, Tensor.backward))
    assert taken == [1]
    assert list(homeostat.rates.values()) == pytest.approx([s.mean().item() for s in spikes])
    assert any(scale != 1 for scale in homeostat.scales.values())


def test_no_hook_outlives_a_batch() -> None:
    x, y = samples()
    paradigm, model = prepared(workload(), (x, y))
    paradigm.learn(model, torch.optim.SGD(paradigm.parameters(model), 0.1), x, y, Tensor.backward)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_impossible_combinations_name_both_sides() -> None:
    with pytest.raises(WorkloadError, match=r"paradigm.name = 'stdp'.*model.name = 'spikformer'"):
        workload(name="spikformer", widths=(), strides=())
    with pytest.raises(WorkloadError, match=r"paradigm.name = 'stdp'.*optimizer.name = 'adam'"):
        replace(workload(), optimizer=Optimizer("adam", 0.1))


def counted(model: nn.Module, run: Any) -> list[Tensor]:
    """Spikes [T, N, ...] of each spiking layer while `run` runs."""
    from spikingjelly.activation_based.neuron import BaseNode

    layers = [module for module in model.modules() if isinstance(module, BaseNode)]
    spikes: dict[nn.Module, list[Tensor]] = {layer: [] for layer in layers}
    handles = [layer.register_forward_hook(lambda module, args, out: spikes[module].append(out.detach())) for layer in layers]
    run()
    for handle in handles:
        handle.remove()
    return [torch.stack(spikes[layer]) for layer in layers]


def test_a_neuron_comes_to_stand_for_a_pattern() -> None:
    """Of two neurons that see two patterns in noise, at least one takes up one of them."""
    from spikingjelly.activation_based import functional, neuron

    generator = torch.Generator().manual_seed(0)
    patterns = torch.eye(2).repeat_interleave(8, 1)

    class Net(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            functional.reset_net(self)
            return torch.stack([super(Net, self).forward(input) for _ in range(6)])

    torch.manual_seed(0)
    net: Any = Net(nn.Linear(16, 2, bias=False), neuron.LIFNode(), nn.Linear(2, 2))
    y = torch.randint(2, (64,), generator=generator)
    x = patterns[y] + 0.3 * torch.rand(64, 16, generator=generator)
    paradigm = stdp.STDP(Paradigm(name="stdp"))
    paradigm.prepare(net, (x, y), 0)

    def likeness() -> float:
        """The largest correlation of a neuron's weights with a pattern."""
        return torch.corrcoef(torch.cat([net[0].weight.detach(), patterns]))[:2, 2:].max().item()

    before = likeness()
    optimizer = torch.optim.SGD(paradigm.parameters(net), 0.1)
    for _ in range(50):
        paradigm.learn(net, optimizer, x, y, Tensor.backward)
    assert before < 0.6 and likeness() > 0.95


@pytest.mark.slow
def test_accuracy_on_digits() -> None:
    """A layer of eight channels, trained by STDP, serves a linear readout as well as random filters do, and no better.

    Measured on 500 held-out samples: STDP 0.866, the same random filters 0.888; after 200 batches 0.890 and 0.906.
    """
    spec = workload(widths=(8,), strides=(2,), hidden=0, time_steps=6)
    splits = data.load(spec)
    (seen, labels), (x, y) = splits.train, splits.val
    batches = torch.randint(len(labels), (80, 32), generator=torch.Generator().manual_seed(0))
    reached = []
    for amplitude in (1, 0):
        paradigm, model = prepared(spec, splits.train)
        pairs, readout = stdp.synapses(model)
        start = pairs[0][0].weight.detach().clone()
        groups = [{"params": list(readout.parameters())}, {"params": [pairs[0][0].weight], "lr": 0.5 * amplitude}]
        optimizer = torch.optim.SGD(groups, 0.5)
        for batch in batches:
            paradigm.learn(model, optimizer, seen[batch], labels[batch], Tensor.backward)
        assert torch.allclose(pairs[0][0].weight, start, atol=1e-4) == (amplitude == 0)
        with torch.no_grad():
            reached.append((paradigm.scores(model.eval(), x).argmax(1) == y).float().mean().item())
    assert reached[0] > 0.83 and abs(reached[0] - reached[1]) < 0.06
