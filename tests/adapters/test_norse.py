"""What is special about Norse: no class forgotten, one default tuple for all cells, millivolts, sparse spikes, containers."""

import importlib
import pkgutil
from typing import Any

import pytest
import torch
from torch import nn

import ahsar

from .case import NEURONS, STEPS
from .norse_cases import CASES, INSTALLED, steps

if not INSTALLED:
    pytest.skip("needs Norse", allow_module_level=True)

norse: Any = importlib.import_module("norse.torch")
snn: Any = importlib.import_module("norse.torch.module.snn")
vgg: Any = importlib.import_module("norse.torch.models.vgg")

ENCODERS = {
    "ConstantCurrentLIFEncoder": lambda: norse.ConstantCurrentLIFEncoder(STEPS),
    "PoissonEncoder": lambda: norse.PoissonEncoder(STEPS),
    "PoissonEncoderStep": lambda: importlib.import_module("norse.torch.module.encode").PoissonEncoderStep(),
    "PopulationEncoder": lambda: norse.PopulationEncoder(3),
    "SignedPoissonEncoder": lambda: norse.SignedPoissonEncoder(STEPS),
    "SignedPoissonEncoderStep": lambda: importlib.import_module("norse.torch.module.encode").SignedPoissonEncoderStep(),
    "SpikeLatencyEncoder": lambda: norse.SpikeLatencyEncoder(),
    "SpikeLatencyLIFEncoder": lambda: norse.SpikeLatencyLIFEncoder(STEPS),
}
INTEGRATORS = {
    "LI": lambda: norse.LI(),
    "LICell": lambda: norse.LICell(),
    "LILinearCell": lambda: norse.LILinearCell(3, 4),
    "LIBoxCell": lambda: norse.LIBoxCell(),
}
WITHOUT: dict[str, Any] = {**ENCODERS, **INTEGRATORS}
BASES = {"SNN", "SNNCell", "SNNRecurrent", "SNNRecurrentCell"}
NO_NEURON = {
    "ExpFilter",
    "LConv2d",
    "Lift",
    "ParameterizedSpatialReceptiveField2d",
    "RecurrentSequential",
    "RegularizationCell",
    "SampledSpatialReceptiveField2d",
    "SequentialState",
    "SpatialReceptiveField2d",
    "SpikesToTimesDecoder",
    "TemporalReceptiveField",
}


def attach(*layers: nn.Module, **kwargs: Any) -> ahsar.Homeostat:
    kwargs.setdefault("layers", "all")
    return ahsar.attach(nn.ModuleList(layers), **kwargs)


def effective(homeostat: ahsar.Homeostat) -> torch.Tensor:
    layer = homeostat.layers[0]
    return layer.threshold.effective(layer.module)  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # at the import of two files
def test_no_class_is_forgotten() -> None:
    package = importlib.import_module("norse.torch.module")
    names = [info.name for info in pkgutil.iter_modules(package.__path__) if info.name != "test"]
    files = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    classes = {
        name
        for file in files
        for name, cls in vars(file).items()
        if isinstance(cls, type) and issubclass(cls, nn.Module) and cls.__module__.startswith(package.__name__)
    }
    covered = {type(case.module()).__name__ for case in CASES}
    assert len(classes) > 50
    assert classes - covered - BASES - set(WITHOUT) == NO_NEURON
    assert not covered & set(WITHOUT)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_class_that_does_not_spike_or_encodes_is_skipped_with_the_reason(name: str) -> None:
    (found,) = ahsar.discover(nn.ModuleDict({"layer": WITHOUT[name]()}))
    assert (found.framework, found.adapter) == ("Norse", None)
    assert found.reason is not None
    assert ("encodes" if name in ENCODERS else "integrator") in found.reason


