"""What every adapter promises, for every class of neurons in every configuration."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointError, checkpoint

import ahsar
from ahsar.layer import layers_of
from ahsar.spikes import counted

from .case import Case, Trace, attached, close, differ, reference, same, trace
from .cases import CASES
from .host_copies import HostCopies

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_scale = pytest.mark.parametrize("scale", [0.6, 1.7])


def can_pickle(case: Case) -> bool:
    try:
        pickle.dumps(case.module())
    except (AttributeError, pickle.PicklingError):
        return False
    return True


def rebuilt(case: Case, scale: float, attached_to: nn.Module) -> Trace:
    """The run of a module built with the scaled threshold; its threshold's gradient is carried over to θ⁰."""
    run = reference(case, scale)
    slopes = {name: case.slope(attached_to.get_parameter(name).detach(), scale) for name in case.learned}
    return Trace(run.outputs, {**run.gradients, **{name: run.gradients[name] * slope for name, slope in slopes.items()}})


def no_hooks(module: nn.Module) -> bool:
    stores = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called", "_backward_hooks")
    return not any(getattr(module, store) for store in stores)


@each_case
@pytest.mark.parametrize("neutral", ["fresh", "held", "computed"])
def test_at_scale_one_outputs_and_gradients_are_bit_exact(case: Case, neutral: str) -> None:
    module, homeostat = attached(case, reaction=0.0)
    if neutral == "held":
        homeostat.hold(1.0)
    if neutral == "computed":
        for _ in range(2):
            trace(case, module)
            homeostat.step()
        assert homeostat.scales == {"layer": 1.0}
        assert case.writer == "tensor" or case.stored(module) == case.threshold
    # a learnable threshold that is multiplied by 1 collects its gradient in another order
    same(trace(case, module), reference(case), but=case.learned if neutral == "computed" else ())


@each_case
@each_scale
def test_scaling_equals_rebuilding(case: Case, scale: float) -> None:
    module, homeostat = attached(case)
    homeostat.hold(scale)
    after = trace(case, module)
    assert differ(after, reference(case))
    wanted = rebuilt(case, scale, module)
    if case.rounding:
        close(after, wanted)
    else:
        same(after, wanted, but=case.learned)


@each_case
def test_state_dict_never_changes(case: Case) -> None:
    module = case.module()
    parameters = {name: id(parameter) for name, parameter in module.named_parameters()}
    wanted = {name: value.clone() for name, value in module.state_dict().items()}
    module, homeostat = attached(case, module)

    def check() -> None:
        assert list(module.state_dict()) == list(wanted)
        assert all(torch.equal(value, wanted[name]) for name, value in module.state_dict().items())
        assert {name: id(parameter) for name, parameter in module.named_parameters()} == parameters

    check()
    for scale in (0.6, 1.7):
        homeostat.hold(scale)
        check()
        trace(case, module)
        homeostat.step()
        check()


@each_case
def test_detach_restores_everything(case: Case) -> None:
    twin = case.module()
    wanted = trace(case, twin)
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    trace(case, module)
    homeostat.release()
    trace(case, module)
    homeostat.step()
    homeostat.detach()
    assert no_hooks(module)
    assert list(module.__dict__) == list(twin.__dict__)
    got, original = case.stored(module), case.stored(twin)
    assert type(got) is type(original)
    assert torch.equal(torch.as_tensor(got), torch.as_tensor(original))
    same(trace(case, module), wanted)


@each_case
def test_equal_layers_stay_independent(case: Case) -> None:
    one, other = case.module(), case.module()
    homeostat = ahsar.attach(nn.ModuleDict({"one": one, "other": other}), layers="all")
    wanted = trace(case, other)
    homeostat.hold({"one": 0.6})
    assert differ(trace(case, one), wanted)
    same(trace(case, other), wanted)


@each_case
def test_rate_is_the_share_of_outputs_that_are_not_zero(case: Case) -> None:
    module, homeostat = attached(case)
    seen = [case.spikes(output) for _ in range(2) for output in trace(case, module).raw]
    spikes, count = sum((s.sum() if case.graded else s.count_nonzero()).item() for s in seen), sum(s.numel() for s in seen)
    assert 0 < spikes < count
    layer = homeostat.layers[0]
    assert layer.sum.spikes is not None
    assert layer.sum.spikes.item() == (pytest.approx(spikes, rel=1e-6) if case.graded else spikes)
    assert layer.sum.count == count
    homeostat.step()
    assert homeostat.rates["layer"] == pytest.approx(spikes / count, rel=1e-6)


