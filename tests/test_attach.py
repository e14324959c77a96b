"""attach: what it finds, what it refuses, and that a model it was attached to can still be copied, moved and stored."""

import copy
import io
import pickle
import re
import weakref
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar import AdapterError, AttachError, ConfigError
from ahsar.adapters import unregister
from ahsar.layer import Layer, layers_of
from ahsar.state import VECTORS
from tests import models

X = models.batch(0)[0]


def traces(model: nn.Module) -> list[Any]:
    """Everything that attaching may leave on a model."""
    levels = ("firing_level", "threshold", "v_threshold")
    return [
        [
            *(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._forward_hooks_always_called)),
            *(type(m.__dict__.get(name)) for name in levels),
        ]
        for m in model.modules()
    ]


# ---------------------------------------------------------------- what it regulates


def test_it_finds_subclasses_and_leaves_the_rest_alone() -> None:
    class Mine(models.LIF):
        pass

    model = nn.Sequential(nn.Linear(8, 8), Mine(), nn.Flatten(), models.LIF())
    assert [(f.name, f.framework, f.reason) for f in ahsar.discover(model)] == [
        ("1", "generic", None),
        ("3", "generic", None),
    ]
    assert [layer.name for layer in ahsar.attach(model).layers] == ["1", "3"]


def test_a_lone_neuron_is_a_model() -> None:
    neuron = models.LIF(0.2)
    homeostat = ahsar.attach(neuron)
    neuron(torch.rand(4, 3, 5))
    homeostat.step()
    assert list(homeostat.scales) == [""] and homeostat.scales[""] != 1.0


@pytest.mark.parametrize(
    "layers",
    [
        "neurons.1",
        ["neurons.1"],
        {"neurons.1"},
        (name for name in ["neurons.1"]),
        lambda name, module: name.endswith("1"),
        lambda name, module: isinstance(module, models.LIF) and name != "neurons.0",
    ],
)
def test_layers_selects(layers: Any) -> None:
    model = models.build()
    homeostat = ahsar.attach(model, layers=layers)
    assert list(homeostat.scales) == ["neurons.1"]
    model(X)
    homeostat.step()
    assert model.neurons[0].firing_level == 1.0 and model.neurons[1].firing_level != 1.0
    assert not model.neurons[0]._forward_hooks


def test_layers_refuses_what_is_no_layer_and_names_those_there_are() -> None:
    model = models.build()
    before = traces(model)
    for layers, wrong in ((["neurons.1", "lif7"], "'lif7'"), ("readout", "'readout'")):
        with pytest.raises(AttachError, match=rf"{wrong} \(no spiking layer\); the spiking layers are neurons\.0, neurons\.1"):
            ahsar.attach(model, layers=layers)
    for nothing in ([], lambda name, module: False):
        with pytest.raises(AttachError, match=r"selects none of the spiking layers: neurons\.0, neurons\.1"):
            ahsar.attach(model, layers=nothing)
    with pytest.raises(ZeroDivisionError):
        ahsar.attach(model, layers=lambda name, module: 1 / 0)  # type: ignore[arg-type, return-value]
    assert traces(model) == before


class Loop:
    """An object of a user's that is no module."""

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)


HOLDERS: dict[str, Any] = {
    "held[0]": lambda neuron: [neuron],
    "held[1]": lambda neuron: (None, neuron),
    "held['lif']": lambda neuron: {"lif": neuron},
    "held[0] ": lambda neuron: deque([neuron]),
    "held[1][0]": lambda neuron: [[], [neuron]],
    "held.lif": lambda neuron: Loop(lif=neuron),
    "held.parts[0]": lambda neuron: Loop(parts=[neuron]),
    "held[0].1": lambda neuron: [nn.Sequential(nn.Linear(2, 2), neuron)],
}


def with_another(held: Any) -> nn.Module:
    model: Any = models.build()
    model.wrapped = nn.Sequential()
    model.wrapped.held = held
    return model


