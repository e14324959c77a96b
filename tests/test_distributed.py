"""Two processes with unequal shards regulate as one process does with their union."""

import datetime
import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

import ahsar
from ahsar import Config, SensingError
from tests import models
from tests.test_homeostat import Backwards

RANKS, STEPS, LIMIT = 2, 6, 200
pytestmark = pytest.mark.xdist_group("distributed")  # one start of two processes serves all tests here


def shards(step: int, rank: int | None, missing: bool = False) -> Tensor:
    """What a rank sees in a step, or all of them: 3 inputs for rank 0, 11 for rank 1, which may miss some steps."""
    x = models.batch(step, 14)[0]
    first, second = x[:3], x[3:]
    if missing and step in (0, 3):
        second = second[:0]
    return torch.cat([first, second]) if rank is None else (first, second)[rank]


def regulate(model: nn.Module, rank: int | None, config: Config, missing: bool = False) -> list[Any]:
    """Scales, rates, gain and collectives of each step; the metric differs between the ranks."""
    homeostat, trace = ahsar.attach(model, config=config), []
    with pytest.MonkeyPatch.context() as patch:
        calls: list[str] = []
        for name in ("all_reduce", "all_gather_object", "all_gather", "broadcast"):
            original = getattr(dist, name)
            patch.setattr(dist, name, lambda *a, name=name, to=original, **k: calls.append(name) or to(*a, **k))
        for step in range(STEPS):
            x = shards(step, rank, missing)
            if len(x):
                model(x)
            calls.clear()
            homeostat.step()
            trace.append([homeostat.scales, homeostat.rates, list(calls)])
            if step % 2:
                metric = [0.5, 0.9, 0.1][step // 2]
                homeostat.epoch(metric if rank is None else metric + (0.05, -0.05)[rank])
                trace[-1].append((homeostat.gain, homeostat.history[-1]["energy"]))
    return trace


def branches() -> nn.Module:
    """Layers that are defined in another order than they run; rank 1 misses the first step."""
    return Backwards()


CONFIGS = {
    "set-point": Config(gamma=0.5, set_point=0.1),
    "network": Config(centre="network", gamma=0.5),
    "interval": Config(interval=2),
}


def refusal(homeostat: ahsar.Homeostat) -> str:
    try:
        homeostat.step()
    except SensingError as error:
        return str(error)
    return "no error"


def train_in_parallel() -> list[Any]:
    """DistributedDataParallel around an attached model: what the rank ends with."""
    torch.manual_seed(0)
    model = models.build("spikingjelly")
    parallel = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    homeostat = ahsar.attach(parallel, optimizer)
    for step in range(STEPS):
        models.train_step(parallel, optimizer, 2 * step + dist.get_rank(), size=8)
    return [[p.detach() for p in model.parameters()], homeostat.scales, homeostat.rates]


def work(rank: int, folder: str) -> None:
    """What each process does; its results go into a file."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=LIMIT // 2)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS, timeout=timeout)
    results: dict[str, Any] = {}
    for name, config in CONFIGS.items():
        results[name] = regulate(models.build("buffer"), rank, config)
    results["missing"] = regulate(branches(), rank, Config(), missing=True)
    results["idle"] = refusal(ahsar.attach(models.build()))
    silent = nn.Sequential(models.LIF(), models.LIF())
    homeostat = ahsar.attach(silent)
    if rank == 0:
        silent[0](torch.rand(4, 2, 3))
    results["silent"] = refusal(homeostat)
    results["parallel"] = train_in_parallel()
    torch.save(results, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
    # PyTorch's own shutdown sometimes aborts ("terminate called without an active exception") once all work is done and saved
    os._exit(0)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of each process."""
    folder: Path = tmp_path_factory.mktemp("ranks")
    context = spawn(work, (str(folder),), nprocs=RANKS, join=False)
    assert context is not None
    end = time.monotonic() + LIMIT
    try:
        while not context.join(timeout=1):
            assert time.monotonic() < end, "the processes wait for each other"
    finally:
        for process in context.processes:
            kill(process)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]


def kill(process: Any) -> None:
    if process.is_alive():
        process.kill()
    process.join(10)


def same(got: dict[str, float], wanted: dict[str, float]) -> None:
    assert list(got) == list(wanted)
    assert got == pytest.approx(wanted, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", [*CONFIGS, "missing"])
def test_two_ranks_are_one_process_on_the_union(ranks: list[dict[str, Any]], name: str) -> None:
    if name == "missing":
        alone = regulate(branches(), None, Config(), missing=True)
        assert list(alone[0][0]) == ["first", "middle", "last"]
    else:
        alone = regulate(models.build("buffer"), None, CONFIGS[name])
    assert alone[0][0] != alone[-1][0]
    for rank in ranks:
        for got, wanted in zip(rank[name], alone, strict=True):
            same(got[0], wanted[0])
            same(got[1], wanted[1])
            assert got[3:] == [pytest.approx(x, abs=1e-6) for x in wanted[3:]]
            assert not wanted[2]  # nothing is sent in one process
    assert ranks[0][name] == ranks[1][name]  # bit for bit: ranks never drift apart


def test_one_all_reduce_per_update(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        for name in ("set-point", "network", "missing"):
            sent = [entry[2] for entry in rank[name]]
            assert sent == [["all_gather_object", "all_reduce"]] + [["all_reduce"]] * (STEPS - 1)
        sent = [entry[2] for entry in rank["interval"]]
        assert sent == [["all_gather_object", "all_reduce"], [], ["all_reduce"], [], ["all_reduce"], []]


def test_errors_reach_every_rank(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert "no spiking layer ran" in rank["idle"]
        assert "layer '1' did not run in any training forward" in rank["silent"]


def test_distributed_data_parallel(ranks: list[dict[str, Any]]) -> None:
    (weights, scales, rates), (weights_too, *others) = ranks[0]["parallel"], ranks[1]["parallel"]
    assert all(map(torch.equal, weights, weights_too)) and [scales, rates] == others
    assert list(scales) == ["module.neurons.0", "module.neurons.1"]
    assert all(scale != 1 for scale in scales.values())
