"""attach(compile=True): numbers become tensors, and nothing else changes in eager mode."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

import ahsar
from tests.models import MOVING

from .case import Case, Trace, close, reference, same, trace
from .cases import CASES
from .host_copies import HostCopies

# classes that stay with numbers
NUMBERS = ("ILIF", "HalfThresholdIF")

each_case = pytest.mark.parametrize("case", CASES, ids=str)


def attached(case: Case) -> tuple[nn.Module, ahsar.Homeostat]:
    module = case.module()
    model = nn.ModuleDict({"layer": module})
    return module, ahsar.attach(model, config=replace(MOVING, set_point=0.05), compile=True, layers="all")


def without(run: Trace, names: tuple[str, ...]) -> Trace:
    """The run without the gradients of some leaves."""
    return Trace(run.outputs, {name: value for name, value in run.gradients.items() if name not in names})


@each_case
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_scaling_equals_rebuilding(case: Case, scale: float) -> None:
    module, homeostat = attached(case)
    homeostat.hold(scale)
    got, wanted = trace(case, module), reference(case, scale)
    # the slope of a learnable threshold is the business of the contract
    close(without(got, case.learned), without(wanted, case.learned))


@each_case
def test_nothing_is_copied_to_the_host(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the first update after eager forwards, which looks at values."""
    copies, twin = HostCopies(monkeypatch), case.module()
    module, homeostat = attached(case)
    for update in range(3):
        alone = copies.during(lambda: case.run(twin, case.input()))
        assert copies.during(lambda: case.run(module, case.input())) == alone
        assert copies.during(homeostat.step) == case.name.startswith(NUMBERS) + (update == 0)


@each_case
def test_detach_leaves_the_module_as_it_was(case: Case) -> None:
    twin = case.module()
    wanted = trace(case, twin)
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    trace(case, module)
    homeostat.detach()
    same(trace(case, module), wanted)
    assert [type(part) for part in module.modules()] == [type(part) for part in twin.modules()]
    assert list(module.__dict__) == list(twin.__dict__)
    assert type(case.stored(module)) is type(case.stored(twin))


@each_case
def test_bake_leaves_an_ordinary_module(case: Case) -> None:
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    scaled = trace(case, module)
    homeostat.bake()
    assert [type(part) for part in module.modules()] == [type(part) for part in case.module().modules()]
    assert isinstance(case.stored(module), Tensor) == isinstance(case.stored(case.module()), Tensor)
    baked = trace(case, module)
    close(without(baked, case.learned), without(scaled, case.learned))


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_surrogates_of_its_own(mode: str, duplicate: Any) -> None:
    shared = surrogate.ATan()
    model = nn.Sequential(*(neuron.IFNode(surrogate_function=shared, step_mode=mode) for _ in range(2)))
    outside = neuron.IFNode(surrogate_function=shared)
    homeostat = ahsar.attach(model, compile=True, layers="all")
    twin = duplicate(model)
    homeostat.detach()
    assert all(layer.surrogate_function is shared for layer in (*model, outside))
    own = ahsar.attached(twin)
    assert own is not None and isinstance(twin[0].v_threshold, Tensor)
    own.detach()
    assert type(twin[0].surrogate_function) is surrogate.ATan and twin[0].v_threshold == 1.0