@pytest.mark.parametrize("where", HOLDERS)
@pytest.mark.parametrize("kind", ["float", "snntorch", "spikingjelly"])
def test_neurons_where_pytorch_finds_no_modules_are_named(where: str, kind: str) -> None:
    neuron = models.build(kind).neurons[0]
    model = with_another(HOLDERS[where](neuron))
    place = f"wrapped.{where.strip()}"
    for layers in (None, "all", lambda name, module: True):
        with pytest.warns(UserWarning, match=rf"layer {re.escape(repr(place))} is not regulated: .*use nn\.ModuleList"):
            homeostat = ahsar.attach(model, layers=layers)
        assert place not in homeostat.scales and not neuron._forward_hooks
        homeostat.detach()
    ahsar.attach(model, layers=["neurons.0"]).detach()  # who names layers knows
    with pytest.raises(AttachError, match=rf"{re.escape(repr(place))} \(it is kept in a plain list"):
        ahsar.attach(model, layers=[place])
    alone: Any = nn.Sequential(nn.Linear(2, 2))
    alone.held = HOLDERS[where](neuron)
    with pytest.raises(AttachError, match=rf"Skipped: {re.escape(where.strip())} \(it is kept in a plain list"):
        ahsar.attach(alone)


def test_only_neurons_that_pytorch_does_not_find_are_named_and_many_in_short() -> None:
    model: Any = with_another([nn.Linear(2, 2), nn.ReLU(), 1, "lif", torch, Loop, Loop(), torch.zeros(3), [0.0] * 10**6])
    model.order = list(model.neurons)  # the same ones
    model.back = Loop(model=model, itself=model)
    model.__dict__["teacher"] = models.LIF()  # hidden on purpose
    ahsar.attach(model).detach()
    model.more = [models.LIF() for _ in range(8)]
    with pytest.warns(UserWarning, match=r"layer 'more\[0\]', .*'more\[3\]' and 4 others is not regulated"):
        ahsar.attach(model)


# ---------------------------------------------------------------- what it refuses


def test_a_model_without_spiking_layers_lists_its_types_and_shows_the_way() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(AttachError) as caught:
        ahsar.attach(model)
    message = str(caught.value)
    assert "Linear, ReLU, Sequential" in message and "\n" not in message
    assert 'ahsar.register_adapter(MyNeuron, threshold="its_attribute", spikes=0)' in message


def test_a_model_whose_only_neurons_are_skipped_says_why() -> None:
    from spikingjelly.activation_based import neuron

    if not hasattr(neuron, "PSN"):
        pytest.skip("this SpikingJelly has no neuron without a threshold")
    model = nn.Sequential(nn.Linear(2, 2), neuron.PSN(T=4))
    with pytest.raises(AttachError, match=r"Skipped: 1 \(it has no threshold"):
        ahsar.attach(model)
    both = nn.Sequential(neuron.PSN(T=4), models.LIF())
    with pytest.raises(AttachError, match=r"'0' \(it has no threshold.*the spiking layers are 1"):
        ahsar.attach(both, layers=["0"])


@pytest.mark.parametrize("kind", models.KINDS)
def test_a_second_attach_is_refused_for_the_model_its_parts_and_what_holds_it(kind: str) -> None:
    model = models.build(kind)
    homeostat = ahsar.attach(model)
    before = traces(model)
    for target in (model, model.neurons, model.neurons[0], nn.Sequential(model), nn.ModuleList([models.LIF(), model])):
        with pytest.raises(AttachError, match=r"attached already.*detach\(\) or bake\(\)"):
            ahsar.attach(target)  # type: ignore[arg-type]
    assert traces(model) == before
    homeostat.detach()
    ahsar.attach(model)


def test_data_parallel_is_refused() -> None:
    model = models.build()
    for target in (nn.DataParallel(model), nn.Sequential(nn.DataParallel(model))):
        with pytest.raises(AttachError, match="DistributedDataParallel"):
            ahsar.attach(target)
    assert not layers_of(model)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("make", [float, torch.tensor, lambda v: nn.Parameter(torch.tensor(v))])
def test_a_threshold_that_cannot_be_scaled_is_refused(make: Any, value: float) -> None:
    model = nn.Sequential(models.LIF(), models.LIF(make(value)))
    before = traces(model)
    with pytest.raises(AttachError, match=r"layer '1': its threshold, .*, is not finite and above rest \(0\).*layers="):
        ahsar.attach(model)
    assert traces(model) == before
    ahsar.attach(model, layers=["0"])  # the cure works


def test_one_bad_threshold_among_many_is_refused() -> None:
    with pytest.raises(AttachError, match=r"layer '0': 1 of its 3 thresholds, the least of them 0 at \[1\], is not"):
        ahsar.attach(nn.Sequential(models.LIF(torch.tensor([1.0, 0.0, 1.0]))))


