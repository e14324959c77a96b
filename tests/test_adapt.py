"""Test-time adaptation: nothing moves outside the context, scales follow inside, everything is as before afterwards."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar import AttachError, Config, Homeostat, SensingError
from tests import models

SHIFTED = 0.3 * models.batch(7, 64)[0]  # weaker input than in training: rates fall


def trained(kind: str = "float", config: Config | None = None, steps: int = 7) -> tuple[nn.Module, Any, Homeostat]:
    model = models.build(kind, boost=3.0)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=config or Config())
    for seed in range(steps):
        models.train_step(model, optimizer, seed)
    return model, optimizer, homeostat


def plain(value: Any) -> Any:
    """Tensors as numbers, so that states compare bit for bit."""
    if isinstance(value, Tensor):
        return value.tolist()
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
    before = all_of(model, homeostat)
    with homeostat.adapting() as adaptation:
        adapt(model, homeostat, updates=1)
        first = homeostat.rates
        adapt(model, homeostat)
        last, point = homeostat.rates, homeostat.set_point
        for name in first:
            assert abs(last[name] - point) < abs(first[name] - point), name
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
    model, optimizer, homeostat = trained(config=Config(interval=interval))
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
        assert homeostat.config == Config(interval=1, beta=0.0)
        adapt(model, homeostat, updates=1)
        seen = homeostat.rates
        adapt(model, homeostat, models.batch(1)[0], updates=1)
        assert seen != homeostat.rates
    with homeostat.adapting(Config(reaction=0.0, leak=0.0, diffusion=0.0)):
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
        homeostat = ahsar.attach(model, compile=compiled, layers="all")
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