def test_default_cells_hold_one_tensor_and_stay_independent() -> None:
    one, other = norse.LIFCell(), norse.LIFCell()
    shared, tuples = one.p.v_th, (one.p, other.p)
    assert shared is other.p.v_th
    homeostat = attach(one, other)
    homeostat.hold({"0": 0.5})
    x = torch.full((1, 1), 7.0)  # raises the membrane to 0.7 in one step
    assert (one(x)[0].item(), other(x)[0].item()) == (1.0, 0.0)
    homeostat.bake()
    later = norse.LIFCell()
    assert [cell.p.v_th.item() for cell in (one, other, later)] == [0.5, 1.0, 1.0]
    assert shared.item() == 1.0 and other.p is tuples[1] and other.p.v_th is shared


def test_detach_gives_the_very_same_tuple_back() -> None:
    cell = norse.LIFRefracCell()
    before = cell.p
    homeostat = attach(cell)
    homeostat.hold(0.5)
    seen = []
    cell.activation = lambda x, state, p, dt: (seen.append(p.lif.v_th.item()), (x, state))[1]
    cell(torch.zeros(1, 2))
    homeostat.detach()
    assert seen == [0.5] and cell.p is before


@pytest.mark.parametrize(("scale", "wanted"), [(0.5, -57.5), (2.0, -35.0)])
def test_millivolts_are_scaled_from_the_resting_potential(scale: float, wanted: float) -> None:
    bio = norse.LIFParameters(v_leak=torch.tensor(-65.0), v_th=torch.tensor(-50.0), v_reset=torch.tensor(-70.0))
    homeostat = attach(norse.LIF(bio))
    assert homeostat.layers[0].threshold.rest == -65.0
    homeostat.hold(scale)
    assert effective(homeostat).item() == wanted


def test_a_whole_number_as_threshold_is_scaled_to_a_fraction() -> None:
    cell = norse.CobaLIFCell(3, 3)  # −10 above a rest of −20, both int64
    assert cell.p.v_thresh.dtype == torch.int64
    homeostat = attach(cell)
    homeostat.hold(0.75)
    assert effective(homeostat).item() == -12.5
    homeostat.detach()
    assert cell.p.v_thresh.dtype == torch.int64


def test_a_threshold_below_rest_is_refused() -> None:
    low = norse.LIFParameters(v_leak=torch.tensor(0.0), v_th=torch.tensor(-0.5))
    with pytest.raises(ahsar.AttachError, match=r"'0': its threshold, -0\.5, is not finite and above rest \(0\)"):
        attach(norse.LIF(low))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_model_that_is_cast_after_attaching_runs_as_one_built_with_the_scaled_threshold(dtype: torch.dtype) -> None:
    def net(threshold: float) -> Any:
        torch.default_generator.manual_seed(0)
        cells = [norse.LIFBoxCell(norse.LIFBoxParameters(torch.tensor(900.0), v_th=torch.tensor(threshold))) for _ in range(2)]
        return norse.SequentialState(nn.Linear(NEURONS, 5), cells[0], nn.Linear(5, 5), cells[1])

    model, twin = net(1.0), net(0.5).to(dtype)
    homeostat = ahsar.attach(model)
    homeostat.hold(0.5)
    model.to(dtype)
    x = 30 * torch.randn(4, NEURONS, dtype=dtype)
    (spikes, _), (wanted, _) = model(x), twin(x)
    assert spikes.dtype == dtype and 0 < spikes.sum() < spikes.numel()
    assert torch.equal(spikes, wanted)


def test_autocast_changes_nothing_but_the_precision() -> None:
    def run(threshold: float, scale: float | None) -> torch.Tensor:
        torch.default_generator.manual_seed(0)
        cell = norse.LIFRecurrentCell(NEURONS, 8, norse.LIFParameters(v_th=torch.tensor(threshold)))
        if scale is not None:
            attach(cell).hold(scale)
        with torch.autocast("cpu", torch.bfloat16):
            return torch.stack([z for z, _ in steps(cell, 10 * torch.ones(STEPS, 2, NEURONS))])

    assert torch.equal(run(1.0, 0.5), run(0.5, None))
    assert not torch.equal(run(1.0, 0.5), run(1.0, None))


