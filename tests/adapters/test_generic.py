"""Neurons of a user's own: what can be registered, what is refused, and with which words."""

import copy
from typing import Any, ClassVar

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import Tensor, nn

import ahsar
from ahsar.adapters import unregister

from .neurons import ByIndex, ByKey, HandLIF, Spike

X = torch.tensor([[[0.4, 0.6, 1.1]]])


def fires(neuron: nn.Module) -> list[float]:
    return neuron(X).flatten().tolist()


class Other(nn.Module):
    """`level` is the threshold; each test registers the class as it needs."""

    def __init__(self, level: Any = 1.0):
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        return Spike.apply(x - self.level)


@pytest.fixture
def other(request: pytest.FixtureRequest) -> Any:
    """Registers Other, or the subclass given to it, and forgets it afterwards."""
    registered = []

    def register(cls: type[nn.Module] = Other, threshold: Any = "level", **kwargs: Any) -> None:
        ahsar.register_adapter(cls, threshold=threshold, **kwargs)
        registered.append(cls)

    yield register
    for cls in registered:
        unregister(cls)


class BuiltAnew(Other):
    """Leaves all hooks out of its copies, as sinabs does."""

    def __deepcopy__(self, memo: Any) -> "BuiltAnew":
        return type(self)(self.level)


class Carried(Other):
    """Takes all that it has along, hooks too."""

    def __deepcopy__(self, memo: Any) -> "Carried":
        memo[id(self)] = copied = type(self).__new__(type(self))
        for name, value in self.__dict__.items():
            copied.__dict__[name] = copy.deepcopy(value, memo)
        return copied


def attach(neuron: nn.Module, **kwargs: Any) -> ahsar.Homeostat:
    kwargs.setdefault("layers", "all")
    return ahsar.attach(nn.ModuleDict({"layer": neuron}), **kwargs)


class Calls:
    """A hook of a user's."""

    seen: ClassVar[list[int]] = []

    def __call__(self, *args: Any) -> None:
        self.seen.append(id(args[0]))


@pytest.mark.parametrize("kind", [BuiltAnew, Carried])
def test_a_class_that_copies_in_its_own_way_keeps_its_way_with_hooks_of_others(other: Any, kind: type[Other]) -> None:
    other(kind)
    neuron = kind(torch.tensor(1.0))
    neuron.register_forward_hook(Calls())
    homeostat = attach(neuron)
    homeostat.hold(0.5)
    twin = copy.deepcopy(homeostat.model).get_submodule("layer")
    Calls.seen.clear()
    assert fires(twin) == [0, 1, 1]
    own = ahsar.attached(twin)
    assert own is not None and own.layers[0].sum.count == X.numel()  # counted once
    assert Calls.seen == ([] if kind is BuiltAnew else [id(twin)])
    own.detach()
    assert fires(twin) == [0, 0, 1] and fires(neuron) == [0, 1, 1]
    assert "__deepcopy__" not in vars(twin) and "__deepcopy__" in vars(neuron)


def test_a_class_unknown_is_no_layer_until_it_is_registered(other: Any) -> None:
    with pytest.raises(ahsar.AttachError, match=r"Module types seen: ModuleDict, Other\. .*register_adapter\(MyNeuron"):
        attach(Other())
    other()
    neuron = Other()
    attach(neuron).hold(0.5)
    assert fires(neuron) == [0, 1, 1]


def test_a_subclass_is_known_by_its_base(other: Any) -> None:
    class Child(Other):
        pass

    other()
    assert attach(Child()).layers[0].adapter.framework == "generic"


