"""Every neuron class of Norse: cells and sequences, recurrent ones, millivolts, sparse spikes, and a learnable threshold.

Recurrent cases allow autapses, since without them Norse hooks a gradient, and a copy of such a layer loses the hook.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .case import BATCH, NEURONS, STEPS, Case, Run

INSTALLED = importlib.util.find_spec("norse") is not None
if INSTALLED:
    with warnings.catch_warnings():
        # Norse 1.1.0 scripts functions when it is imported, which PyTorch deprecates from 2.11 on
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        importlib.import_module("norse.torch")


def whole(module: Any, x: Tensor) -> list[Any]:
    """A whole sequence at once."""
    return [module(x)]


def steps(module: Any, x: Tensor) -> list[Any]:
    """The caller hands the state on."""
    outputs, state = [], None
    for step in x:
        outputs.append(module(step, state))
        state = outputs[-1][1]
    return outputs


def sparse(run: Run) -> Run:
    """Sparse spikes in and out; dense again for who compares them. No gradient leads through a sparse sequence in PyTorch."""
    return lambda module, x: [_dense(output) for output in run(module, x.detach().to_sparse())]


def _dense(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_dense(item) for item in value)
    return value.to_dense() if isinstance(value, Tensor) and value.is_sparse else value


def _builder(cls: Callable[..., nn.Module], parameters: Any, fields: tuple[str, ...], *args: Any, **kwargs: Any) -> Any:
    """threshold -> a module of `cls` whose tuple of parameters is `parameters` with the threshold in it."""

    def build(threshold: Any) -> nn.Module:
        return cls(*args, p=_put(parameters, fields, threshold), **kwargs)

    return build


def _put(tree: Any, fields: tuple[str, ...], value: Any) -> Any:
    name, *inner = fields
    return tree._replace(**{name: _put(getattr(tree, name), tuple(inner), value) if inner else value})


def _cases() -> Iterator[Case]:
    from norse.torch.functional import coba_lif, izhikevich, lif, lif_adex_refrac, lif_correlation, reset
    from norse.torch.functional.coba_lif import CobaLIFState
    from norse.torch.module.lif_adex_refrac import LIFAdExRefracRecurrent

    norse: Any = importlib.import_module("norse.torch")
    square: tuple[int, ...] = (NEURONS, NEURONS)
    recurrent: dict[str, Any] = {"autapses": True}
    usual = {"threshold": torch.tensor(1.0), "writer": "tensor", "attribute": "p.v_th", "drive": 10.0}

    def case(label: str, cls: Any, parameters: Any, run: Run, *args: Any, of: Any = None, **kwargs: Any) -> Case:
        """`of`: fields of the Case that differ from the usual."""
        given: dict[str, Any] = {**usual, **(of or {})}
        fields = tuple(given["attribute"].split(".")[1:])
        return Case(label, _builder(cls, parameters, fields, *args, **kwargs), run, **given)

    def family(label: str, parameters: Any, of: dict[str, Any] | None = None, **kwargs: Any) -> Iterator[Case]:
        """The cell, the sequence, and their recurrent twins, as far as Norse has them."""
        for suffix, run in (("Cell", steps), ("", whole), ("RecurrentCell", steps), ("Recurrent", whole)):
            cls = getattr(norse, label + suffix, None)
            if cls is not None:
                inner = "Recurrent" in suffix
                args, options = (square, {**recurrent, **kwargs}) if inner else ((), kwargs)
                yield case(label + suffix, cls, parameters, run, *args, of=of, **options)

    quick = norse.LIFParameters(tau_mem_inv=torch.tensor(300.0), tau_syn_inv=torch.tensor(500.0))
    bio = quick._replace(v_leak=torch.tensor(-65.0), v_reset=torch.tensor(-65.0))
    millivolts = {"threshold": torch.tensor(-50.0), "rest": -65.0, "rounding": True}

    def current(run: Run) -> Run:
        """Input around 0, whatever the rest."""
        return lambda module, x: run(module, 10 * (x + 65.0))

    yield from family("LIF", quick)
    for method in ("heaviside", "triangle", "tanh", "circ", "heavi_erfc"):
        yield case(f"LIF-{method}", norse.LIF, quick._replace(method=method), whole)
    yield case("LIF-per-neuron", norse.LIF, quick, whole, of={"threshold": torch.linspace(0.7, 1.3, NEURONS)})
    yield case("LIF-record", norse.LIF, quick, whole, record_states=True)
    yield case("LIF-bio", norse.LIF, bio, current(whole), of=millivolts)
    yield case("LIFCell-bio", norse.LIFCell, bio, current(steps), of=millivolts)
    yield case("LIF-sparse", norse.LIF, quick, sparse(whole))
    yield case("LIFCell-sparse", norse.LIFCell, quick, sparse(steps))
    yield case("LIFRecurrent-sparse", norse.LIFRecurrent, quick, sparse(whole), *square, **recurrent)
    yield case("LIFRecurrentCell-sparse", norse.LIFRecurrentCell, quick, sparse(steps), *square, **recurrent)
    yield from (_learnable(cls, quick, run) for cls, run in ((norse.LIF, whole), (norse.LIFCell, steps)))

    nested = {"attribute": "p.lif.v_th"}
    yield from family("LIFRefrac", norse.LIFRefracParameters(lif=quick, rho_reset=torch.tensor(1.0)), nested)
    yield case("LIFMCRecurrentCell", norse.LIFMCRecurrentCell, quick, steps, *square, **recurrent)
    refractory = norse.LIFRefracParameters(lif=quick, rho_reset=torch.tensor(1.0))
    yield case("LIFMCRefracRecurrentCell", norse.LIFMCRefracRecurrentCell, refractory, steps, *square, of=nested, **recurrent)

    box = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(400.0))
    for name in ("value", "subtract"):
        soft = box._replace(reset_method=getattr(reset, f"reset_{name}"))
        yield case(f"LIFBoxCell-{name}", norse.LIFBoxCell, soft, steps, of={"drive": 4.0})
    yield case("IAFCell", norse.IAFCell, norse.IAFParameters(), steps, of={"drive": 1.5})
    yield case("IAF", norse.IAF, norse.IAFParameters(), whole, of={"drive": 1.5})

    rates: dict[str, Any] = {"tau_mem_inv": torch.tensor(300.0), "tau_syn_inv": torch.tensor(500.0)}
    yield from family("LSNN", norse.LSNNParameters(**rates))
    for cls, run in ((norse.LSNN, whole), (norse.LSNNCell, steps)):
        yield case(f"{cls.__name__}-adjoint", cls, norse.LSNNParameters(**rates), run, adjoint=True)
    yield from family("LIFEx", norse.LIFExParameters(**rates), {"drive": 5.0})
    adaptive = norse.LIFAdExParameters(**rates)
    yield from family("LIFAdEx", adaptive, {"drive": 5.0})
    given = {"attribute": "p.lif_adex.v_th", "drive": 5.0}
    held = lif_adex_refrac.LIFAdExRefracParameters(lif_adex=adaptive, rho_reset=torch.tensor(1.0))
    for cls, run in ((norse.LIFAdExRefracRecurrentCell, steps), (LIFAdExRefracRecurrent, whole)):
        yield case(cls.__name__, cls, held, run, *square, of=given, **recurrent)
    yield case("LIFAdExRefracCell", norse.LIFAdExRefracCell, held, steps, of=given)

    yield from _izhikevich(norse, izhikevich)
    yield from _coba(norse, coba_lif, CobaLIFState)
    yield _correlation(norse, lif_correlation, lif)


def _learnable(cls: Any, parameters: Any, run: Run) -> Case:
    """The threshold is a Parameter, which the user registers, since Norse does not."""

    def build(threshold: Any) -> nn.Module:
        theta = nn.Parameter(torch.as_tensor(threshold).clone())
        module = cls(p=parameters._replace(v_th=theta))
        module.register_parameter("theta", theta)
        return module

    return Case(f"{cls.__name__}-learn", build, run, 1.0, "tensor", "theta", learnable=True, drive=10.0)


def _izhikevich(norse: Any, izhikevich: Any) -> Iterator[Case]:
    """A threshold of 30 mV as a Python float; from −70 mV a strong input reaches it at once."""
    rest = -70.0

    def build(cls: Any, *args: Any, **kwargs: Any) -> Callable[[Any], nn.Module]:
        def make(threshold: Any) -> nn.Module:
            usual = izhikevich.tonic_spiking
            # a state of its own: Norse's is one leaf for all layers, and collects their gradients
            state = usual.s._replace(v=torch.tensor(rest, requires_grad=True))
            return cls(*args, izhikevich.IzhikevichSpikingBehavior(usual.p._replace(v_th=threshold), state), **kwargs)

        return make

    def strong(run: Run) -> Run:
        return lambda module, x: run(module, 300.0 * (x - rest))

    fields: dict[str, Any] = {"threshold": 30.0, "writer": "tensor", "attribute": "p.v_th", "rest": rest, "rounding": True}
    for name, run in (("IzhikevichCell", steps), ("Izhikevich", whole)):
        yield Case(name, build(getattr(norse, name)), strong(run), **fields)
    for name, run in (("IzhikevichRecurrentCell", steps), ("IzhikevichRecurrent", whole)):
        make = build(getattr(norse, name), NEURONS, NEURONS, autapses=True)
        yield Case(name, make, strong(run), **fields)


def _coba(norse: Any, coba_lif: Any, state: Any) -> Iterator[Case]:
    """Norse 1.1.0 forgets the input of a COBA cell, so the membranes are handed in."""

    def run(module: Any, x: Tensor) -> list[Any]:
        zeros = torch.zeros(BATCH, NEURONS)
        outputs: list[Any] = []
        for membrane in x:
            last = outputs[-1][1] if outputs else state(zeros, membrane, zeros, zeros)
            outputs.append(module(zeros, last._replace(v=membrane + 0.01 * last.v)))
        return outputs

    def build(parameters: Any) -> Callable[[Any], nn.Module]:
        return lambda threshold: norse.CobaLIFCell(NEURONS, NEURONS, parameters._replace(v_thresh=threshold))

    fields: dict[str, Any] = {"writer": "tensor", "attribute": "p.v_thresh", "drive": 15.0, "rounding": True}
    yield Case("CobaLIFCell", build(coba_lif.CobaLIFParameters()), run, torch.tensor(-10), rest=-20.0, **fields)
    yield Case("CobaLIFCell-bio", build(coba_lif.default_bio_parameters), run, -50.0, rest=-65.0, **fields)


def _correlation(norse: Any, lif_correlation: Any, lif: Any) -> Case:
    """Weights come with every call; Norse 1.1.0 takes no more than one sequence at a time."""
    quick = lif.LIFParameters(tau_mem_inv=torch.tensor(300.0), tau_syn_inv=torch.tensor(500.0))
    parameters = lif_correlation.LIFCorrelationParameters(lif_parameters=quick)

    def run(module: Any, x: Tensor) -> list[Any]:
        weights = torch.randn(2, NEURONS, NEURONS, generator=torch.Generator().manual_seed(4))
        outputs, state = [], None
        for step in x:
            outputs.append(module(step, *weights, state))
            state = outputs[-1][1]
        return outputs

    def build(threshold: Any) -> nn.Module:
        return norse.LIFCorrelation(NEURONS, NEURONS, _put(parameters, ("lif_parameters", "v_th"), threshold))

    path, shape = "p.lif_parameters.v_th", (STEPS, 1, NEURONS)
    return Case("LIFCorrelation", build, run, torch.tensor(1.0), "tensor", path, shape=shape, drive=5.0)


CASES: list[Case] = [replace(case, name=f"norse-{case}") for case in _cases()] if INSTALLED else []
