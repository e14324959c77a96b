"""What is counted as a spike: a rate is the share of outputs that are not zero, whatever the class that gives them."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import snntorch as snn
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

import ahsar
from ahsar.adapters import is_own, unregister
from ahsar.glance import NO_SPIKES, Glance, verdicts
from ahsar.spikes import counted, shares
from tests import models
from tests.adapters import norse_cases, sinabs_cases
from tests.adapters.cases import CASES

X = torch.randn(6, 16, 24, generator=torch.Generator().manual_seed(0))

# what a subclass may make of its base's spikes
MADE: dict[str, Callable[[Tensor], Tensor]] = {
    "signed": lambda s: s * (torch.arange(s.shape[-1]) % 2 * 2.0 - 1.0),
    "negative": lambda s: -s,
    "of an amplitude": lambda s: 0.3 * s,
    "of an amplitude each": lambda s: s * torch.linspace(0.2, 3.0, s.shape[-1]),
    "dropped out": lambda s: nn.functional.dropout(s, 0.5),
    "counts": lambda s: 3 * s,
    "estimated straight through": lambda s: 0.1 + (s - 0.1).detach() - (0.1 - 0.1),
}


class Registered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.level = 0.5

    def forward(self, x: Tensor) -> Any:
        return (x > self.level).float()


class Promised(Registered):
    """Registered with binary=True."""


def kinds() -> dict[str, tuple[Any, Callable[[Any], nn.Module]]]:
    """By framework: a class of its own whose spikes are 0 or 1, and how to build it or a subclass."""
    found: dict[str, tuple[Any, Callable[[Any], nn.Module]]] = {
        "SpikingJelly": (neuron.IFNode, lambda cls: cls(v_threshold=0.5, step_mode="m")),
        "SpikingJelly, simple": (neuron.SimpleLIFNode, lambda cls: cls(2.0, True, v_threshold=0.3, step_mode="m")),
        "snnTorch": (snn.Leaky, lambda cls: cls(beta=0.9, threshold=0.5, init_hidden=True)),
        "registered": (Registered, lambda cls: cls()),
        "promised": (Promised, lambda cls: cls()),
    }
    if norse_cases.INSTALLED:
        import norse.torch as norse

        found["Norse"] = (norse.LIF, lambda cls: cls(norse.LIFParameters(v_th=torch.tensor(0.05))))
    if sinabs_cases.INSTALLED:
        import sinabs.layers as sinabs

        found["sinabs"] = (sinabs.IAF, lambda cls: cls(spike_threshold=0.5))
    return found


KINDS = kinds()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    ahsar.register_adapter(Registered, threshold="level")
    ahsar.register_adapter(Promised, threshold="level", binary=True)
    yield
    unregister(Registered)
    unregister(Promised)


def changing(base: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A subclass that returns something else than its base."""

    class Changed(base):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return Changed


def spikes_of(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def rates(model: nn.Module, updates: int = 3, run: Any = None) -> tuple[list[float], list[float]]:
    """Of each update: the rate that the controller took in, and the share of non-zeros."""
    homeostat = ahsar.attach(model, layers="all", config=ahsar.Config(beta=0.0, reaction=0.0))
    found, wanted = [], []
    for seed in range(updates):
        torch.default_generator.manual_seed(seed)
        spikes = spikes_of((run or model)(X * (seed + 1)))
        wanted.append((spikes != 0).double().mean().item())
        homeostat.step()
        found.extend(homeostat.rates.values())
    homeostat.detach()
    return found, wanted


# ---------------------------------------------------------------- subclasses, methods, hooks


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_subclass_is_counted_by_its_non_zeros(kind: str, made: str) -> None:
    base, build = KINDS[kind]
    found, wanted = rates(nn.Sequential(build(changing(base, MADE[made]))))
    assert found == pytest.approx(wanted, abs=1e-6) and 0 < max(wanted) < 1


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("registered", "promised")])
def test_so_is_a_module_whose_method_was_replaced(kind: str, made: str) -> None:
    base, build = KINDS[kind]
    module: Any = build(base)
    inner = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = inner(*args, **kwargs)
        return (MADE[made](output[0]), *output[1:]) if isinstance(output, tuple) else MADE[made](output)

    module.forward = forward
    found, wanted = rates(nn.Sequential(module))
    assert found == pytest.approx(wanted, abs=1e-6) and 0 < max(wanted) < 1


