"""Tracers, exporters and torch.func: they see the present scales, or say what to do, and the controller never knows of them."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import ahsar
from ahsar import ExportError, SensingError
from tests.models import MOVING

FEATURES, WIDTH, CLASSES = 8, 16, 3
Call = Callable[[Tensor], Tensor]


class Own(nn.Module):
    """One step, without a state; its threshold is a number, buffer or Parameter."""

    def __init__(self, threshold: Any):
        super().__init__()
        if isinstance(threshold, Tensor) and not isinstance(threshold, nn.Parameter):
            self.register_buffer("threshold", threshold)
        else:
            self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        soft = torch.sigmoid(4 * (x - self.threshold))
        return soft + ((x > self.threshold).to(x.dtype) - soft).detach()


ahsar.register_adapter(Own, threshold="threshold", binary=True)


class Net(nn.Module):
    """Two layers of neurons and a readout: [N, FEATURES] to [N, CLASSES], each sample by itself."""

    def __init__(self, neuron: Callable[[], nn.Module]):
        super().__init__()
        self.first, self.neuron = nn.Linear(FEATURES, WIDTH), neuron()
        self.second, self.hidden = nn.Linear(WIDTH, WIDTH), neuron()
        self.readout = nn.Linear(WIDTH, CLASSES)

    def fire(self, neuron: nn.Module, x: Tensor) -> Tensor:
        return neuron(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.fire(self.hidden, self.second(self.fire(self.neuron, self.first(x)))))


class SnntorchNet(Net):
    def fire(self, neuron: nn.Module, x: Tensor) -> Tensor:
        return neuron(x, torch.zeros_like(x))[0]


class NorseNet(Net):
    def fire(self, neuron: nn.Module, x: Tensor) -> Tensor:
        return neuron(x, None)[0]


class SpikingJellyNet(Net):
    def fire(self, neuron: nn.Module, x: Tensor) -> Tensor:
        neuron.reset()  # type: ignore[operator]
        return neuron(x)


def snntorch(**kwargs: Any) -> Callable[[], Net]:
    def build() -> Net:
        from snntorch import Leaky

        return SnntorchNet(lambda: Leaky(beta=0.5, threshold=0.3, **kwargs))

    return build


def norse() -> Net:
    torch_norse = pytest.importorskip("norse.torch")
    parameters = torch_norse.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(0.3))
    return NorseNet(lambda: torch_norse.LIFBoxCell(p=parameters))


def spikingjelly() -> Net:
    from spikingjelly.activation_based import neuron

    return SpikingJellyNet(lambda: neuron.IFNode(v_threshold=0.3))


KINDS: dict[str, Callable[[], Net]] = {
    "number": lambda: Net(lambda: Own(0.3)),
    "buffer": lambda: Net(lambda: Own(torch.tensor(0.3))),
    "parameter": lambda: Net(lambda: Own(nn.Parameter(torch.tensor(0.3)))),
    "snnTorch": snntorch(),
    "snnTorch, learnt": snntorch(learn_threshold=True),
    "Norse": norse,
    "SpikingJelly": spikingjelly,
}
X, LABELS = torch.randn(16, FEATURES, generator=torch.Generator().manual_seed(0)), torch.arange(16) % CLASSES


def build(kind: str) -> Net:
    torch.default_generator.manual_seed(0)
    return KINDS[kind]()


def weights(model: nn.Module) -> dict[str, Tensor]:
    """What is learnt but for thresholds, whose gradient is that of another number in a baked model."""
    return {name: p.detach() for name, p in model.named_parameters() if "threshold" not in name}


def of_sample(model: nn.Module) -> Callable[..., Tensor]:
    def loss(parameters: Any, x: Tensor, label: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, parameters, (x[None],)), label[None])

    return loss


def flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients.values()])


def jit_trace(model: Any) -> Tensor:
    # its check calls the model once more, without tracing it, which is a forward like any other
    traced: Any = torch.jit.trace(model, (X,), check_trace=False)
    return traced(X)


# Each traces or transforms a model and gives what came of it on X.
TRACERS: dict[str, Callable[[Any], Tensor]] = {
    "torch.export": lambda model: torch.export.export(model, (X,)).module()(X),
    "torch.export, strict": lambda model: torch.export.export(model, (X,), strict=True).module()(X),
    "torch.fx": lambda model: torch.fx.symbolic_trace(model)(X),
    "jit.trace": jit_trace,
    "make_fx": lambda model: make_fx(model)(X)(X),
    "make_fx, fake": lambda model: make_fx(model, tracing_mode="fake", _allow_non_fake_inputs=True)(X)(X),
    "functional_call": lambda model: flat(grad(of_sample(model))(weights(model), X[0], LABELS[0])),
    "vmap": lambda model: flat(vmap(grad(of_sample(model)), (None, 0, 0))(weights(model), X, LABELS)),
    "vmap alone": lambda model: vmap(model)(X[:, None]),
}


def outcome(trace: Callable[[Any], Tensor], model: nn.Module) -> Any:
    """What a tracer gives, or the kind of error: some models cannot be traced, attached or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return trace(model).detach()
        except Exception as error:
            return type(error) if not isinstance(error, ExportError) else error


