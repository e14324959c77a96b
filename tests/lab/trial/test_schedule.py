"""The learning rate of every step is that of its schedule, whoever steps, in every parameter group."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ahsar.lab import data
from ahsar.lab.spec.catalogue import PARADIGMS
from ahsar.lab.spec.workload import Model, Optimizer, Paradigm, Workload, load
from ahsar.lab.trial import schedule
from ahsar.lab.trial.run import run_trial

STEPS = 4


@pytest.fixture
def rates() -> Iterator[list[list[float]]]:
    """The learning rates of all groups at every step that any optimizer takes."""
    seen: list[list[float]] = []

    def note(optimizer: torch.optim.Optimizer, *rest: Any) -> None:
        seen.append([group["lr"] for group in optimizer.param_groups])

    handle = register_optimizer_step_pre_hook(note)
    yield seen
    handle.remove()


def workload(paradigm: str, kind: str) -> Workload:
    digits = load("digits")
    return replace(
        digits,
        data=replace(digits.data, train_limit=64),
        model=Model("mlp", time_steps=3, width=6, depth=1, neuron="if" if paradigm == "conversion" else "lif"),
        paradigm=Paradigm(paradigm, ann_steps=1),
        optimizer=Optimizer("sgd", 0.1, schedule=kind),
        budget=replace(digits.budget, steps=STEPS, eval_every=STEPS),
    )


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_paradigm_follows_the_cosine(rates: list[list[float]], paradigm: str) -> None:
    spec = workload(paradigm, "cosine")
    run_trial(spec, data.load(spec), "baseline", 0)
    meant = [0.05 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)]
    assert [lr for (lr,) in rates[-STEPS:]] == pytest.approx(meant)  # conversion's analogue net steps before


def test_groups_of_an_arm_keep_their_share(rates: list[list[float]]) -> None:
    spec = workload("bptt", "cosine")
    run_trial(spec, data.load(spec), "learnable@3", 0)
    assert len(rates) == STEPS and all(theirs == pytest.approx(3 * ours) for ours, theirs in rates)
    assert rates[1][0] == pytest.approx(0.05 * (1 + math.cos(math.pi / STEPS)))


def test_a_constant_rate_stays_as_it_was(rates: list[list[float]]) -> None:
    spec = workload("bptt", "constant")
    run_trial(spec, data.load(spec), "lr@2", 0)
    assert rates == [[0.2]] * STEPS


def test_the_schedule_is_that_of_torch() -> None:
    ours, theirs = (torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.3) for _ in range(2))
    set_rates, annealing = schedule.follow(ours, "cosine", 50), CosineAnnealingLR(theirs, 50)
    for step in range(50):
        set_rates(step)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        theirs.step()
        annealing.step()
    assert schedule.factor("cosine", 0, 50) == 1 and schedule.factor("cosine", 50, 50) == 0
