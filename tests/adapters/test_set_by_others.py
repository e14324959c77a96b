"""Thresholds that others set as well: users in their loop, neurons in forward. The scale acts once on what was set last."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ahsar
from ahsar.snapshot import Snapshot

from .case import Case, Trace, attached, close, same, trace
from .cases import FRAMEWORKS
from .test_contract import rebuilt

# ---------------------------------------------------------------- users, of every framework


def _one_of_each_kind() -> list[Case]:
    kinds: dict[Any, Case] = {}
    for framework in FRAMEWORKS:
        for case in framework.CASES:
            own = case.name.startswith("HalfThreshold")  # what its state starts from is half of its threshold
            kinds.setdefault((framework, case.attribute, case.writer, case.learnable, case.rest != 0, own), case)
    return list(kinds.values())


each_kind = pytest.mark.parametrize("case", _one_of_each_kind(), ids=str)


def other(case: Case) -> Case:
    """The case with another threshold."""
    whole = isinstance(case.threshold, int) or (isinstance(case.threshold, Tensor) and not case.threshold.is_floating_point())
    theta = case.rest + (2 if whole else 0.8) * (case.threshold - case.rest)
    return replace(case, name=f"{case.name} set anew", threshold=theta)


def set_as(module: nn.Module, donor: nn.Module, case: Case, in_place: bool) -> None:
    """Give the module the donor's threshold, as a user does."""
    for attribute in [case.attribute] if case.second is None else [case.attribute, case.second]:
        now, new = attrgetter(attribute)(module), attrgetter(attribute)(donor)
        root = attribute.partition(".")[0]
        if isinstance(now, nn.Parameter):
            now.data.copy_(new.data)
        elif isinstance(now, Tensor) and in_place and root == attribute:
            now.copy_(new)
        else:
            setattr(module, root, getattr(donor, root))


def start_as(module: Any, donor: Any, case: Case) -> None:
    """What a neuron's membrane starts from, where the framework builds it from the threshold."""
    if case.name.startswith("HalfThreshold"):
        module.set_reset_value("v", donor.v)
        module.reset()


@each_kind
@pytest.mark.parametrize("in_place", [True, False])
def test_what_a_user_sets_is_scaled_once_and_given_back(case: Case, in_place: bool) -> None:
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    trace(case, module)
    anew = other(case)
    donor = anew.module()
    set_as(module, donor, case, in_place)
    start_as(module, donor, case)

    def alike(a: Trace, b: Trace) -> None:
        close(a, b) if case.rounding or case.rest else same(a, b, but=case.learned)

    wanted = rebuilt(anew, 0.6, module)
    for _ in range(2):
        alike(trace(anew, module), wanted)
    homeostat.hold(1.7)
    alike(trace(anew, module), rebuilt(anew, 1.7, module))
    homeostat.detach()
    got, original = anew.stored(module), anew.stored(donor)
    assert type(got) is type(original) and torch.equal(torch.as_tensor(got), torch.as_tensor(original))
    same(trace(anew, module), trace(anew, donor))


@each_kind
@pytest.mark.parametrize("moved", [False, True])
def test_at_scale_one_what_a_user_sets_acts_as_without_a_controller(case: Case, moved: bool) -> None:
    module, homeostat = attached(case)
    if moved:  # and back
        homeostat.hold(0.6)
        trace(case, module)
        homeostat.hold(1.0)
    anew, plain = other(case), case.module()
    for each in (module, plain):
        set_as(each, anew.module(), case, in_place=False)
    same(trace(anew, module), trace(anew, plain), but=case.learned)


@each_kind
def test_bake_starts_from_what_a_user_has_set(case: Case) -> None:
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    anew = other(case)
    donor = anew.module()
    set_as(module, donor, case, in_place=False)
    start_as(module, donor, case)
    homeostat.bake()  # without a forward between
    baked, wanted = trace(anew, module), trace(anew, anew.module(0.6))
    close(baked, wanted)


# ---------------------------------------------------------------- users, in any order of actions


