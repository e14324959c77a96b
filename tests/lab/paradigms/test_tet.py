"""TET's loss in closed form, and how it differs from that of BPTT."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from ahsar.lab.paradigms.tet import tet_loss
from tests.lab.paradigms.small import accuracy, batch, by_hand, distance, learned, network, workload


def random_logits(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(steps)
    logits = 3 * torch.randn(steps, 5, 7, generator=generator, dtype=torch.float64)
    return logits, torch.randint(7, (5,), generator=generator)


@pytest.mark.parametrize("blend", [0.0, 0.05, 1.0])
def test_loss_is_the_closed_form(blend: float) -> None:
    logits, y = random_logits(4)
    total = 0.0
    for step in logits.numpy():
        for sample, label in zip(step, y.tolist(), strict=True):
            likelihood = np.log(np.exp(sample).sum()) - sample[label]
            total += (1 - blend) * likelihood + blend * np.mean((sample - 1.0) ** 2)
    assert tet_loss(logits, y, blend).item() == pytest.approx(total / 20, rel=1e-12)


def test_without_the_regulariser_it_is_the_loss_of_the_mean_at_one_step_only() -> None:
    logits, y = random_logits(1)
    assert tet_loss(logits, y, 0.0).item() == pytest.approx(cross_entropy(logits.mean(0), y).item(), rel=1e-12)
    logits, y = random_logits(4)
    assert tet_loss(logits, y, 0.0) > cross_entropy(logits.mean(0), y) + 0.1  # the loss is convex (Jensen)


@pytest.mark.parametrize("model", ["spikingjelly-conv", "spikingjelly-vgg", "snntorch-conv"])
def test_logits_at_the_regularisers_value_are_not_drawn_anywhere(model: str) -> None:
    spec = workload("tet", model, blend=1.0)
    net, (x, y) = network(spec), batch(spec)
    readout = net.readout if model == "snntorch-conv" else net.head.readout
    with torch.no_grad():
        readout.weight.zero_()
        readout.bias.fill_(1.0)
    got, loss, calls = learned(spec, net, x, y)
    assert loss == 0.0 and calls == ["b", "s"]
    assert all(not gradient.any() for gradient in got.values())


def test_gradient_goes_through_time() -> None:
    spec = workload("tet", blend=0.2)
    net, (x, y) = network(spec), batch(spec)
    wanted, loss = by_hand(net, x, y, [], lambda logits: tet_loss(logits, y, 0.2))
    got, got_loss, _ = learned(spec, net, x, y)
    assert distance(got, wanted) < 1e-9 and got_loss == pytest.approx(loss, rel=1e-12)


@pytest.mark.slow
def test_it_trains() -> None:
    """Within 0.03 of BPTT's accuracy on digits."""
    assert accuracy("tet") > accuracy("bptt") - 0.03
