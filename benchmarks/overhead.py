"""What being attached costs: step time, memory and host syncs, against the same model detached, interleaved in one run;
and what the import costs beyond torch's.

    python -m benchmarks.overhead [--rounds 15] [--block 10] [--threads 2] [--device cpu] [--out overhead.json]

Four copies of a model take turns within each round: detached, detached again (what noise alone does), attached with
interval 1, attached with interval 10. A turn is a block of whole training steps; the order of turns is drawn anew in each
round. Reported is the median over rounds of the ratio to the detached copy in the same round, with quartiles.
"""

import argparse
import copy
import json
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import ahsar
from ahsar import modes
from ahsar.later import Later

# sensed at every step, as while layers are led, and at every tenth, as once all rest
CONFIGS = {
    "detached": None,
    "detached again": None,
    "attached, interval 1": ahsar.Config(interval=1, resting_interval=1),
    "attached, interval 10": ahsar.Config(interval=10),
}


class SnntorchNet(nn.Module):
    """Two convolutions and a linear readout on 28×28 images, one call of each neuron per time step, T = 10."""

    def __init__(self) -> None:
        super().__init__()
        import snntorch as snn

        self.conv1, self.lif1 = nn.Conv2d(1, 16, 5, padding=2), snn.Leaky(beta=0.9)
        self.conv2, self.lif2 = nn.Conv2d(16, 32, 5, padding=2), snn.Leaky(beta=0.9)
        self.fc, self.lif3 = nn.Linear(32 * 7 * 7, 10), snn.Leaky(beta=0.9)

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
        out = []
        for _ in range(10):
            spk, mem1 = self.lif1(nn.functional.max_pool2d(self.conv1(x), 2), mem1)
            spk, mem2 = self.lif2(nn.functional.max_pool2d(self.conv2(spk), 2), mem2)
            _, mem3 = self.lif3(self.fc(spk.flatten(1)), mem3)
            out.append(mem3)
        return torch.stack(out)


class SewResNet(nn.Module):
    """SpikingJelly's SEW-ResNet-18 as it comes, on 32×32 images, T = 4 in multi-step mode."""

    def __init__(self) -> None:
        super().__init__()
        from spikingjelly.activation_based import functional, neuron, surrogate
        from spikingjelly.activation_based.model import sew_resnet

        self.reset = functional.reset_net
        kwargs = {"surrogate_function": surrogate.ATan(), "detach_reset": True}
        self.net: Any = sew_resnet.sew_resnet18(num_classes=10, cnf="ADD", spiking_neuron=neuron.LIFNode, **kwargs)
        functional.set_step_mode(self.net, "m")

    def forward(self, x: Tensor) -> Tensor:
        self.reset(self.net)
        return self.net(x.expand(4, *x.shape))


WORKLOADS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "snnTorch conv net (batch 32, T=10)": (SnntorchNet, (32, 1, 28, 28)),
    "SpikingJelly SEW-ResNet-18 (batch 32, T=4)": (SewResNet, (32, 3, 32, 32)),
}


