"""Test-time adaptation: nothing moves outside the context, scales follow inside, everything is as before afterwards."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar import AttachError, Config, Homeostat, SensingError
from ahsar.adapt import constants
from tests import models
from tests.models import MOVING

SHIFTED = 0.3 * models.batch(7, 64)[0]  # weaker input than in training: rates fall


def trained(kind: str = "float", config: Config | None = None, steps: int = 7) -> tuple[nn.Module, Any, Homeostat]:
    model = models.build(kind, boost=3.0)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=config or MOVING)
    for seed in range(steps):
        models.train_step(model, optimizer, seed)
    return model, optimizer, homeostat


def plain(value: Any) -> Any:
    """Tensors as text, so that states compare bit for bit, and NaN as itself."""
    if isinstance(value, Tensor):
        return str(value.tolist())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def all_of(model: nn.Module, homeostat: Homeostat) -> Any:
    group = homeostat.layers[0].group
    rest = group.sensing, homeostat.config, [layer.fired for layer in homeostat.layers]
    return plain(homeostat.state_dict()), rest, plain(dict(model.state_dict())), homeostat.state.names, tuple(group.arrivals)


@torch.no_grad()
def adapt(model: nn.Module, homeostat: Homeostat, x: Tensor = SHIFTED, updates: int = 30) -> None:
    for _ in range(updates):
        model(x)
        homeostat.step()


def test_eval_outside_the_context_changes_nothing() -> None:
    model, _, homeostat = trained()
    model.eval()
    before = all_of(model, homeostat)
    model(SHIFTED)
    assert all_of(model, homeostat) == before
    with pytest.raises(SensingError, match="adapting"):
        homeostat.step()


@pytest.mark.parametrize("kind", models.KINDS)
def test_scales_follow_within_and_are_given_back(kind: str) -> None:
    model, optimizer, homeostat = trained(kind)
    twin, twin_optimizer, twin_homeostat = trained(kind)
    model.eval()
    with torch.no_grad():
        scores = model(SHIFTED)
    before, clean = all_of(model, homeostat), homeostat.rates
    assert clean != pytest.approx(dict.fromkeys(clean, MOVING.set_point), abs=0.005)
    with homeostat.adapting() as adaptation:
        adapt(model, homeostat, updates=1)
        first = homeostat.rates
        adapt(model, homeostat)
        last, own = homeostat.rates, homeostat.set_points
        assert own == pytest.approx(clean)  # the rates of training, not the set-point
        for name in first:
            assert abs(last[name] - own[name]) < abs(first[name] - own[name]), name
        with torch.no_grad(), homeostat.paused():
            assert not torch.equal(model(SHIFTED), scores)
        adaptation.reset()
        with torch.no_grad(), homeostat.paused():
            assert torch.equal(model(SHIFTED), scores)
        assert homeostat.scales == twin_homeostat.scales
        adapt(model, homeostat, updates=3)
    assert all_of(model, homeostat) == before
    with torch.no_grad():
        assert torch.equal(model(SHIFTED), scores)
    model.train()
    for seed in range(20, 25):
        assert models.train_step(model, optimizer, seed) == models.train_step(twin, twin_optimizer, seed)
    assert plain(homeostat.state_dict()) == plain(twin_homeostat.state_dict())


def test_a_network_at_rest_follows_at_each_step_and_rests_again() -> None:
    model, _, homeostat = trained(config=Config(), steps=25)
    assert all(homeostat.resting.values()) and set(homeostat.scales.values()) == {1.0}
    before, clean = all_of(model, homeostat), homeostat.rates
    model.eval()
    with homeostat.adapting() as adaptation:
        for _ in range(2):  # episodic: each batch starts from the learned scales
            assert set(homeostat.scales.values()) == {1.0}
            adapt(model, homeostat)
            assert homeostat.set_points == pytest.approx(clean) and homeostat.steps == 25 + 30
            assert homeostat.rates == pytest.approx(clean, rel=0.3) and min(homeostat.scales.values()) < 0.6
            adaptation.reset()
    assert all_of(model, homeostat) == before
    with homeostat.adapting(keep=True):
        adapt(model, homeostat)
        adapted = homeostat.scales
    assert homeostat.scales == adapted and all(homeostat.resting.values()) and homeostat.steps == 25
    assert homeostat.set_points == pytest.approx(dict.fromkeys(clean, 0.2))


def test_layers_that_were_silent_in_training_are_led_to_the_set_point() -> None:
    model = nn.Sequential(models.Graded(0.5))
    homeostat = ahsar.attach(model, config=Config(reaction=0.0))
    model(torch.zeros(4, 100))
    homeostat.step()
    model.eval()
    with homeostat.adapting():
        assert homeostat.set_points == pytest.approx({"0": 0.2})
        adapt(model, homeostat, torch.linspace(0.0, 0.5, 100).expand(4, 100))
        assert homeostat.rates == pytest.approx({"0": 0.2}, abs=0.02)


def test_batch_norm_flags_and_parameters_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(models.FEATURES, 8), nn.BatchNorm1d(8), models.Graded(0.1), nn.Linear(8, 3))
    homeostat = ahsar.attach(model, models.adam(model))
    model(models.batch(0)[0])
    homeostat.step()
    model.eval()
    model[0].train()
    flags, state = [module.training for module in model.modules()], copy.deepcopy(model.state_dict())
    with homeostat.adapting():
        adapt(model, homeostat)
        assert [module.training for module in model.modules()] == flags
        assert plain(dict(model.state_dict())) == plain(dict(state))


def test_a_model_that_was_never_trained_adapts_and_is_neutral_again() -> None:
    model = models.build("buffer")
    homeostat = ahsar.attach(model)
    model.eval()
    with torch.no_grad():
        scores = model(SHIFTED)
    with homeostat.adapting():
        adapt(model, homeostat)
        assert all(scale != 1.0 for scale in homeostat.scales.values())
    assert not homeostat.state.updated and homeostat.steps == 0
    with torch.no_grad():
        assert torch.equal(model(SHIFTED), scores)


@pytest.mark.parametrize("interval", [1, 3])
def test_keep_goes_on_with_the_adapted_scales(interval: int) -> None:
    model, optimizer, homeostat = trained(config=replace(MOVING, interval=interval))
    model.eval()
    before = homeostat.state_dict()
    with homeostat.adapting(keep=True), torch.inference_mode():
        for _ in range(5):
            model(SHIFTED)
            homeostat.step()
        adapted = homeostat.scales
    after = homeostat.state_dict()
    assert homeostat.scales == adapted != {name: entry["scale"].item() for name, entry in before["layers"].items()}
    assert after["steps"] == before["steps"] and after["config"] == before["config"]
    sums = [[(e["spikes"], e["count"]) for e in state["layers"].values()] for state in (before, after)]
    assert plain(sums[0]) == plain(sums[1])
    assert homeostat.layers[0].group.sensing == (homeostat.steps % interval == 0)
    model.train()
    models.train_step(model, optimizer, 30)  # tensors of inference mode would stop backward


def test_within_inference_mode_and_after_an_error() -> None:
    model, optimizer, homeostat = trained("parameter")
    before = all_of(model, homeostat)
    with pytest.raises(ZeroDivisionError), torch.inference_mode(), homeostat.adapting() as adaptation:
        model(SHIFTED)
        homeostat.step()
        adaptation.reset()
        raise ZeroDivisionError
    assert all_of(model, homeostat) == before
    models.train_step(model, optimizer, 30)


def test_its_constants() -> None:
    model, _, homeostat = trained(config=Config(interval=3, beta=0.5))
    model.eval()
    with homeostat.adapting():
        assert homeostat.config == constants(Config(interval=3, beta=0.5))
        assert (homeostat.config.interval, homeostat.config.resting_interval, homeostat.config.beta) == (1, 1, 0.0)
        adapt(model, homeostat, updates=1)
        seen = homeostat.rates
        adapt(model, homeostat, models.batch(1)[0], updates=1)
        assert seen != homeostat.rates
    with homeostat.adapting(Config(reaction=0.0)):
        before = homeostat.scales
        adapt(model, homeostat)
        assert homeostat.scales == pytest.approx(before)
    assert homeostat.config == Config(interval=3, beta=0.5)


def test_what_cannot_be_is_refused() -> None:
    model, _, homeostat = trained()
    with homeostat.adapting():
        with pytest.raises(AttachError, match="within adapting"), homeostat.adapting():
            pass
        assert homeostat.layers[0].group.in_eval
    with homeostat.paused(), pytest.raises(AttachError, match="within paused"), homeostat.adapting():
        pass
    homeostat.hold(0.5)
    with pytest.raises(AttachError, match="release"), homeostat.adapting():
        pass
    homeostat.release()
    with homeostat.adapting():
        homeostat.detach()
    assert model.neurons[0].firing_level == 1.0  # type: ignore[union-attr, index]
    with pytest.raises(AttachError, match="attach the model again"):
        homeostat.adapting()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_forwards_follow_as_eager_ones() -> None:
    import torch._dynamo

    found = []
    for compiled in (False, True):
        torch._dynamo.reset()
        model = models.build("buffer", boost=3.0)
        homeostat = ahsar.attach(model, config=MOVING, compile=compiled, layers="all")
        model.eval()
        run = torch.compile(model, backend="eager") if compiled else model
        with torch.no_grad():
            outside = run(SHIFTED)
            with homeostat.adapting():
                for _ in range(10):
                    run(SHIFTED)
                    homeostat.step()
                found.append(list(homeostat.scales.values()))
            assert torch.equal(run(SHIFTED), outside)
        assert homeostat.state_dict()["layers"][homeostat.layers[0].name]["count"] == 0
    torch._dynamo.reset()
    assert found[0] == pytest.approx(found[1]) and found[0] != [1.0, 1.0]
