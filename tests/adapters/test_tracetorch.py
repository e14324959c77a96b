"""What is special about tracetorch: raw thresholds behind a softplus, graded spikes, two signs, its own compilation."""

import inspect
import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import ahsar
from ahsar.export import check_rounding
from tests.models import MOVING

from .case import NEURONS
from .tracetorch_cases import CASES

snn: Any = pytest.importorskip("tracetorch.snn")
functional: Any = pytest.importorskip("tracetorch.functional")
core: Any = pytest.importorskip("tracetorch.core")

INTEGRATORS = {"LI", "DLI", "SLI", "DSLI", "LIEMA", "DLIEMA", "SLIEMA", "DSLIEMA"}
ROUNDED = functional.round_ste()


def attach(*layers: nn.Module) -> ahsar.Homeostat:
    return ahsar.attach(nn.ModuleList(layers), layers="all")


def given() -> torch.Tensor:
    return 2 * torch.randn(50, NEURONS, generator=torch.Generator().manual_seed(0))


def test_no_class_is_forgotten() -> None:
    classes = {name: cls for name, cls in vars(snn).items() if inspect.isclass(cls) and issubclass(cls, nn.Module)}
    covered = {type(case.module()).__name__ for case in CASES}
    assert classes.keys() - covered - {"Layer"} == INTEGRATORS
    found = ahsar.discover(nn.ModuleList([classes[name](4) for name in sorted(INTEGRATORS)]))
    assert len(found) == len(INTEGRATORS)
    assert all("does not spike" in str(item.reason) for item in found)


def test_the_activated_threshold_is_scaled_and_its_gradient_reaches_the_raw_one() -> None:
    layer = snn.LIB(NEURONS, threshold=0.8)
    homeostat = attach(layer)
    homeostat.hold(1.5)
    seen: list[torch.Tensor] = []
    layer.spike_fn = lambda distance: seen.append(layer.threshold) or torch.sigmoid(distance)
    layer(given()).sum().backward()
    torch.testing.assert_close(seen[0].detach(), torch.full((NEURONS,), 1.2))
    assert layer.raw_threshold.grad.count_nonzero() == NEURONS
    torch.testing.assert_close(layer.threshold.detach(), torch.full((NEURONS,), 0.8))  # outside forward, its own


@pytest.mark.parametrize("name", ["LIT", "LITS", "DSRLITS"])
def test_both_signs_are_scaled_and_the_one_stays_apart_from_the_other(name: str) -> None:
    layer = getattr(snn, name)(NEURONS, pos_threshold=0.5, neg_threshold=2.0)
    homeostat = attach(layer)
    assert homeostat.layers[0].threshold.value(layer).tolist() == pytest.approx([0.5] * NEURONS + [2.0] * NEURONS)
    homeostat.hold(2.0)
    homeostat.bake()
    for attribute, wanted in (("pos_threshold", 1.0), ("neg_threshold", 4.0)):
        torch.testing.assert_close(getattr(layer, attribute).detach(), torch.full((NEURONS,), wanted))
        assert attribute not in layer.__dict__
        assert isinstance(getattr(layer, f"raw_{attribute}"), nn.Parameter)


def test_a_negative_threshold_lets_negative_spikes_through_or_not() -> None:
    layer = snn.LIT(NEURONS, quant_fn=ROUNDED)
    homeostat = attach(layer)
    counts = []
    for scale in (0.5, 1.0, 2.0):
        homeostat.hold(scale)
        layer.zero_states()
        output = layer(given())
        counts.append((int((output > 0).sum()), int((output < 0).sum())))
    for above, below in itertools.pairwise(counts):
        assert above[0] > below[0] > 0 and above[1] > below[1] > 0


def test_graded_spikes_count_by_their_strength_and_can_be_steered() -> None:
    """With tracetorch's default no output is 0: the share of non-zeros would be 1 whatever the threshold."""
    layer = snn.LIB(NEURONS)
    homeostat = ahsar.attach(nn.ModuleList([layer]), config=replace(MOVING, cooling=0.1), layers="all")
    output = layer(given())
    assert output.count_nonzero() == output.numel()
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx(output.mean().item())
    for _ in range(300):
        layer.zero_states()
        layer(given())
        homeostat.step()
    assert homeostat.rates["0"] == pytest.approx(0.2, abs=0.03)