class Seen(nn.Module):
    """Spikes where the input reaches the threshold, and keeps what the threshold was in forward."""

    def __init__(self, threshold: Any = 1.0, kind: str = "number"):
        super().__init__()
        self.kind, self.seen = kind, torch.nan
        if kind == "buffer":
            self.register_buffer("level", torch.tensor(threshold))
        elif kind == "parameter":
            self.level = nn.Parameter(torch.tensor(threshold))
        else:
            self.level = torch.tensor(threshold) if kind == "tensor" else threshold

    def forward(self, x: Tensor) -> Tensor:
        self.seen = float(torch.as_tensor(self.level).detach())
        return (x >= self.level).float()


class Stored(Seen):
    """The threshold is a property, which gives a new number for each look."""

    _half: float

    @property
    def level(self) -> Any:
        return 2.0 * self._half

    @level.setter
    def level(self, value: Any) -> None:
        self._half = value / 2.0


class Inherited(Seen):
    level = 1.0

    def __init__(self) -> None:
        super().__init__()
        del self.level


class Above(Seen):
    """Rests at −2."""


for cls, rest in ((Seen, 0.0), (Stored, 0.0), (Inherited, 0.0), (Above, -2.0)):
    ahsar.register_adapter(cls, threshold="level", rest=rest, binary=True)

MAKERS: dict[str, Callable[[], Any]] = {
    "number": Seen,
    "property": Stored,
    "inherited": Inherited,
    "tensor": lambda: Seen(kind="tensor"),
    "buffer": lambda: Seen(kind="buffer"),
    "parameter": lambda: Seen(kind="parameter"),
    "above rest": Above,
    "tensor above rest": lambda: Above(kind="buffer"),
}
NUMBERS = ("number", "property", "inherited", "above rest")
levels = st.floats(0.1, 5.0).map(lambda value: round(value, 3))
actions = st.lists(
    st.one_of(
        st.tuples(st.just("set"), levels),
        st.tuples(st.just("in place"), levels),
        st.tuples(st.just("data"), levels),
        st.tuples(st.just("hold"), st.floats(0.2, 3.0)),
        st.tuples(st.sampled_from(["forward", "neutral", "deepcopy", "pickle", "snapshot", "saved"]), st.just(0.0)),
    ),
    max_size=12,
)


def user_sets(module: Any, value: float, how: str, number: bool = False) -> None:
    new = torch.tensor(value)
    if number:
        module.level = value
    elif how == "in place":
        with torch.no_grad():
            module.level.fill_(value)
    elif how == "data":
        module.level.data = new
    else:
        module.level = nn.Parameter(new) if isinstance(module.level, nn.Parameter) else new


@pytest.mark.parametrize("compile", [False, True], ids=["", "to-be-compiled"])
@pytest.mark.parametrize("kind", MAKERS)
@given(actions=actions, baked=st.booleans())
@settings(max_examples=25)
def test_any_order_of_actions(kind: str, compile: bool, actions: list[tuple[str, float]], baked: bool) -> None:
    model = nn.Sequential(MAKERS[kind]())
    homeostat: Any = ahsar.attach(model, compile=compile, layers="all")
    own, scale, rest = 1.0, 1.0, -2.0 if "rest" in kind else 0.0

    def in_force() -> Any:
        return pytest.approx(rest + scale * (own - rest), rel=1e-5)

    for action, value in [*actions, ("forward", 0.0)]:
        module: Any = model[0]
        if action in ("set", "in place", "data"):
            if kind == "property" and value == pytest.approx(scale * own):
                continue  # it cannot be told from what stands there
            user_sets(module, value, action, number=kind in NUMBERS)
            own = value
        elif action in ("hold", "neutral"):
            scale = value or 1.0
            homeostat.hold(scale)
        elif action in ("deepcopy", "pickle"):
            model = copy.deepcopy(model) if action == "deepcopy" else pickle.loads(pickle.dumps(model))
            homeostat = ahsar.attached(model)
        elif action == "snapshot":
            if not compile:
                Snapshot(model).restore()
        elif action == "saved":
            model.state_dict()
        else:
            model(torch.ones(2))
            assert module.seen == in_force()
        assert homeostat.layers[0].threshold.value(model[0]).item() == pytest.approx(own)
    if baked:
        homeostat.bake()
        own, scale = rest + scale * (own - rest), 1.0
    homeostat.detach()
    model(torch.ones(2))
    assert model[0].seen == pytest.approx(own, rel=1e-5)
    assert (kind in NUMBERS) == isinstance(model[0].level, float)


