"""Every neuron class of sinabs, with each way to spike, to reset and to lay time out."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .case import BATCH, NEURONS, STEPS, Case

INSTALLED = importlib.util.find_spec("sinabs") is not None
LAYOUT = (BATCH, STEPS, NEURONS)


def sequence(module: Any, x: Tensor) -> list[Any]:
    """From zero, and back to it: the state is in the state_dict."""
    module.reset_states()
    output = module(x)
    module.reset_states()
    return [output]


def squeezed(module: Any, x: Tensor) -> list[Any]:
    """Batch and time in one dimension."""
    return [output.unflatten(0, x.shape[:2]) for output in sequence(module, x.flatten(0, 1))]


def _cases() -> Iterator[Case]:
    import sinabs.layers as layers
    from sinabs import activation

    shape = torch.Size((BATCH, NEURONS))
    usual = {"writer": "tensor", "attribute": "spike_threshold", "shape": LAYOUT}

    def case(label: str, cls: Any, of: dict[str, Any] | None = None, connect: bool = False, **kwargs: Any) -> Case:
        """`of`: fields of the Case that differ from the usual."""

        def build(threshold: Any) -> nn.Module:
            options = {**kwargs, "rec_connect": nn.Linear(NEURONS, NEURONS, bias=False)} if connect else kwargs
            return cls(spike_threshold=threshold, shape=shape, **options)

        run = squeezed if "Squeeze" in label else sequence
        # sinabs 3.1.3 cannot copy a recurrent layer, and copies an adaptive one only with its default norm_input
        fields: dict[str, Any] = {**usual, "run": run, "copies": not connect, **(of or {})}
        return Case(label, build, **fields)

    resets = {
        "subtract": activation.MembraneSubtract(),
        "subtract-value": activation.MembraneSubtract(0.5),
        "reset": activation.MembraneReset(),
        "reset-value": activation.MembraneReset(-0.2),
    }
    spikes = {"single": activation.SingleSpike, "multi": activation.MultiSpike, "max": activation.MaxSpike(2)}
    surrogates = {
        "heaviside": activation.Heaviside(),
        "gaussian": activation.Gaussian(),
        "multi-gaussian": activation.MultiGaussian(),
        "periodic": activation.PeriodicExponential(),
    }
    lif: dict[str, Any] = {"tau_mem": 5.0, "norm_input": False}
    alif: dict[str, Any] = {"tau_mem": 5.0, "tau_adapt": 5.0}
    own = {"attribute": "b0", "drive": 6.0}
    time: dict[str, Any] = {"batch_size": BATCH}

    for reset, reset_fn in resets.items():
        for spike, spike_fn in spikes.items():
            yield case(f"LIF-{spike}-{reset}", layers.LIF, spike_fn=spike_fn, reset_fn=reset_fn, **lif)
        yield case(f"ALIF-{reset}", layers.ALIF, own, reset_fn=reset_fn, **alif)
    for name, surrogate in surrogates.items():
        yield case(f"LIF-{name}", layers.LIF, surrogate_grad_fn=surrogate, **lif)
    yield case("LIF-norm", layers.LIF, {"drive": 6.0}, tau_mem=5.0)
    yield case("LIF-synapse", layers.LIF, tau_syn=3.0, **lif)
    yield case("LIF-alphas", layers.LIF, train_alphas=True, **lif)
    yield case("LIF-bounded", layers.LIF, min_v_mem=-0.5, **lif)
    yield case("LIF-record", layers.LIF, record_states=True, **lif)
    yield case("LIF-per-neuron", layers.LIF, {"threshold": torch.linspace(0.7, 1.3, NEURONS)}, **lif)
    yield case("LIFRecurrent", layers.LIFRecurrent, connect=True, **lif)
    yield case("LIFSqueeze", layers.LIFSqueeze, **time, **lif)
    for spike, spike_fn in spikes.items():
        yield case(f"IAF-{spike}", layers.IAF, spike_fn=spike_fn)
    yield case("IAFRecurrent", layers.IAFRecurrent, connect=True)
    yield case("IAFSqueeze", layers.IAFSqueeze, **time)
    yield case("IAFSqueeze-steps", layers.IAFSqueeze, num_timesteps=STEPS, min_v_mem=-1.0)

    for spike, spike_fn in spikes.items():
        yield case(f"ALIF-{spike}", layers.ALIF, own, spike_fn=spike_fn, **alif)
    yield case("ALIF-tensor", layers.ALIF, {**own, "threshold": torch.tensor(1.0)}, **alif)
    # when it copies trained alphas of an adaptive layer, sinabs 3.1.3 freezes them
    yield case("ALIF-alphas", layers.ALIF, {**own, "copies": False}, train_alphas=True, **alif)
    yield case("ALIFRecurrent", layers.ALIFRecurrent, own, connect=True, **alif)
    yield case("ALIFSqueeze", _squeezed_alif(), own, **time, **alif)


def _squeezed_alif() -> Any:
    from sinabs.layers.alif import ALIFSqueeze  # not among the names of sinabs.layers

    return ALIFSqueeze


CASES: list[Case] = [replace(case, name=f"sinabs-{case}") for case in _cases()] if INSTALLED else []
