"""Synaptic operations, counted by hand, by our counter, by SpikingJelly's and by NeuroBench; its static metrics."""

from pathlib import Path
from typing import Any

import pytest
import snntorch as snn
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ahsar.lab import models
from ahsar.lab.report.comparison import neurobench
from ahsar.lab.spec import workload
from ahsar.lab.trial import monitor, operations
from tests.lab import tiny

SPIKINGJELLY = """
name = "small"
title = "a small network of SpikingJelly"
[data]
name = "cifar10"
val_size = 10
[model]
name = "{model}"
widths = [8, 8, 12]
strides = [2, 1, 2]
hidden = 16
time_steps = 3
batch_norm = {norm}
[optimizer]
name = "adam"
lr = 1e-3
[budget]
steps = 10
batch_size = 4
eval_every = 5
[target]
metric = "accuracy"
value = 0.5
[seeds]
count = 1
[constant]
grid = [0.5]
"""


def network(folder: Path, model: str, norm: str = "true") -> nn.Module:
    """Untrained, in eval mode, with thresholds that let it fire."""
    file = folder / "small.toml"
    file.write_text(SPIKINGJELLY.format(model=model, norm=norm))
    torch.manual_seed(0)
    made = models.build(workload.load(file), (3, 16, 16), 10).eval()
    return sensitive(made, 0.1)


def sensitive(net: nn.Module, threshold: float) -> nn.Module:
    """The same network of SpikingJelly neurons with this threshold."""
    for module in net.modules():
        if hasattr(module, "v_threshold"):
            setattr(module, "v_threshold", threshold)  # noqa: B010  # pyright knows no such attribute
    return net


