"""What being attached costs over a whole training with the defaults: the first updates, in which layers are led and sensed
at each step, and all that follow, in which a net whose layers rest is sensed at each tenth.

    python -m benchmarks.training [--steps 600] [--block 1] [--threads 1] [--device cpu] [--only NAME] [--out training.json]

Copies of one model train from their first step to the last, in turns of a block of steps, the order drawn anew in each
round: detached, detached again (what noise alone does), attached. Reported is the ratio of total times, with an interval of
95 % by bootstrap over rounds, and how many layers rest at the end. On a CPU time is what this process has used of it, so that
others on the machine do not count; two threads that wait for each other would.
"""

import argparse
import copy
import json
import platform
import random
import time
from pathlib import Path
from typing import Any

import torch

import ahsar
from benchmarks.overhead import WORKLOADS, Copy, place_of, turns

KINDS = {"detached": None, "detached again": None, "attached": ahsar.Config()}


def interval(own: list[float], theirs: list[float], draws: int = 2000) -> tuple[float, float]:
    """95 % of the ratio of totals, over rounds drawn with replacement."""
    rounds, draw, ratios = list(zip(own, theirs, strict=True)), random.Random(0), []
    for _ in range(draws):
        drawn = draw.choices(rounds, k=len(rounds))
        ratios.append(sum(ours for ours, _ in drawn) / sum(other for _, other in drawn))
    ratios.sort()
    return ratios[round(0.025 * draws)], ratios[round(0.975 * draws) - 1]


def measure(name: str, steps: int, block: int, device: torch.device) -> dict[str, Any]:
    """Ratios of one workload's whole training."""
    build, shape = WORKLOADS[name]
    torch.manual_seed(0)
    model = build().to(device)
    x, y = torch.rand(shape, device=device), torch.randint(0, 10, shape[:1], device=device)
    Copy(copy.deepcopy(model), None, x, y).seconds(3)  # what only a process's first steps cost
    copies = {kind: Copy(copy.deepcopy(model), config, x, y) for kind, config in KINDS.items()}
    times = turns(copies, steps // block, block, time.process_time if device.type == "cpu" else time.perf_counter)
    homeostat = copies["attached"].homeostat
    assert homeostat is not None
    found: dict[str, Any] = {
        "steps": steps,
        "seconds_per_step": sum(times["detached"]) / steps,
        "resting": sum(homeostat.resting.values()),
    }
    for kind in list(KINDS)[1:]:
        ratio = sum(times[kind]) / sum(times["detached"])
        found[kind] = {"ratio": ratio, "interval": interval(times[kind], times["detached"])}
    return found


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description="Cost of being attached over a whole training.")
    parser.add_argument("--steps", type=int, default=600, help="optimizer steps of the training; a multiple of --block")
    parser.add_argument("--block", type=int, default=1, help="steps in a turn; short ones meet the same load on the machine")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="part of a workload's name")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.steps < options.block or options.steps % options.block:
        parser.error(f"--steps {options.steps} is no multiple of --block {options.block}")
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    place = place_of(device, options.threads)
    report: dict[str, Any] = {"device": place, "torch": torch.__version__, "python": platform.python_version()}
    report.update(clock="CPU time" if device.type == "cpu" else "time", block=options.block, workloads={})
    for name in WORKLOADS:
        if options.only not in name:
            continue
        found = report["workloads"][name] = measure(name, options.steps, options.block, device)
        print(f"\n{name}, {place}: {found['seconds_per_step'] * 1000:.1f} ms per step, {found['resting']} layers at rest")
        for kind in list(KINDS)[1:]:
            low, high = found[kind]["interval"]
            print(f"  {kind:<15} {found[kind]['ratio']:.4f} [{low:.4f}, {high:.4f}]")
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


if __name__ == "__main__":
    main()