def test_the_threshold_goes_where_the_input_is() -> None:
    """`.to()` leaves the tuple where it is; the meta device stands for a GPU."""
    cell, meta = norse.LIFCell(), torch.device("meta")
    homeostat = attach(cell)
    homeostat.hold(0.5)
    threshold: Any = homeostat.layers[0].threshold
    places, step = [], cell.activation
    cell.activation = lambda x, state, p, dt: (places.append(p.v_th.device.type), step(x, state, p, dt))[1]
    x = torch.ones(1, 2)
    for device in ("cpu", meta, "cpu"):
        cell(x.to(device))
    assert places == ["cpu", "meta", "cpu"]
    cell(x)
    kept = threshold.effective(cell)
    assert threshold.effective(cell) is kept  # computed once for all forwards until the next update
    per_neuron = norse.LIF(norse.LIFParameters(v_th=torch.ones(2)))
    other: Any = attach(per_neuron).layers[0].threshold
    other.write(per_neuron, torch.tensor(0.5))
    other.enter(per_neuron, (x.to(meta),))
    assert per_neuron.p.v_th.tolist() == [0.5, 0.5]  # with dimensions it stays where its user put it
    other.leave(per_neuron)


@pytest.mark.parametrize("cell", ["LIF", "LIFCell", "LIFRecurrentCell"])
def test_sparse_spikes_count_as_dense_ones_do(cell: str) -> None:
    rates = []
    x = (torch.rand(STEPS, 5, NEURONS, generator=torch.Generator().manual_seed(0)) < 0.5) * 20.0
    for sparse in (False, True):
        torch.default_generator.manual_seed(0)
        layer = getattr(norse, cell)(*(NEURONS, 4) if "Recurrent" in cell else ())
        homeostat = attach(layer)
        z = layer((x if cell == "LIF" else x[0]).to_sparse() if sparse else (x if cell == "LIF" else x[0]))[0]
        assert z.is_sparse == sparse
        homeostat.step()
        rates.append(homeostat.rates["0"])
        assert rates[-1] == pytest.approx(z.sum().item() / z.numel(), rel=1e-6)
    assert rates[0] == rates[1] > 0


def container() -> Any:
    torch.default_generator.manual_seed(0)
    quick = norse.LIFParameters(tau_mem_inv=torch.tensor(300.0), tau_syn_inv=torch.tensor(500.0))
    inner = norse.SequentialState(norse.Lift(nn.Linear(8, 8)), norse.LSNN())
    refractory = norse.LIFRefracParameters(quick, torch.tensor(1.0))
    net = norse.SequentialState(
        norse.Lift(nn.Linear(NEURONS, 8)),
        norse.LIF(quick),
        inner,
        norse.LIFRecurrent(8, 8, quick),
        norse.LIFRefracRecurrent(8, 8, refractory),
        norse.LI(),
    )
    for name, parameter in net.named_parameters():
        if name.startswith("2.") or name.endswith("input_weights"):
            parameter.data.abs_().mul_(5.0)  # else the later layers are silent
    return net


def stateful(net: Any) -> int:
    """Layers with a state, by Norse's own account."""
    pairs = zip(net, net.stateful_layers, strict=True)
    return sum(stateful(module) if isinstance(module, norse.SequentialState) else flag for module, flag in pairs)


def test_every_stateful_layer_of_a_container_is_regulated_or_skipped() -> None:
    net = container()
    found = ahsar.discover(net)
    assert len(found) == stateful(net) == 5
    assert [item.name for item in found if item.reason is None] == ["1", "2.1", "3", "4"]
    assert {item.name: item.reason for item in found}["5"] == "it is a leaky integrator: it does not spike"