def train(model: Net, optimizer: torch.optim.Optimizer, homeostat: ahsar.Homeostat, steps: int = 2) -> list[Any]:
    """Some steps, and all that they make."""
    told: list[Any] = []
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), LABELS).backward()
        optimizer.step()
        told += [homeostat.scales, homeostat.rates, homeostat.left_alone]
    return [*told, [p.tolist() for p in model.parameters()]]


def attached(kind: str, **kwargs: Any) -> tuple[Net, torch.optim.Optimizer, ahsar.Homeostat]:
    model = build(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, optimizer, ahsar.attach(model, optimizer, config=MOVING, **kwargs)


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_traced_has_the_present_scales_and_training_never_knows(kind: str, tracer: str) -> None:
    """Against a model that was baked, and one that was never traced."""
    trace = TRACERS[tracer]
    twin, optimizer, homeostat = attached(kind)
    homeostat.hold(0.4)
    homeostat.bake()
    wanted = outcome(trace, twin)
    model, optimizer, homeostat = attached(kind)
    homeostat.hold(0.4)
    got = outcome(trace, model)
    if isinstance(got, ExportError):
        assert "bake() the model first" in str(got) and tracer == "torch.fx" and kind in ("parameter", "snnTorch, learnt")
    elif isinstance(got, Tensor):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
    else:
        assert got is wanted
    assert [layer.sum.read() for layer in homeostat.layers] == [(None, 0)] * 2 and homeostat.state.steps == 0
    homeostat.release()
    assert train(model, optimizer, homeostat) == train(*attached(kind))


def test_a_frozen_trace_is_not_the_model_at_other_scales() -> None:
    """Or else the test above could not tell."""
    for kind in KINDS:
        model, _, homeostat = attached(kind)
        homeostat.hold(0.4)
        low = model(X)
        homeostat.hold(1.0)
        assert not torch.equal(low, model(X))


@pytest.mark.parametrize("kind", ["buffer", "parameter"])
def test_gradients_of_samples_are_those_of_one_at_a_time(kind: str) -> None:
    model, _, homeostat = attached(kind)
    homeostat.hold(0.4)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    together = vmap(grad(of_sample(model)), (None, 0, 0))(parameters, X, LABELS)
    for i, (x, label) in enumerate(zip(X, LABELS, strict=True)):
        model.zero_grad()
        nn.functional.cross_entropy(model(x[None]), label[None]).backward()
        for name, p in model.named_parameters():
            torch.testing.assert_close(together[name][i], p.grad, rtol=1e-4, atol=1e-6)


def test_a_step_after_nothing_but_vmap_says_what_to_do_and_that_works() -> None:
    model, optimizer, homeostat = attached("parameter")
    TRACERS["vmap"](model)
    with pytest.raises(SensingError, match=r"homeostat\.paused\(\).*vmap"):
        optimizer.step()
    with homeostat.paused():
        optimizer.step()
    assert train(model, optimizer, homeostat) == train(*attached("parameter"))


def test_vmap_within_compiled_code_is_not_sensed() -> None:
    model, _, homeostat = attached("buffer", compile=True, layers="all")
    homeostat.hold(0.4)
    eager = TRACERS["vmap alone"](model)
    compiled = torch.compile(vmap(model), backend="eager")(X[:, None])
    torch.testing.assert_close(compiled, eager)
    assert all(layer.sum.tally is None and layer.sum.spikes is None for layer in homeostat.layers)


def test_a_model_without_values_is_not_sensed() -> None:
    """Made under FakeTensorMode and run outside of it, as who plans memory does."""
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        model, x = build("buffer"), torch.zeros(4, FEATURES)
    homeostat = ahsar.attach(model)
    model(x)
    assert [layer.sum.read() for layer in homeostat.layers] == [(None, 0)] * 2


@pytest.mark.parametrize("kind", ["buffer", "Norse"])
def test_what_was_scaled_without_values_is_forgotten(kind: str) -> None:
    """A model with values, run for its shapes alone."""
    from torch._subclasses import FakeTensorMode

    model, _, homeostat = attached(kind)
    homeostat.hold(0.4)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model(X)
    after = model(X)
    homeostat.bake()
    assert type(after) is Tensor and torch.equal(after, model(X))


def test_scripting_is_refused_until_the_model_or_a_copy_is_baked() -> None:
    model, _, homeostat = attached("buffer")
    homeostat.hold(0.4)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        for part in (model.neuron, nn.Sequential(model.neuron)):
            with pytest.raises(ExportError, match=r"layer 'neuron' is attached.*bake\(\) the model first"):
                torch.jit.script(part)
        copied = copy.deepcopy(model)
        found = ahsar.attached(copied)
        assert found is not None
        found.bake()
        scripted = torch.jit.script(copied.neuron)
        torch.testing.assert_close(scripted(X), model.neuron(X))
        homeostat.detach()
        assert not torch.equal(torch.jit.script(model.neuron)(X), scripted(X))
