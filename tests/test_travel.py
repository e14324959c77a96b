"""The scales travel with the weights: in the state dict's metadata, and back into a model that is attached."""

import copy
import io
import math
import pickle
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

import ahsar
from ahsar import Config, Homeostat, controller
from ahsar.state import VECTORS, ControllerState, initial
from ahsar.travel import KEY, settled
from tests import models
from tests.adapters.case import Case, differ, reference, same, trace
from tests.adapters.cases import CASES, FRAMEWORKS
from tests.adapters.host_copies import HostCopies
from tests.models import MOVING

X = models.batch(100)[0]
Way = Callable[[Any], Any]


def stored(weights: Mapping[str, Any]) -> Any:
    """Written to a file, and read as a careful user reads it."""
    file = io.BytesIO()
    torch.save({"model": weights}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)["model"]


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


WAYS: dict[str, Way] = {"deepcopy": copy.deepcopy, "file": stored, "pickle": pickled}


def trained(
    kind: str, steps: int = 3, config: Config = MOVING, **options: Any
) -> tuple[models.Net, torch.optim.Optimizer, Homeostat]:
    model = models.build(kind, **options)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=config)
    for step in range(steps):
        models.train_step(model, optimizer, step)
    return model, optimizer, homeostat


def answer(model: nn.Module) -> Tensor:
    training = model.training
    with torch.no_grad():
        scores = model.eval()(X)
    model.train(training)
    return scores


def equal(a: ControllerState, b: ControllerState) -> bool:
    return all(torch.equal(getattr(a, key), getattr(b, key)) or key == "own" for key in VECTORS)


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", models.KINDS)
def test_weights_that_are_restored_have_their_scales_again(kind: str, way: str) -> None:
    model, optimizer, homeostat = trained(kind)
    best, scales, wanted = WAYS[way](model.state_dict()), homeostat.scales, answer(model)
    for step in range(3, 9):
        models.train_step(model, optimizer, step)
    assert homeostat.scales != scales and not torch.equal(answer(model), wanted)
    model.load_state_dict(best)
    assert homeostat.scales == scales and ahsar.scales_in(best) == scales
    assert torch.equal(answer(model), wanted)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the frameworks' own
@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_bring_their_scales_into_every_kind_of_layer(case: Case) -> None:
    original, twin = case.module(), case.module()
    sender = ahsar.attach(nn.ModuleDict({"layer": original}), layers="all")
    receiver = ahsar.attach(nn.ModuleDict({"layer": twin}), layers="all")
    sender.hold(0.5)
    weights = stored(sender.model.state_dict())
    receiver.model.load_state_dict(weights)
    assert receiver.scales == {"layer": 0.5} and receiver.resting == {"layer": True}
    wanted = trace(case, original)
    # a learnable threshold that is multiplied by a tensor collects its gradient in another order
    same(trace(case, twin), wanted, but=case.learned)
    assert differ(wanted, reference(case))


@pytest.mark.filterwarnings("ignore::UserWarning")  # the frameworks' own
@pytest.mark.parametrize("case", [case for framework in FRAMEWORKS for case in framework.CASES[:3] if case.copies], ids=str)
def test_copies_of_copies_take_scales_too(case: Case) -> None:
    homeostat = ahsar.attach(nn.ModuleDict({"layer": case.module()}), layers="all")
    twin = copy.deepcopy(copy.deepcopy(homeostat.model))
    homeostat.hold(0.5)
    twin.load_state_dict(homeostat.model.state_dict())
    own = ahsar.attached(twin)
    assert own is not None and own.scales == {"layer": 0.5}
    assert ahsar.scales_in(twin.state_dict()) == {"layer": 0.5}


def test_a_model_that_knows_nothing_of_ahsar_loads_the_weights() -> None:
    model, _, _ = trained("buffer")
    weights = stored(model.state_dict())
    plain = models.build("buffer", seed=1)
    assert list(weights) == list(plain.state_dict())
    plain.load_state_dict(weights)
    assert all(torch.equal(value, weights[name]) for name, value in plain.state_dict().items())
    assert not ahsar.scales_in(plain.state_dict())