def test_a_class_registered_with_an_attribute_it_lacks_is_refused() -> None:
    class Lacking(nn.Module):
        pass

    try:
        ahsar.register_adapter(Lacking, threshold="level")
        with pytest.raises(AttachError, match="layer '0': Lacking has no attribute 'level'"):
            ahsar.attach(nn.Sequential(Lacking()))
        wrong = Lacking()
        wrong.level = "low"  # type: ignore[assignment]
        with pytest.raises(AttachError, match="is a str: a number, tensor, buffer or Parameter is needed"):
            ahsar.attach(nn.Sequential(wrong))
    finally:
        unregister(Lacking)


def test_what_is_no_model_and_no_optimizer_is_refused() -> None:
    with pytest.raises(AttachError, match=r"needs a torch\.nn\.Module, not a list"):
        ahsar.attach([models.LIF()])  # type: ignore[arg-type]
    model = models.build()
    with pytest.raises(AttachError, match=r"the optimizer is a float, not a torch\.optim\.Optimizer"):
        ahsar.attach(model, 0.1)  # type: ignore[arg-type]
    assert not layers_of(model)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"config": {"set_point": 0.1}}, r"config is a dict, not an ahsar\.Config\. Config\(\*\*config\)"),
        ({"config": {}}, "config is a dict"),
        ({"config": "fast"}, "config is a str"),
        ({"layers": 1}, r"layers= is a int: give names"),
        ({"layers": models.LIF()}, r"layers= is a LIF: give names"),
        ({"scales": 0.5}, "scales is a float, not a function"),
    ],
)
def test_arguments_of_another_kind_are_refused_at_once(wrong: dict[str, Any], words: str) -> None:
    model = models.build()
    before = traces(model)
    with pytest.raises(ahsar.AhsarError, match=words):
        ahsar.attach(model, models.adam(model), **wrong)
    assert traces(model) == before
    if "config" in wrong:
        homeostat = ahsar.attach(model)
        with pytest.raises(ConfigError, match=words), homeostat.adapting(**wrong):
            pass
        assert homeostat.config == ahsar.Config() and not homeostat._regulator.group.in_eval


# ---------------------------------------------------------------- the optimizer of this model


def optimizer_of(*parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.1)


def test_an_optimizer_of_another_model_that_is_built_alike_is_refused() -> None:
    first = models.build()
    optimizer = models.adam(first)
    for model in (models.build(seed=1), copy.deepcopy(first)):
        before = traces(model)
        with pytest.raises(AttachError, match="those of another one that is built alike"):
            ahsar.attach(model, optimizer)
        assert traces(model) == before and not optimizer._optimizer_step_post_hooks
        homeostat = ahsar.attach(model, models.adam(model))
        with pytest.raises(AttachError, match="those of another one that is built alike"):
            homeostat.follow(optimizer)
        models.train_step(model, homeostat._following._optimizer, 0)  # the first one is still followed  # type: ignore
        assert homeostat.steps == 1


def test_an_optimizer_that_trains_nothing_of_the_model_is_named() -> None:
    for others in (
        lambda model: [nn.Linear(3, 2).weight],  # a readout behind it
        lambda model: [p.detach().double().requires_grad_() for p in model.parameters()],  # copies in another dtype
        lambda model: [torch.cat([p.detach().flatten() for p in model.parameters()]).requires_grad_()],  # flattened ones
    ):
        model = models.build()
        optimizer = optimizer_of(*others(model))
        with pytest.warns(UserWarning, match="the optimizer holds no parameter of the attached model"):
            homeostat = ahsar.attach(model, optimizer)
        model(X).sum().backward()
        optimizer.step()
        assert homeostat.steps == 1


def test_an_optimizer_may_train_a_part_of_the_model_or_more_or_beside_a_frozen_one() -> None:
    for own in (lambda model: [model.readout.weight], lambda model: [nn.Linear(2, 2).weight, *model.parameters()]):
        model = models.build()
        ahsar.attach(model, optimizer_of(*own(model)))
    frozen = models.build().requires_grad_(False)  # a reservoir
    ahsar.attach(frozen, models.adam(models.build()))
    ahsar.attach(models.LIF(), models.adam(models.build()))


