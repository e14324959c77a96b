"""Truncated BPTT: one chunk is BPTT, more are BPTT on a graph that is cut, and always one optimiser step."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ahsar.lab.paradigms.bptt import BPTT
from ahsar.lab.spec.sections import Paradigm
from tests.lab.paradigms.small import SHAPES, accuracy, batch, by_hand, distance, gradients, learned, network, workload


@pytest.mark.parametrize("model", SHAPES)
def test_one_chunk_is_bptt_bit_for_bit(model: str) -> None:
    spec = workload("tbptt", model, chunk=4)
    x, y = batch(spec)
    net = network(spec)
    got, loss, calls = learned(spec, net, x, y)
    wanted, wanted_loss, _ = gradients(BPTT(Paradigm()), net, x, y)
    assert loss == wanted_loss and calls == ["b", "s"]
    assert set(got) == set(wanted) == {name for name, _ in net.named_parameters()}
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("model", SHAPES)
def test_one_chunk_is_bptt_on_the_network_that_takes_whole_sequences(model: str) -> None:
    spec, whole = workload("tbptt", model, chunk=4), workload("bptt", model)
    x, y = batch(spec)
    got = learned(spec, network(spec), x, y)[0]
    assert distance(got, learned(whole, network(whole), x, y)[0]) < (1e-6 if model == "snntorch-conv" else 1e-9)


def chunked(y: Tensor, sizes: list[int]) -> Callable[[Tensor], Tensor]:
    def loss(logits: Tensor) -> Tensor:
        parts = [cross_entropy(part.mean(0), y) * len(part) / len(logits) for part in logits.split(sizes)]
        return torch.stack(parts).sum()

    return loss


@pytest.mark.parametrize(("chunk", "sizes"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (3, [3, 2]), (4, [4, 1]), (0, [3, 2])])
def test_chunks_are_autograd_of_a_graph_that_is_cut(chunk: int, sizes: list[int]) -> None:
    spec = workload("tbptt", steps=5, chunk=chunk)
    x, y = batch(spec)
    net = network(spec)
    cuts = [sum(sizes[:i]) for i in range(1, len(sizes))]
    loss_of = chunked(y, sizes)
    wanted, wanted_loss = by_hand(net, x, y, cuts, loss_of)
    got, loss, calls = learned(spec, net, x, y)
    assert distance(got, wanted) < 1e-9 and loss == pytest.approx(wanted_loss, rel=1e-12)
    assert calls == ["b"] * len(sizes) + ["s"]
    uncut, _ = by_hand(net, x, y, [], loss_of)
    assert distance(got, uncut) > 1e-3


@pytest.mark.parametrize("model", SHAPES)
def test_every_network_forgets_at_a_cut_and_goes_on(model: str) -> None:
    """Gradients differ from BPTT's, logits do not."""
    spec = workload("tbptt", model, chunk=1)
    x, y = batch(spec)
    net = network(spec)
    got = learned(spec, net, x, y)[0]
    assert distance(got, gradients(BPTT(Paradigm()), net, x, y)[0]) > 1e-3
    whole = net(x)
    net.begin()
    for t in range(4):
        logits = net.step(x if x.dim() == 4 else x[:, t])
        assert torch.equal(logits, whole[t])
        net.cut()


@pytest.mark.slow
def test_it_trains() -> None:
    """Within 0.03 of BPTT's accuracy on digits."""
    assert accuracy("tbptt") > accuracy("bptt") - 0.03 and accuracy("bptt") > 0.91
