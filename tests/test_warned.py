"""Warnings come once, count what they are about, and point at the user's line."""

import inspect
import warnings

import pytest
import torch
from torch import nn

import ahsar
from ahsar import warned
from tests import models


def line() -> int:
    """The line that calls this."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def silent_net(depth: int) -> tuple[nn.Module, torch.optim.Optimizer, ahsar.Homeostat]:
    torch.manual_seed(0)
    parts = [part for _ in range(depth) for part in (nn.Linear(8, 8), models.LIF(1e6))]
    model = nn.Sequential(*parts, nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    return model, optimizer, ahsar.attach(model, optimizer)


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.rand(4, 8, 8)).sum().backward()
    optimizer.step()


def test_eight_silent_layers_are_one_warning_at_the_users_line() -> None:
    model, optimizer, homeostat = silent_net(8)
    for _ in range(25):
        train_step(model, optimizer)
    with pytest.warns(UserWarning) as told:
        homeostat.epoch(0.5); here = line()  # fmt: skip  # noqa: E702
    (one,) = told
    assert str(one.message).startswith("8 layers ('1', '3', '5'") and "calibrate(batches)" in str(one.message)
    assert (one.filename, one.lineno) == (__file__, here)
    homeostat.epoch(0.5)  # warnings are errors here: it is said once


def test_what_is_told_within_an_optimizers_step_points_at_that_step() -> None:
    net = nn.Sequential(nn.Linear(8, 8), models.LIF(), nn.Linear(8, 2))
    head = nn.ModuleDict({"used": net, "spare": models.LIF()})
    optimizer = torch.optim.SGD(head.parameters(), lr=0.0)
    ahsar.attach(head, optimizer)
    head["used"](torch.rand(4, 8, 8)).sum().backward()
    with pytest.warns(UserWarning, match="'spare' has not run") as told:
        optimizer.step(); here = line()  # fmt: skip  # noqa: E702
    assert {(one.filename, one.lineno) for one in told if "spare" in str(one.message)} == {(__file__, here)}


def test_a_warning_comes_once_for_each_key_and_for_each_message() -> None:
    said: set[str] = set()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warned.say(said, {"a": "both", "b": "both", "c": "alone"})
        warned.say(said, {"a": "both again"})
        warned.say(said, {"a": "new", "d": "new"})
    assert [str(one.message) for one in told] == ["both", "alone", "new"] and said == {"a", "b", "c", "d"}
