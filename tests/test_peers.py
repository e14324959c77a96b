"""Which ranks regulate together: those of a wrapper, of a group that is given, or all that hold the same weights."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel as DDP

import ahsar
from ahsar import AhsarError, AttachError, Config, peers
from tests import models
from tests.models import MOVING
from tests.ranks import together

WORLD, STEPS = 3, 4
TOGETHER = [0, 1]  # ranks of one group; rank 2 is in another
UNEVEN = (0, 2, 4)  # batches of each rank within join()
pytestmark = pytest.mark.xdist_group("distributed")


def inputs(rank: int, step: int) -> Tensor:
    return models.batch(10 * step + rank, 3 + 2 * rank)[0] * (1.0 + rank)


def still(model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer that moves no weight: what is compared are rates and scales alone."""
    return torch.optim.SGD(model.parameters(), lr=0.0)


def learn(homeostat: ahsar.Homeostat, model: Any, ranks: list[int], steps: int = STEPS) -> list[Any]:
    """Scales and rates after each step on the inputs of these ranks."""
    optimizer, trace = still(model), []
    homeostat.follow(optimizer)
    for step in range(steps):
        sum(model(inputs(rank, step)).sum() for rank in ranks).backward()  # type: ignore[union-attr]
        optimizer.step()
        trace.append([homeostat.scales, homeostat.rates])
    return trace


def regulate(ranks: list[int], seed: int = 0, steps: int = STEPS, **options: Any) -> list[Any]:
    model = models.build(seed=seed)
    return learn(ahsar.attach(model, config=MOVING, **options), model, ranks, steps)


def refusal(call: Callable[[], Any]) -> str:
    try:
        call()
    except AhsarError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def wrapped(rank: int, group: Any, late: bool) -> list[Any]:
    """Trained in a wrapper that knows the group, attached before or after."""
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING) if late else None
    around = DDP(model, process_group=group)
    return strip(learn(homeostat or ahsar.attach(around, config=MOVING), around, [rank]))


def strip(trace: list[Any]) -> list[Any]:
    return [[{name.removeprefix("module."): value for name, value in part.items()} for part in parts] for parts in trace]


def warm_up(rank: int) -> None:
    """The same weights until after the first update; then each rank goes its own way."""
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING)
    learn(homeostat, model, [rank], 1)
    with torch.no_grad():
        model.readout.weight.add_(1e-4 * rank)
    learn(homeostat, model, [rank], 1)


def joined(rank: int, batches: tuple[int, ...] = UNEVEN, **options: Any) -> list[Any]:
    """Uneven numbers of batches within join(): what the controller knows afterwards."""
    around = DDP(models.build())
    homeostat = ahsar.attach(around, config=options.pop("config", MOVING))
    with_join(around, homeostat, rank, batches, **options)
    homeostat.epoch(0.5)
    return [*strip([[homeostat.scales, homeostat.rates]])[0], homeostat.steps]


def with_join(around: Any, homeostat: Any, rank: int, batches: tuple[int, ...], parts: int = 1, leave_out: int = -1) -> None:
    optimizer = still(around)
    homeostat.follow(optimizer)
    with around.join():
        for step in range(batches[rank]):
            for part in range(parts - 1):
                with around.no_sync():
                    around(inputs(rank, step + 100 * (part + 1))).sum().backward()
            around(inputs(rank, step)).sum().backward()
            if step != leave_out:
                optimizer.step()


def late_join(rank: int) -> None:
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING)
    with_join(DDP(model), homeostat, rank, (2, 2, 2))


def paused_join(rank: int) -> int:
    around = DDP(models.build())
    homeostat = ahsar.attach(around, config=MOVING)
    with homeostat.paused():
        with_join(around, homeostat, rank, UNEVEN, leave_out=1)
    return homeostat.steps