def test_rounding_that_silences_a_graded_layer_is_told() -> None:
    layer = snn.LIB(NEURONS)
    net = nn.ModuleList([layer])

    def forward(x: torch.Tensor) -> torch.Tensor:
        layer.zero_states()
        return layer(x)

    before = attach(layer)
    with torch.no_grad():
        forward(given())
    before.step()
    rate = before.rates["0"]
    before.detach()
    with pytest.warns(UserWarning, match=f"layer '0': with rounded thresholds its rate goes from {rate:.3g} to"):
        moved = check_rounding(net, [given()], unit=5.0, forward=forward)
    assert moved["0"] < -0.9  # a threshold of 1 becomes one of 5


def test_scaled_graded_spikes_count_as_one_at_most() -> None:
    layer = snn.LITS(NEURONS, pos_scale=50.0, neg_scale=50.0, pos_threshold=0.1, neg_threshold=0.1)
    homeostat = attach(layer)
    output = layer(given())
    assert output.abs().max() > 1.0
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx(output.abs().clamp(max=1).mean().item()) and homeostat.rates["0"] < 1.0


def test_a_layer_compiled_for_inference_is_refused_and_one_compiled_while_attached_says_so() -> None:
    layer = snn.LIB(NEURONS, quant_fn=ROUNDED)
    layer.TTcompile()
    with pytest.raises(ahsar.AttachError, match="TTdecompile"):
        attach(layer)
    layer.TTdecompile()
    homeostat = attach(layer)
    homeostat.hold(0.5)
    layer.TTcompile()
    with pytest.raises(ahsar.AdapterError, match="bake"):
        layer(given())


def test_a_baked_layer_compiles_to_the_scaled_threshold() -> None:
    layer = snn.LIB(NEURONS, quant_fn=ROUNDED)
    homeostat = attach(layer)
    homeostat.hold(0.5)
    wanted = layer(given())
    homeostat.bake()
    layer.TTcompile()
    layer.zero_states()
    assert torch.equal(layer(given()), wanted)


def test_a_model_of_tracetorch_still_manages_the_states_of_attached_layers() -> None:
    class Net(core.Model):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(NEURONS, 8), snn.LIB(8, quant_fn=ROUNDED), snn.LI(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    net = Net()
    homeostat = ahsar.attach(net)
    assert [layer.name for layer in homeostat.layers] == ["layers.1"]
    homeostat.hold(0.5)
    first = net(given())
    states = net.save_states()
    assert set(states) >= {"layers.1.mem"}
    net.zero_states()
    assert torch.equal(net(given()), first)


def test_a_layer_of_a_user_with_its_own_threshold_is_regulated() -> None:
    class Own(snn.LIB.__base__):
        def __init__(self) -> None:
            super().__init__(NEURONS)
            self._register_threshold("firing_threshold", 1.0, 1, True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x > self.firing_threshold).float()

    layer: Any = Own()
    homeostat = attach(layer)
    homeostat.hold(1.5)
    assert torch.equal(layer(given()), (given() > 1.5).float())
    homeostat.bake()
    torch.testing.assert_close(softplus(layer.raw_firing_threshold).detach(), torch.full((NEURONS,), 1.5))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_both_thresholds_are_scaled_in_a_compiled_model() -> None:
    case = next(case for case in CASES if str(case) == "tracetorch-LITS-rounded")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = case.module()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack(case.run(self.layer, x))

    net, twin = Net(), Net()
    homeostat, wanted = ahsar.attach(net, compile=True, layers="all"), ahsar.attach(twin)
    torch._dynamo.reset()
    compiled = torch.compile(net, backend="eager")
    for scale in (0.9, 0.5):
        homeostat.hold(scale)
        wanted.hold(scale)
        torch.testing.assert_close(compiled(case.input()), twin(case.input()))
    assert homeostat.layers[0].sum.tally is not None  # it was traced as a whole
    assert twin(case.input()).min() < 0 < twin(case.input()).max()