@pytest.mark.parametrize("kind", ["SpikingJelly", "snnTorch", "registered"])
@pytest.mark.parametrize("made", ["signed", "of an amplitude"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")
def test_so_it_is_in_compiled_code(kind: str, made: str) -> None:
    base, build = KINDS[kind]
    torch._dynamo.reset()
    model = nn.Sequential(build(changing(base, MADE[made])))
    homeostat = ahsar.attach(model, layers="all", compile=True, config=ahsar.Config(beta=0.0, reaction=0.0))
    spikes = spikes_of(torch.compile(model, backend="aot_eager")(X))
    homeostat.step()
    torch._dynamo.reset()
    assert list(homeostat.rates.values()) == pytest.approx([(spikes != 0).float().mean().item()], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", MADE)
def test_whoever_counts_counts_them_too(kind: str, made: str) -> None:
    base, build = KINDS[kind]
    model = nn.Sequential(build(changing(base, MADE[made])))
    with counted(ahsar.discover(model)) as sums:
        spikes = spikes_of(model(X))
    if kind != "promised":
        assert sums.rates == pytest.approx({"0": (spikes != 0).double().mean().item()})
    assert 0 <= sums.mean_rate <= 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_class_of_a_framework_is_its_own_and_a_subclass_is_not(case: Any) -> None:
    module = case.module()
    if type(module).__module__.startswith("tests"):
        assert not is_own(module)
        return
    assert is_own(module)
    module.__class__ = type("Child", (type(module),), {"__module__": "mine"})
    assert not is_own(module)


def test_what_pytorch_derives_from_a_class_stays_its_own() -> None:
    module = snn.Leaky(beta=nn.Parameter(torch.tensor(0.9)))
    module.weight = nn.Parameter(torch.ones(2, 2))
    nn.utils.parametrize.register_parametrization(module, "weight", nn.Identity())
    assert type(module) is not snn.Leaky and is_own(module)
    homeostat = ahsar.attach(nn.Sequential(module), layers="all")
    assert is_own(module) and homeostat.layers[0].sum.binary  # nor does what ahsar puts on it count


# ---------------------------------------------------------------- no rate outside [0, 1]


@given(
    st.lists(st.tuples(st.floats(-10, 2000, width=32), st.integers(0, 1000)), min_size=1),
    st.sampled_from([math.nan, math.inf, -math.inf, 1.0]),
)
def test_a_sum_that_is_no_share_of_the_outputs_makes_no_rate(pairs: list[tuple[float, int]], last: float) -> None:
    spikes = torch.tensor([*(spikes for spikes, _ in pairs), last])
    counts = torch.tensor([*(float(count) for _, count in pairs), 2.0])
    rates = shares(spikes, counts) / counts
    for rate, s, n in zip(rates.tolist(), spikes.tolist(), counts.tolist(), strict=True):
        if math.isnan(s) or s < 0 or s > 1.01 * n or n == 0:
            assert math.isnan(rate)
        else:
            assert rate == pytest.approx(min(s / n, 1.0)) and 0 <= rate <= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")
def test_a_broken_promise_in_compiled_code_moves_nothing_and_is_told() -> None:
    torch._dynamo.reset()
    model = nn.Sequential(nn.Linear(24, 24), changing(Promised, lambda s: 20 * s)(), nn.Linear(24, 3))
    homeostat = ahsar.attach(model, layers="all", compile=True)
    run = torch.compile(model, backend="aot_eager")
    for _ in range(4):
        run(X)
        homeostat.step()
    torch._dynamo.reset()
    assert homeostat.scales == {"1": 1.0} and math.isnan(homeostat.rates["1"])
    with pytest.warns(UserWarning, match=r"layer '1' gave NaN or infinite spikes, or more than it has outputs, in 4 .*binary="):
        homeostat.epoch(0.5)


def test_a_promise_that_breaks_later_never_makes_a_rate_above_one() -> None:
    factors = [1.0, 20.0, -1.0]
    model = nn.Sequential(changing(Promised, lambda s: factors[0] * s)())
    homeostat = ahsar.attach(model, layers="all", config=ahsar.Config(beta=0.0))
    model(X)
    homeostat.step()
    before = homeostat.rates
    while factors := factors[1:]:
        model(X)
        homeostat.step()
        assert homeostat.rates == before


# ---------------------------------------------------------------- outputs that are no spikes


class Membrane(neuron.SimpleLIFNode):
    """As the readouts of SpikingJelly's own examples of reinforcement learning are written."""

    def single_step_forward(self, x: Tensor) -> Tensor:
        self.neuronal_charge(x)
        return self.v  # type: ignore[return-value]


class SecondOutput(snn.Leaky):
    """Membrane first."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        spikes, membrane = super().forward(*args, **kwargs)
        return membrane, spikes


class Wrap(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lif = SecondOutput(0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(x, torch.zeros_like(x))[0]


class Integrates(Registered):
    def forward(self, x: Tensor) -> Tensor:
        return 0.9 * x - self.level


READOUTS: dict[str, Callable[[], nn.Module]] = {
    "SpikingJelly": lambda: Membrane(2.0, True),
    "SpikingJelly, sequence": lambda: Membrane(2.0, True, step_mode="m"),
    "snnTorch": Wrap,
    "registered": Integrates,
    "promised": lambda: type("Kept", (Promised,), {"forward": Integrates.forward})(),
}


class Hidden(nn.Module):
    """The membrane is neither the answer nor unused."""

    def __init__(self, readout: nn.Module):
        super().__init__()
        self.into, self.lif, self.between = nn.Linear(24, 24), models.LIF(0.2), nn.Linear(24, 24)
        self.read, self.head = readout, nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.read(self.between(self.lif(self.into(x)))))


@pytest.mark.parametrize("layers", [None, "all"])
@pytest.mark.parametrize("kind", READOUTS)
def test_a_layer_that_gives_no_spikes_is_left_alone_and_named(kind: str, layers: Any) -> None:
    torch.manual_seed(0)
    model = Hidden(READOUTS[kind]())
    (name,) = [item.name for item in ahsar.discover(model) if item.name.startswith("read")]
    homeostat = ahsar.attach(model, layers=layers)
    model(X).sum().backward()
    with pytest.warns(UserWarning, match=rf"layer '{name}' is left alone: it returns no spikes.*register_adapter") as told:
        homeostat.step()
    assert len(told) == 1 and list(homeostat.scales) == ["lif"] and homeostat.left_alone == {name: NO_SPIKES}
    assert not model.read._forward_hooks
    for _ in range(3):
        model.zero_grad()
        for module in model.modules():
            if isinstance(module, Membrane):
                module.reset()
        model(X)
        homeostat.step()
    assert homeostat.scales["lif"] != 1.0 or 0.1 < homeostat.rates["lif"] < 0.5


def test_where_nothing_else_is_left_nothing_is_regulated() -> None:
    model = nn.Sequential(nn.Linear(24, 24), Integrates(), nn.Linear(24, 3))
    homeostat = ahsar.attach(model)
    model(X).sum().backward()
    with pytest.warns(UserWarning) as told:
        homeostat.step()
    assert [str(one.message)[:23] for one in told] == ["layer '1' is left alone", "nothing is regulated: a"]
    assert homeostat.scales == {"1": 1.0} and homeostat.state.held is not None
    model(X)
    homeostat.step()  # goes on, and says no more
    assert homeostat.scales == {"1": 1.0}


def test_a_membrane_that_is_the_answer_needs_no_word() -> None:
    model = nn.Sequential(nn.Linear(24, 24), models.LIF(0.2), nn.Linear(24, 3), Membrane(2.0, True))
    homeostat = ahsar.attach(model)
    model(X).sum().backward()
    homeostat.step()  # warnings are errors here
    assert list(homeostat.left_alone) == ["3"] and homeostat.left_alone["3"] != NO_SPIKES


def test_a_silent_net_whose_membranes_are_zero_at_first_is_told_at_the_epoch() -> None:
    model = Hidden(Membrane(2.0, True))
    for linear in (model.into, model.between):
        nn.init.zeros_(linear.bias)
    homeostat = ahsar.attach(model, layers="all", config=ahsar.Config(reach=(0.05, 1.5)))
    model(0 * X)
    homeostat.step()
    assert "read" in homeostat.scales
    for _ in range(40):
        model.read.reset()  # type: ignore[operator]
        with torch.no_grad():
            model.read.v = torch.randn(16, 24)
        model(X)
        homeostat.step()
    with pytest.warns(UserWarning, match=r"'read' cannot reach.*are these spikes, and not its membrane\?"):
        homeostat.epoch(0.5)


def test_a_layer_that_first_runs_later_is_looked_at_then() -> None:
    model = Hidden(Integrates())
    homeostat = ahsar.attach(model, layers="all")
    model.lif(X)
    with pytest.warns(UserWarning, match="layer 'read' has not run"):
        homeostat.step()
    model(X)
    with pytest.warns(UserWarning, match="layer 'read' is left alone"):
        homeostat.step()
    assert list(homeostat.scales) == ["lif"]


def test_a_saved_state_remembers_it() -> None:
    model = Hidden(Integrates())
    twin = copy.deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        homeostat = ahsar.attach(model, layers="all")
        model(X)
        homeostat.step()
    again = ahsar.attach(twin, layers="all")
    again.load_state_dict(homeostat.state_dict())
    assert again.left_alone == {"read": NO_SPIKES} and not twin.read._forward_hooks
    twin(X)
    again.step()


def test_calibration_looks_too() -> None:
    model = Hidden(Integrates())
    homeostat = ahsar.attach(model, layers="all")
    with pytest.warns(UserWarning, match="layer 'read' is left alone"):
        homeostat.calibrate([X])
    assert list(homeostat.scales) == ["lif"]


# ---------------------------------------------------------------- the glance


def verdict(*outputs: Tensor) -> tuple[bool, bool]:
    glance = Glance()
    for output in outputs:
        glance.note(output)
    ((zero_or_one, may_be),) = verdicts([glance])
    return zero_or_one, may_be


@given(
    made=st.sampled_from(sorted(MADE)),
    rate=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    shape=st.sampled_from([(3,), (2, 5), (7, 32, 16), (4, 8, 6, 5, 5)]),
    forwards=st.integers(1, 40),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 99),
)
def test_spikes_of_every_kind_may_be_spikes(
    made: str, rate: float, shape: tuple[int, ...], forwards: int, dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    plain = [(torch.rand(shape) < rate).to(dtype) for _ in range(forwards)]
    assert verdict(*plain) == (True, True)
    assert verdict(*[MADE[made](spikes.float()).to(dtype) for spikes in plain])[1]


@given(
    shape=st.sampled_from([(3,), (2, 5), (7, 32, 16), (4, 8, 6, 5, 5)]),
    mean=st.floats(-1, 1),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 99),
)
def test_membranes_are_not(shape: tuple[int, ...], mean: float, dtype: torch.dtype, seed: int) -> None:
    torch.manual_seed(seed)
    assert verdict(*[(torch.randn(shape) + mean).to(dtype) for _ in range(32)]) == (False, False)


def test_what_holds_no_values_is_passed_over() -> None:
    glance = Glance()
    glance.note(torch.zeros(3, 0))
    glance.note(torch.zeros(3, device="meta"))
    assert not glance.kept and verdicts([]) == []
    glance.note(torch.ones(3, dtype=torch.bool))
    assert verdicts([glance]) == [(True, True)]
    assert sum(values.numel() for values in Glance().kept) == 0


def test_it_keeps_little() -> None:
    glance = Glance()
    for _ in range(100):
        glance.note(torch.rand(100, 1000))
    assert len(glance.kept) == 32 and all(values.untyped_storage().nbytes() <= 4 * 64 for values in glance.kept)


# ---------------------------------------------------------------- spikes that are not dense, and hooks of a user's


class Fires(nn.Module):
    """Its spikes in another layout, or as they are."""

    def __init__(self, form: Callable[[Tensor], Tensor] = lambda spikes: spikes):
        super().__init__()
        self.firing_level, self.form = 0.5, form

    def forward(self, x: Tensor) -> Tensor:
        return self.form((x >= self.firing_level).float())


@pytest.fixture
def fires() -> Iterator[None]:
    ahsar.register_adapter(Fires, threshold="firing_level")
    yield
    unregister(Fires)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "coo": Tensor.to_sparse,
    "coo, not coalesced": lambda s: torch.sparse_coo_tensor(s.nonzero().T, s[s != 0], s.shape),
    "csr": Tensor.to_sparse_csr,
    "jagged": lambda s: torch.nested.as_nested_tensor(list(s), layout=torch.jagged),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch's, on these layouts
@pytest.mark.parametrize("form", LAYOUTS)
def test_spikes_of_another_layout_are_counted_alike(form: str, fires: None) -> None:
    rates = []
    for made in (lambda spikes: spikes, LAYOUTS[form]):
        layer = Fires(made)
        homeostat = ahsar.attach(layer, config=models.MOVING)
        with counted(ahsar.discover(layer)) as sums:
            for step in range(2):
                layer(X[step])
                homeostat.step()
        rates.append((homeostat.rates, homeostat.scales, sums.mean_rate))
    assert rates[0] == rates[1] and 0 < rates[0][2] < 1


class Kept:
    """A hook of a user's that keeps a tenth of the spikes, or gives something else."""

    def __init__(self, gives: Callable[[Tensor], Any]):
        self.gives = gives

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Any:
        return self.gives(output)


GIVES: dict[str, Callable[[Tensor], Any]] = {
    "masked": lambda s: s * (torch.arange(s.shape[-1]) % 10 == 0),
    "dropped out": lambda s: nn.functional.dropout(s, 0.9),
    "scaled": lambda s: 3.0 * s - 1.0,
    "a dictionary": lambda s: {"spikes": s},
    "none": lambda s: None,
}


@pytest.mark.parametrize("gives", GIVES)
@pytest.mark.parametrize("kind", ["own", "snntorch", "spikingjelly"])
@pytest.mark.parametrize("early", [True, False])
def test_what_the_neuron_fired_is_counted_whatever_a_hook_passes_on(gives: str, kind: str, early: bool, fires: None) -> None:
    makers: dict[str, Callable[[], nn.Module]] = {
        "own": Fires, "snntorch": lambda: snn.Leaky(0.5, init_hidden=True), "spikingjelly": neuron.IFNode,
    }  # fmt: skip
    alone, hooked = makers[kind](), makers[kind]()
    if early:
        hooked.register_forward_hook(Kept(GIVES[gives]))
    homeostats = [ahsar.attach(layer, config=models.MOVING) for layer in (alone, hooked)]
    if not early:
        hooked.register_forward_hook(Kept(GIVES[gives]))
    with counted(ahsar.discover(hooked)) as sums:
        for layer, homeostat in zip((alone, hooked), homeostats, strict=True):
            layer(X[0])
            homeostat.step()
    assert homeostats[0].rates == homeostats[1].rates and homeostats[0].scales == homeostats[1].scales
    assert sums.mean_rate == pytest.approx(homeostats[1].rates[""])
    if gives == "a dictionary":  # what the hook gives goes on
        assert isinstance(hooked(X[0]), dict)
