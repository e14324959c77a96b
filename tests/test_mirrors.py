"""Copies of a model at the model's scales: averages, target networks, teachers."""

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import ahsar
from ahsar import AttachError, Homeostat
from ahsar.layer import Layer, layers_of
from tests import models
from tests.models import MOVING

X = models.batch(100)[0]
Copying = Callable[[nn.Module], nn.Module]


def answer(model: nn.Module) -> Tensor:
    training = model.training
    with torch.no_grad():
        scores = model.eval()(X)
    model.train(training)
    return scores


def rested(model: nn.Module, homeostat: Homeostat) -> None:
    """No state of neurons with a graph, and no sums, which could not be copied."""
    answer(model)
    if isinstance(model, models.StepNet):
        model.reset()
    for layer in homeostat.layers:
        layer.sum.clear()


def target_of(kind: str) -> Copying:
    """A network of its own, never attached, that gets the weights."""

    def build(model: nn.Module) -> nn.Module:
        target = models.build(kind, seed=1)
        target.load_state_dict(model.state_dict())
        return target

    return build


COPIES: dict[str, Callable[[str], Copying]] = {
    "deepcopy": lambda kind: copy.deepcopy,
    "AveragedModel": lambda kind: AveragedModel,
    "EMA": lambda kind: lambda model: AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True),
    "target": target_of,
}


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", models.KINDS)
def test_a_copy_with_the_same_weights_computes_the_same(kind: str, way: str, early: bool) -> None:
    model, alone = models.build(kind), models.build(kind)
    # weights stay, so that every copy has the model's; the scales move
    optimizer, other = (torch.optim.SGD(one.parameters(), lr=0.0) for one in (model, alone))
    homeostat, reference = (
        ahsar.attach(one, by, config=MOVING, layers="all") for one, by in ((model, optimizer), (alone, other))
    )
    if not early:
        models.train_step(model, optimizer, 0)
        models.train_step(alone, other, 0)
    rested(model, homeostat)
    rested(alone, reference)
    twin = COPIES[way](kind)(model)
    mirrored = homeostat.mirror(twin)
    for step in range(1, 4):
        models.train_step(model, optimizer, step)
        models.train_step(alone, other, step)
        twin(X)  # a copy in training mode is not sensed
        if isinstance(twin, AveragedModel):
            twin.update_parameters(model)
        assert list(mirrored.scales.values()) == list(homeostat.scales.values())
        assert torch.equal(answer(twin), answer(model)) and ahsar.attached(twin) is mirrored
    assert homeostat.scales == reference.scales  # and it does nothing to the model
    assert all(scale != 1 for scale in homeostat.scales.values())
    assert ahsar.attached(model) is homeostat and mirrored.steps == int(way != "target" and not early)


@pytest.mark.parametrize("kind", models.KINDS)
def test_scales_that_are_held_or_come_with_weights_are_passed_on(kind: str) -> None:
    model = models.build(kind)
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    twin = copy.deepcopy(model)
    mirrored = homeostat.mirror(twin)
    weights = copy.deepcopy(model.state_dict())
    for scales in (0.35, {"neurons.0": 0.7}, 1.0):
        homeostat.hold(scales)
        assert mirrored.scales == homeostat.scales and torch.equal(answer(twin), answer(model))
    homeostat.hold(0.5)
    kept = copy.deepcopy(model.state_dict())
    homeostat.release()
    model.load_state_dict(weights)
    assert set(mirrored.scales.values()) == {1.0}
    model.load_state_dict(kept)
    assert set(mirrored.scales.values()) == {0.5} and torch.equal(answer(twin), answer(model))


def test_a_mirror_controls_nothing() -> None:
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    twin = copy.deepcopy(model)
    mirrored = homeostat.mirror(twin)
    twin(X)
    mirrored.step()
    assert set(mirrored.scales.values()) == {1.0} and not any(layer.sum.heard() for layer in mirrored.layers)


def test_layers_that_are_left_alone_have_their_own_threshold_in_the_copy() -> None:
    model = nn.Sequential(nn.Linear(models.FEATURES, 5), models.LIF(), nn.Linear(5, 3), models.LIF())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    twin = copy.deepcopy(model)
    mirrored = homeostat.mirror(twin)
    model(X[None]).mean().backward()
    optimizer.step()
    assert list(homeostat.left_alone) == ["3"] and homeostat.scales["1"] != 1
    assert mirrored.scales == {"1": homeostat.scales["1"], "3": 1.0}
    assert torch.equal(twin(X[None]), model(X[None]))


