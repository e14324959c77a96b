"""calibrate brings the layers to the set-point, and leaves everything but the scales as it found it."""

import random
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar import Config, SensingError
from ahsar.export import check_rounding
from tests import models
from tests.models import MOVING

BATCHES = [models.batch(seed)[0] for seed in range(3)]


class Rich(nn.Module):
    """All that a training forward changes: batch norm, dropout, membranes, buffers, attributes, three random streams."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.norm, self.drop, self.inner = nn.BatchNorm1d(models.FEATURES), nn.Dropout(0.1), inner
        self.frozen = nn.BatchNorm1d(models.CLASSES)
        self.first = models.StepLIF(0.6)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("moved", torch.zeros(()))
        self.seen: list[int] = []
        self.noise: dict[str, Any] = {"last": None}

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1  # type: ignore[operator]
        self.moved = self.moved + random.random()
        self.seen.append(len(x))
        self.noise["last"] = torch.rand(2)
        self.extra = "set in forward"
        spikes, _ = self.first(self.drop(self.norm(x)).relu())
        return self.frozen(self.inner(x + 0.1 * spikes))


def rich(kind: str) -> Rich:
    torch.manual_seed(0)
    model = Rich(models.build(kind))
    model(BATCHES[0]).sum().backward()  # membranes, statistics and gradients that are not the initial ones
    detach_states(model)
    model.frozen.eval()
    return model


def detach_states(model: nn.Module) -> None:
    """Cut the membranes that a training forward left from its graph."""
    for module in model.modules():
        for store in (vars(module), module._buffers, vars(module).get("_memories", {})):
            for name, value in store.items():
                if isinstance(value, Tensor):
                    store[name] = value.detach()


def fingerprint(model: nn.Module) -> Any:
    """State of the model and of the random generators, as plain values."""

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.tolist(), value.requires_grad
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    thresholds = ("firing_level", "v_threshold")  # where plain floats, these are what calibrate changes
    structure = {*vars(nn.Module()), *thresholds} - {"_buffers", "_parameters", "training"}
    modules = {
        name: {key: plain(value) for key, value in vars(module).items() if key not in structure}
        for name, module in model.named_modules()
    }
    gradients = [plain(p.grad) for p in model.parameters()]
    return modules, gradients, torch.get_rng_state().tolist(), random.getstate()


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("boost", [0.9, 3.0])
def test_it_brings_the_rates_to_the_set_point(kind: str, boost: float) -> None:
    model = models.build(kind, boost=boost, bias=False, positive=boost > 1)
    homeostat = ahsar.attach(model, config=Config(reach=(0.05, 10.0)))
    counter = models.Counter(model)
    done = homeostat.calibrate(BATCHES[:1], updates=200)
    assert 3 < done < 200
    assert list(homeostat.rates.values()) == pytest.approx([0.2, 0.2], rel=0.1)
    assert all((scale < 1) == (boost < 1) for scale in homeostat.scales.values())
    assert homeostat.calibrate(BATCHES[:1]) == 0  # it is there already
    assert (homeostat.steps, homeostat.epochs) == (0, 0)
    counter.take()
    with homeostat.paused(), torch.no_grad():
        model(BATCHES[0])
    spikes, outputs = counter.take()
    # counted by hand, after the small move that the last update made
    assert [s / n for s, n in zip(spikes, outputs, strict=True)] == pytest.approx([0.2, 0.2], rel=0.25)


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("failing", [False, True])
def test_it_leaves_everything_else_as_it_was(kind: str, failing: bool) -> None:
    model = rich(kind)
    homeostat = ahsar.attach(model, layers=lambda name, module: name != "first")
    buffers = dict(model.named_buffers())
    before = fingerprint(model)
    calls = 0

    def forward(x: Tensor) -> None:
        nonlocal calls
        calls += 1
        assert model.training and model.frozen.training and not torch.is_grad_enabled()
        model(x)
        model.late = "set by a forward of calibrate alone"  # type: ignore[assignment]
        if failing and calls == 4:
            raise InterruptedError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if failing:
            with pytest.raises(InterruptedError):
                homeostat.calibrate(BATCHES, forward, updates=6, tolerance=0.01)
        else:
            assert homeostat.calibrate(BATCHES, forward, updates=6, tolerance=0.01) == calls == 6
    assert fingerprint(model) == before
    assert all(a is buffers[name] for name, a in model.named_buffers())
    assert "extra" in vars(model) and all(scale != 1 for scale in homeostat.scales.values())
    assert homeostat.layers[0].group.sensing and all(layer.sum.count == 0 for layer in homeostat.layers)
    for layer in homeostat.layers:  # the scales are in force
        level = getattr(layer.module, "v_threshold", None) or getattr(layer.module, "firing_level", None)
        if isinstance(level, float):
            assert level == homeostat.scales[layer.name]


class Trains(nn.Module):
    """`train` is a training of its own, as in forward-forward tutorials, and `eval` throws the weights' precision away."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.called = models.build(), 0

    def train(self, positive: Any, negative: Any) -> Any:  # type: ignore[override]
        self.called += 1

    def eval(self) -> Any:
        self.called += 1
        return self.half()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_whose_train_is_its_own_is_not_asked(training: bool) -> None:
    model = Trains()
    for module in model.modules():
        module.training = training
    plain = ahsar.attach(models.build())
    homeostat = ahsar.attach(model)
    assert homeostat.calibrate(BATCHES) == plain.calibrate(BATCHES)
    assert list(homeostat.scales.values()) == list(plain.scales.values())
    assert model.called == 0 and all(module.training is training for module in model.modules())
    homeostat.bake()
    check_rounding(model, BATCHES, unit=1e-6)
    assert model.called == 0 and all(module.training is training for module in model.modules())


