"""The controller in real training loops: beside the oracle, and wherever loops differ from the plainest one."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import ahsar
from ahsar import Config, Homeostat, modes
from ahsar.layer import Layer
from ahsar.state import VECTORS
from tests import models
from tests.models import MOVING
from tests.reference import Reference

NAMES = ["neurons.0", "neurons.1"]


def follow(homeostat: Homeostat, reference: Reference) -> None:
    """The controller and the oracle agree."""
    assert list(homeostat.rates) == list(homeostat.scales) == NAMES
    assert list(homeostat.rates.values()) == pytest.approx(reference.average, abs=1e-5)
    # in float32 the sum of all steps so far, of log s
    assert list(homeostat.scales.values()) == pytest.approx(reference.scales, abs=1e-5, rel=2e-5)


@contextmanager
def senses() -> Iterator[list[str]]:
    """The names of the layers that sensed, in order."""
    calls: list[str] = []
    original = Layer.sense

    def sense(self: Layer, output: Any) -> None:
        calls.append(self.name)
        original(self, output)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layer, "sense", sense)
        yield calls


# ---------------------------------------------------------------- beside the oracle


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("config", [Config(resting_interval=1), MOVING], ids=["default", "moving"])
def test_it_follows_the_reference_in_lock_step(kind: str, config: Config) -> None:
    model = models.build(kind)
    optimizer = models.adam(model)
    counter, reference = models.Counter(model), Reference(2, config)
    homeostat = ahsar.attach(model, optimizer, config=config)
    for step in range(100):
        models.train_step(model, optimizer, step, size=4 + step % 3)
        reference.step(*counter.take())
        follow(homeostat, reference)
    assert any(abs(scale - 1) > 0.05 for scale in reference.scales)  # it had something to do


@pytest.mark.parametrize("trained", [False, True])
def test_both_loops_follow_the_reference_over_epochs(trained: bool) -> None:
    config = Config(
        set_point=0.1, beta=0.5, limit=0.7, diffusion=0.1, grace=6, patience=2, pause=3, resting_interval=1, trained=trained,
        frugal=True, gamma=0.3, gain_limit=1.5, floor=0.0, progress_beta=0.2,
    )  # fmt: skip
    model = models.build()
    optimizer = models.adam(model)
    counter, reference = models.Counter(model), Reference(2, config)
    homeostat = ahsar.attach(model, optimizer, config=config)
    gains = []
    for epoch, metric in enumerate([0.2, 0.5, 0.6, 0.8, 0.9, 0.1, 0.1, 0.95]):
        optimizer.param_groups[0]["lr"] = 1e-2 / (1 + epoch)
        for step in range(4):
            models.train_step(model, optimizer, 10 * epoch + step)
            reference.step(*counter.take())
            follow(homeostat, reference)
        homeostat.epoch(metric)
        reference.epoch(metric, 1e-2 / (1 + epoch))
        follow(homeostat, reference)
        assert homeostat.gain == pytest.approx(reference.gain, abs=1e-5)
        assert list(homeostat.set_points.values()) == pytest.approx([reference.set_point(layer) for layer in (0, 1)], abs=1e-5)
        gains.append(reference.gain)
    assert max(gains) > 1.1 and gains != sorted(gains)  # it rose, and gave back


def test_a_scale_reaches_the_threshold_of_every_kind_of_neuron() -> None:
    """What the model computes at scale s is what a model built with threshold s computes."""
    for kind in models.KINDS:
        model, x = models.build(kind), models.batch(0)[0]
        plain = model(x)
        homeostat = ahsar.attach(model)
        homeostat.hold(0.5)
        held = model(x)
        homeostat.detach()
        assert torch.equal(model(x), plain) and not torch.equal(held, plain), kind
        for neuron in model.neurons:
            for name in ("firing_level", "threshold", "v_threshold"):
                level = getattr(neuron, name, None)
                if isinstance(level, Tensor):
                    level.data.mul_(0.5)
                elif level is not None:
                    setattr(neuron, name, 0.5 * level)
        assert torch.equal(model(x), held), kind


@pytest.mark.parametrize("kind", ["float", "snntorch", "spikingjelly"])
@pytest.mark.parametrize("silent", [True, False])
def test_a_silent_network_is_revived_and_a_saturated_one_calmed(kind: str, silent: bool) -> None:
    rates = {}
    for attached in (False, True):
        model = models.build(kind, depth=3, boost=0.9 if silent else 3.0, bias=False, positive=not silent)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        if attached:
            ahsar.attach(model, optimizer)
        for step in range(60):
            models.train_step(model, optimizer, step)
        counter = models.Counter(model)
        model(models.batch(1000, 64)[0])
        spikes, outputs = counter.take()
        rates[attached] = [s / n for s, n in zip(spikes, outputs, strict=True)]
    if silent:
        assert rates[False][0] < 0.03 and rates[False][1:] == [0, 0]
        assert min(rates[True]) > 0.1
    else:
        assert min(rates[False]) > 0.9
        assert max(rates[True]) < 0.4


# ---------------------------------------------------------------- loops that are not the plainest


def test_gradient_accumulation_senses_the_union_of_its_micro_batches() -> None:
    whole, parts = models.build(), models.build()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.0) for model in (whole, parts)]
    a, b = (ahsar.attach(m, o, config=MOVING) for m, o in zip((whole, parts), optimizers, strict=True))
    for step in range(5):
        x, _ = models.batch(step, 12)
        whole(x).sum().backward()
        parts(x[:3]).sum().backward()
        parts(x[3:]).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
        assert a.rates == b.rates and a.scales == b.scales


@pytest.mark.parametrize("kind", ["float", "steps", "snntorch"])
def test_several_forwards_before_a_step_count_together(kind: str) -> None:
    model = models.build(kind)
    counter, homeostat, reference = models.Counter(model), ahsar.attach(model, config=MOVING), Reference(2, MOVING)
    for step in range(4):
        for forward in range(3):
            model(models.batch(10 * step + forward, 2 + forward)[0])
        homeostat.step()
        reference.step(*counter.take())
        follow(homeostat, reference)


class Checkpointed(models.Net):
    reentrant: bool | None = None

    def forward(self, x: Tensor) -> Tensor:
        signal = x.expand(models.STEPS, *x.shape)
        for synapse, neuron in zip(self.synapses, self.neurons, strict=True):
            block = nn.Sequential(synapse, neuron)
            run = block if self.reentrant is None else partial(checkpoint, block, use_reentrant=self.reentrant)
            signal = run(signal)
        return self.readout(signal).mean(0)


@pytest.mark.parametrize("kind", ["float", "buffer", "parameter"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_changes_nothing(kind: str, reentrant: bool) -> None:
    results = []
    for setting in (None, reentrant):
        model = models.build(kind)
        model.__class__, model.reentrant = Checkpointed, setting  # type: ignore[assignment]
        optimizer = models.adam(model)
        homeostat = ahsar.attach(model, optimizer, config=MOVING)
        with senses() as calls:
            for step in range(5):
                x, y = models.batch(step)
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x.requires_grad_()), y).backward()
                optimizer.step()
        results.append((homeostat.rates, homeostat.scales, len(calls), [p.clone() for p in model.parameters()]))
    plain, checkpointed = results
    assert plain[:3] == checkpointed[:3] and plain[2] == 10
    assert all(map(torch.equal, plain[3], checkpointed[3]))


def test_truncated_backpropagation_through_time() -> None:
    model = models.build("steps")
    optimizer = models.adam(model)
    counter, reference = models.Counter(model), Reference(2, MOVING)
    homeostat = ahsar.attach(model, optimizer, config=MOVING, layers="all")
    x, y = models.batch(0)
    for chunk in range(8):
        optimizer.zero_grad()
        out: Tensor | float = 0.0
        for _ in range(3):
            signal = x
            for synapse, neuron in zip(model.synapses, model.neurons, strict=True):
                signal, _ = neuron(synapse(signal))
            out = out + model.readout(signal)
        nn.functional.cross_entropy(out, y).backward()  # type: ignore[arg-type]
        optimizer.step()
        reference.step(*counter.take())
        follow(homeostat, reference)
        for neuron in model.neurons:
            assert neuron.potential.abs().sum() > 0, chunk  # type: ignore[union-attr]
            neuron.potential = neuron.potential.detach()  # type: ignore[union-attr,assignment]


def test_several_models_at_once_do_not_disturb_each_other() -> None:
    def run(kinds: list[str]) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
        built = {kind: models.build(kind, seed=len(kind)) for kind in kinds}
        optimizers = {kind: models.adam(model) for kind, model in built.items()}
        controllers = {kind: ahsar.attach(model, optimizers[kind], config=MOVING) for kind, model in built.items()}
        for step in range(5):
            for kind in kinds:
                models.train_step(built[kind], optimizers[kind], step)
        return {kind: (h.rates, h.scales) for kind, h in controllers.items()}

    together = run(["float", "buffer", "spikingjelly"])
    for kind, result in together.items():
        assert run([kind])[kind] == result


@pytest.mark.parametrize("kind", ["buffer", "parameter", "snntorch", "spikingjelly"])
def test_bfloat16_autocast(kind: str) -> None:
    model = models.build(kind)
    optimizer = models.adam(model)
    counter, reference = models.Counter(model), Reference(2, MOVING)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    for step in range(10):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            models.train_step(model, optimizer, step)
        reference.step(*counter.take())
        follow(homeostat, reference)
    assert {getattr(homeostat.state, name).dtype for name in VECTORS} == {torch.float32}


# ---------------------------------------------------------------- what is sensed, and when scales move


@pytest.mark.parametrize("kind", ["float", "buffer", "snntorch", "spikingjelly"])
def test_eval_applies_the_scales_and_neither_senses_nor_changes_them(kind: str) -> None:
    model, other = models.build(kind), models.build(kind)
    optimizers = [models.adam(model), models.adam(other)]
    homeostat, without = (ahsar.attach(m, o, config=MOVING) for m, o in zip((model, other), optimizers, strict=True))
    for step in range(5):
        models.train_step(model, optimizers[0], step)
        models.train_step(other, optimizers[1], step)
        scales = homeostat.scales
        model.eval()
        with senses() as calls, torch.no_grad():
            scaled = model(models.batch(50)[0])
        assert not calls and homeostat.scales == scales
        model.train()
        assert torch.equal(scaled, model(models.batch(50)[0]))  # training mode has the same thresholds
        for layer in homeostat.layers:
            layer.sum.clear()
    assert homeostat.rates == without.rates and homeostat.scales == without.scales
    model.eval()
    scaled = model(models.batch(50)[0])
    homeostat.detach()
    assert not torch.equal(scaled, model(models.batch(50)[0]))


def test_a_step_after_evaluation_alone_is_refused() -> None:
    model = models.build()
    homeostat = ahsar.attach(model)
    model.eval()(models.batch(0)[0])
    with pytest.raises(ahsar.SensingError, match=r"model\.train\(\)"):
        homeostat.step()


def test_paused_senses_nothing_and_steps_nothing() -> None:
    model = models.build()
    homeostat = ahsar.attach(model, config=MOVING)
    model(models.batch(0)[0])
    homeostat.step()
    rates, scales = homeostat.rates, homeostat.scales
    with senses() as calls, homeostat.paused():
        with homeostat.paused():
            model(models.batch(1)[0])
        paused = model(models.batch(1)[0])
        homeostat.step()
    assert not calls and homeostat.rates == rates and homeostat.scales == scales and homeostat.steps == 1
    assert torch.equal(paused, model(models.batch(1)[0]))  # scales stay applied
    homeostat.step()
    assert homeostat.steps == 2 and homeostat.rates != rates
    with pytest.raises(ValueError), homeostat.paused():
        raise ValueError
    with senses() as calls:
        model(models.batch(2)[0])
    assert calls == NAMES


@pytest.mark.parametrize("kind", models.KINDS)
def test_scales_move_in_step_alone(kind: str) -> None:
    model = models.build(kind)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=MOVING)
    levels: list[list[Any]] = []

    def look(module: nn.Module, *_: Any) -> None:
        values = [getattr(module, name, None) for name in ("firing_level", "threshold", "v_threshold")]
        levels[-1].append([torch.as_tensor(value).item() for value in values if value is not None])

    model.neurons[0].register_forward_hook(look, prepend=True)  # sees the threshold that forward saw
    for step in range(4):
        levels.append([])
        x, y = models.batch(step)
        before = homeostat.scales
        loss = nn.functional.cross_entropy(model(x), y) + nn.functional.cross_entropy(model(x.flip(0)), y.flip(0))
        assert homeostat.scales == before
        with torch.no_grad():
            model.eval()(x)
            model.train()
        optimizer.zero_grad()
        loss.backward()
        assert homeostat.scales == before
        optimizer.step()
        assert homeostat.scales != before
        assert len(levels[-1]) >= 3 and all(level == levels[-1][0] for level in levels[-1])
        assert len(levels) == 1 or levels[-1][0] != levels[-2][0]


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_evaluation_does_not_cut_the_gradient_of_a_learnable_threshold(guard: Any) -> None:
    model = models.build("parameter")
    homeostat = ahsar.attach(model)
    homeostat.hold(0.5)
    x, gradients = models.batch(0)[0], []
    for evaluated in (False, True):
        if evaluated:
            with guard():
                model.eval()(x)
        model.train()(x).sum().backward()
        gradients.append([neuron.firing_level.grad for neuron in model.neurons])
        model.zero_grad()
    assert all(g is not None and g != 0 for g in gradients[0]) and gradients[0] == gradients[1]


class Shared(nn.Module):
    """One module of neurons twice per forward, and a second one only where `both`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Linear(models.FEATURES, models.FEATURES)
        self.twice, self.sometimes = models.LIF(0.2), models.LIF(0.1)
        self.both = True

    def forward(self, x: Tensor) -> Tensor:
        signal = self.twice(self.mix(self.twice(x.expand(models.STEPS, *x.shape))))
        return (self.sometimes(self.mix(signal)) if self.both else signal).mean(0)


