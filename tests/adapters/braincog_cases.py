"""Every spiking node of BrainCog, step by step and layer by layer, with each kind of threshold that it knows."""

import importlib
import inspect
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from .case import BATCH, NEURONS, STEPS, Case, Run

PER_NEURON = torch.linspace(0.4, 0.8, NEURONS)
IMAGE = (STEPS, 2, 3, 4, 4)


def load() -> Any:
    """BrainCog's nodes; None without BrainCog."""
    if find_spec("braincog") is None:
        return None
    with warnings.catch_warnings():
        # its model zoo registers models under timm's names, and escapes badly in docstrings
        warnings.simplefilter("ignore")
        return importlib.import_module("braincog.base.node.node")


def stepped(module: Any, x: Tensor) -> list[Any]:
    module.n_reset()
    return [module(step) for step in x]


def layered(module: Any, x: Tensor) -> list[Any]:
    """All steps at once, [T·N, ...] in and out."""
    module.n_reset()
    return [module(x.flatten(0, 1))]


def grouped(module: Any, x: Tensor) -> list[Any]:
    """All steps at once, [N, C·T]."""
    module.n_reset()
    return [module(x.permute(1, 2, 0).flatten(1))]


def online(module: Any, x: Tensor) -> list[Any]:
    # its n_reset leaves it unable to run
    module.init, module.rate_tracking = True, None
    return [module(step) for step in x]


def compartments(module: Any, x: Tensor) -> list[Any]:
    module.n_reset()
    return [module({"basal_inputs": step, "apical_inputs": 2 * step}) for step in x]


def adapted(module: Any, x: Tensor) -> list[Any]:
    # n_reset forgets the refractory counters, which start at random, and the adaptation
    module.n_reset()
    module.ref, module.ad = torch.full((NEURONS,), 10.0), torch.zeros(NEURONS)
    return [module(step) for step in x]


def driven(module: Any, x: Tensor) -> list[Any]:
    # the Hodgkin–Huxley nodes overflow at currents that hyperpolarise
    module.n_reset()
    return [module(step.abs()) for step in x]


def positive(output: Any) -> Tensor:
    return output > 0


def own_half(output: Any) -> Tensor:
    return output[:BATCH]


def slope_of_sigmoid(raw: Tensor, scale: float) -> Tensor:
    """d raw'/d raw where sigmoid(raw') = s sigmoid(raw)."""
    return (1 - raw.sigmoid()) / (1 - scale * raw.sigmoid())


def case(name: str, cls: Any, *args: Any, run: Run = stepped, of: dict[str, Any] | None = None, **kwargs: Any) -> Case:
    """`of`: fields of the Case that differ from the usual."""

    def build(threshold: Any) -> nn.Module:
        # a number or a list, since BrainCog makes a new tensor of it
        theta = threshold.tolist() if isinstance(threshold, Tensor) else threshold
        if kwargs.get("sigmoid_thres"):
            theta = torch.logit(torch.tensor(theta)).item()
        return cls(*args, threshold=theta, **kwargs)

    surrogate = kwargs.get("act_fun") or getattr(inspect.signature(cls).parameters.get("act_fun"), "default", None)
    fields = {
        "writer": "tensor",
        "attribute": "threshold",
        "learnable": kwargs.get("requires_thres_grad", False),
        # unpacks its saved tensors several times in backward
        "reentrant_only": getattr(surrogate, "__name__", "") == "AtanGrad",
        **(of or {}),
    }
    return Case(f"BrainCog-{name}", build, run, **fields)


def parametrised(name: str, cls: Any, values: list[float], at: int, run: Run, of: dict[str, Any]) -> Case:
    """A node that takes its threshold as one of a list of parameters."""

    def build(threshold: Any) -> nn.Module:
        theta = threshold.item() if isinstance(threshold, Tensor) else threshold
        return cls([*values[:at], theta, *values[at:]], NEURONS, torch.zeros(NEURONS, NEURONS), 0)

    return Case(f"BrainCog-{name}", build, run, **{"writer": "tensor", "attribute": "threshold", **of})


