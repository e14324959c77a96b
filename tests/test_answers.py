"""Layers whose spikes are the model's answer are found in the first training step, and left alone."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from tests import models
from tests.models import MOVING
from tests.ranks import together

X = torch.rand(5, models.FEATURES, generator=torch.Generator().manual_seed(0))


class Ends(nn.Module):
    """Two layers of neurons, the second of which ends the net; `returns` picks from (spikes, membrane) per step."""

    def __init__(self, returns: Callable[[Any], Any], first: nn.Module | None = None, last: nn.Module | None = None):
        super().__init__()
        torch.manual_seed(0)  # a net whose first layer is too quiet, so that its scale moves
        self.returns = returns
        self.into, self.between = nn.Linear(models.FEATURES, 12), nn.Linear(12, models.CLASSES)
        self.first, self.last = first or models.StepLIF(), last or models.StepLIF()

    def forward(self, x: Tensor) -> Any:
        for layer in (self.first, self.last):
            layer.potential = torch.zeros(())  # type: ignore[assignment]
        steps = []
        for _ in range(models.STEPS):
            spikes, _ = self.first(self.into(x))
            steps.append(self.last(self.between(spikes)))
        return self.returns(list(zip(*steps, strict=True)))


RETURNS: dict[str, Callable[[Any], Any]] = {
    "spikes": lambda both: torch.stack(both[0]),
    "rates": lambda both: torch.stack(both[0]).mean(0),
    "membranes": lambda both: torch.stack(both[1]),
    "both": lambda both: {"spikes": torch.stack(both[0]), "membranes": torch.stack(both[1])},
    "pooled": lambda both: torch.nn.functional.avg_pool1d(torch.stack(both[0]), 3),
}


def step(model: nn.Module, homeostat: ahsar.Homeostat, call: Callable[[], Any] | None = None) -> None:
    (call or (lambda: model(X)))()
    homeostat.step()


@pytest.mark.parametrize("returns", RETURNS)
def test_a_net_that_ends_in_spikes_keeps_its_last_threshold(returns: str) -> None:
    model = Ends(RETURNS[returns])
    homeostat = ahsar.attach(model)
    for _ in range(3):
        step(model, homeostat)
    assert homeostat.left_alone == {"last": "its spikes are the model's answer"}
    assert list(homeostat.scales) == ["first"] and homeostat.scales["first"] != 1.0
    assert model.last.firing_level == 1.0 != model.first.firing_level
    assert not model.last._forward_hooks and not model._forward_hooks and not model._forward_pre_hooks


@pytest.mark.parametrize("layers", ["all", ["first", "last"], lambda name, module: True])
def test_whoever_names_layers_gets_them(layers: Any) -> None:
    model = Ends(RETURNS["spikes"])
    homeostat = ahsar.attach(model, config=MOVING, layers=layers)
    for _ in range(5):  # the first layer is woken first
        step(model, homeostat)
    assert not homeostat.left_alone and set(homeostat.scales) == {"first", "last"}
    assert model.last.firing_level != 1.0


@pytest.mark.parametrize("kind", models.KINDS)
def test_a_linear_readout_leaves_nothing_alone(kind: str) -> None:
    model = models.build(kind)
    homeostat = ahsar.attach(model)
    step(model, homeostat)
    assert not homeostat.left_alone and len(homeostat.layers) == 2


def test_spikes_that_are_returned_beside_the_answer_are_hidden_all_the_same() -> None:
    class Aside(models.Net):
        def forward(self, x: Tensor) -> Any:
            spikes = self.neurons[0](self.synapses[0](x.expand(models.STEPS, *x.shape)))
            return self.readout(spikes), spikes

    model = Aside([models.LIF()])
    homeostat = ahsar.attach(model)
    step(model, homeostat)
    assert not homeostat.left_alone


def test_a_loop_over_time_outside_and_parts_that_are_called_alone() -> None:
    last = models.StepLIF()
    model = nn.ModuleDict({
        "features": nn.Sequential(nn.Linear(models.FEATURES, 6), models.LIF()),
        "head": nn.Sequential(nn.Linear(6, 2), models.LIF()),
    })  # fmt: skip
    homeostat = ahsar.attach(model)

    def call() -> None:
        for _ in range(3):
            model["head"](model["features"](X.expand(2, *X.shape)))

    step(model, homeostat, call)
    assert list(homeostat.left_alone) == ["head.1"] and list(homeostat.scales) == ["features.1"]
    assert last.firing_level == 1.0


def test_recurrent_weights_of_its_own_do_not_hide_an_answer() -> None:
    snn = pytest.importorskip("snntorch")

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.between = nn.Linear(models.FEATURES, 6), nn.Linear(6, 3)
            self.first, self.last = (snn.RLeaky(0.9, linear_features=n, init_hidden=True) for n in (6, 3))

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.last(self.between(self.first(self.into(x)))) for _ in range(3)])

    model = Recurrent()
    homeostat = ahsar.attach(model)
    step(model, homeostat)
    assert list(homeostat.left_alone) == ["last"]


def test_a_net_of_answers_alone_is_not_regulated_and_says_so() -> None:
    model = nn.Sequential(nn.Linear(models.FEATURES, 3), models.LIF())
    homeostat = ahsar.attach(model)
    with pytest.warns(UserWarning, match="nothing is regulated: .*'1' since its spikes are the model's answer"):
        step(model, homeostat, lambda: model(X.expand(2, *X.shape)))
    assert homeostat.scales == {"1": 1.0} and model[1].firing_level == 1.0


@pytest.mark.parametrize("calibrated", [False, True])
def test_where_all_layers_that_run_are_the_answer_a_spare_one_is_not_missed(calibrated: bool) -> None:
    model = nn.Sequential(nn.Linear(models.FEATURES, 3), models.LIF())
    model.register_module("spare", nn.Module())
    spare = model.spare.layer = models.LIF()  # type: ignore[union-attr]
    model.spare.forward = lambda x: x  # type: ignore[union-attr]
    homeostat, x = ahsar.attach(model), X.expand(2, *X.shape)
    with pytest.warns(UserWarning, match="layer 'spare.layer' has not run"):
        if calibrated:
            homeostat.calibrate([x])
        for _ in range(3):
            step(model, homeostat, lambda: model(x))
    assert list(homeostat.left_alone) == ["1"] and homeostat.scales == {"spare.layer": 1.0}
    spare(torch.zeros(2, 5, 3))
    homeostat.step()
    assert homeostat.scales["spare.layer"] < 1.0


def test_what_cannot_be_told_is_said() -> None:
    model = Ends(RETURNS["spikes"])
    homeostat = ahsar.attach(model)
    with pytest.warns(UserWarning, match="could not be told"):
        step(model, homeostat, lambda: [model.first(model.into(X)), model.last(model.between(torch.zeros(5, 12)))])
    assert set(homeostat.scales) == {"first", "last"}


def test_without_a_graph_all_layers_are_regulated() -> None:
    model = Ends(RETURNS["spikes"])
    homeostat = ahsar.attach(model)
    with torch.no_grad():
        step(model, homeostat)
    assert set(homeostat.scales) == {"first", "last"} and not homeostat.left_alone


def test_calibration_leaves_the_answer_alone_too() -> None:
    model = Ends(RETURNS["spikes"])
    homeostat = ahsar.attach(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # whether it arrives is another matter
        homeostat.calibrate([X], updates=3)
    assert list(homeostat.left_alone) == ["last"] and model.last.firing_level == 1.0


def test_scales_that_were_held_before_the_first_step_are_given_back() -> None:
    model = Ends(RETURNS["spikes"])
    homeostat = ahsar.attach(model)
    homeostat.hold(0.5)
    step(model, homeostat)
    assert homeostat.scales == {"first": 0.5} and model.last.firing_level == 1.0


def test_a_saved_state_knows_what_was_left_alone() -> None:
    model, again = Ends(RETURNS["spikes"]), Ends(RETURNS["spikes"])
    homeostat, fresh = ahsar.attach(model), ahsar.attach(again)
    step(model, homeostat)
    fresh.load_state_dict(homeostat.state_dict())
    step(again, fresh)
    assert fresh.left_alone == homeostat.left_alone and list(fresh.scales) == ["first"]
    assert not again._forward_hooks and again.last.firing_level == 1.0


def test_an_answer_that_is_found_while_adapting_stays_alone_afterwards() -> None:
    model = Ends(RETURNS["rates"])
    homeostat = ahsar.attach(model)
    model.eval()
    with homeostat.adapting():
        step(model, homeostat)
        assert list(homeostat.scales) == ["first"] and homeostat.scales["first"] != 1.0
    assert homeostat.scales == {"first": 1.0} and list(homeostat.left_alone) == ["last"]
    model.train()
    step(model, homeostat)
    assert homeostat.scales["first"] != 1.0 and model.last.firing_level == 1.0


def test_a_copy_before_the_first_step_finds_its_own_answer() -> None:
    model = Ends(RETURNS["spikes"])
    homeostat = ahsar.attach(model)
    twin = copy.deepcopy(model)
    own = ahsar.attached(twin)
    assert own is not None
    step(twin, own)
    assert list(own.left_alone) == ["last"] and not homeostat.left_alone
    step(model, homeostat)
    assert list(homeostat.left_alone) == ["last"]


def test_what_is_watched_changes_no_output_and_no_gradient() -> None:
    torch.manual_seed(0)
    plain = Ends(RETURNS["both"])
    model = copy.deepcopy(plain)
    ahsar.attach(model)
    grads = []
    for net in (plain, model):
        out = net(X)
        (out["spikes"].sum() + out["membranes"].sum()).backward()
        grads.append([p.grad for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def _rank(homeostat: Any) -> list[str]:
    import torch.distributed as dist

    model = homeostat.model
    if dist.get_rank() == 0:  # the other one sees no data
        model(X)
    homeostat.step()
    return list(homeostat.left_alone)


def _before() -> Any:
    torch.manual_seed(0)
    return ahsar.attach(Ends(RETURNS["rates"]))


def test_ranks_leave_the_same_layers_alone(tmp_path: Any) -> None:
    assert together(_before, _rank, 2, tmp_path) == [["last"], ["last"]]


class Membrane(models.LIF):
    def forward(self, current: Tensor) -> Tensor:
        return current - self.firing_level


def _with_membrane() -> Any:
    torch.manual_seed(0)
    layers = nn.Linear(models.FEATURES, 12), models.LIF(0.2), nn.Linear(12, 12), Membrane(0.01), nn.Linear(12, 3)
    return ahsar.attach(nn.Sequential(*layers), layers="all")


def _rank_with_membrane(homeostat: Any) -> list[Any]:
    import torch.distributed as dist

    warnings.simplefilter("ignore")
    x = torch.randn(4, 5, models.FEATURES)
    for step in range(2):
        if dist.get_rank() == 1 or step:  # the other one sees no data at first
            homeostat.model(x)
        homeostat.step()
    return [list(homeostat.left_alone), homeostat.scales]


def test_ranks_leave_the_same_membranes_alone(tmp_path: Any) -> None:
    one, other = together(_with_membrane, _rank_with_membrane, 2, tmp_path)
    assert one == other and one[0] == ["3"] and list(one[1]) == ["1"]


class Kept(nn.Module):
    """Answers with a membrane that its last layer keeps, and does not return."""

    def __init__(self, framework: str) -> None:
        super().__init__()
        import snntorch
        from spikingjelly.activation_based import neuron

        self.into, self.between = nn.Linear(models.FEATURES, 12), nn.Linear(12, models.CLASSES)
        self.framework = framework
        if framework == "snntorch":
            self.first, self.last = (snntorch.Leaky(0.5, init_hidden=True) for _ in range(2))
        else:
            self.first, self.last = (neuron.LIFNode(step_mode="m", store_v_seq=True) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        from spikingjelly.activation_based import functional

        if self.framework == "snntorch":
            for layer in (self.first, self.last):
                layer.reset_mem()  # type: ignore[operator]
            steps = []
            for _ in range(models.STEPS):
                self.last(self.between(self.first(self.into(x))))
                steps.append(self.last.mem)
            return torch.stack(steps).mean(0)  # type: ignore[arg-type]
        functional.reset_net(self)
        self.last(self.between(self.first(self.into(x.expand(models.STEPS, *x.shape)))))
        return self.last.v_seq.mean(0)  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("framework", ["snntorch", "spikingjelly"])
def test_a_membrane_that_is_read_from_the_layer_is_an_answer_too(framework: str) -> None:
    model = Kept(framework)
    homeostat = ahsar.attach(model)
    step(model, homeostat)
    assert list(homeostat.left_alone) == ["last"] and list(homeostat.scales) == ["first"]