@pytest.mark.parametrize("kind", models.KINDS)
def test_an_attach_that_fails_in_the_middle_leaves_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build(kind)
    before, output = traces(model), model(X)
    original = Layer.hook

    def hook(self: Layer) -> None:
        original(self)
        if self.name == "neurons.1":
            raise KeyboardInterrupt

    monkeypatch.setattr(Layer, "hook", hook)
    with pytest.raises(KeyboardInterrupt):
        ahsar.attach(model)
    assert traces(model) == before and torch.equal(model(X), output)
    monkeypatch.undo()
    optimizer = models.adam(model)
    monkeypatch.setattr(ahsar.Homeostat, "follow", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ahsar.attach(model, optimizer)
    monkeypatch.undo()
    assert traces(model) == before
    ahsar.attach(model, optimizer)


class Wrapped(models.LIF):
    """Returns its spikes in a dict."""

    def forward(self, current: Tensor) -> Any:
        return {"spikes": super().forward(current), "note": "none"}


@pytest.mark.parametrize(
    ("spikes", "told"),
    [
        (None, r"layer '0': Wrapped gave no spikes but a dict.*register_adapter"),
        ("note", r"layer '0': Wrapped gave no spikes but a str"),
        ("z", r"Wrapped returned a dict without entry 'z'.*register_adapter"),
        (0, r"Wrapped returned a dict without entry 0"),
        (lambda output: None, r"gave no spikes but a NoneType"),
    ],
)
def test_an_adapter_that_returns_no_spikes(spikes: Any, told: str) -> None:
    model = nn.Sequential(Wrapped(torch.tensor(0.3)))
    ahsar.register_adapter(Wrapped, threshold="firing_level", spikes=spikes)
    try:
        homeostat = ahsar.attach(model)
        homeostat.hold(0.5)
        with pytest.raises(AdapterError, match=told):
            model(torch.rand(4, 2, 3))
        assert "firing_level" not in model[0].__dict__  # the scaled threshold was taken out
        homeostat.detach()
        model(torch.rand(4, 2, 3))
    finally:
        unregister(Wrapped)


def test_a_forward_that_raises_leaves_the_threshold_and_the_sums_alone() -> None:
    level = torch.tensor(0.3)
    model = nn.Sequential(models.LIF(level))
    homeostat = ahsar.attach(model)
    homeostat.hold(0.5)
    with pytest.raises(IndexError):
        model(torch.rand(0))
    assert "firing_level" not in model[0].__dict__ and model[0].firing_level is level
    assert homeostat.layers[0].sum.count == 0


# ---------------------------------------------------------------- a model like any other


@pytest.mark.parametrize("kind", models.KINDS)
def test_the_keys_of_the_model_do_not_change(kind: str) -> None:
    model = models.build(kind)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    homeostat = ahsar.attach(model)
    model(X)
    homeostat.step()
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("kind", models.KINDS)
def test_detach_restores_exactly(kind: str) -> None:
    model, twin = models.build(kind), models.build(kind)
    before = traces(model)
    homeostat = ahsar.attach(model)
    for _ in range(5):
        model(X)
        homeostat.step()
    assert not torch.equal(model(X), twin(X))
    homeostat.detach()
    for either in (model, twin):
        either(X)
    assert torch.equal(model(X), twin(X)) and traces(model) == before


def stored(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


DUPLICATES = [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), stored]
# snnTorch's neurons hold a local function, which pickle refuses, attached or not
COPIES = [(kind, way) for kind in models.KINDS for way in DUPLICATES if kind != "snntorch" or way is copy.deepcopy]


@pytest.mark.parametrize(("kind", "duplicate"), COPIES)
def test_a_copy_of_an_attached_model_is_independent(kind: str, duplicate: Any) -> None:
    model = models.build(kind)
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=models.MOVING)
    for step in range(3):
        models.train_step(model, optimizer, step)
    if kind == "steps":
        model.reset()  # type: ignore[operator]
    elif kind != "float":  # states that carry a graph cannot be copied, attached or not
        with torch.no_grad():
            model(X)
        for layer in homeostat.layers:
            layer.sum.clear()
    twin = duplicate(model)
    with homeostat.paused():
        assert torch.equal(twin.eval()(X), model.eval()(X))
    own = ahsar.attached(twin)
    assert (
        own is not None
        and own is not homeostat
        and ahsar.attached(model) is homeostat
        and own.model is twin
        and own.scales == homeostat.scales
    )
    assert not set(map(id, own.layers)) & set(map(id, homeostat.layers)) and layers_of(twin) == own.layers
    before, rates = homeostat.scales, homeostat.rates
    steps = models.adam(twin.train())
    models.train_step(twin, steps, 7)  # no optimizer steps the copy's controller
    assert own.steps == homeostat.steps == 3 and own.scales == before
    own.step()
    assert own.scales != before and homeostat.scales == before and homeostat.rates == rates
    own.detach()
    assert ahsar.attached(twin) is None and not layers_of(twin) and len(layers_of(model)) == 2
    models.train_step(model.train(), optimizer, 8)
    assert homeostat.steps == 4


