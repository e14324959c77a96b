"""Homeostat: interval, holding, the two loops and their endings, and what it tells its user."""

import copy
import math
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar import AttachError, Config, ConfigError, SensingError
from ahsar.layer import Layer
from tests import models
from tests.models import MOVING
from tests.reference import Reference

X = models.batch(0)[0]


# ---------------------------------------------------------------- stepping


def test_a_fresh_controller() -> None:
    model = models.build()
    homeostat = ahsar.attach(model)
    assert homeostat.model is model and [layer.name for layer in homeostat.layers] == ["neurons.0", "neurons.1"]
    assert homeostat.scales == {"neurons.0": 1.0, "neurons.1": 1.0}
    assert all(math.isnan(rate) for rate in homeostat.rates.values())
    assert (homeostat.gain, homeostat.steps, homeostat.epochs, homeostat.history) == (1.0, 0, 0, [])


@pytest.mark.parametrize("optimizer", [False, True])
def test_a_step_before_any_training_forward_is_refused(optimizer: bool) -> None:
    model = models.build()
    if optimizer:
        steps = torch.optim.SGD(model.parameters(), lr=0.1)
        ahsar.attach(model, steps)
        call: Any = steps.step
    else:
        call = ahsar.attach(model).step
    with pytest.raises(SensingError, match=r"without a training forward.*model\.train\(\)"):
        call()


def test_a_second_step_without_a_new_forward_is_refused_and_changes_nothing() -> None:
    model = models.build()
    homeostat = ahsar.attach(model)
    model(X)
    homeostat.step()
    rates, scales = homeostat.rates, homeostat.scales
    with pytest.raises(SensingError):
        homeostat.step()
    assert homeostat.rates == rates and homeostat.scales == scales and homeostat.steps == 1


def test_an_attached_optimizer_steps_like_the_user() -> None:
    results = []
    for manual in (False, True):
        model = models.build()
        optimizer = models.adam(model)
        homeostat = ahsar.attach(model, None if manual else optimizer, config=MOVING)
        losses = []
        for step in range(10):
            losses.append(models.train_step(model, optimizer, step))
            if manual:
                homeostat.step()
        results.append((losses, homeostat.rates, homeostat.scales, homeostat.steps))
    assert results[0] == results[1] and results[0][3] == 10


