"""What being attached costs under torch.compile: step time against the same model detached, interleaved in one run.

    python -m benchmarks.compile [--rounds 15] [--block 5] [--threads 2] [--backend inductor] [--out compile.json]

Four copies of a model take turns within each round: eager and compiled, each detached and attached. Compiled copies are
attached with `compile=True`. Reported are the median step time, the median over rounds of the ratio of attached to detached
with quartiles, and the graphs that were compiled.
"""

import argparse
import copy
import json
import platform
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.utils import counters

import ahsar
from benchmarks.overhead import Copy, place_of

KINDS = ("eager", "eager attached", "compiled", "compiled attached")


class Snntorch(nn.Module):
    """A convolution and two linear layers on 28×28 images, hidden states, a loop over T = 5 steps: one graph."""

    def __init__(self) -> None:
        super().__init__()
        import snntorch as snn

        self.conv, self.lif1 = nn.Conv2d(1, 16, 5, padding=2, stride=2), snn.Leaky(beta=0.9, init_hidden=True)
        self.fc1, self.lif2 = nn.Linear(16 * 14 * 14, 100), snn.Leaky(beta=0.9, init_hidden=True)
        self.fc2 = nn.Linear(100, 10)

    def start(self) -> None:
        self.lif1.reset_mem()
        self.lif2.reset_mem()

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.fc2(self.lif2(self.fc1(self.lif1(self.conv(x)).flatten(1)))) for _ in range(5)])


class SpikingJelly(nn.Module):
    """The same with SpikingJelly's LIF in multi-step mode."""

    def __init__(self) -> None:
        super().__init__()
        from spikingjelly.activation_based import layer, neuron, surrogate

        def lif() -> nn.Module:
            return neuron.LIFNode(surrogate_function=surrogate.ATan(), step_mode="m")

        self.conv, self.lif1 = layer.Conv2d(1, 16, 5, padding=2, stride=2, step_mode="m"), lif()
        self.fc1, self.lif2 = nn.Linear(16 * 14 * 14, 100), lif()
        self.fc2 = nn.Linear(100, 10)

    def start(self) -> None:
        from spikingjelly.activation_based import functional

        functional.reset_net(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.lif2(self.fc1(self.lif1(self.conv(x.expand(5, *x.shape))).flatten(2))))


WORKLOADS: dict[str, Callable[[], nn.Module]] = {"snnTorch": Snntorch, "SpikingJelly": SpikingJelly}


class CompiledCopy(Copy):
    """A copy of the model whose states start anew outside of what is compiled, attached before it is compiled."""

    def __init__(self, model: Any, kind: str, backend: str, x: Tensor, y: Tensor) -> None:
        super().__init__(model, None, x, y)
        compiled, attached = kind.startswith("compiled"), kind.endswith("attached")
        if attached:
            self.homeostat = ahsar.attach(model, self.optimizer, compile=compiled, layers="all")
        self.start = model.start
        if compiled:
            self.model = torch.compile(model, backend=backend, fullgraph=True)  # type: ignore[assignment]

    def step(self) -> None:
        self.start()
        super().step()


def measure(name: str, rounds: int, block: int, backend: str, device: torch.device) -> dict[str, Any]:
    """Step times, ratios and graphs of one workload."""
    torch.manual_seed(0)
    model = WORKLOADS[name]().to(device)
    x, y = torch.rand(32, 1, 28, 28, device=device), torch.randint(0, 10, (32,), device=device)
    copies = {kind: CompiledCopy(copy.deepcopy(model), kind, backend, x, y) for kind in KINDS}
    graphs = {}
    for kind, item in copies.items():
        counters.clear()
        item.seconds(5)  # compile, warm up, and past the first updates
        graphs[kind] = counters["stats"]["unique_graphs"]
    counters.clear()
    order, times = random.Random(0), {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in order.sample(KINDS, len(KINDS)):
            times[kind].append(copies[kind].seconds(block) / block)
    result: dict[str, Any] = {"compiled_again": counters["stats"]["unique_graphs"]}
    for kind, own in times.items():
        base = times[kind.removesuffix(" attached")]
        ratios = sorted(ours / theirs for ours, theirs in zip(own, base, strict=True))
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        seconds = statistics.median(own)
        result[kind] = {"seconds_per_step": seconds, "ratio": middle, "quartiles": [low, high], "graphs": graphs[kind]}
    return result


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description="Cost of being attached under torch.compile.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block", type=int, default=5, help="steps in a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--only", default="", help="part of a workload's name")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    place = place_of(device, options.threads)
    report: dict[str, Any] = {"device": place, "torch": torch.__version__, "python": platform.python_version()}
    report.update(rounds=options.rounds, block=options.block, backend=options.backend, workloads={})
    for name in WORKLOADS:
        if options.only not in name:
            continue
        found = measure(name, options.rounds, options.block, options.backend, device)
        report["workloads"][name] = found
        print(f"\n{name}, {place}, {options.backend}; compiled again while timed: {found['compiled_again']}")
        for kind in KINDS:
            row = found[kind]
            low, high = row["quartiles"]
            print(
                f"  {kind:<18} {row['seconds_per_step'] * 1000:7.2f} ms per step, {row['ratio']:.3f} [{low:.3f}, {high:.3f}] "
                f"of detached, {row['graphs']} graphs"
            )
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


if __name__ == "__main__":
    main()