@pytest.mark.parametrize("end", [Homeostat.detach, Homeostat.bake])
@pytest.mark.parametrize("kind", models.KINDS)
def test_the_hooks_go_with_the_controller(kind: str, end: Any) -> None:
    model, _, homeostat = trained(kind)
    weights = copy.deepcopy(model.state_dict())
    end(homeostat)
    assert not ahsar.scales_in(model.state_dict())
    assert not any(module._state_dict_hooks or module._load_state_dict_pre_hooks for module in model.modules())
    scales = homeostat.scales
    model.load_state_dict(weights)
    assert homeostat.scales == scales


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_copies_of_a_model_carry_their_own(kind: str, duplicate: Way) -> None:
    if kind == "snntorch" and duplicate is not copy.deepcopy:
        pytest.skip("snnTorch's neurons cannot be pickled")
    model, optimizer, homeostat = trained(kind)
    for layer in homeostat.layers:
        layer.sum.clear()
    if kind == "steps":
        model.reset()  # type: ignore[operator]
    elif kind != "float":
        answer(model)  # states with a graph cannot be copied
    early = copy.deepcopy(model.state_dict())
    twin = duplicate(model)
    models.train_step(model, optimizer, 3)
    own = ahsar.attached(twin)
    assert own is not None and own.scales != homeostat.scales
    assert ahsar.scales_in(twin.state_dict()) == own.scales
    now = homeostat.scales
    twin.load_state_dict(model.state_dict())  # a target network that is set to its model now and then
    assert own.scales == now
    twin.load_state_dict(early)
    assert own.scales != now and homeostat.scales == now