@pytest.mark.parametrize("interval", [1, 2, 3, 7])
def test_interval_senses_and_updates_every_kth_step_alone(interval: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original = Layer.sense
    monkeypatch.setattr(Layer, "sense", lambda self, output: calls.append(self.name) or original(self, output))
    model = models.build()
    optimizer = models.adam(model)
    config = replace(MOVING, interval=interval)
    counter, reference = models.Counter(model), Reference(2, config)
    homeostat = ahsar.attach(model, optimizer, config=config)
    for step in range(15):
        before = homeostat.scales
        models.train_step(model, optimizer, step)
        counted = counter.take()
        if step % interval == 0:  # steps 1, k + 1, ...
            assert calls == ["neurons.0", "neurons.1"] and homeostat.scales != before
            reference.step(*counted)
        else:
            assert not calls and homeostat.scales == before
        calls.clear()
        assert list(homeostat.scales.values()) == pytest.approx(reference.scales, abs=1e-5)


def test_a_network_at_rest_is_sensed_each_tenth_step_until_a_layer_leaves_its_edges() -> None:
    model = nn.Sequential(models.Graded(0.75))
    homeostat = ahsar.attach(model, config=Config(beta=0.0, band=(0.6, 2.5), rescue=(0.5, 3.0)))
    x, sensed, resting, moved = torch.linspace(0.005, 0.995, 100).expand(4, 100), [], [], []
    for step in range(70):
        model(x if step < 45 else 0.79 * x)  # a rate of 0.25, then of 0.05
        if homeostat.layers[0].sum.heard():
            sensed.append(step)
        homeostat.step()
        if homeostat.resting["0"]:
            resting.append(step)
        if homeostat.scales["0"] != 1.0:
            moved.append(step)
    # what an update comes to is known at the next one: no device is waited for
    assert sensed == [*range(21), 30, 40, 50, *range(60, 67)]
    assert resting[:44] == [*range(19, 63)] and moved == [*range(64, 70)]


@pytest.mark.parametrize(("rate", "later"), [(0.25, 0.01), (0.75, 0.1), (0.0, 0.3)])
def test_a_trained_network_is_led_back_to_its_own_rates_be_they_none_or_above_a_half(rate: float, later: float) -> None:
    model = nn.Sequential(models.Graded(1.0))
    homeostat = ahsar.attach(model, config=Config(trained=True, beta=0.0, resting_interval=1))
    membranes = torch.special.ndtri(torch.linspace(0.0005, 0.9995, 1000))
    at_first, below = (float(torch.special.ndtri(torch.tensor(r))) for r in (rate, later))
    for step in range(50):
        # so many of the thousand lie above the threshold; later the mean is at rest
        model((membranes + 1 + at_first if step < 20 else membranes / -below).expand(4, 1000))
        homeostat.step()
        if step < 23:
            assert homeostat.scales == {"0": 1.0} and homeostat.resting == {"0": step >= 19}
    own = max(rate, 0.01)  # that of a silent layer counts as 1 %
    assert homeostat.set_points == pytest.approx({"0": own})
    assert abs(homeostat.rates["0"] - own) < abs(later - own) and (homeostat.scales["0"] < 1) == (later < rate)


class Backwards(nn.Module):
    """Layers defined in another order than they run."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first, self.middle = models.LIF(), models.LIF(0.2), models.LIF(0.5)

    def forward(self, x: Tensor) -> Tensor:
        signal = self.first(x.expand(models.STEPS, *x.shape))
        return self.last(self.middle(signal))


@pytest.mark.parametrize("held", [False, True])
def test_layers_are_put_into_the_order_in_which_they_run(held: bool) -> None:
    model, wide = Backwards(), replace(MOVING, diffusion=0.2)
    homeostat, reference = ahsar.attach(model, config=wide), Reference(3, wide)
    if held:
        homeostat.hold({"first": 0.9, "middle": 0.8, "last": 0.7})
    outputs: dict[str, Any] = {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda module, _, output, name=name: outputs.__setitem__(name, output))
    assert list(homeostat.scales) == ["last", "first", "middle"]
    order = ["first", "middle", "last"]
    for _ in range(5):
        model(X)
        homeostat.step()
        reference.step([outputs[n].sum().item() for n in order], [outputs[n].numel() for n in order])
    assert list(homeostat.scales) == list(homeostat.rates) == order
    assert list(homeostat.rates.values()) == pytest.approx(reference.average, abs=1e-5)
    scales = [0.9, 0.8, 0.7] if held else reference.scales
    assert list(homeostat.scales.values()) == pytest.approx(scales, abs=1e-5)
    assert [layer.module.firing_level for layer in homeostat.layers] == pytest.approx(
        [scales[0] * 0.2, scales[1] * 0.5, scales[2]], abs=1e-5
    )


# ---------------------------------------------------------------- holding


@pytest.mark.parametrize("kind", models.KINDS)
def test_hold_and_release(kind: str) -> None:
    model = models.build(kind)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    models.train_step(model, optimizer, 0)
    learned = homeostat.scales
    homeostat.hold({"neurons.0": 0.5})
    for step in range(3):
        models.train_step(model, optimizer, step)
        assert homeostat.scales == {"neurons.0": 0.5, "neurons.1": learned["neurons.1"]}
    rates = homeostat.rates
    homeostat.hold(2.0)
    assert set(homeostat.scales.values()) == {2.0}
    models.train_step(model, optimizer, 4)
    assert homeostat.rates != rates  # sensed on
    homeostat.release()
    assert homeostat.scales == learned
    models.train_step(model, optimizer, 5)
    assert homeostat.scales != learned


@pytest.mark.parametrize("kind", models.KINDS)
def test_held_at_one_training_is_bit_exact_with_a_model_that_is_not_attached(kind: str) -> None:
    losses = []
    for attached in (False, True):
        model = models.build(kind)
        optimizer = models.adam(model)
        if attached:
            ahsar.attach(model, optimizer).hold(1.0)
        losses.append([models.train_step(model, optimizer, step) for step in range(20)])
        losses.append([p.tolist() for p in model.parameters()])
    assert losses[:2] == losses[2:]


@pytest.mark.parametrize("held", [False, True])
def test_hold_keeps_the_gain(held: bool) -> None:
    homeostat = ready(SAVING)
    if held:
        homeostat.hold(1.0)
    for metric in (0.5, 0.6, 0.7, 0.8):
        homeostat.epoch(metric)
    assert (homeostat.gain == 1.0) == held and homeostat.epochs == 4


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_hold_refuses_what_is_no_scale(value: float) -> None:
    homeostat = ahsar.attach(models.build())
    for scales in (value, {"neurons.0": 0.5, "neurons.1": value}):
        with pytest.raises(ConfigError, match=rf"scale {value!r} of layer 'neurons\..*finite and > 0"):
            homeostat.hold(scales)
    with pytest.raises(ConfigError, match=r"no layer 'lif'; the layers are neurons\.0, neurons\.1"):
        homeostat.hold({"lif": 0.5})
    assert homeostat.state.held is None and set(homeostat.scales.values()) == {1.0}


# ---------------------------------------------------------------- the slow loop

SAVING = Config(frugal=True, floor=0.0, gamma=0.2, progress_beta=0.0)


def ready(config: Config | None = None) -> ahsar.Homeostat:
    model = models.build()
    homeostat = ahsar.attach(model, config=config)
    model(X)
    homeostat.step()
    return homeostat


@pytest.mark.parametrize("frugal", [False, True])
def test_epoch_records_what_happened(frugal: bool) -> None:
    config = replace(SAVING, frugal=frugal)
    homeostat, reference = ready(config), Reference(2, config)
    reference.average, reference.sizes = list(homeostat.rates.values()), homeostat.state.sizes.tolist()
    for epoch, metric in enumerate([0.3, 0.5, 0.6, 0.7, 0.1]):
        homeostat.epoch(metric)
        reference.epoch(metric)
        record = homeostat.history[-1]
        assert record["epoch"] == homeostat.epochs == epoch + 1 and record["metric"] == metric
        assert record["gain"] == homeostat.gain == pytest.approx(reference.gain)
        assert record["rates"] == homeostat.rates and record["scales"] == homeostat.scales
        assert record["energy"] == pytest.approx(sum(homeostat.rates.values()) / 2, abs=1e-6)
    progress = [record["progress"] for record in homeostat.history]
    assert progress[0] == 0 and min(progress[1:4]) > 0 > progress[4]
    rises = [0.0, 0.0, 0.2, 0.4, 0.0] if frugal else [0.0] * 5  # it fell: back by two steps
    assert [math.log(record["gain"]) for record in homeostat.history] == pytest.approx(rises)


def test_the_gain_scales_all_thresholds_and_lowers_the_set_points() -> None:
    homeostat = ready(SAVING)
    before, levels = homeostat.scales, [n.firing_level for n in homeostat.model.neurons]  # type: ignore[union-attr]
    assert homeostat.set_points == pytest.approx({"neurons.0": 0.2, "neurons.1": 0.2})
    for metric in (0.3, 0.5, 0.6, 0.7):
        homeostat.epoch(metric)
    assert homeostat.gain > 1.05
    for name, scale in homeostat.scales.items():
        assert scale == pytest.approx(before[name] * homeostat.gain, rel=1e-5)
        assert homeostat.set_points[name] == pytest.approx(0.2 / homeostat.gain**2, rel=1e-5)
    for neuron, level in zip(homeostat.model.neurons, levels, strict=True):  # type: ignore[arg-type]
        assert neuron.firing_level == pytest.approx(level * homeostat.gain, rel=1e-5)


@pytest.mark.parametrize("decayed", [False, True])
def test_the_gain_rises_by_as_much_as_the_learning_rate_lets_weights_follow(decayed: bool) -> None:
    model = models.build(boost=3.0)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=SAVING)
    for epoch, metric in enumerate((0.3, 0.5, 0.6)):
        models.train_step(model, optimizer, epoch)
        if decayed and epoch == 2:
            optimizer.param_groups[0]["lr"] *= 0.25
        homeostat.epoch(metric)
    assert math.log(homeostat.gain) == pytest.approx(0.2 * (0.25 if decayed else 1.0))


def test_a_loss_is_better_when_lower() -> None:
    metrics = [0.5, 0.9, 0.95, 0.97, 0.1, 0.3]
    score, loss = ready(SAVING), ready(SAVING)
    gains = []
    for metric in metrics:
        score.epoch(metric)
        loss.epoch(-metric, higher_is_better=False)
        assert score.gain == loss.gain and loss.history[-1]["metric"] == -metric
        assert score.history[-1]["progress"] == loss.history[-1]["progress"]
        gains.append(score.gain)
    assert gains != sorted(gains) and max(gains) > 1.0


def test_epoch_takes_a_tensor() -> None:
    homeostat = ready()
    homeostat.epoch(torch.tensor(0.5))  # type: ignore[arg-type]
    assert homeostat.history[0]["metric"] == 0.5


@pytest.mark.parametrize("metric", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_is_refused_and_changes_nothing(metric: float) -> None:
    homeostat = ready()
    homeostat.epoch(0.5)
    before = copy.deepcopy(homeostat.state_dict())
    with pytest.raises(ConfigError, match=r"metric must be finite"):
        homeostat.epoch(metric)
    after = homeostat.state_dict()
    assert str(before) == str(after) and homeostat.epochs == 1


@pytest.mark.parametrize("value", [None, "much", [], 1e308, {"neurons.0": None}])
def test_what_is_no_number_is_refused(value: Any) -> None:
    homeostat = ahsar.attach(models.build())
    homeostat.model(models.batch(0)[0])
    homeostat.step()
    before = str(homeostat.state_dict())
    with pytest.raises(ConfigError, match=r"metric must be (a number|finite)"):
        homeostat.epoch(value)
    if value != 1e308:
        with pytest.raises(ConfigError, match="must be finite and > 0"):
            homeostat.hold(value)
    assert str(homeostat.state_dict()) == before
    homeostat.hold({"neurons.0": torch.tensor(0.5)})  # type: ignore[dict-item]
    assert homeostat.scales["neurons.0"] == 0.5


def test_an_epoch_before_any_step_is_refused() -> None:
    homeostat = ahsar.attach(models.build())
    with pytest.raises(SensingError, match=r"epoch\(\) before the first step\(\)"):
        homeostat.epoch(0.5)
    assert homeostat.epochs == 0 and not homeostat.history


# ---------------------------------------------------------------- what it tells its user


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_spikes_that_are_not_finite_hold_the_layer_and_are_told_at_epoch(poison: float) -> None:
    model = nn.Sequential(models.LIF(0.2), models.Graded(0.5))
    homeostat = ahsar.attach(model, config=replace(MOVING, reaction=0.01))
    x = torch.rand(4, 8, 8)
    model(x)
    homeostat.step()
    rate = homeostat.rates["1"]
    model[1].register_forward_pre_hook(lambda module, args: (args[0] + poison,))
    for _ in range(3):
        model(x)
        homeostat.step()
        assert homeostat.rates["1"] == rate  # no news; the rates and scales of others go on
    assert all(map(math.isfinite, homeostat.scales.values()))
    with pytest.warns(UserWarning, match=r"layer '1' gave NaN or infinite spikes, .* in 3 updates.*learning rate"):
        homeostat.epoch(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        homeostat.epoch(0.5)  # told once, and counted anew


def test_graded_spikes_count_once_whatever_their_height() -> None:
    model = nn.Sequential(models.Graded(0.75))
    homeostat = ahsar.attach(model)
    x = torch.rand(4, 8, 8)
    model(100 * x)
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx((100 * x > 0.75).float().mean().item())


def test_spikes_that_are_not_finite_from_the_start_leave_the_scale_at_one() -> None:
    model = nn.Sequential(models.Graded(0.5))
    homeostat = ahsar.attach(model, config=MOVING)
    for _ in range(3):
        model(torch.full((4, 8, 8), math.nan))
        homeostat.step()
    assert homeostat.scales == {"0": 1.0} and math.isnan(homeostat.rates["0"])


@pytest.mark.parametrize(("level", "reach"), [(0.97, (0.99, 4.0)), (0.1, (0.05, 1.01))])
def test_a_set_point_out_of_reach_is_told_once(level: float, reach: tuple[float, float]) -> None:
    model = nn.Sequential(models.Graded(level), models.Graded(0.5 * level))
    homeostat = ahsar.attach(model, config=Config(reach=reach), layers="all")
    for _ in range(5):
        model(torch.linspace(0.005, 0.995, 100).expand(4, 100))
        homeostat.step()
    with pytest.warns(UserWarning, match=r"cannot reach the set-point 0\.2: rate 0\.\d+ at scale") as told:
        homeostat.epoch(0.5)
    (one,) = (str(warning.message) for warning in told)
    assert "layer '0' cannot" in one and "; layer '1' cannot" in one and one.count("Config.reach") == 1
    homeostat.epoch(0.5)  # warnings are errors here: nothing is said twice


@pytest.mark.parametrize("held", [False, True])
def test_a_layer_that_stays_silent_is_told_once_whatever_its_scale(held: bool) -> None:
    model = nn.Sequential(models.LIF(1e4), models.LIF(0.1))
    homeostat = ahsar.attach(model, layers="0")
    if held:
        homeostat.hold(0.9)
    for update in range(25):
        model(torch.rand(4, 8, 8))
        homeostat.step()
        if update == 18:
            homeostat.epoch(0.5)  # 19 updates are not yet enough
    with pytest.warns(UserWarning, match=r"layer '0' has had a rate below 1 % for 25 updates; its scale is 0\.\d+") as told:
        homeostat.epoch(0.5)
    assert len(told) == 1 and ("scale is 0.9." in str(told[0].message)) == held
    homeostat.epoch(0.5)


def test_a_layer_that_woke_up_is_not_called_silent() -> None:
    model = nn.Sequential(models.Graded(0.5))
    homeostat = ahsar.attach(model, config=replace(MOVING, beta=0.0))
    for update in range(45):
        model(torch.zeros(4, 8) if update != 22 else torch.ones(4, 8))
        homeostat.step()
        if update in (0, 22, 41):
            homeostat.epoch(0.5)
    with pytest.warns(UserWarning, match="below 1 % for"):
        homeostat.epoch(0.5)


@pytest.mark.parametrize(("broken", "told"), [(1, r"'synapses\.0\.weight' are"), (5, r"'synapses\.1\.bias' and 1 other are")])
def test_silence_that_weights_cause_which_are_not_finite_is_put_down_to_them(broken: int, told: str) -> None:
    """NaN is above no threshold: the loss stays finite, and the layers look silent."""
    model = models.build(depth=3)
    homeostat = ahsar.attach(model)
    weights = [weight for synapse in model.synapses for weight in (synapse.weight, synapse.bias)]
    for weight in weights[:broken]:
        nn.init.constant_(weight, math.nan)  # type: ignore[arg-type]
    for _ in range(25):
        assert model(X).isfinite().all()
        homeostat.step()
    with pytest.warns(UserWarning, match=rf"weights of .*{told} not finite: training diverged.*'neurons\.0'") as warned:
        homeostat.epoch(0.5)
    assert len(warned) == 1 and "reach" not in str(warned[0].message)
    homeostat.epoch(0.5)


def test_inhibition_that_makes_the_set_point_unreachable_is_told_at_the_first_step() -> None:
    import snntorch

    with pytest.warns(UserWarning, match="unstable"):  # snnTorch's own
        inhibited = snntorch.Leaky(beta=0.5, inhibition=True)
    model = models.StepNet([inhibited, snntorch.Leaky(beta=0.5)])
    homeostat = ahsar.attach(model)
    model(X)
    with pytest.warns(UserWarning, match=r"layer 'neurons\.0' can reach a rate of 0\.0417 at most.*begins at 0\.06") as told:
        homeostat.step()
    assert len(told) == 1
    model(X)
    homeostat.step()


# ---------------------------------------------------------------- endings


@pytest.mark.parametrize("ending", ["detach", "bake", "with"])
def test_after_an_ending_it_does_nothing_more(ending: str) -> None:
    model = models.build()
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer)
    models.train_step(model, optimizer, 0)
    state = homeostat.state_dict()
    if ending == "with":
        with homeostat as entered:
            assert entered is homeostat
    else:
        getattr(homeostat, ending)()
    levels = [neuron.firing_level for neuron in model.neurons]
    assert (levels == [1.0, 1.0]) == (ending != "bake")
    models.train_step(model, optimizer, 1)  # the optimizer no longer calls
    for call, arguments in (
        ("step", ()),
        ("epoch", (0.5,)),
        ("bake", ()),
        ("calibrate", ([X],)),
        ("hold", (1.0,)),
        ("release", ()),
        ("load_state_dict", (state,)),
    ):
        with pytest.raises(AttachError, match=rf"{call}\(\) after detach\(\) or bake\(\): attach the model again"):
            getattr(homeostat, call)(*arguments)
    homeostat.detach()  # once more does nothing
    assert [neuron.firing_level for neuron in model.neurons] == levels and homeostat.steps == 1
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not optimizer._optimizer_step_post_hooks
    ahsar.attach(model, optimizer)  # and the model is free


def test_the_context_manager_detaches_after_an_error() -> None:
    model = models.build("buffer")
    with pytest.raises(ZeroDivisionError), ahsar.attach(model) as homeostat:
        model(X)
        homeostat.step()
        raise ZeroDivisionError
    assert not homeostat.attached and not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", models.KINDS)
def test_bake_keeps_what_the_model_computes(kind: str) -> None:
    model = models.build(kind)
    keys = list(model.state_dict())
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer)
    for step in range(5):
        models.train_step(model, optimizer, step)
    model.eval()
    wanted = model(X)
    parameters = list(model.parameters())
    homeostat.bake()
    assert torch.equal(model(X), wanted) and list(model.state_dict()) == keys
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))  # optimizers hold them
    fresh = models.build(kind, seed=1).eval()
    fresh.load_state_dict(model.state_dict())
    if kind in ("buffer", "parameter", "snntorch"):
        assert torch.equal(fresh(X), wanted)  # saved with the weights


def test_bake_gives_layers_that_share_a_parameter_one_each() -> None:
    shared = nn.Parameter(torch.tensor(1.0))
    model = models.Net([models.LIF(shared), models.LIF(shared)])
    homeostat = ahsar.attach(model)
    homeostat.hold({"neurons.0": 0.5, "neurons.1": 2.0})
    wanted = model(X)
    homeostat.bake()
    assert torch.equal(model(X), wanted) and shared.item() == 1.0
    assert [neuron.firing_level.item() for neuron in model.neurons] == [0.5, 2.0]  # type: ignore[operator, union-attr]


def test_bake_leaves_a_parameter_alone_that_a_layer_outside_shares() -> None:
    shared = nn.Parameter(torch.tensor(1.0))
    model = models.Net([models.LIF(shared), models.LIF(shared)])
    homeostat = ahsar.attach(model, layers="neurons.0")
    homeostat.hold(0.5)
    wanted = model(X)
    homeostat.bake()
    assert torch.equal(model(X), wanted)


def test_bake_keeps_a_threshold_whose_neighbour_parameter_is_shared() -> None:
    model, decay = models.build("parameter"), nn.Parameter(torch.tensor(0.5))
    for neuron in model.neurons:
        neuron.decay = decay
    before = [neuron.firing_level for neuron in model.neurons]
    homeostat = ahsar.attach(model)
    homeostat.hold(0.5)
    homeostat.bake()
    assert all(neuron.firing_level is old for neuron, old in zip(model.neurons, before, strict=True))