@pytest.mark.parametrize("end", [Homeostat.detach, Homeostat.bake])
@pytest.mark.parametrize("kind", models.KINDS)
def test_it_ends_with_either_of_the_two(kind: str, end: Any) -> None:
    model = models.build(kind)
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    twins = [target_of(kind)(model) for _ in range(2)]
    first, second = (homeostat.mirror(twin) for twin in twins)
    homeostat.hold(0.5)
    wanted, own = answer(model), answer(models.build(kind))
    assert not torch.equal(wanted, own)
    end(first)
    homeostat.hold(0.7)
    torch.testing.assert_close(answer(twins[0]), wanted if end is Homeostat.bake else own)
    assert ahsar.attached(twins[0]) is None and torch.equal(answer(twins[1]), answer(model))
    again = homeostat.mirror(copy.deepcopy(model))
    end(homeostat)
    assert set(second.scales.values()) == set(again.scales.values()) == {torch.tensor(0.7).item()}


def test_a_copy_that_is_dropped_goes() -> None:
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    twin = copy.deepcopy(model)
    homeostat.mirror(twin)
    gone = weakref.ref(twin)
    del twin
    gc.collect()
    homeostat.hold(0.5)
    assert gone() is None


def test_copies_of_the_model_leave_its_mirrors_behind() -> None:
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    mirrored = homeostat.mirror(copy.deepcopy(model))
    other = ahsar.attached(copy.deepcopy(model))
    assert other is not None
    other.hold(0.5)
    assert set(mirrored.scales.values()) == {1.0}


def test_a_mirror_may_be_asked_for_twice_and_have_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    twin = copy.deepcopy(model)
    mirrored = homeostat.mirror(twin)
    assert homeostat.mirror(twin) is mirrored
    last = mirrored.mirror(copy.deepcopy(twin))
    writes: list[Any] = []
    write = type(mirrored.layers[0].threshold).write
    monkeypatch.setattr(type(mirrored.layers[0].threshold), "write", lambda *a: writes.append(a) or write(*a))
    homeostat.hold(0.5)
    assert last.scales == mirrored.scales == homeostat.scales and len(writes) == 6


def attachments(*pair: nn.Module) -> list[Any]:
    return [[(type(hook), id(getattr(hook, "__self__", None))) for hook in m._forward_hooks.values()]
            for model in pair for m in model.modules()]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: model, "holds the attached model itself"),
        (nn.Sequential, "holds the attached model itself"),
        (lambda model: models.build(depth=1), r"no copy of this one: it has no layer 'neurons\.1', but 'neurons\.0'"),
        (lambda model: nn.Linear(2, 3), r"it has no layer 'neurons\.0', 'neurons\.1', but none"),
        (
            lambda model: nn.Sequential(models.build()),
            r"no layer 'neurons\.0'.*but '0\.neurons\.0'.*without what it is part of",
        ),
        (lambda model: nn.ModuleList([copy.deepcopy(model), copy.deepcopy(model)]), "or several"),
        (lambda model: torch.compile(models.build(), backend="eager"), "compiled model, where hooks"),
        (lambda model: models.build().state_dict(), "needs a torch.nn.Module, not a OrderedDict"),
    ],
    ids=["itself", "around it", "too few", "none", "a part", "several", "compiled", "no module"],
)
def test_what_is_no_copy_is_refused_and_left_as_it_was(make: Any, message: str) -> None:
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    other = make(model)
    both = [one for one in (model, other) if isinstance(one, nn.Module)]
    before = attachments(*both)
    with pytest.raises(AttachError, match=message):
        homeostat.mirror(other)
    assert attachments(*both) == before
    homeostat.hold(0.5)


def test_hooks_that_cannot_be_set_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    model, target = models.build(), models.build()
    homeostat = ahsar.attach(model, layers="all")
    hook = Layer.hook
    monkeypatch.setattr(Layer, "hook", lambda layer: 1 / 0 if layer.name == "neurons.1" else hook(layer))
    with pytest.raises(ZeroDivisionError):
        homeostat.mirror(target)
    assert not layers_of(target)


def test_two_models_do_not_mirror_each_other() -> None:
    model = models.build()
    homeostat = ahsar.attach(model, layers="all")
    mirrored = homeostat.mirror(copy.deepcopy(model))
    last = mirrored.mirror(copy.deepcopy(model))
    for one in (mirrored, last):
        with pytest.raises(AttachError, match="this one is the mirror of: call it on the one that is to control"):
            one.mirror(model)
    homeostat.detach()
    with pytest.raises(AttachError, match=r"mirror\(\) after detach"):
        homeostat.mirror(copy.deepcopy(model))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch about itself
def test_thresholds_as_tensors_for_a_compiler_are_mirrored() -> None:
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING, layers="all", compile=True)
    target = target_of("float")(model)
    homeostat.mirror(target)
    homeostat.hold(0.5)
    assert isinstance(target.neurons[0].firing_level, Tensor)  # type: ignore[union-attr, index]
    assert torch.equal(answer(torch.compile(target, backend="eager")), answer(torch.compile(model, backend="eager")))  # type: ignore[arg-type]
