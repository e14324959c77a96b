"""Processes with unequal shards regulate as one process does with their union; what differs between them is refused."""

import copy
import os
import re
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import ahsar
from ahsar import AhsarError, Config, Homeostat
from tests import models
from tests.models import MOVING
from tests.ranks import together
from tests.test_homeostat import Backwards

STEPS, SIZE = 6, 14
SIZES = {2: [3, 11], 4: [1, 0, 2, 11]}  # inputs of each rank: one of four never has any
WORLDS = list(SIZES)
pytestmark = pytest.mark.xdist_group("distributed")  # one start of the processes serves all tests here


def rank_and_world() -> tuple[int, int]:
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def shard(x: Tensor, rank: int, world: int) -> Tensor:
    """What a rank sees of a batch; all of it in one process. The last rank may find nothing left."""
    if world == 1:
        return x
    end = list(accumulate(SIZES[world]))[rank]
    return x[end - SIZES[world][rank] : end]


def regulate(model: nn.Module, config: Config, missing: bool = False) -> list[Any]:
    """Scales, rates, gain and collectives of each step; the metric differs between the ranks."""
    homeostat, trace = ahsar.attach(model, config=config), []
    rank, world = rank_and_world()
    with pytest.MonkeyPatch.context() as patch:
        calls: list[str] = []
        for name in ("all_reduce", "all_gather_object", "all_gather", "broadcast"):
            original = getattr(dist, name)
            patch.setattr(dist, name, lambda *a, name=name, to=original, **k: calls.append(name) or to(*a, **k))
        for step in range(STEPS):
            inputs = models.batch(step, SIZE)[0]
            x = shard(inputs[:3] if missing and step in (0, 3) else inputs, rank, world)
            if len(x):
                model(x)
            calls.clear()
            homeostat.step()
            trace.append([homeostat.scales, homeostat.rates, list(calls)])
            if step % 2:
                homeostat.epoch([0.5, 0.9, 0.1][step // 2] + 0.05 * (rank - (world - 1) / 2))
                trace[-1].append((homeostat.gain, homeostat.history[-1]["energy"]))
    return trace


CONFIGS = {
    "moving": replace(MOVING, frugal=True, floor=0.0, gamma=0.5, progress_beta=0.0),
    "resting": Config(set_point=0.4, grace=2, resting_interval=2),
    "interval": replace(MOVING, interval=2),
}


def vector_net() -> nn.Module:
    """Learnable thresholds of one value per neuron: FSDP shards no scalars."""
    model = models.build("parameter")
    for neuron in model.neurons:
        neuron.firing_level = nn.Parameter(torch.linspace(0.5, 1.0, models.WIDTH))
    return model


def backward(model: nn.Module, step: int, rank: int, world: int, part: slice) -> None:
    """The gradient of the mean loss of a whole batch, of which this rank sees a shard, and of that `part`."""
    x, y = models.batch(step, SIZE)
    x, y = shard(x, rank, world)[part], shard(y, rank, world)[part]
    # frameworks that train in parallel divide by the ranks
    (nn.functional.cross_entropy(model(x.double()), y, reduction="sum") * world / SIZE).backward()


def train(wrap: Any, model: nn.Module, accumulate_gradients: bool = False, late: bool = False) -> list[Any]:
    """Scales and rates after each step, then the weights; in float64, where no spike hangs on the order of a sum."""
    rank, world = rank_and_world()
    model = model.double()
    homeostat = None if late else ahsar.attach(model, config=MOVING)
    parallel = wrap(model)
    homeostat = homeostat or ahsar.attach(model, config=MOVING)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    homeostat.follow(optimizer)
    trace = []
    for step in range(STEPS):
        if accumulate_gradients:
            with parallel.no_sync() if world > 1 else nullcontext():
                backward(parallel, step, rank, world, slice(1, None))
            backward(parallel, step, rank, world, slice(0, 1))
        else:
            backward(parallel, step, rank, world, slice(None))
        optimizer.step()
        optimizer.zero_grad()
        trace.append([homeostat.scales, homeostat.rates])
    homeostat.bake()
    weights = {name: p.detach() for name, p in model.state_dict().items()}
    return [trace, {name: p.full_tensor() if hasattr(p, "full_tensor") else p for name, p in weights.items()}]  # type: ignore


def shard_fully(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for part in [*model.neurons, *model.synapses]:  # type: ignore[misc]
        fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def travel(wrap: Any, model: nn.Module) -> list[dict[str, float]]:
    """Scales as weights of a wrapped model carry them, those behind further steps, and those once the weights are back."""
    homeostat = ahsar.attach(model, config=MOVING)
    parallel = wrap(model)

    def step(number: int) -> dict[str, float]:
        parallel(models.batch(number)[0])
        homeostat.step()
        return homeostat.scales

    step(0)
    weights = copy.deepcopy(parallel.state_dict())
    carried, later = ahsar.scales_in(weights), [step(number) for number in (1, 2)][-1]
    parallel.load_state_dict(weights)
    return [{name.removeprefix("module."): scale for name, scale in carried.items()}, later, homeostat.scales]


def refusal(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except AhsarError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def stepped(config: Config = MOVING, layers: Any = None, **attributes: Any) -> Homeostat:
    """A controller that has sensed."""
    model = models.build()
    homeostat = ahsar.attach(model, config=config, layers=layers)
    model(models.batch(0)[0])
    for name, value in attributes.items():
        setattr(homeostat, name, value)
    return homeostat


def refusals(rank: int) -> dict[str, str]:
    """What each rank is told where the ranks do not fit together."""
    told = {"idle": refusal(ahsar.attach(models.build()).step)}
    silent = nn.Sequential(models.LIF(), models.LIF())
    homeostat = ahsar.attach(silent, config=Config(unused="error"))
    if rank == 0:
        silent[0](torch.rand(4, 2, 3))
    told["silent"] = refusal(homeostat.step)
    told["layers"] = refusal(stepped(layers="neurons.0" if rank == 1 else None).step)
    told["other layers"] = refusal(stepped(layers=f"neurons.{rank}" if rank < 2 else None).step)
    told["config"] = refusal(stepped(replace(MOVING, beta=0.5, interval=2) if rank == 1 else MOVING).step)
    homeostat = stepped()
    homeostat.step()
    told["metric"] = refusal(homeostat.epoch, float("nan") if rank == 1 else 0.5)
    resumed = stepped()
    if rank == 0:  # a checkpoint that only one rank loads
        resumed.load_state_dict(homeostat.state_dict())
    told["resumed"] = refusal(resumed.step)
    alike = stepped()
    alike.load_state_dict(homeostat.state_dict())
    told["all resumed"] = refusal(alike.step)
    told["fine"] = refusal(stepped().step)
    return told


def before() -> list[Homeostat]:
    """A process group that comes late: one controller has sensed by then, the other has taken a step on its own data."""
    rank, pair = int(os.environ["RANK"]), []
    for steps in (0, 1):
        homeostat = ahsar.attach(models.build("buffer"), config=MOVING)
        for step in range(steps + 1):
            x = shard(models.batch(step, SIZE)[0], rank, int(os.environ["WORLD"]))
            if len(x) or steps:
                homeostat.model(x if len(x) else models.batch(step)[0])
            if step < steps:
                homeostat.step()
        pair.append(homeostat)
    return pair


def work(early: list[Homeostat]) -> dict[str, Any]:
    """What each process does."""
    rank, _world = rank_and_world()
    results: dict[str, Any] = {name: regulate(models.build("buffer"), config) for name, config in CONFIGS.items()}
    results["missing"] = regulate(Backwards(), replace(MOVING, reaction=0.1), missing=True)
    early[0].step()
    results["late group"] = [early[0].scales, early[0].rates]
    results["told"] = {"too late": refusal(early[1].step), **refusals(rank)}
    ddp = nn.parallel.DistributedDataParallel
    results["ddp"] = train(ddp, models.build("spikingjelly"))
    results["no_sync"] = train(ddp, models.build("spikingjelly"), accumulate_gradients=True)
    results["wrapped"] = list(ahsar.attach(ddp(models.build())).scales)
    results["travel"] = [travel(ddp, models.build("buffer")), travel(shard_fully, vector_net())]
    results["fsdp"] = train(shard_fully, vector_net())
    results["fsdp first"] = train(shard_fully, vector_net(), late=True)
    return results


@pytest.fixture(scope="module", params=WORLDS)
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of each process, in a world of two and in one of four."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD", str(request.param))
        return together(before, work, request.param, tmp_path_factory.mktemp("ranks"))


def same(got: dict[str, float], wanted: dict[str, float]) -> None:
    assert list(got) == list(wanted)
    assert got == pytest.approx(wanted, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", [*CONFIGS, "missing"])
def test_ranks_are_one_process_on_the_union(ranks: list[dict[str, Any]], name: str) -> None:
    if name == "missing":
        alone = regulate(Backwards(), replace(MOVING, reaction=0.1), missing=True)
        assert list(alone[0][0]) == ["first", "middle", "last"]
    else:
        alone = regulate(models.build("buffer"), CONFIGS[name])
    assert alone[0][0] != alone[-1][0]
    for rank in ranks:
        for got, wanted in zip(rank[name], alone, strict=True):
            same(got[0], wanted[0])
            same(got[1], wanted[1])
            assert got[3:] == [pytest.approx(x, abs=1e-6) for x in wanted[3:]]
            assert not wanted[2]  # nothing is sent in one process
    assert all(rank[name] == ranks[0][name] for rank in ranks)  # bit for bit: ranks never drift apart


def test_one_all_reduce_per_update(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        for name in ("moving", "missing"):
            sent = [entry[2] for entry in rank[name]]
            assert sent == [["all_gather_object", "all_reduce"]] + [["all_reduce"]] * (STEPS - 1)
        sent = [entry[2] for entry in rank["interval"]]
        assert sent == [["all_gather_object", "all_reduce"], [], ["all_reduce"], [], ["all_reduce"], []]


@pytest.mark.parametrize("name", ["ddp", "no_sync", "fsdp", "fsdp first"])
def test_training_in_parallel_is_training_on_the_union(ranks: list[dict[str, Any]], name: str) -> None:
    model = vector_net() if "fsdp" in name else models.build("spikingjelly")
    trace, weights = train(lambda model: model, model, accumulate_gradients=name == "no_sync")
    for rank in ranks:
        for got, wanted in zip(rank[name][0], trace, strict=True):
            same(got[0], wanted[0])
            same(got[1], wanted[1])
        assert list(rank[name][1]) == list(weights)
        for key, weight in weights.items():
            torch.testing.assert_close(rank[name][1][key], weight, rtol=0, atol=1e-6)
    start = vector_net() if "fsdp" in name else models.build("spikingjelly")
    assert all(not torch.equal(weights[key], value.double()) for key, value in start.named_parameters())


def test_a_wrapped_model_names_its_layers_as_it_does(ranks: list[dict[str, Any]]) -> None:
    assert all(rank["wrapped"] == ["module.neurons.0", "module.neurons.1"] for rank in ranks)


def test_a_process_group_may_come_after_attach(ranks: list[dict[str, Any]]) -> None:
    alone = ahsar.attach(models.build("buffer"), config=MOVING)
    alone.model(models.batch(0, SIZE)[0])
    alone.step()
    for rank in ranks:
        same(rank["late group"][0], alone.scales)
        same(rank["late group"][1], alone.rates)


def test_weights_of_wrapped_models_carry_their_scales(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        for carried, later, back in rank["travel"]:
            assert carried == back != later and len(back) == 2


TOLD = {
    "idle": "SensingError: .*no spiking layer ran",
    "silent": "SensingError: layer '1' did not run in any training forward",
    "layers": r"AttachError: the ranks attached different layers: beside rank 0, rank 1 lacks neurons\.1 and adds none",
    "other layers": r"AttachError: .*rank 1 lacks neurons\.0 and adds neurons\.1",
    "config": r"AttachError: rank 1 attached with another Config than rank 0 \(beta, interval\)",
    "metric": r"ConfigError: .*must be finite",
    "resumed": r"StateError: rank 1 continues from another state than rank 0 \(steps, updated, scales\): load the same",
    "too late": r"StateError: rank 1 continues from another state than rank 0 \(scales\).*before the first step",
    "all resumed": "no error",
    "fine": "no error",  # after all of these the ranks are still in step
}


@pytest.mark.parametrize("name", TOLD)
def test_what_differs_between_ranks_is_told_on_every_rank(ranks: list[dict[str, Any]], name: str) -> None:
    for rank in ranks:
        assert re.match(TOLD[name], rank["told"][name]), rank["told"][name]