def test_every_forward_starts_from_the_same_state() -> None:
    model = rich("steps")
    homeostat = ahsar.attach(model)
    seen = []

    def forward(x: Tensor) -> None:
        seen.append((model.first.potential.sum().item(), model.calls.item(), len(model.seen)))  # type: ignore[operator]
        model(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        homeostat.calibrate(BATCHES, forward, updates=4, tolerance=1e-6)
    assert len(seen) == 4 and len(set(seen)) == 1


def test_training_goes_on_from_what_it_learned() -> None:
    model = models.build(boost=0.9, bias=False)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    homeostat.calibrate(BATCHES)
    scales = homeostat.scales
    models.train_step(model, optimizer, 0)
    assert homeostat.steps == 1
    assert homeostat.scales == pytest.approx(scales, rel=0.1) and max(scales.values()) < 0.5


def test_what_was_sensed_before_does_not_count_in_the_next_step() -> None:
    model = models.build()
    homeostat = ahsar.attach(model)
    model(BATCHES[0])
    homeostat.calibrate(BATCHES)
    with pytest.raises(SensingError):
        homeostat.step()


def test_layers_that_do_not_arrive_are_named() -> None:
    model = models.build(boost=0.9, bias=False)
    homeostat = ahsar.attach(model)
    with pytest.warns(
        UserWarning, match=r"calibrate\(\) did not reach the set-point 0\.2: .*'neurons\.1' is at rate 0"
    ) as told:
        assert homeostat.calibrate(BATCHES, updates=2) == 2
    assert len(told) == 1 and "Allow more updates" in str(told[0].message)


def test_a_trained_network_is_brought_to_its_own_rates() -> None:
    """Which are those of its first updates: calibration before them brings it to the set-point."""
    model = models.build(boost=3.0)
    homeostat = ahsar.attach(model, config=Config(trained=True, grace=3, beta=0.0))
    for _ in range(3):
        model(BATCHES[0])
        homeostat.step()
    own = homeostat.set_points
    assert own == pytest.approx(homeostat.rates) and set(homeostat.scales.values()) == {1.0}
    with torch.no_grad():
        for synapse in model.synapses:
            synapse.weight.mul_(0.7)  # type: ignore[operator, union-attr]
    model(BATCHES[0])
    homeostat.step()
    assert homeostat.calibrate(BATCHES[:1]) > 1
    assert homeostat.rates == pytest.approx(own, rel=0.1) and max(homeostat.scales.values()) < 1


@pytest.mark.parametrize("config", [Config(), Config(interval=3)])
@pytest.mark.parametrize("steps", [25, 34])
@pytest.mark.parametrize("pausing", [False, True])
def test_in_midst_of_training_every_layer_has_its_grace_anew(config: Config, steps: int, pausing: bool) -> None:
    model = models.build(boost=3.0)
    homeostat = ahsar.attach(model, config=config)
    for step in range(3 * steps):
        model(BATCHES[step % 3])
        homeostat.step()
    assert all(homeostat.resting.values()) and not homeostat.layers[0].group.sensing
    if pausing:
        with homeostat.paused():
            homeostat.calibrate(BATCHES)
            assert not homeostat.layers[0].group.sensing
    else:
        homeostat.calibrate(BATCHES)
    assert not any(homeostat.resting.values()) and homeostat.steps == 3 * steps
    sensed = []
    for step in range(4):
        model(BATCHES[step % 3])
        sensed.append(homeostat.layers[0].sum.heard())
        homeostat.step()
    # at once, and after `interval`: not yet as seldom as at rest
    assert sensed[: config.interval + 1] == [True, *[False] * (config.interval - 1), True]


def test_held_scales_stay() -> None:
    model = models.build("spikingjelly", boost=0.9)
    homeostat = ahsar.attach(model)
    homeostat.hold(0.9)
    with pytest.warns(UserWarning, match="did not reach"):
        homeostat.calibrate(BATCHES, updates=2)
    assert list(homeostat.scales.values()) == pytest.approx([0.9, 0.9]) and model.neurons[0].v_threshold == 0.9


def test_batches_may_be_an_iterator_but_not_empty() -> None:
    homeostat = ahsar.attach(models.build())
    assert homeostat.calibrate(iter(BATCHES)) > len(BATCHES)
    with pytest.raises(SensingError, match=r"calibrate\(\) got no batches"):
        homeostat.calibrate([])


def test_a_forward_that_runs_no_layer_is_refused() -> None:
    model = models.build()
    homeostat = ahsar.attach(model)
    with pytest.raises(SensingError, match="no spiking layer ran"):
        homeostat.calibrate(BATCHES, lambda x: x)
    assert set(homeostat.scales.values()) == {1.0} and model.training