@pytest.mark.parametrize("wrong", [torch.ones(3), nn.Parameter(torch.ones(())), "1.0", None, True])
def test_what_cannot_be_scaled_is_named(wrong: Any) -> None:
    model = nn.ModuleDict({"first": Seen(), "second": Seen()})
    homeostat = ahsar.attach(model, layers="all")
    homeostat.hold(0.5)
    second: Any = model["second"]
    second.level = wrong
    with pytest.raises(ahsar.AdapterError, match=r"layer 'second': level was a number when .* set a number, or detach"):
        second(torch.ones(2))
    with pytest.raises(ahsar.AdapterError, match="layer 'second'"):
        homeostat.hold({"first": 0.7})
    assert homeostat.scales == {"first": 0.5, "second": 0.5} and model["first"].level == 0.5  # type: ignore[comparison-overlap]
    homeostat.detach()
    assert second.level is wrong and model["first"].level == 1.0  # type: ignore[comparison-overlap]


# ---------------------------------------------------------------- neurons that move their threshold themselves


class Moving(nn.Module):
    """Each spike raises its threshold, which falls back towards 1 by itself.

    Args:
        kind: what keeps the threshold; how: whether it is set anew or changed in place.
    """

    def __init__(self, kind: str, how: str, size: tuple[int, ...] = (), rest: float = 0.0):
        super().__init__()
        self.kind, self.how, self.rest = kind, how, rest
        theta = torch.ones(size)
        if kind == "buffer":
            self.register_buffer("level", theta)
        elif kind == "parameter":
            self.level = nn.Parameter(theta)
        else:
            self.level = theta if kind == "tensor" else 1.0

    def forward(self, x: Tensor) -> Tensor:
        spikes = (x >= self.level).float()
        change: Any = 0.1 * spikes.mean(0).mean() - 0.05 * (self.level - 1.0)
        change = change if self.kind == "number" and not isinstance(self.level, Tensor) else change.detach()
        with torch.no_grad():
            if self.kind == "number":
                self.level = self.level + float(change)
            elif self.how == "set":
                self.level = self.level + change
            else:
                self.level.add_(change)  # type: ignore[union-attr]
        return spikes


class MovingAboveRest(Moving):
    pass


ahsar.register_adapter(Moving, threshold="level", binary=True)
ahsar.register_adapter(MovingAboveRest, threshold="level", rest=-2.0, binary=True)
MOVERS = [
    pytest.param(cls, kind, how, size, rest, id=f"{kind}-{how}{'-each' * bool(size)}{'-rest' * bool(rest)}")
    for cls, kind, how, size, rest in [
        (Moving, "number", "set", (), 0.0),
        (Moving, "tensor", "set", (), 0.0),
        (Moving, "tensor", "in place", (), 0.0),
        (Moving, "buffer", "set", (), 0.0),
        (Moving, "buffer", "in place", (5,), 0.0),
        (Moving, "parameter", "in place", (), 0.0),
        (MovingAboveRest, "number", "set", (), -2.0),
        (MovingAboveRest, "buffer", "in place", (), -2.0),
    ]
]


def scaled(level: Any, factor: float, rest: float) -> Any:
    return rest + factor * (level - rest)


@pytest.mark.parametrize("compile", [False, True], ids=["", "to-be-compiled"])
@pytest.mark.parametrize(("cls", "kind", "how", "size", "rest"), MOVERS)
def test_a_neuron_that_moves_its_threshold_goes_on_from_the_scaled_one(
    cls: type[Moving], kind: str, how: str, size: tuple[int, ...], rest: float, compile: bool
) -> None:
    """As a twin that is never attached does whose threshold someone multiplies whenever the scale changes."""
    model, twin = nn.Sequential(cls(kind, how, size)), cls(kind, how, size)
    homeostat = ahsar.attach(model, compile=compile, layers="all")
    generator, before = torch.Generator().manual_seed(0), 1.0
    held = [0.8, 0.8, 0.5, 1.0, 1.6]
    with pytest.warns(UserWarning, match="layer '0', or a hook on it, sets the threshold") as caught:
        for scale in held:
            homeostat.hold(scale)
            level = scaled(twin.level, scale / before, rest)
            twin.level = nn.Parameter(level.detach()) if isinstance(level, nn.Parameter) or kind == "parameter" else level
            before = scale
            for _ in range(3):
                x = 3 * torch.rand(4, 5, generator=generator)
                assert torch.equal(model(x), twin(x))
    assert len(caught) == 1
    wanted = scaled(twin.level, 1 / before, rest)
    homeostat.detach()
    torch.testing.assert_close(torch.as_tensor(model[0].level), torch.as_tensor(wanted), rtol=1e-4, atol=1e-5)
    assert isinstance(model[0].level, type(twin.level))


