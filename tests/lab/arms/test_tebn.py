"""TEBN: it is SpikingJelly's layer, starts as the batch norm, and refuses what has none."""

from typing import Any

import pytest
import torch
from torch import nn

from ahsar.errors import WorkloadError
from ahsar.lab import arms
from tests.lab.arms import nets


@pytest.mark.parametrize("name", ["spikingjelly-conv", "spikingjelly-vgg"])
def test_starts_as_batch_norm_and_learns(name: str) -> None:
    from spikingjelly.activation_based.layer import TemporalEffectiveBatchNorm2d

    x, arm = nets.batch(), arms.build("tebn@5")
    baseline, net = (nets.build(name, batch_norm=True) for _ in range(2))
    net = arm.prepare(net, x)
    torch.testing.assert_close(net(x), baseline(x), rtol=0, atol=1e-6)
    norms = [module for module in net.modules() if isinstance(module, TemporalEffectiveBatchNorm2d)]
    assert len(norms) == 3 and not any(type(module).__name__ == "BatchNorm2d" for module in net.modules())
    net(x).square().sum().backward()
    assert all(norm.scale.grad is not None and norm.scale.grad.abs().sum() > 0 for norm in norms)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    arm.attach(net, optimizer)
    assert [len(group["params"]) for group in optimizer.param_groups][1] == 3
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.5)


def test_every_time_step_has_its_scale() -> None:
    x = nets.batch()
    net = arms.build("tebn").prepare(nets.build("spikingjelly-conv", batch_norm=True), x)
    baseline = nets.build("spikingjelly-conv", batch_norm=True)
    scale = torch.tensor([0.5, 1.0, 1.5, 2.0])
    norm: Any = net.get_submodule("block1.norm")
    plain: Any = baseline.get_submodule("block1.norm")
    with torch.no_grad():
        norm.scale.copy_(scale)
    current = torch.randn(1, 6, 4, 4, 4)  # an image's, which all time steps share
    expected = torch.stack([factor * plain(current)[0] for factor in scale])
    torch.testing.assert_close(norm(current), expected)
    assert net(x).shape == baseline(x).shape


def test_refuses_other_networks() -> None:
    x = nets.batch()
    with pytest.raises(WorkloadError, match=r"no batch norm; set model\.batch_norm"):
        arms.build("tebn").prepare(nets.build("spikingjelly-conv"), x)
    for net in (nets.build("snntorch-conv", batch_norm=True), nets.build("spikingjelly-conv", True, batch_norm=True)):
        before = [type(module) for module in net.modules()]
        with pytest.raises(WorkloadError, match=r"'tebn' cannot replace .*BatchNorm2d.*multi-step"):
            arms.build("tebn").prepare(net, x)
        assert [type(module) for module in net.modules()] == before
    assert isinstance(net, nn.Module)