class Syncs(TorchDispatchMode):
    """Counts what makes the host wait for a device: a scalar read, or a copy of a tensor into a list."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> "Syncs":
        self.tolist = Tensor.tolist

        def counted(tensor: Tensor) -> Any:
            self.count += 1
            return self.tolist(tensor)

        self.value = Later.value

        def arrived(later: Later) -> bool:
            before = self.count
            read = self.value(later)
            self.count = before  # its copy reached the host some steps ago
            return read

        Tensor.tolist, Later.value = counted, arrived  # type: ignore[method-assign]
        self.watched, modes.watched = modes.watched, lambda: False  # this one is to see our operations
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        Tensor.tolist, Later.value, modes.watched = self.tolist, self.value, self.watched  # type: ignore[method-assign]
        super().__exit__(*error)


class Copy:
    """One copy of the model, with its optimizer and, if it has a config, its controller."""

    def __init__(self, model: nn.Module, config: ahsar.Config | None, x: Tensor, y: Tensor) -> None:
        self.model, self.x, self.y = model, x, y
        self.optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        self.homeostat = None if config is None else ahsar.attach(model, self.optimizer, config=config)

    def step(self) -> None:
        loss = nn.functional.cross_entropy(self.model(self.x).mean(0), self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def seconds(self, steps: int, clock: Callable[[], float] = time.perf_counter) -> float:
        _wait(self.x.device)
        begun = clock()
        for _ in range(steps):
            self.step()
        _wait(self.x.device)
        return clock() - begun

    def syncs(self, steps: int) -> float:
        with Syncs() as syncs:
            for _ in range(steps):
                self.step()
        return syncs.count / steps

    def memory(self) -> int:
        """Bytes of all tensors that the controller holds."""
        if self.homeostat is None:
            return 0
        held = list(vars(self.homeostat.state).values())
        for layer in self.homeostat.layers:
            held += [layer.sum.spikes, *vars(layer.threshold).values()]
        tensors = {id(t): t for t in held if isinstance(t, Tensor)}
        return sum(t.numel() * t.element_size() for t in tensors.values())


def place_of(device: torch.device, threads: int) -> str:
    """Where it was measured, in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} CPU thread{'s' * (threads > 1)}"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def turns(
    copies: dict[str, Copy], rounds: int, block: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each turn, of every copy; a round has one turn of each, in an order drawn anew."""
    order, times = random.Random(0), {kind: [] for kind in copies}
    for _ in range(rounds):
        for kind in order.sample(list(copies), len(copies)):
            times[kind].append(copies[kind].seconds(block, clock))
    return times


def measure(name: str, rounds: int, block: int, device: torch.device) -> dict[str, Any]:
    """Ratios, memory and syncs of one workload."""
    build, shape = WORKLOADS[name]
    torch.manual_seed(0)
    model = build().to(device)
    x, y = torch.rand(shape, device=device), torch.randint(0, 10, shape[:1], device=device)
    copies = {kind: Copy(copy.deepcopy(model), config, x, y) for kind, config in CONFIGS.items()}
    for item in copies.values():
        item.seconds(3)  # warm up, and past the first update
    times = turns(copies, rounds, block)
    base = copies["detached"].syncs(block)
    result: dict[str, Any] = {"seconds_per_step": statistics.median(times["detached"]) / block}
    for kind, own in times.items():
        ratios = sorted(ours / theirs for ours, theirs in zip(own, times["detached"], strict=True))
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        result[kind] = {
            "ratio": middle,
            "quartiles": [low, high],
            "extra_tensor_bytes": copies[kind].memory(),
            "extra_host_syncs_per_step": copies[kind].syncs(block) - base,
        }
    return result


def import_seconds(repeats: int = 5) -> float:
    """Median seconds of `import ahsar` and the first use of `ahsar.attach` after `import torch`, each time in a new process."""
    code = "import time, torch; begun = time.perf_counter(); import ahsar; ahsar.attach; print(time.perf_counter() - begun)"
    outputs = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(repeats)]
    return statistics.median(map(float, outputs))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description="Cost of being attached, against the same model detached.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block", type=int, default=10, help="steps in a turn; a multiple of 10 is fair to interval 10")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="part of a workload's name")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    place = place_of(device, options.threads)
    report: dict[str, Any] = {"device": place, "torch": torch.__version__, "python": platform.python_version()}
    report.update(rounds=options.rounds, block=options.block, workloads={}, import_seconds=import_seconds())
    print(f"import ahsar, beyond import torch: {report['import_seconds'] * 1000:.0f} ms")
    for name in WORKLOADS:
        if options.only not in name:
            continue
        found = measure(name, options.rounds, options.block, device)
        report["workloads"][name] = found
        print(f"\n{name}, {place}: {found['seconds_per_step'] * 1000:.1f} ms per step detached")
        for kind in CONFIGS:
            row = found[kind]
            low, high = row["quartiles"]
            print(
                f"  {kind:<22} {row['ratio']:.4f} [{low:.4f}, {high:.4f}]   {row['extra_tensor_bytes']:>5} bytes   "
                f"{row['extra_host_syncs_per_step']:+.1f} syncs per step"
            )
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


if __name__ == "__main__":
    main()