def test_a_norse_model_has_as_many_layers_as_its_definition_says() -> None:
    convolutions = [entry for entry in vgg.cfgs["A"] if entry != "M"]
    features = vgg.make_layers(["M", *(4 for _ in convolutions)])
    assert len(ahsar.attach(features).layers) == len(convolutions) == 8
    assert [layer.name for layer in ahsar.attach(norse.ConvNet4()).layers] == ["lif0", "lif1", "lif2"]


def test_rates_equal_those_of_the_state_hooks_and_the_regularisation_of_norse() -> None:
    net = container()
    regularisation = norse.RegularizationCell()
    homeostat = ahsar.attach(net, config=ahsar.Config(set_point=0.05))
    seen: dict[nn.Module, list[torch.Tensor]] = {}

    def watch(module: nn.Module, args: Any, output: Any) -> None:
        seen.setdefault(module, []).append(output[0].detach())

    net.register_forward_state_hooks(watch)
    net[2].register_forward_state_hooks(watch)
    last = net[4].register_forward_hook(lambda module, args, output: regularisation(*output) and None)
    for seed in range(3):
        net(20 * torch.randn(STEPS, 5, NEURONS, generator=torch.Generator().manual_seed(seed)))
    last.remove()
    net.remove_forward_state_hooks()
    net[2].remove_forward_state_hooks()
    homeostat.step()
    wanted = {name: torch.stack(seen[net.get_submodule(name)]).mean().item() for name in homeostat.rates}
    assert homeostat.rates == pytest.approx(wanted, rel=1e-6)
    assert min(wanted.values()) > 0
    assert regularisation.state.item() / (3 * STEPS * 5 * 8) == pytest.approx(wanted["4"], rel=1e-6)


def test_a_lifted_cell_is_sensed_at_every_step() -> None:
    torch.default_generator.manual_seed(0)
    lifted = norse.Lift(norse.SequentialState(nn.Linear(NEURONS, 8), norse.LIFCell()))
    homeostat = ahsar.attach(lifted, layers="all")
    z, _ = lifted(40 * torch.randn(STEPS, 5, NEURONS, generator=torch.Generator().manual_seed(0)))
    assert homeostat.layers[0].sum.count == z.numel() == STEPS * 5 * 8
    homeostat.step()
    assert homeostat.rates == {"lifted_module.1": pytest.approx(z.mean().item(), rel=1e-6)} and z.sum() > 0


def test_rates_equal_the_tensorboard_hook_of_norse() -> None:
    pytest.importorskip("tensorboard")
    sums: list[float] = []

    class Writer:
        def add_scalar(self, label: str, value: torch.Tensor, step: int) -> None:
            sums.append(value.item())

    layer = norse.LIF()
    homeostat = attach(layer)
    layer.register_forward_hook(norse.hook_spike_activity_sum("layer", Writer()))
    x = 20 * torch.randn(STEPS, 5, NEURONS, generator=torch.Generator().manual_seed(0))
    for strength in (1, 2):
        layer(strength * x)
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx(sum(sums) / (2 * x.numel()), rel=1e-6) and len(sums) == 2


def test_recurrence_without_autapses_learns_as_in_a_layer_built_with_the_scaled_threshold() -> None:
    gradients = []
    for threshold, scale in ((1.0, 0.5), (0.5, None)):
        torch.default_generator.manual_seed(0)
        layer = norse.LIFRecurrent(NEURONS, NEURONS, norse.LIFParameters(v_th=torch.tensor(threshold)))
        if scale is not None:
            attach(layer).hold(scale)
        layer(10 * torch.ones(STEPS, 2, NEURONS))[0].sum().backward()
        gradients.append(layer.recurrent_weights.grad)
        assert gradients[-1].diagonal().count_nonzero() == 0
    assert torch.equal(*gradients) and gradients[0].count_nonzero() > 0


class Learner(nn.Module):
    """A threshold that its user made a Parameter; several cells may hold it."""

    def __init__(self, cells: int):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(1.0))
        self.cells = nn.ModuleList(norse.LIFCell(norse.LIFParameters(v_th=self.theta)) for _ in range(cells))