@each_case
def test_whoever_counts_spikes_counts_what_the_controller_does(case: Case) -> None:
    module, homeostat = attached(case)
    with counted(ahsar.discover(homeostat.model)) as spikes:
        trace(case, module)
    homeostat.step()
    assert spikes.rates == pytest.approx(homeostat.rates, rel=1e-6)


@each_case
def test_bake_leaves_an_ordinary_module(case: Case) -> None:
    module, homeostat = attached(case)
    keys, parameters = list(module.state_dict()), dict(module.named_parameters())
    homeostat.hold(0.6)
    scaled = trace(case, module)
    homeostat.bake()
    assert no_hooks(module)
    assert list(module.state_dict()) == keys
    assert all(module.get_parameter(name) is parameter for name, parameter in parameters.items())
    baked = trace(case, module)
    for name in case.learned:
        # the gradient is now that of the scaled threshold itself
        del scaled.gradients[name], baked.gradients[name]
    same(baked, scaled)


@each_case
def test_a_forward_that_raises_leaves_no_shadow(case: Case) -> None:
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    wanted, keys, threshold = trace(case, module), list(module.__dict__), case.stored(module)
    with pytest.raises((TypeError, AttributeError, RuntimeError)):
        module("no tensor")
    assert list(module.__dict__) == keys
    assert case.stored(module) is threshold
    same(trace(case, module), wanted)


def check_copy(case: Case, duplicate: Callable[[nn.Module], nn.Module]) -> None:
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    with torch.no_grad():
        case.run(module, case.input())
    copied = duplicate(homeostat.model)
    wanted = trace(case, module)
    twin: Any = copied.get_submodule("layer")
    same(trace(case, twin), wanted)
    (layer,) = layers_of(copied)
    assert layer.module is twin
    layer.group.homeostat.hold(1.7)
    assert differ(trace(case, twin), wanted)
    same(trace(case, module), wanted)
    layer.group.homeostat.detach()
    same(trace(case, twin), reference(case))
    same(trace(case, module), wanted)


@pytest.mark.parametrize("case", [case for case in CASES if case.copies], ids=str)
def test_deepcopy_is_equal_and_independent(case: Case) -> None:
    check_copy(case, copy.deepcopy)


@pytest.mark.parametrize("case", [case for case in CASES if can_pickle(case)], ids=str)
def test_pickle_is_equal_and_independent(case: Case) -> None:
    check_copy(case, lambda model: pickle.loads(pickle.dumps(model)))


@pytest.mark.parametrize("case", [case for case in CASES if case.differentiable], ids=str)
@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_changes_nothing(case: Case, reentrant: bool) -> None:
    def around(forward: Callable[..., Any], x: torch.Tensor) -> Any:
        return checkpoint(forward, x, use_reentrant=reentrant)

    if case.reentrant_only and not reentrant:
        with pytest.raises(CheckpointError):
            trace(case, case.module(), around)  # never attached
        return
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    layer = homeostat.layers[0]
    wanted = trace(case, module)
    rate = layer.sum.spikes, layer.sum.count
    layer.sum.clear()
    got = trace(case, module, around)
    close(got, wanted)
    assert (layer.sum.spikes, layer.sum.count) == rate


@pytest.mark.parametrize("case", [case for case in CASES if case.learnable], ids=str)
def test_gradient_reaches_a_learnable_threshold(case: Case) -> None:
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    with torch.no_grad():
        case.run(module, case.input())  # as validation does between two training steps
    gradients = trace(case, module).gradients
    assert all(gradients[name].count_nonzero() > 0 for name in case.learned)


@each_case
def test_host_copies(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """None in a forward; in an update one for thresholds that are Python floats. The first one also looks at values."""
    copies, twin = HostCopies(monkeypatch), case.module()
    module, homeostat = attached(case)
    for update in range(3):
        alone = copies.during(lambda: case.run(twin, case.input()))
        assert copies.during(lambda: case.run(module, case.input())) == alone
        assert copies.during(homeostat.step) == (case.writer == "float") + (update == 0)