def test_a_module_used_twice_counts_both_uses() -> None:
    model = Shared()
    seen: list[Any] = []
    model.twice.register_forward_hook(lambda module, _, output: seen.append(output))
    homeostat = ahsar.attach(model, layers="all")
    model(models.batch(0)[0])
    homeostat.step()
    assert list(homeostat.rates) == ["twice", "sometimes"]
    assert len(seen) == 2 and homeostat.rates["twice"] == pytest.approx(torch.stack(seen).mean().item(), abs=1e-6)


def test_a_layer_that_misses_an_update_keeps_its_rate() -> None:
    model = Shared()
    homeostat = ahsar.attach(model, config=MOVING, layers="all")
    model(models.batch(0)[0])
    homeostat.step()
    rate, sizes = homeostat.rates["sometimes"], homeostat.state.sizes.tolist()
    model.both = False
    for step in range(3):
        model(models.batch(step)[0])
        homeostat.step()
    assert homeostat.rates["sometimes"] == rate and homeostat.state.sizes.tolist() == sizes
    homeostat.epoch(0.5)
    assert 0 < homeostat.history[-1]["energy"] < 1


def test_a_layer_that_never_runs_can_be_refused() -> None:
    model = Shared()
    model.both = False
    homeostat = ahsar.attach(model, config=Config(unused="error"))
    x = models.batch(0)[0]
    model(x)
    with pytest.raises(ahsar.SensingError, match=r"layer 'sometimes' did not run.*unused=\"hold\"") as caught:
        homeostat.step()
    assert "twice" not in str(caught.value)
    model.both = True
    model(x)
    homeostat.step()  # the cure works


