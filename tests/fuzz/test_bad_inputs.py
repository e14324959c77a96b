"""Bad inputs to the core: only errors of ours, and nothing half-changed."""

import copy
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ahsar
from ahsar import Config
from tests import models

from .common import examples, quiet
from .junk import junk, mutated, refused

NAMES = [field.name for field in fields(Config)]


@given(st.dictionaries(st.sampled_from(NAMES), junk, min_size=1, max_size=3))
@settings(max_examples=examples(100))
def test_config(values: dict[str, Any]) -> None:
    refused(lambda: Config(**values))


@given(mutated(Config().to_dict()))
@settings(max_examples=examples(50))
def test_config_from_a_dictionary(values: Any) -> None:
    refused(lambda: Config.from_dict(values))


def snapshot(model: nn.Module) -> list[Any]:
    """What every module of a model holds, and who is hooked to it."""
    return [{name: copy.copy(value) for name, value in module.__dict__.items()} for module in model.modules()]


@given(st.sampled_from(["model", "optimizer", "layers", "compile"]), junk, st.sampled_from(["float", "buffer", "snntorch"]))
@settings(max_examples=examples(50))
def test_attach(argument: str, value: Any, kind: str) -> None:
    model = models.build(kind)
    before = snapshot(model)
    given_: dict[str, Any] = {"model": model, **{argument: value}}
    if refused(lambda: ahsar.attach(**given_)):
        assert snapshot(model) == before
        ahsar.attach(model).detach()
    elif (homeostat := ahsar.attached(model)) is not None:
        homeostat.detach()


def trained(kind: str) -> tuple[nn.Module, ahsar.Homeostat]:
    model = models.build(kind)
    homeostat = ahsar.attach(model, config=models.MOVING)
    for seed in range(2):
        model(models.batch(seed)[0])
        homeostat.step()
    homeostat.epoch(0.5)
    model(models.batch(3)[0])
    return model, homeostat


def quietly(function: Callable[[], Any]) -> Callable[[], Any]:
    """The same with its warnings left out: a changed state or Config may well be worth one."""

    def call() -> Any:
        with quiet():
            return function()

    return call


def told(homeostat: ahsar.Homeostat) -> str:
    return str(homeostat.state_dict())


@given(st.data(), st.sampled_from(["float", "buffer"]), st.booleans())
@settings(max_examples=examples(150))
def test_state(data: Any, kind: str, held: bool) -> None:
    model, homeostat = trained(kind)
    if held:
        homeostat.hold(0.5)
    state = homeostat.state_dict()
    bad = data.draw(
        mutated(state, st.one_of(junk, st.sampled_from([torch.ones(3), torch.tensor(torch.nan), torch.tensor(1j)])))
    )
    before, thresholds = told(homeostat), [layer.threshold.value(layer.module) for layer in homeostat.layers]
    if refused(quietly(lambda: homeostat.load_state_dict(bad))):
        assert told(homeostat) == before
    # what was taken can be worked with
    with torch.no_grad():
        model(models.batch(4)[0])
    refused(quietly(homeostat.step))
    refused(quietly(lambda: homeostat.epoch(0.5)))
    homeostat.detach()
    assert [module.firing_level for module in model.neurons] == thresholds  # type: ignore[union-attr]


@given(junk)
@settings(max_examples=examples(30))
def test_whole_state(value: Any) -> None:
    _, homeostat = trained("float")
    before = told(homeostat)
    assert refused(lambda: homeostat.load_state_dict(value))
    assert told(homeostat) == before


@given(st.sampled_from(["hold", "epoch"]), st.one_of(junk, junk.map(lambda value: {"neurons.0": value})))
@settings(max_examples=examples(60))
def test_calls(call: str, value: Any) -> None:
    _, homeostat = trained("float")
    before = told(homeostat)
    if refused(quietly(lambda: getattr(homeostat, call)(value))):
        assert told(homeostat) == before
