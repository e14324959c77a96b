"""The rate loss: its value by counting, and that it reaches the weights."""

from typing import Any

import pytest
import torch

import ahsar
from ahsar.lab import arms
from ahsar.lab.trial import monitor
from tests.lab.arms import nets


@pytest.mark.parametrize(("name", "stepwise"), nets.KINDS)
def test_penalty_is_that_of_the_counted_rates(name: str, stepwise: bool) -> None:
    x, arm = nets.batch(), arms.build("rate-loss@0.5")
    net = arm.prepare(nets.build(name, stepwise), x)
    assert arm.penalty() is None
    with monitor.watch(net) as activity:
        net(x)
    penalty = arm.penalty()
    assert penalty is not None and len(activity.rates) == 3
    expected = 0.5 * sum((rate - ahsar.Config().set_point) ** 2 for rate in activity.rates.values())
    assert penalty.item() == pytest.approx(expected, rel=1e-5)
    penalty.backward()
    synapses = [p.grad for key, p in net.named_parameters() if p.dim() > 1 and "readout" not in key]
    assert len(synapses) == 3 and all(grad is not None and grad.abs().sum() > 0 for grad in synapses)
    assert arm.penalty() is None  # every forward counts once


def test_descent_draws_the_rates_to_the_set_point() -> None:
    x, arm = nets.batch(), arms.build("rate-loss@1")
    net = arm.prepare(nets.build("spikingjelly-conv", threshold=0.4), x)
    optimizer, penalties = torch.optim.Adam(net.parameters(), 0.01), []
    for _ in range(60):
        net(x)
        penalty = arm.penalty()
        assert penalty is not None
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
        penalties.append(penalty.item())
    assert penalties[-1] < 0.1 * penalties[0]


def test_evaluation_does_not_count() -> None:
    x, arm = nets.batch(), arms.build("rate-loss")
    net = arm.prepare(nets.build("snntorch-conv"), x)
    net.eval()(x)
    with torch.no_grad():
        net.train()(x)
    assert arm.penalty() is None


def test_every_time_step_counts_by_its_share() -> None:
    x, arm = nets.batch(), arms.build("rate-loss@1")
    net: Any = arm.prepare(nets.build("spikingjelly-conv", stepwise=True), x)
    net.begin()
    shares = []
    for _ in range(net.time_steps):
        with monitor.watch(net) as activity:
            net.step(x)
        penalty = arm.penalty()
        assert penalty is not None
        shares.append(penalty.item() / sum((rate - ahsar.Config().set_point) ** 2 for rate in activity.rates.values()))
    assert shares == pytest.approx([1 / net.time_steps] * net.time_steps)