def test_a_pickled_model_of_an_unregistered_class_says_so() -> None:
    ahsar.register_adapter(Wrapped, threshold="firing_level", spikes="spikes")
    model = nn.Sequential(Wrapped(0.3))
    ahsar.attach(model)
    data = pickle.dumps(model)
    unregister(Wrapped)
    unregister(models.LIF)
    try:
        with pytest.raises(AdapterError, match=r"layer '0': no adapter for Wrapped; call ahsar\.register_adapter"):
            pickle.loads(data)
    finally:
        ahsar.register_adapter(models.LIF, threshold="firing_level", binary=True)


@pytest.mark.parametrize("kind", [kind for kind in models.KINDS if kind != "snntorch"])  # its surrogate returns float32
def test_a_model_may_change_its_dtype_after_attach(kind: str) -> None:
    model = models.build(kind)
    homeostat = ahsar.attach(model)
    model(X)
    homeostat.step()
    scales = homeostat.scales
    model.double()
    output = model(X.double())
    assert output.dtype == torch.float64
    homeostat.step()
    assert homeostat.scales != scales and homeostat.state.scale.dtype == torch.float32
    fresh = models.build(kind).double()
    again = ahsar.attach(fresh)
    fresh(X.double())
    again.step()
    fresh(X.double())
    again.step()
    assert homeostat.scales == pytest.approx(again.scales, abs=1e-2)


def test_a_frozen_threshold_follows_its_model_to_another_dtype_and_back() -> None:
    model = models.build("parameter")
    model.requires_grad_(False)
    homeostat = ahsar.attach(model)
    homeostat.hold(0.5)
    seen: list[Tensor] = []
    model.neurons[0].register_forward_hook(lambda module, *_: seen.append(module.firing_level), prepend=True)  # type: ignore[arg-type]
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        model.to(dtype)(X.to(dtype))
        assert seen[-1].dtype == dtype and seen[-1].item() == 0.5


def test_a_model_may_move_to_another_device_after_attach() -> None:
    model = models.build("buffer")
    homeostat = ahsar.attach(model)
    model(X)
    homeostat.step()
    model.to("meta")
    assert model(X.to("meta")).device.type == "meta"
    homeostat.step()  # tensors alone: the whole update runs on the model's device
    assert {getattr(homeostat.state, name).device.type for name in VECTORS} == {"meta"}
    assert all(layer.threshold.effective(layer.module).device.type == "meta" for layer in homeostat.layers)  # type: ignore[union-attr]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", models.KINDS)
def test_a_model_may_move_to_a_gpu_after_attach(kind: str) -> None:
    model, twin = models.build(kind), models.build(kind)
    homeostat, wanted = ahsar.attach(model), ahsar.attach(twin)
    for device in ("cpu", "cuda", "cuda", "cpu"):
        model.to(device)(X.to(device))
        twin(X)
        homeostat.step()
        wanted.step()
        assert homeostat.state.scale.device.type == device
        assert homeostat.scales == pytest.approx(wanted.scales, abs=1e-3)


def test_every_message_is_one_line() -> None:
    for call in (lambda: ahsar.attach(nn.ReLU()), lambda: ahsar.attach(models.build(), layers=["no"])):
        with pytest.raises(AttachError) as caught:
            call()
        assert not re.search(r"\n", str(caught.value))


def test_weak_proxies_of_modules_are_no_layers_kept_elsewhere() -> None:
    model = nn.Sequential(nn.Linear(8, 8), models.LIF(), nn.Linear(8, 2))
    owner = SimpleNamespace(model=weakref.proxy(model), parts=[weakref.proxy(model[1])])
    model.__dict__["owner"] = owner
    ahsar.attach(model).detach()  # warnings are errors


@pytest.mark.parametrize("layers", [5, True, [None], [["neurons.0"]]])
def test_what_names_no_layers_is_refused(layers: Any) -> None:
    model = models.build()
    with pytest.raises(AttachError, match="give names, a predicate"):
        ahsar.attach(model, layers=layers)
    assert ahsar.attached(model) is None