@pytest.mark.parametrize("diffusion", [0.0, 0.2])
def test_a_layer_that_has_not_run_is_named_once_and_left_alone_until_it_runs(diffusion: float) -> None:
    model = Shared()
    model.both = False
    homeostat = ahsar.attach(model, config=replace(MOVING, diffusion=diffusion), layers="all")
    for step in range(3):
        model(models.batch(step)[0])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            homeostat.step()
        told = [str(warning.message) for warning in caught]
        assert len(told) == (step == 0)
        assert all("'sometimes' has not run" in text and "'twice'" not in text and "layers=" in text for text in told)
    assert homeostat.scales["sometimes"] == 1.0 and str(homeostat.rates["sometimes"]) == "nan"
    assert model.sometimes.firing_level == 0.1
    assert homeostat.scales["twice"] != 1.0
    homeostat.epoch(0.5)
    model.both = True
    model(models.batch(9)[0])
    homeostat.step()
    assert homeostat.scales["sometimes"] != 1.0 and homeostat.rates["sometimes"] >= 0


class Heads(nn.Module):
    """A trunk and two heads, each a layer of neurons and a readout; one head runs at a time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = models.build(depth=2)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(models.CLASSES, models.WIDTH), models.LIF(0.1), nn.Linear(models.WIDTH, models.CLASSES))
            for _ in range(2)
        )

    def forward(self, x: Tensor, head: int) -> Tensor:
        return self.heads[head](self.trunk(x).expand(models.STEPS, -1, -1)).mean(0)


def test_heads_in_turn_behind_a_trunk_that_is_frozen() -> None:
    """What did not run in training mode stays, whatever its neighbours share; so does a trunk that never did."""
    model = Heads()
    homeostat = ahsar.attach(model, config=replace(MOVING, diffusion=0.15, reach=(0.01, 99.0)), layers="all")
    for turn, (head, frozen) in enumerate([(0, True), (1, True), (0, False), (1, False), (1, True), (0, True)]):
        model.trunk.train(not frozen)
        before = homeostat.scales
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if turn == 0 else "error")
            for step in range(3):
                model(models.batch(step)[0], head)
                homeostat.step()
        moved = {name for name, scale in homeostat.scales.items() if scale != before[name]}
        assert moved == {f"heads.{head}.1"} | (set() if frozen else {"trunk.neurons.0", "trunk.neurons.1"})
        levels = {layer.name: layer.module.firing_level for layer in homeostat.layers}
        own = {name: 0.1 if "heads" in name else 1.0 for name in levels}
        assert levels == pytest.approx({name: scale * own[name] for name, scale in homeostat.scales.items()})


class Syncs(TorchDispatchMode):
    """Keeps the tensors that were read, for which the program waits on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket._qualified_op_name in ("aten::_local_scalar_dense", "aten::is_nonzero"):
            self.reads.append(args[0])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("kind", "copies"), [("buffer", 0), ("parameter", 0), ("snntorch", 0), ("spikingjelly", 1)])