def cases() -> list[Case]:
    node = load()
    if node is None:
        return []
    half: dict[str, Any] = {"threshold": 0.5}
    sigmoid: dict[str, Any] = {"threshold": 0.5, "rounding": True, "slope": slope_of_sigmoid}
    peak: dict[str, Any] = {"threshold": 30.0, "rest": -55.0, "drive": 50.0, "rounding": True}
    found = []
    for name in ("IFNode", "LIFNode", "PLIFNode", "BiasLIFNode", "BiasPLIFNode", "LIFSTDPNode", "BurstLIFNode"):
        cls = getattr(node, name)
        found += [
            case(name, cls, of=half),
            case(f"{name}-int", cls, of={"threshold": 1, "drive": 3.0}),
            case(f"{name}-per-neuron", cls, of={"threshold": PER_NEURON}),
            case(f"{name}-learn", cls, of=half, requires_thres_grad=True),
            case(f"{name}-layered", cls, of=half, run=layered, step=STEPS, layer_by_layer=True),
        ]
    for name in ("IFNode", "PLIFNode", "BiasLIFNode", "BiasPLIFNode", "DGLIFNode", "HTDGLIFNode"):
        found.append(case(f"{name}-sigmoid", getattr(node, name), of=sigmoid, sigmoid_thres=True))
    lif = node.LIFNode
    return [
        *found,
        case("IFNode-sigmoid-learn", node.IFNode, of=sigmoid, sigmoid_thres=True, requires_thres_grad=True),
        case("LIFNode-grouped", lif, of=half, run=grouped, step=STEPS, n_groups=2),
        case("LIFNode-detached", lif, of=half, mem_detach=True, requires_mem=True, requires_fp=True),
        case("LIFNode-own-surrogate", lif, of=half, act_fun=lambda **kwargs: torch.relu),
        *(case(f"LIFNode-{name}", lif, of=half, act_fun=name) for name in ("SigmoidGrad", "GateGrad", "ReLUGrad")),
        case("NoiseLIFNode", node.NoiseLIFNode, of={"threshold": 1, "drive": 3.0}),
        case("NoisePLIFNode", node.NoisePLIFNode, of={"threshold": 1, "drive": 3.0}),
        case("DGLIFNode", node.DGLIFNode, of=half),
        case("HTDGLIFNode", node.HTDGLIFNode, of=half),
        case("BackEINode", node.BackEINode, of={**half, "shape": IMAGE}, channel=3),
        case("BackEINode-plain", node.BackEINode, of={**half, "shape": IMAGE}, channel=3, if_back=False, if_ei=False),
        case("LIAFNode", node.LIAFNode, of={**half, "spikes": positive}),
        case("LIAFNode-relu", node.LIAFNode, of={**half, "spikes": positive}, act_fun="ReLU"),
        case("OnlineLIFNode", node.OnlineLIFNode, of={**half, "spikes": own_half}, run=online),
        case("ThreeCompNode", node.ThreeCompNode, of={"drive": 3.0}, run=compartments),
        case("IzhNode", node.IzhNode, of=peak, dt=0.1),
        case("IzhNodeMU", node.IzhNodeMU, of={**peak, "drive": 2000.0}, dt=0.1),
        case("SimHHNode", node.SimHHNode, of={"threshold": 50.0, "drive": 40.0}, run=driven),
        parametrised(
            "HHNode",
            node.HHNode,
            [120.0, 36.0, 0.3, 120.0, -120.0, 10.6, 1.0, 0.0],
            7,
            driven,
            {"threshold": 50.0, "drive": 200.0},
        ),
        parametrised(
            "aEIF",
            node.aEIF,
            [1.0, 0.1, 0.1, 1.0, 1.0, 0.0],
            0,
            adapted,
            {"threshold": -5.0, "rest": -15.0, "drive": 25.0, "rounding": True},
        ),
    ]


CASES: list[Case] = cases()