def test_bake_writes_a_parameter_of_one_cell_and_separates_that_of_several() -> None:
    one, several = Learner(1), Learner(3)
    theta = one.theta
    homeostat = ahsar.attach(one)
    homeostat.hold(0.5)
    homeostat.bake()
    assert one.cells[0].p.v_th is one.theta is theta and theta.item() == 0.5  # type: ignore[union-attr]
    homeostat = ahsar.attach(several, layers=["cells.0", "cells.1"])
    homeostat.hold({"cells.0": 0.5, "cells.1": 2.0})
    homeostat.bake()
    # a Parameter that is shared stays for who else holds it
    thresholds: Any = [cell.p.v_th for cell in several.cells]  # type: ignore[union-attr]
    assert [theta.item() for theta in thresholds] == [0.5, 2.0, 1.0]
    assert thresholds[2] is several.theta and all(isinstance(theta, nn.Parameter) for theta in thresholds)


def test_calibration_leaves_the_tuple_and_changes_scales_only() -> None:
    net = container()
    before = net[1].p
    homeostat = ahsar.attach(net)
    x = 20 * torch.randn(STEPS, 5, NEURONS, generator=torch.Generator().manual_seed(0))
    homeostat.calibrate([x], updates=200, tolerance=0.5)
    assert net[1].p is before and len(set(homeostat.scales.values())) == 4


def step_of_a_user(x: torch.Tensor, state: Any, p: Any, dt: float) -> Any:
    return 2.5 * (x > p.v_th).float(), state


def test_a_neuron_of_a_user_is_found_by_its_base_class_and_counted_by_its_non_zeros() -> None:
    cell = snn.SNNCell(step_of_a_user, lambda x: None, norse.LIFParameters())
    homeostat = attach(cell)
    assert not homeostat.layers[0].sum.binary and attach(norse.LIFCell()).layers[0].sum.binary
    homeostat.hold(0.5)
    assert cell(torch.tensor([[0.4, 0.6, 1.1, 2.0]]))[0].tolist() == [[0.0, 2.5, 2.5, 2.5]]
    homeostat.step()
    assert homeostat.rates == {"0": 0.75}


def sparse_step_of_a_user(x: torch.Tensor, state: Any, p: Any, dt: float) -> Any:
    return step_of_a_user(x, state, p, dt)[0].to_sparse(), state


def test_sparse_spikes_of_a_user_are_counted_by_their_non_zeros() -> None:
    cell = snn.SNNCell(sparse_step_of_a_user, lambda x: None, norse.LIFParameters())
    homeostat = attach(cell)
    assert cell(torch.tensor([[0.4, 0.6, 1.1, 2.0]]))[0].is_sparse
    homeostat.step()
    assert homeostat.rates == {"0": 0.5}


def test_parameters_that_cannot_be_scaled_are_skipped_with_the_reason() -> None:
    cells = [
        snn.SNNCell(step_of_a_user, lambda x: None, nn.Linear(1, 1)),
        snn.SNNCell(step_of_a_user, lambda x: None, norse.LIParameters()),
        norse.LIFBoxCell(norse.LIFBoxParameters(v_leak=torch.tensor([0.0, 0.1]))),
        norse.LIFBoxCell(norse.LIFBoxParameters(v_leak=torch.tensor([0.1, 0.1]))),
    ]
    reasons = [item.reason for item in ahsar.discover(nn.ModuleList(cells))]
    assert reasons[0] == reasons[1] == "its parameters p are no NamedTuple with a threshold v_th"
    assert reasons[2:] == ["its resting potentials differ between neurons", None]
    named = snn.SNNCell(step_of_a_user, lambda x: None, norse.LIFParameters(v_th="high"))
    with pytest.raises(ahsar.AttachError, match=r"'0': SNNCell\.p\.v_th is a str: a number, tensor or Parameter is needed"):
        attach(named)
