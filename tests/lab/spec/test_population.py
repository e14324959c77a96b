"""Populations: a draw is a function of the distribution and its number, every one is a valid net, and shares are kept."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ahsar.errors import WorkloadError
from ahsar.lab.models import build
from ahsar.lab.spec import population
from ahsar.lab.spec.population import Draw, Population, load
from tests.lab import drawn

USERS = load("users")
DRAWS = [USERS.draw(number) for number in (*range(200), *range(1000, 1200))]
SIDES = {"digits": (1, 8, 8), "fashion": (1, 14, 14), "cifar10": (3, 16, 16)}


def shape(draw: Draw) -> tuple[int, ...]:
    """Of the samples that its data gives."""
    side = {"dvs": 16, "tactile": 13}.get(draw.axes["data"])
    return SIDES[draw.axes["data"]] if side is None else (draw.workload.model.time_steps, 2, side, side)


def test_a_draw_depends_on_its_number_and_the_distribution_alone() -> None:
    again = load("users")
    assert [again.draw(number).workload.hash for number in (7, 3, 1000)] == [
        USERS.draw(number).workload.hash for number in (7, 3, 1000)
    ]
    assert len({draw.workload.hash for draw in DRAWS}) == len({draw.workload.name for draw in DRAWS}) == len(DRAWS)
    assert replace(USERS, title="another").hash == USERS.hash
    changed = replace(USERS, table={**USERS.table, "verdict": 2000})
    assert changed.hash != USERS.hash and changed.draw(0).workload.model != USERS.draw(0).workload.model


@pytest.mark.parametrize("draw", DRAWS[::25], ids=lambda draw: draw.workload.name)
def test_the_users_nets_can_be_built_and_run(draw: Draw) -> None:
    model = build(draw.workload, shape(draw), 10)
    out = model(torch.randn(2, *shape(draw)))
    assert out.shape == (draw.workload.model.time_steps, 2, 10) and out.isfinite().all()


def test_the_users_nets_are_what_the_issue_asks_for() -> None:
    for draw in DRAWS:
        spec, optimizer, budget = draw.workload.model, draw.workload.optimizer, draw.workload.budget
        assert 0.3 <= spec.threshold <= 2 and 0.5 <= spec.gain <= 2 and 1.5 <= spec.tau <= 4 and 2 <= spec.time_steps <= 10
        low, high = (1e-2, 4e-1) if optimizer.name == "sgd" else (5e-4, 2e-2)
        assert low <= optimizer.lr <= high and optimizer.momentum == (0.9 if optimizer.name == "sgd" else 0)
        assert 160 <= budget.steps <= 200 and budget.batch_size == 32 and draw.workload.seeds.count == 1
        if spec.name.startswith("snntorch"):  # its sigmoid is NaN far below the threshold
            assert spec.surrogate in ("atan", "fast-sigmoid")
    assert {draw.axes["model"] for draw in DRAWS} == set(USERS.table["model"])
    assert {draw.axes["data"] for draw in DRAWS} == set(USERS.table["data"])
    thresholds = np.log([draw.workload.model.threshold for draw in DRAWS])
    middle, spread = math.log(0.6) / 2, math.log(2 / 0.3) / math.sqrt(12)
    assert abs(thresholds.mean() - middle) < 4 * spread / math.sqrt(len(DRAWS))  # of a uniform distribution


def test_blocks_come_as_often_as_their_shares_say(tmp_path: Path) -> None:
    two = load(drawn.write(tmp_path))
    draws = [two.draw(number) for number in range(400)]
    counts = Counter(draw.axes["model"] for draw in draws)
    assert abs(counts["mlp"] / 400 - 2 / 3) < 4 * math.sqrt(2 / 9 / 400)
    steps = Counter(draw.workload.model.time_steps for draw in draws)
    assert set(steps) == {2, 3} and abs(steps[2] - 200) < 4 * math.sqrt(100)
    assert {draw.workload.seeds.first for draw in draws} == set(range(400))


def test_what_the_rules_refuse_is_drawn_again(tmp_path: Path) -> None:
    choosy = '{ choose = ["atan", "triangle"] }'  # snnTorch has no triangle
    path = drawn.write(tmp_path, mlp=f'{{ name = "snntorch-mlp", surrogate = {choosy} }}')
    draws = [load(path).draw(number).workload.model for number in range(60)]
    surrogates = Counter((spec.name, spec.surrogate) for spec in draws)
    assert surrogates["snntorch-mlp", "triangle"] == 0 < surrogates["snntorch-mlp", "atan"]
    hopeless = drawn.write(tmp_path, conv='{ name = "vgg11", widths = [2] }', mlp='{ name = "vgg11", widths = [2] }')
    with pytest.raises(WorkloadError, match=r"100 tries of draw 0 gave no valid workload; the last: model.widths"):
        load(hopeless)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="unknown population 'user': choose from users"):
        load("user")
    path = tmp_path / "half.toml"
    path.write_text('name = "half"\n')
    with pytest.raises(WorkloadError, match="title is missing; add it"):
        load(path)
    odd = '{ name = "mlp", tau = { normal = [0, 1] } }'
    path = drawn.write(tmp_path, mlp=odd, conv=odd)
    with pytest.raises(WorkloadError, match="is no distribution: give choose, uniform, log or whole, or as"):
        load(path)
    for odd in ('{ name = "mlp", tau = { choose = 3 } }', "3", '{ name = "mlp", tau = { as = "model.none" } }'):
        path = drawn.write(tmp_path, mlp=odd, conv=odd)
        with pytest.raises(WorkloadError, match="its tables draw nothing"):
            load(path)
    path.write_text(path.read_text().replace("verdict = ", "verdict = 2020-01-01 # "))
    with pytest.raises(WorkloadError, match=r"verdict = .*must be of type int"):
        load(path)
    with pytest.raises(WorkloadError, match="numbered from 0"):
        USERS.draw(-1)


@pytest.mark.parametrize("kind", ["uniform", "log", "whole"])
def test_a_number_fills_its_range(kind: str) -> None:
    random = np.random.default_rng(0)
    values = np.array([population._value(random, {kind: [2, 8]}) for _ in range(2000)], dtype=float)
    middle = {"uniform": 5.0, "log": 6 / math.log(4), "whole": 5.0}[kind]  # means of the distributions
    assert values.min() >= 2 and values.max() <= 8 and values.mean() == pytest.approx(middle, abs=0.15)
    assert (set(values) == set(range(2, 9))) == (kind == "whole")


def test_blocks_begin_with_the_nets_that_rivals_run_on() -> None:
    assert isinstance(USERS, Population)
    assert [USERS.has_rivals(number) for number in (0, 99, 100, 999, 1000, 1099, 1100)] == [
        True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert [USERS.is_for_verdict(number) for number in (0, 999, 1000)] == [False, False, True]