def test_an_entry_of_the_user_wins_over_a_framework(other: Any) -> None:
    class Mine(snn.Leaky):
        def forward(self, input_: Tensor, mem: Any = None) -> Any:  # type: ignore[override]
            return {"out": super().forward(input_, mem)}

    neuron = Mine(0.8, init_hidden=True)
    assert ahsar.discover(neuron)[0].framework == "snnTorch"
    other(Mine, "threshold", spikes="out")
    assert ahsar.discover(neuron)[0].framework == "generic"
    homeostat = attach(neuron)
    homeostat.hold(0.5)
    assert neuron(X[0])["out"].tolist() == [[0, 1, 1]]
    homeostat.step()
    assert homeostat.rates["layer"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("cls", "kwargs", "words"),
    [
        (Other(), {"threshold": "level"}, "is not a class"),
        (int, {"threshold": "level"}, "is not a class"),
        (Other, {"threshold": 1.0}, "threshold = 1.0: give the name of the attribute"),
        (Other, {"threshold": "level", "spikes": 0.5}, "spikes = 0.5: give an index, a key, a callable or None"),
    ],
)
def test_a_wrong_registration_is_refused(cls: Any, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(ahsar.AdapterError, match=words):
        ahsar.register_adapter(cls, **kwargs)


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (None, r"Other\.level is a NoneType: a number, tensor, buffer or Parameter is needed"),
        (True, r"Other\.level is a bool"),
        ("1.0", r"Other\.level is a str"),
        ([1.0], r"Other\.level is a list"),
        (0.0, r"threshold, 0, is not finite and above rest \(0\).* register the class with rest="),
        (-50, r"threshold, -50, is not finite and above rest"),
        (float("nan"), r"threshold, nan, is not finite and above rest"),
        (float("inf"), r"threshold, inf, is not finite and above rest"),
        (torch.tensor([1.0, 0.0]), r"1 of its 2 thresholds, the least of them 0 at \[1\], is not finite and above rest"),
    ],
)
def test_a_threshold_that_cannot_be_scaled_is_refused(level: Any, words: str, other: Any) -> None:
    other()
    neuron = Other(level)
    with pytest.raises(ahsar.AttachError, match=rf"layer 'layer'.*{words}"):
        attach(neuron)
    assert neuron.level is level and not neuron._forward_hooks


def test_a_name_that_the_module_lacks_is_refused(other: Any) -> None:
    other(threshold="treshold")
    with pytest.raises(ahsar.AttachError, match=r"layer 'layer': Other has no attribute 'treshold'"):
        attach(Other())


class ReadOnly(Other):
    @property
    def theta(self) -> float:
        return 2 * self.level


class Positive(Other):
    """As `torch.nn.utils.parametrize` does it, too: a property in front of a Parameter, which no `__dict__` can hide."""

    @property
    def theta(self) -> Tensor:
        return torch.as_tensor(self.level).exp()

    @theta.setter
    def theta(self, value: Tensor) -> None:
        self.level = value.log()


class Settable(Other):
    @property
    def theta(self) -> float:
        return 2 * self.level

    @theta.setter
    def theta(self, value: float) -> None:
        self.level = value / 2


@pytest.mark.parametrize("cls", [ReadOnly, Positive])
def test_a_property_that_cannot_be_written_is_refused(cls: type[Other], other: Any) -> None:
    other(cls, "theta")
    with pytest.raises(ahsar.AttachError, match=rf"{cls.__name__}\.theta is a property, .*name the attribute it reads"):
        attach(cls())


def test_a_property_that_can_be_set_is_written(other: Any) -> None:
    other(Settable, "theta")
    neuron = Settable()
    homeostat = attach(neuron)
    homeostat.hold(0.5)
    assert fires(neuron) == [0, 1, 1]
    homeostat.detach()
    assert (neuron.level, list(neuron.__dict__)) == (1.0, list(Settable().__dict__))


@pytest.mark.parametrize("level", [np.float32(1.0), np.float64(1.0), 1])
def test_a_number_is_given_back_as_it_was(level: Any, other: Any) -> None:
    other()
    neuron = Other(level)
    homeostat = attach(neuron)
    homeostat.hold(0.5)
    assert fires(neuron) == [0, 1, 1]
    homeostat.detach()
    assert neuron.level is level


@pytest.mark.parametrize(
    ("neuron", "words"),
    [
        (ByIndex(form="dict"), "ByIndex returned a dict without entry 1: name where the spikes are"),
        (ByKey(form="pair"), "ByKey returned a tuple without entry 'spikes': name where the spikes are"),
        (HandLIF(form="pair"), "layer 'layer': HandLIF gave no spikes but a tuple; say where they are"),
    ],
)
@pytest.mark.parametrize("level", [1.0, torch.tensor(1.0)], ids=["float", "tensor"])
def test_an_output_without_spikes_is_an_error_that_says_where_to_look(neuron: Any, words: str, level: Any) -> None:
    neuron.firing_level = level
    with attach(neuron) as homeostat:
        homeostat.hold(0.5)
        with pytest.raises(ahsar.AdapterError, match=words):
            neuron(X)
    assert neuron.firing_level is level


