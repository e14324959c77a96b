"""DECOLLE: each layer's gradient is that of its own local loss, and of no other."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import ahsar
from ahsar.lab.paradigms.decolle import Decolle
from ahsar.lab.spec.sections import Paradigm
from tests.lab.small import gradients, network, samples, trained, workload

LABELS = torch.tensor([0, 1, 2, 3])
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"depth": 3},
    "spikingjelly-conv": {"widths": (4, 6), "strides": (2, 1), "hidden": 8, "batch_norm": True},
}
X = samples(4, 3, 1, 8, 8)


def made(name: str) -> nn.Module:
    return network(workload(name, "decolle", **NETWORKS[name]), (3, 1, 8, 8), 0.1)


def prefix(name: str, layer: str) -> str:
    """What the parameters of a spiking layer's own synapses begin with."""
    return layer.replace("lif", "fc") if name == "mlp" or layer == "head.lif" else layer.removesuffix(".lif")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_gradient_is_that_of_the_local_loss_under_given_inputs(name: str) -> None:
    """By hand: record the frames that enter each layer, then train each layer alone, its inputs constants."""
    model, paradigm = made(name), Decolle(Paradigm())
    paradigm.prepare(model, (X, LABELS), 0)
    found = gradients("decolle", made(name), X, LABELS)
    layers = [key for key, module in model.named_modules() if hasattr(module, "v_threshold")]
    assert len(layers) == len(paradigm.readouts) == 3
    checked = 0
    for layer, readout in zip(layers, paradigm.readouts, strict=True):
        alone, spikes = made(name), []
        alone.get_submodule(layer).register_forward_hook(lambda module, inputs, out, kept=spikes: kept.append(out))
        for other in layers[: layers.index(layer)]:
            alone.get_submodule(other).register_forward_hook(lambda module, inputs, out: out.detach())
        alone(X)
        assert len(spikes) == 3
        torch.stack([cross_entropy(s.flatten(1) @ readout, LABELS) for s in spikes]).mean().backward()
        expected = {key: p.grad for key, p in alone.named_parameters() if p.grad is not None}
        assert expected and all(key.startswith(prefix(name, layer)) for key in expected)
        for key, gradient in expected.items():
            assert gradient.abs().sum() > 0
            torch.testing.assert_close(found[key], gradient)
        checked += len(expected)
    assert checked == len(found) - 2  # all but the readout's weight and bias


@pytest.mark.parametrize("name", NETWORKS)
def test_a_later_layer_does_not_reach_an_earlier_one(name: str) -> None:
    model = made(name)
    last = [key for key, module in model.named_modules() if hasattr(module, "v_threshold")][-1]
    changed = (prefix(name, last), "layers.readout", "head.readout")
    for key, parameter in model.named_parameters():
        if key.startswith(changed):
            parameter.data.mul_(1.5)
    before, after = gradients("decolle", made(name), X, LABELS), gradients("decolle", model, X, LABELS)
    assert all(torch.equal(before[key], after[key]) != key.startswith(changed) for key in before)


def test_readouts_follow_the_seed_and_stay() -> None:
    drawn = []
    for seed in (0, 0, 1):
        model, paradigm = made("mlp"), Decolle(Paradigm())
        paradigm.prepare(model, (X, LABELS), seed)
        assert model.training
        drawn.append([readout.clone() for readout in paradigm.readouts])
        optimizer = torch.optim.SGD(paradigm.parameters(model), 0.1)
        weights = {key: p.detach().clone() for key, p in model.named_parameters()}
        paradigm.learn(model, optimizer, X, LABELS, lambda loss: loss.backward())
        assert all(torch.equal(a, b) for a, b in zip(drawn[-1], paradigm.readouts, strict=True))
        assert not any(torch.equal(weights[key], p) for key, p in model.named_parameters())
    assert [r.shape for r in drawn[0]] == [(6, 5)] * 3
    assert torch.equal(drawn[0][0], drawn[1][0]) and not torch.equal(drawn[0][0], drawn[2][0])


def test_preparing_leaves_batch_statistics_alone() -> None:
    model = made("spikingjelly-conv")
    before = {key: value.clone() for key, value in model.named_buffers()}
    Decolle(Paradigm()).prepare(model, (X, LABELS), 0)
    torch.testing.assert_close(dict(model.named_buffers()), before)


def test_ahsar_counts_each_spike_once() -> None:
    model, seen = made("mlp"), []
    model.get_submodule("layers.lif2").register_forward_hook(lambda module, inputs, out: seen.append(out))
    homeostat = ahsar.attach(model)
    gradients("decolle", model, X, LABELS)
    seen = seen[-3:]  # those before were of `prepare`, in eval mode
    homeostat.step()
    assert len(seen) == 3 and len(homeostat.rates) == 3
    assert homeostat.rates["layers.lif2"] == pytest.approx(torch.stack(seen).mean().item())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trial_runs_and_the_attached_placebo_changes_nothing(name: str) -> None:
    spec = workload(name, "decolle", **NETWORKS[name])
    baseline, attached, ahsar = (trained(spec, arm, steps=20) for arm in ("baseline", "attached", "ahsar"))
    assert baseline["digest"] == attached["digest"] != ahsar["digest"]
    assert ahsar["curve"][-1]["scales"].keys() == baseline["curve"][-1]["rates"].keys()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "margin"), [("mlp", 0.05), ("spikingjelly-conv", 0.08)])
def test_learns_digits_nearly_as_well_as_bptt(name: str, margin: float) -> None:
    """Adam at 1e-2, seeds 0 to 2: MLP 0.913 to 0.928, BPTT 0.910 to 0.958; convolutions 0.913 to 0.918, BPTT 0.955 to 0.958."""
    fields = {"widths": (8, 16), "strides": (1, 2), "batch_norm": True} if name != "mlp" else {"width": 64}
    specs = [workload(name, paradigm, time_steps=4, **fields) for paradigm in ("decolle", "bptt")]
    decolle, bptt = (trained(spec, lr=1e-2)["final_test"] for spec in specs)
    assert decolle > bptt - margin
    assert decolle > 0.88
