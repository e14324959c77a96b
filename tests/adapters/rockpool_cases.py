"""Every LIF of Rockpool that has a PyTorch backend, with each kind of threshold, leak and surrogate that it knows."""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from .case import BATCH, NEURONS, Case, Run

T = 5  # long enough that charge arrives at the membrane
SHAPE = (BATCH, T, NEURONS)
PER_NEURON = torch.linspace(0.7, 1.3, NEURONS)


def fresh(run: Callable[[Any, Tensor], Any]) -> Run:
    """A sequence at once from a fresh neuron state, and that again afterwards, since the state is in the state_dict."""

    def whole(module: Any, x: Tensor) -> list[Any]:
        module.reset_state()
        output = run(module, x)
        module.reset_state()
        return [output]

    return whole


@fresh
def evolved(module: Any, x: Tensor) -> Any:
    """By Rockpool's call: (output, state, record)."""
    return module(x)


@fresh
def recorded(module: Any, x: Tensor) -> Any:
    output, state, record = module(x, record=True)
    return output, list(state.values()), list(record.values())


@fresh
def torch_call(module: Any, x: Tensor) -> Any:
    """By PyTorch's call: the output alone."""
    return nn.Module.__call__(module, x)


def cases() -> list[Case]:
    if find_spec("rockpool") is None:
        return []
    modules: Any = importlib.import_module("rockpool.nn.modules.torch")
    parameters: Any = importlib.import_module("rockpool.parameters")
    periodic = modules.lif_torch.PeriodicExponential

    def case(name: str, cls: Any, run: Run = evolved, of: dict[str, Any] | None = None, **kwargs: Any) -> Case:
        """`of`: fields of the Case that differ from the usual."""
        constant = kwargs.pop("constant", False)

        def build(threshold: Any) -> nn.Module:
            threshold = parameters.Constant(threshold) if constant else threshold
            module = cls(threshold=threshold, **{"shape": NEURONS, **kwargs})
            # Rockpool's `parameters()` is a dictionary, which PyTorch's own methods do not take
            return module.to_torch(use_torch_call=False)

        fields: dict[str, Any] = {"writer": "tensor", "attribute": "threshold", "shape": SHAPE, **(of or {})}
        return Case(name, build, run, learnable=not constant, **fields)

    def family(name: str, cls: Callable[..., nn.Module], **kwargs: Any) -> list[Case]:
        return [
            case(f"Rockpool-{name}", cls, **kwargs),
            case(f"Rockpool-{name}-per-neuron", cls, of={"threshold": PER_NEURON}, **kwargs),
            case(f"Rockpool-{name}-constant", cls, constant=True, **kwargs),
            case(f"Rockpool-{name}-torch", cls, torch_call, **kwargs),
            case(f"Rockpool-{name}-recorded", cls, recorded, **kwargs),
            case(f"Rockpool-{name}-periodic", cls, spike_generation_fn=periodic, **kwargs),
        ]

    lif = modules.LIFTorch
    return [
        *family("LIF", lif),
        case("Rockpool-LIF-decays", lif, leak_mode="decays", of={"drive": 3.0}),
        case("Rockpool-LIF-bitshifts", lif, leak_mode="bitshifts", of={"drive": 3.0}),
        case("Rockpool-LIF-recurrent", lif, has_rec=True),
        case("Rockpool-LIF-synapses", lif, shape=(2 * NEURONS, NEURONS), of={"shape": (BATCH, T, 2 * NEURONS)}),
        case("Rockpool-LIF-one-spike", lif, max_spikes_per_dt=torch.tensor(1.0)),
        case("Rockpool-LIF-noise", lif, noise_std=2.0),
        *family("aLIF", modules.aLIFTorch),
        *family("LIFBitshift", modules.LIFBitshiftTorch, max_spikes_per_dt=31),
        *family("LIFNeuron", modules.LIFNeuronTorch),
    ]


CASES: list[Case] = cases()
