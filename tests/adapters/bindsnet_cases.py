"""Every layer of BindsNET that has a threshold: no gradients, spikes read from the layer, mostly millivolts."""

import importlib
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from .case import BATCH, NEURONS, Case, Run

T = 8
SHAPE = (T, BATCH, NEURONS)


def run_from(rest: float) -> Run:
    """As `Network.run` calls it; the neuron state is in the state_dict, so it is reset afterwards as well."""

    def run(module: Any, x: Tensor) -> list[Any]:
        start(module)
        outputs = []
        for step in (x - rest).abs():
            module.forward(x=step.clone())  # some layers write into their input
            outputs.append((module.s.clone(), module.v.clone()))
        start(module)
        return outputs

    return run


def start(module: Any) -> None:
    module.set_batch_size(BATCH)
    module.reset_state_variables()
    for name in ("theta", "i"):  # the first is learned, and outlives a reset
        if name in module._buffers:
            getattr(module, name).zero_()


def case(name: str, cls: Any, threshold: Any, base: float, of: dict[str, Any] | None = None, **kwargs: Any) -> Case:
    """`base`: the resting potential. `of`: fields of the Case that differ from the usual."""

    def build(thresh: Any) -> nn.Module:
        # a number or a list, since BindsNET makes a new tensor of it
        theta = thresh.tolist() if isinstance(thresh, Tensor) else thresh
        module = cls(thresh=theta, **{"n": NEURONS, **kwargs})
        module.compute_decays(1.0)
        start(module)
        return module

    fields: dict[str, Any] = {"shape": SHAPE, "drive": 10.0, "rounding": bool(base), **(of or {})}
    return Case(
        f"BindsNET-{name}",
        build,
        run_from(base),
        threshold,
        writer="tensor",
        attribute="thresh",
        rest=base,
        differentiable=False,
        **fields,
    )


PER_NEURON = torch.linspace(-56.0, -48.0, NEURONS)


def cases() -> list[Case]:
    if find_spec("bindsnet") is None:
        return []
    nodes: Any = importlib.import_module("bindsnet.network.nodes")
    conversion: Any = importlib.import_module("bindsnet.conversion.nodes")
    lif = nodes.LIFNodes
    adaptive: dict[str, Any] = {"theta_plus": 2.0}
    return [
        case("McCullochPitts", nodes.McCullochPitts, 10.0, 0.0),
        case("IFNodes", nodes.IFNodes, -52.0, -65.0),
        case("LIFNodes", lif, -52.0, -65.0),
        case("LIFNodes-per-neuron", lif, PER_NEURON, -65.0),
        case("LIFNodes-around-zero", lif, 13.0, 0.0, rest=0.0, reset=0.0, refrac=0),
        case("LIFNodes-traces", lif, -52.0, -65.0, traces=True, sum_input=True, lbound=-70.0),
        case("LIFNodes-image", lif, -52.0, -65.0, {"shape": (T, BATCH, 2, 3)}, shape=(2, 3)),
        case("BoostedLIFNodes", nodes.BoostedLIFNodes, 13.0, 0.0),
        case("CurrentLIFNodes", nodes.CurrentLIFNodes, -52.0, -65.0, {"drive": 3.0}),
        case("AdaptiveLIFNodes", nodes.AdaptiveLIFNodes, -52.0, -65.0, **adaptive),
        case("DiehlAndCookNodes", nodes.DiehlAndCookNodes, -52.0, -65.0, **adaptive),
        case("DiehlAndCookNodes-many", nodes.DiehlAndCookNodes, -52.0, -65.0, one_spike=False, **adaptive),
        case("DiehlAndCookNodes-int", nodes.DiehlAndCookNodes, -52, -65.0, one_spike=False),
        case("IzhikevichNodes", nodes.IzhikevichNodes, 45.0, -65.0, {"drive": 60.0}),
        case("IzhikevichNodes-mixed", nodes.IzhikevichNodes, 45.0, -65.0, {"drive": 60.0}, excitatory=0.5),
        case("SRM0Nodes", nodes.SRM0Nodes, -50.0, -70.0),
        case("CSRMNodes", nodes.CSRMNodes, -52.0, -65.0, {"shape": (T, BATCH, 20, NEURONS), "drive": 1.0}),
        case("SubtractiveResetIFNodes", conversion.SubtractiveResetIFNodes, 13.0, 0.0, reset=0.0, refrac=0),
    ]


CASES: list[Case] = cases()