class Recursive(Other):
    """Calls itself for each half of its input; a hook around a forward runs within itself."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] == 1:
            return super().forward(x)
        return torch.cat([self(x[..., :1]), self(x[..., 1:])], dim=-1)


def test_a_forward_that_calls_itself_is_shadowed_to_its_end(other: Any) -> None:
    other(Recursive)
    level = torch.tensor(1.0)
    neuron = Recursive(level)
    homeostat = attach(neuron)
    homeostat.hold(0.5)
    assert fires(neuron) == [0, 1, 1]
    assert neuron.level is level
    assert fires(neuron) == [0, 1, 1]


class Interrupted(Other):
    stop = False

    def forward(self, x: Tensor) -> Tensor:
        if self.stop:
            raise KeyboardInterrupt
        return super().forward(x)


def test_scales_do_not_pile_up_when_a_forward_is_interrupted(other: Any) -> None:
    other(Interrupted)
    level = torch.tensor(1.0)
    neuron = Interrupted(level)
    homeostat = attach(neuron)
    homeostat.hold(0.5)
    neuron.stop = True
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            neuron(X)
    neuron.stop = False
    assert fires(neuron) == [0, 1, 1]
    homeostat.detach()
    assert neuron.level is level and fires(neuron) == [0, 0, 1]


class Raw(Other):
    """Its threshold is a function of what it keeps, which may be negative."""

    through = "softplus"

    @property
    def theta(self) -> Tensor:
        functions: Any = {"softplus": nn.functional.softplus, "exp": torch.exp, "sigmoid": torch.sigmoid}
        return functions[self.through](torch.as_tensor(self.level))

    def forward(self, x: Tensor) -> Tensor:
        return Spike.apply(x - self.theta)


RAW = {
    "number": lambda: -0.4,
    "tensor": lambda: torch.tensor(-0.4),
    "Parameter": lambda: nn.Parameter(torch.tensor([-0.4, 0.1])),
}


@pytest.mark.parametrize("through", ["softplus", "exp", "sigmoid"])
@pytest.mark.parametrize("kind", RAW)
@pytest.mark.parametrize("compile", [False, True])
def test_a_threshold_behind_a_function_is_scaled_itself(through: Any, kind: str, compile: bool, other: Any) -> None:
    other(Raw, through=through)
    neuron = Raw(RAW[kind]())
    neuron.through = through
    own, seen = neuron.theta.detach(), []
    neuron.register_forward_pre_hook(lambda *args: None)
    homeostat = attach(neuron, compile=compile)
    forward = Raw.forward
    neuron.forward = lambda x: (seen.append(neuron.theta.detach()), forward(neuron, x))[1]  # type: ignore[method-assign]
    for scale in (1.0, 0.5, 1.2):
        homeostat.hold(scale)
        neuron(torch.zeros(2))
        torch.testing.assert_close(seen[-1], scale * own)
    homeostat.bake()
    torch.testing.assert_close(neuron.theta.detach(), 1.2 * own)


def test_whoever_names_the_function_instead_is_told_how(other: Any) -> None:
    other(Raw, "theta")
    with pytest.raises(ahsar.AttachError, match=r"name the attribute it reads.*register_adapter\(Raw, .*through=\"softplus\""):
        attach(Raw(torch.tensor(-0.4)))
    other(Raw)
    with pytest.raises(ahsar.AttachError, match="with through= if forward takes it through softplus, exp or sigmoid"):
        attach(Raw(torch.tensor(-0.4)))
    wrongs: list[dict[str, Any]] = [{"through": "square"}, {"through": "exp", "rest": -65.0}]
    for wrong in wrongs:
        with pytest.raises(ahsar.AdapterError, match=r"register_adapter: through = .*: one of softplus, exp, sigmoid"):
            ahsar.register_adapter(Raw, threshold="level", **wrong)