class Wrapper(nn.Module):
    """As DistributedDataParallel and AveragedModel do: another prefix."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module


def test_a_part_and_a_wrapper_carry_what_is_theirs() -> None:
    model, optimizer, homeostat = trained("float")
    part, whole = (copy.deepcopy(one.state_dict()) for one in (model.neurons, Wrapper(model)))
    scales = homeostat.scales
    assert ahsar.scales_in(part) == {name.removeprefix("neurons."): scale for name, scale in scales.items()}
    assert ahsar.scales_in(whole) == {f"module.{name}": scale for name, scale in scales.items()}
    models.train_step(model, optimizer, 3)
    with pytest.warns(UserWarning, match=r"weights without scales .*'neurons\.1'"):
        model.neurons[1].load_state_dict(part)  # of both neurons, and so none of its own
    assert homeostat.scales != scales
    model.neurons.load_state_dict(part)
    assert homeostat.scales == scales
    models.train_step(model, optimizer, 3)
    Wrapper(model).load_state_dict(whole)
    assert homeostat.scales == scales


# ---------------------------------------------------------------- the state of the controller


def test_a_layer_rests_where_its_weights_were() -> None:
    model, _, homeostat = trained("float", config=Config(), boost=0.7)
    weights, scales = copy.deepcopy(model.state_dict()), homeostat.scales
    assert not any(homeostat.resting.values()) and all(scale != 1 for scale in scales.values())
    fresh = models.build("float", seed=2)
    optimizer = models.adam(fresh, lr=0.0)
    arrived = ahsar.attach(fresh, optimizer)
    fresh.load_state_dict(weights)
    for step in range(4):
        models.train_step(fresh, optimizer, step)
        assert arrived.scales == pytest.approx(scales, rel=1e-6) and all(arrived.resting.values())
        assert all(0 <= rate <= 1 for rate in arrived.rates.values())


@settings(max_examples=50)
@given(
    scale=st.floats(0.125, 3.0, width=32),
    gain=st.sampled_from([1.0, 1.3]),
    led=st.sampled_from([0.0, 7.0, math.inf]),
    rates=st.lists(st.floats(0.065, 0.29), min_size=3, max_size=3),
)
def test_what_settles_stays_while_its_rate_is_healthy(scale: float, gain: float, led: float, rates: list[float]) -> None:
    blank = initial(["a", "b", "c"], torch.device("cpu"))
    before = ControllerState(**{**vars(blank), "gain": gain, "led": torch.full((3,), led), "pushed": torch.full((3,), 0.7)})
    after = settled(before, "b", scale)
    others = torch.tensor([0, 2])
    assert all(torch.equal(getattr(after, key)[others], getattr(before, key)[others]) for key in VECTORS if key != "own")
    assert after.scale[1].item() == scale
    assert (after.led[1] == 0).item() == (scale == gain)  # where nothing moved it, it is as new
    for _ in range(12):
        after = controller.update(after, torch.tensor(rates) * 1000, torch.full((3,), 1000.0), Config())
        assert after.scale[1].item() == pytest.approx(scale, rel=1e-5)


@pytest.mark.parametrize("first", ["weights", "controller"])
@pytest.mark.parametrize("kind", models.KINDS)
def test_with_the_controllers_state_training_goes_on_bit_by_bit(kind: str, first: str) -> None:
    model, optimizer, homeostat = trained(kind)
    weights, state, moments = (copy.deepcopy(one.state_dict()) for one in (model, homeostat, optimizer))
    fresh = models.build(kind, seed=3)
    resumed_by = models.adam(fresh)
    resumed = ahsar.attach(fresh, resumed_by, config=MOVING)
    loads: list[Any] = [lambda: fresh.load_state_dict(weights), lambda: resumed.load_state_dict(state)]
    for loading in loads if first == "weights" else reversed(loads):
        loading()
    resumed_by.load_state_dict(moments)
    assert equal(resumed.state, homeostat.state)
    for step in range(3, 8):
        assert models.train_step(fresh, resumed_by, step) == models.train_step(model, optimizer, step)
        assert resumed.scales == homeostat.scales


def test_saving_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in models.KINDS:
        model, _, homeostat = trained(kind)
        assert HostCopies(monkeypatch).during(model.state_dict) == 0
        alone = {name: entry[KEY] for name, entry in model.state_dict()._metadata.items() if KEY in entry}  # type: ignore[attr-defined]
        assert {name: float(scale) for name, scale in alone.items()} == homeostat.scales
        assert HostCopies(monkeypatch).during(lambda homeostat=homeostat: homeostat.scales) > 0  # it would be seen


def test_weights_may_be_loaded_in_inference_mode() -> None:
    model, optimizer, _ = trained("parameter")
    weights = copy.deepcopy(model.state_dict())
    models.train_step(model, optimizer, 3)
    with torch.inference_mode():
        model.load_state_dict(weights)
    models.train_step(model, optimizer, 4)


# ---------------------------------------------------------------- what is told


def clones(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.clone() for name, value in weights.items()}


def through_dcp(weights: Mapping[str, Any], tmp_path: Any) -> dict[str, Any]:
    loaded = clones(weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process
        save(dict(weights), checkpoint_id=tmp_path)
        load(loaded, checkpoint_id=tmp_path)
    return loaded


@pytest.mark.parametrize("kind", models.KINDS)
def test_weights_that_lost_their_scales_are_told_once(kind: str, tmp_path: Any) -> None:
    model, optimizer, homeostat = trained(kind)
    bare, scales = clones(model.state_dict()), homeostat.scales
    with pytest.warns(UserWarning, match=r"weights without scales .*'neurons\.0': .*homeostat\.load_state_dict") as told:
        model.load_state_dict(bare)
    assert len(told) == 1 and homeostat.scales == scales
    model.load_state_dict(through_dcp(model.state_dict(), tmp_path))
    models.train_step(model, optimizer, 3)


def test_distributed_checkpoints_lose_the_scales(tmp_path: Any) -> None:
    model, _, _ = trained("buffer")
    assert not ahsar.scales_in(through_dcp(model.state_dict(), tmp_path))


def test_nothing_is_told_where_nothing_was_scaled() -> None:
    model = models.build("buffer")
    homeostat = ahsar.attach(model)
    model.load_state_dict(clones(model.state_dict()))
    model.load_state_dict(models.build("buffer").state_dict())
    homeostat.detach()


def test_scales_that_are_held_stay_held() -> None:
    model, _, homeostat = trained("float")
    weights = copy.deepcopy(model.state_dict())
    homeostat.hold(0.35)
    model.load_state_dict(copy.deepcopy(model.state_dict()))  # 0.35 as well, rounded: nothing to tell
    with pytest.warns(UserWarning, match=r"'neurons\.0' were saved at .* held by hand, here at 0\.35.*release\(\)") as told:
        model.load_state_dict(weights)
    assert len(told) == 1 and set(homeostat.scales.values()) == {torch.tensor(0.35).item()}
    homeostat.release()
    model.load_state_dict(weights)
    assert homeostat.scales == ahsar.scales_in(weights)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0, "big", torch.ones(2), None.__class__])
def test_a_damaged_scale_is_named(bad: Any) -> None:
    model, _, homeostat = trained("float")
    weights, before = copy.deepcopy(model.state_dict()), homeostat.state
    weights._metadata["neurons.1"][KEY] = bad  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"layer 'neurons\.1': the scale that the weights carry, .* is not finite and > 0"):
        model.load_state_dict(weights)
    assert homeostat.state is before


def test_weights_without_values_bring_no_scales() -> None:
    model, _, homeostat = trained("buffer")
    scales, meta = homeostat.scales, copy.deepcopy(model).to("meta")
    weights = meta.state_dict()
    for entry in weights._metadata.values():  # type: ignore[attr-defined]  # as torch.load(map_location="meta") gives them
        entry.update({key: value.to("meta") for key, value in entry.items() if isinstance(value, Tensor)})
    model.load_state_dict(weights, assign=True)
    assert homeostat.scales == scales