@pytest.mark.parametrize("diffusion", [0.0, 0.2])
def test_what_a_step_copies_to_the_host(kind: str, copies: int, diffusion: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build(kind)
    homeostat = ahsar.attach(model, config=replace(MOVING, diffusion=diffusion))
    lists: list[Any] = []
    original = Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda self: lists.append(self) or original(self))
    monkeypatch.setattr(modes, "watched", lambda: False)  # the detector is to see sensing too
    with Syncs() as detector:
        torch.ones(()).item()
    assert len(detector.reads) == 1  # it can see one
    x = models.batch(0)[0]
    with homeostat.paused(), Syncs() as alone:
        model(x).sum().backward()
    for update in range(4):
        # what the update before came to, copied to the host since
        known = homeostat._regulator._rests._flag
        with Syncs() as syncs:
            model(x).sum().backward()
            homeostat.step()
        assert [read is known for read in syncs.reads].count(True) == 1
        # the first update also looks at what the layers gave
        assert len(syncs.reads) == len(alone.reads) + 1 and len(lists) == copies + (update == 0)
        lists.clear()


def test_two_copies_of_a_model_train_alike() -> None:
    model = models.build("buffer")
    twin = copy.deepcopy(model)
    results = []
    for m in (model, twin):
        optimizer = models.adam(m)
        homeostat = ahsar.attach(m, optimizer, config=MOVING)
        losses = [models.train_step(m, optimizer, step) for step in range(10)]
        results.append((losses, homeostat.scales))
    assert results[0] == results[1]


def test_a_step_that_the_gradient_scaler_skips_changes_nothing() -> None:
    """Infinite gradients in mixed precision: what was sensed waits for the next step that is taken."""
    model = models.build("buffer")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    homeostat, scaler = ahsar.attach(model, optimizer, config=MOVING), GradScaler("cpu", init_scale=4.0)
    for factor, steps in ((1.0, 1), (float("inf"), 1), (1.0, 2)):
        optimizer.zero_grad()
        before = homeostat.scales
        scaler.scale(factor * model(models.batch(0)[0]).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert homeostat.steps == steps
        assert (homeostat.scales == before) == (factor != 1.0)
    assert homeostat.state.sizes[0] == 2 * 16 * models.STEPS * models.WIDTH