def test_a_moved_threshold_keeps_its_gradient() -> None:
    """Backpropagation through time reaches what moved the threshold, as without a controller."""

    class Learned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level, self.rise = torch.tensor(1.0), nn.Parameter(torch.tensor(0.1))

        def forward(self, x: Tensor) -> Tensor:
            self.level = self.level + self.rise * x.mean()
            return torch.sigmoid(x - self.level)

    ahsar.register_adapter(Learned, threshold="level")
    model, twin = nn.Sequential(Learned()), Learned()
    ahsar.attach(model, layers="all").hold(0.5)
    twin.level = twin.level * 0.5
    x = torch.rand(4, 5)
    with pytest.warns(UserWarning, match="sets the threshold"):
        torch.stack([model(x) for _ in range(3)]).sum().backward()
    torch.stack([twin(x) for _ in range(3)]).sum().backward()
    grad: Any = model[0].rise.grad
    torch.testing.assert_close(grad, twin.rise.grad)


def test_a_number_that_becomes_a_tensor_is_named() -> None:
    class Turning(Moving):
        def forward(self, x: Tensor) -> Tensor:
            spikes = (x >= self.level).float()
            self.level = self.level + 0.1 * spikes.mean()
            return spikes

    model = nn.Sequential(Turning("number", "set"))
    ahsar.attach(model, layers="all").hold(0.5)
    with pytest.raises(ahsar.AdapterError, match=r"layer '0': level is a number, and forward puts a Tensor .*tensor\(1\)"):
        model(torch.ones(4, 5))


def test_calibrate_gives_a_moved_threshold_back() -> None:
    """All but the scale is as before, so the threshold is what the scale makes of the original."""
    for kind in ("number", "buffer"):
        model = nn.Sequential(Moving(kind, "set"))
        homeostat = ahsar.attach(model, layers="all")
        with pytest.warns(UserWarning):
            homeostat.calibrate([torch.rand(64, 5)], updates=5, tolerance=0.9)
        assert homeostat.scales["0"] != 1.0
        assert homeostat.layers[0].threshold.value(model[0]).item() == 1.0


def test_compiled_forwards_move_a_tensor_that_is_set_anew() -> None:
    model, twin = nn.Sequential(Moving("buffer", "set")), Moving("buffer", "set")
    homeostat = ahsar.attach(model, compile=True, layers="all")
    homeostat.hold(0.8)
    twin.level = twin.level * 0.8
    compiled = torch.compile(model, backend="eager")
    for seed in range(4):
        x = 3 * torch.rand(4, 5, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(compiled(x), twin(x))
    homeostat.detach()
    torch.testing.assert_close(model[0].level, twin.level / 0.8)


def test_where_compiled_code_hides_who_has_set_it_the_layer_is_named() -> None:
    model = nn.Sequential(Moving("tensor", "set"))
    setattr(model[0], "level", 1.0)  # noqa: B010 - a number, which compile=True keeps as a tensor
    homeostat = ahsar.attach(model, compile=True, layers="all")
    compiled = torch.compile(model, backend="eager")
    compiled(torch.rand(4, 5))
    with pytest.raises(ahsar.AdapterError, match="layer '0': level was set to a tensor, in or after a forward"):
        homeostat.step()


def test_what_a_user_sets_reaches_compiled_forwards() -> None:
    for make in (Seen, lambda: Seen(kind="buffer")):
        model = nn.Sequential(make())
        homeostat = ahsar.attach(model, compile=True, layers="all")
        homeostat.hold(0.5)
        compiled = torch.compile(model, backend="eager")
        x = torch.linspace(0, 2, 21)
        assert torch.equal(compiled(x), (x >= 0.5).float())
        user_sets(model[0], 3.0, "set", number=make is Seen)
        assert torch.equal(compiled(x), (x >= 1.5).float())