class Known(nn.Module):
    """A convolution (stride 2, padding 1, no norm), spikes that we choose in its place, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Linear(2 * 2 * 2, 5)

    def forward(self, x: Tensor, spikes: Tensor) -> Tensor:
        self.conv(x)
        return self.fc(spikes)


def test_operations_by_hand() -> None:
    net, x, spikes = Known(), torch.zeros(2, 1, 4, 4), torch.zeros(2, 8)
    x[0, 0, 0, 0] = 0.5  # the corner: pixels of even row and column are under one of the four windows only
    x[1, 0, 1, 1] = 0.7  # of odd row and column: four windows
    spikes[0, :3] = 1
    counter = operations.Counter()
    with torch.no_grad(), counter:
        net(x, spikes)
    assert counter.acs == 3 * 5  # each spike once per output
    assert counter.effective_macs == (1 + 4) * 2  # each window gives two channels
    assert counter.macs == 2 * (2 * 2 * 2) * 9  # all windows, with zeros and padding
    # windows lie at rows -1..1 and 1..3: 2 + 3 rows inside the image, as many columns
    assert counter.dense == 2 * (2 + 3) ** 2 * 2 + 2 * 8 * 5
    net.fc.weight.data[0, :] = 0
    pruned = operations.Counter()
    with torch.no_grad(), pruned:
        net(x, spikes)
    assert pruned.acs == counter.acs == counter.effective_acs and pruned.dense == counter.dense
    assert pruned.effective_acs == 3 * 4  # one output's weights are zero


def test_attention_is_counted() -> None:
    q, k = torch.zeros(2, 3, 4), torch.zeros(2, 4, 3)
    q[0, 0, :2] = 1
    k[0, 1, :] = 1
    counter = operations.Counter()
    with counter:
        both = q @ k  # one meeting of ones per column
        torch.bmm(both, torch.full((2, 3, 6), 0.3))  # the first product happens to hold only 0 and 1
    assert counter.acs == counter.effective_acs == 3 + 3 * 6 and counter.macs == 0
    assert counter.dense == 2 * 3 * 3 * 4 + 2 * 3 * 6 * 3


@pytest.mark.parametrize(("model", "norm"), [("spikingjelly-conv", "true"), ("spikingjelly-vgg", "false")])
def test_our_counter_agrees_with_op_counter(model: str, norm: str, tmp_path: Path) -> None:
    pytest.importorskip("spikingjelly.activation_based.op_counter", reason="needs SpikingJelly 2")
    net, x = network(tmp_path, model, norm), torch.rand(4, 3, 16, 16)

    def run() -> int:
        net(x)
        return len(x)

    alone = operations.Counter()
    with torch.no_grad(), alone:
        run()
    got = operations.count(net, run)
    assert got["operations"]["counter"] == "spikingjelly" and got["operations"]["samples"] == 4
    synops = got["synops"]
    assert synops["acs"] == alone.acs / 4 > 0 and synops["macs"] == alone.macs / 4 > 0
    assert synops["effective_acs"] == alone.effective_acs / 4 == synops["acs"]  # no weight is zero
    assert synops["effective_macs"] == alone.effective_macs / 4 < synops["macs"]  # padding
    assert synops["acs"] + synops["effective_macs"] < synops["dense"]
    assert got["energy_proxy_nj"] == pytest.approx((alone.acs * 0.9 + alone.macs * 4.6) / 4 / 1000)
    _agrees_with_the_profiler(net, x, got)


def _agrees_with_the_profiler(net: nn.Module, x: Tensor, got: dict[str, Any]) -> None:
    from spikingjelly.activation_based import op_counter

    report = op_counter.estimate_simple_energy(net, x)
    assert report.counts["synop"] / 4 == got["synops"]["acs"]
    assert report.counts["mac"] / 4 == got["operations"]["macs_all"] >= got["synops"]["macs"]
    assert report.energy_mac_pj == pytest.approx(report.counts["mac"] * operations.MAC_PJ)
    assert report.energy_ac_pj == pytest.approx(report.counts["ac"] * operations.AC_PJ)


def test_spiking_self_attention_is_counted_by_both() -> None:
    op_counter = pytest.importorskip("spikingjelly.activation_based.op_counter", reason="needs SpikingJelly 2")
    from spikingjelly.activation_based import layer

    net = sensitive(layer.SpikingSelfAttention(dim=8, num_heads=2).eval(), 0.05)
    x = (torch.rand(2, 3, 8, 6) < 0.5).float()
    ours, synops = operations.Counter(), op_counter.SynOpCounter()
    with torch.no_grad(), ours, op_counter.DispatchCounterMode([synops]):
        net(x)
    products = {str(op): n for op, n in synops.get_counts()["Global"].items()}
    assert ours.acs == synops.get_total() > sum(n for op, n in products.items() if "convolution" in op) > 0
    assert ours.effective_acs < ours.acs  # products of keys and values hold zeros


def test_other_frameworks_are_counted_by_our_counter() -> None:
    net = nn.Sequential(nn.Linear(6, 4), snn.Leaky(0.9, threshold=0.1, init_hidden=True), nn.Linear(4, 2))
    x, fired = torch.rand(5, 6), []
    net[1].register_forward_hook(lambda module, args, out: fired.append(int(out.sum())))

    def run() -> int:
        net(x)
        return len(x)

    got = operations.count(net, run)
    assert got["operations"] == {"counter": "ahsar", "samples": 5}
    assert got["synops"]["acs"] == fired[0] * 2 / 5
    assert got["synops"]["macs"] == 6 * 4 and got["synops"]["dense"] == 6 * 4 + 4 * 2


@pytest.mark.parametrize("framework", ["snntorch", "spikingjelly"])
def test_neurobench_itself_finds_the_same(framework: str, tmp_path: Path) -> None:
    """Its benchmark, run over the same samples in two batches, and what a record would hold under its names."""
    pytest.importorskip("neurobench", reason="needs neurobench")
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import SNNTorchModel, TorchModel

    metrics: list[Any] = [SynapticOperations]
    if framework == "snntorch":
        torch.manual_seed(0)
        net = models.build(workload.load(tiny.write(tmp_path)), (1, 8, 8), 10).eval()
        for module in net.modules():
            if isinstance(module, snn.Leaky):
                module.threshold.fill_(0.1)
        wrapped = SNNTorchModel(net, custom_forward=True)
        metrics.append(ActivationSparsity)
    else:  # of whose neurons NeuroBench knows nothing
        net = network(tmp_path, "spikingjelly-conv")
        wrapped = TorchModel(net)
    with torch.no_grad():
        for weight in net.parameters():
            weight *= torch.rand_like(weight) < 0.7
    x = torch.rand(6, *((1, 8, 8) if framework == "snntorch" else (3, 16, 16)))
    counter = operations.Counter()
    with torch.no_grad(), counter, monitor.watch(net) as activity:
        net(x)
    static = operations.static(net)  # buffers hold membranes of the last batch
    batches = DataLoader(TensorDataset(x, torch.zeros(6)), 3)
    theirs = Benchmark(wrapped, batches, [], [], [[Footprint, ConnectionSparsity], metrics]).run(quiet=True)
    synops = {key: getattr(counter, key) / len(x) for key in ("effective_acs", "effective_macs", "dense")}
    record = {**static, "synops": synops, "mean_rate": activity.mean_rate, "metric": "loss"}
    named = neurobench.metrics([record])
    assert named["synaptic_operations"] == theirs["SynapticOperations"] and min(theirs["SynapticOperations"].values()) > 0
    assert named["footprint"] == theirs["Footprint"]
    assert named["connection_sparsity"] == pytest.approx(theirs["ConnectionSparsity"], abs=5e-5) != 0  # it rounds
    if ActivationSparsity in metrics:
        assert named["activation_sparsity"] == pytest.approx(theirs["ActivationSparsity"]) != 1


def test_static_metrics() -> None:
    conv, linear = nn.Conv2d(1, 2, 3), nn.Linear(4, 3, bias=False)
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight[:], linear.weight[:] = 1.0, 1.0
        linear.weight[0, :3] = 0.0
        conv.bias[:] = 0.0  # not a connection
    net = nn.Sequential(conv, nn.BatchNorm2d(2), linear)
    # conv 18 + 2, norm 2 + 2 and running 2 + 2, linear 12, each of 4 bytes; the norm's counter of 8
    assert operations.static(net) == {"footprint": 4 * 40 + 8, "connection_sparsity": 3 / 30}
    assert operations.static(nn.ReLU()) == {"footprint": 0, "connection_sparsity": None}