def work(_: Any) -> dict[str, Any]:
    """What each process does."""
    rank = dist.get_rank()
    groups = [dist.new_group(TOGETHER), dist.new_group([2])]
    own = groups[rank // 2]
    results: dict[str, Any] = {
        "given": regulate([rank], process_group=own),
        "alone": regulate([rank], seed=rank, steps=STEPS + rank, process_group=False),
        "by hand": regulate([rank]),
        "after attach": wrapped(rank, own, late=True),
        "before attach": wrapped(rank, own, late=False),
        "all": regulate([rank], seed=rank, process_group=dist.group.WORLD),
    }
    results["told"] = {
        "independent": refusal(lambda: regulate([rank], seed=rank)),
        "sub-groups": refusal(lambda: regulate([rank], seed=rank // 2)),
        "warm-up": refusal(lambda: warm_up(rank)),
        "outside": refusal(lambda: ahsar.attach(models.build(), process_group=groups[1 - rank // 2])),
        "no group": refusal(lambda: ahsar.attach(models.build(), process_group=3)),
        "late join": refusal(lambda: late_join(rank)),
        "step left out": refusal(lambda: joined(rank, (3, 3, 3), leave_out=1)),
    }
    model = models.build()
    homeostat = ahsar.attach(model, process_group=own)
    results["copied"] = [ahsar.attached(copy.deepcopy(model)) is not None]
    homeostat.detach()
    around = DDP(models.build())
    before = dict(vars(around))
    ahsar.attach(around).detach()
    results["left"] = vars(around).keys() == before.keys()
    results["joined"] = joined(rank)
    results["joined, every other"] = joined(rank, config=replace(MOVING, interval=2))
    results["joined, accumulated"] = joined(rank, parts=2)
    results["joined, paused"] = paused_join(rank)
    if rank == 0:  # the others do not train
        peers.PATIENCE = 0.5
        results["told"]["lone"] = refusal(lambda: regulate([rank]))
    return results


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return together(nothing, work, WORLD, tmp_path_factory.mktemp("peers"))


def nothing() -> None:
    """Nothing goes before the group."""


def same(got: list[Any], wanted: list[Any]) -> None:
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        for part, whole in zip(one, other, strict=True):
            assert part == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("name", ["given", "before attach", "after attach"])
def test_the_ranks_of_a_group_are_one_process_and_others_have_no_part(ranks: list[dict[str, Any]], name: str) -> None:
    pair, single = regulate(TOGETHER), regulate([2])
    assert pair[-1][0] != single[-1][0]
    for rank in range(WORLD):
        same(ranks[rank][name], pair if rank in TOGETHER else single)


def test_a_rank_may_be_alone_with_a_model_and_a_number_of_steps_of_its_own(ranks: list[dict[str, Any]]) -> None:
    for rank in range(WORLD):
        assert ranks[rank]["alone"] == regulate([rank], seed=rank, steps=STEPS + rank)


def test_ranks_with_the_same_weights_are_together_without_a_word(ranks: list[dict[str, Any]]) -> None:
    for rank in range(WORLD):
        same(ranks[rank]["by hand"], regulate([0, 1, 2]))


def test_a_given_group_needs_no_equal_weights(ranks: list[dict[str, Any]]) -> None:
    assert all(rank["all"] == ranks[0]["all"] for rank in ranks)


CURE = r".*attach\(\.\.\., process_group=False\).*group\.WORLD"
TOLD = {
    "independent": rf"AttachError: ranks \d and \d hold different weights{CURE}",
    "sub-groups": rf"AttachError: ranks \d and \d hold different weights{CURE}",
    "warm-up": rf"AttachError: ranks \d and \d hold different weights{CURE}",
    "outside": r"AttachError: .*this rank is not in the group",
    "no group": r"AttachError: .*a int is no group of torch\.distributed",
    "late join": r"AttachError: an update within DistributedDataParallel\.join\(\).*Attach after wrapping.*paused\(\)",
    "step left out": r"AttachError: a backward without an update behind it.*GradScaler.*paused\(\)",
}


@pytest.mark.parametrize("name", TOLD)
def test_what_cannot_be_told_is_an_error_on_every_rank(ranks: list[dict[str, Any]], name: str) -> None:
    for rank in ranks:
        assert re.match(TOLD[name], rank["told"][name]), rank["told"][name]


def test_a_rank_that_trains_alone_does_not_wait_for_ever(ranks: list[dict[str, Any]]) -> None:
    assert re.match(rf"AttachError: rank 0 takes an update, and rank \d none within 0\.5 s{CURE}", ranks[0]["told"]["lone"])


@pytest.mark.parametrize("name", ["joined", "joined, every other", "joined, accumulated"])
def test_ranks_that_have_run_out_of_data_take_updates_along(ranks: list[dict[str, Any]], name: str) -> None:
    model = models.build()
    config = replace(MOVING, interval=2) if "other" in name else MOVING
    homeostat, optimizer = ahsar.attach(model, config=config), still(model)
    homeostat.follow(optimizer)
    for step in range(max(UNEVEN)):
        for offset in (100, 0) if "accumulated" in name else (0,):
            for rank in range(WORLD):
                if step < UNEVEN[rank]:
                    model(inputs(rank, step + offset)).sum().backward()
        optimizer.step()
    for rank in ranks:
        scales, rates, steps = rank[name]
        assert scales == pytest.approx(homeostat.scales, abs=1e-6) and rates == pytest.approx(homeostat.rates, abs=1e-6)
        assert steps == max(UNEVEN)


def test_a_paused_controller_has_no_part_in_join(ranks: list[dict[str, Any]]) -> None:
    assert [rank["joined, paused"] for rank in ranks] == [0, 0, 0]


def test_copies_and_wrappers_are_left_as_they_were(ranks: list[dict[str, Any]]) -> None:
    assert all(rank["copied"] == [True] and rank["left"] for rank in ranks)


@pytest.mark.parametrize("wrong", [True, "nccl", 3])
def test_what_is_no_process_group_is_refused(wrong: Any) -> None:
    model = models.build()
    with pytest.raises(AttachError, match=r"init_process_group"):
        ahsar.attach(model, process_group=wrong)
    assert ahsar.attached(model) is None
    assert ahsar.attach(model, config=Config(), process_group=False).attached
