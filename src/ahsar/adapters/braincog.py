"""BrainCog: `threshold` is a Parameter, without gradient by default, and of whole numbers where a node was given one.

With `sigmoid_thres=True` most nodes use its sigmoid, and are scaled there; some ignore that option.
"""

from importlib import import_module
from typing import Any

import torch

from ..functional import scale_logit
from ..thresholds import ShadowThreshold
from .registry import Adapter, Skip, is_own

_SKIPPED = {
    "ReLUNode": "it does not spike",
    "BiasReLUNode": "it does not spike",
    "DoubleSidePLIFNode": "its forward fails in BrainCog itself",
    "CTIzhNode": "it fires at Vpeak, not at its threshold",
    "adth": "it has no dynamics of its own",
}
# read `threshold` itself, whatever `sigmoid_thres` says
_PLAIN = {
    "LIFNode",
    "BackEINode",
    "LIFSTDPNode",
    "IzhNodeMU",
    "SimHHNode",
    "HHNode",
    "aEIF",
    "LIAFNode",
    "OnlineLIFNode",
}
# their outputs are no mere 0 or 1
_GRADED = {"BurstLIFNode", "BackEINode", "DGLIFNode", "HTDGLIFNode"}
_STEPS = {"SigmoidGrad", "AtanGrad", "GateGrad", "QGateGrad", "ReLUGrad", "BackEIGateGrad"}


def _is_one_of(module: Any, names: set[str]) -> bool:
    return any(cls.__name__ in names and cls.__module__.startswith("braincog.") for cls in type(module).__mro__)


def _binary(module: Any) -> bool:
    # nothing is known of a user's surrogate
    return is_own(module) and not _is_one_of(module, _GRADED) and _is_one_of(getattr(module, "act_fun", None), _STEPS)


def _threshold(module: Any) -> ShadowThreshold:
    if getattr(module, "sigmoid_thres", False) and not _is_one_of(module, _PLAIN):
        return ShadowThreshold(module, "threshold", scaling=scale_logit, reading=torch.sigmoid)
    return ShadowThreshold(module, "threshold")


def _above_reset(module: Any) -> ShadowThreshold:
    # Izhikevich's models, in millivolts, reset to c; others rest at v_reset
    return ShadowThreshold(module, "threshold", rest=float(getattr(module, "c", module.v_reset)))


def _without_past(module: Any, output: Any) -> Any:
    # the spikes of the first step are appended along the batch
    return output[: module.mem.shape[0]]


def _above_threshold(module: Any, output: Any) -> Any:
    # the output is an activation of membrane − threshold, mostly one that is nowhere 0 but keeps the sign
    return output > 0


def _free_of_threshold(module: Any) -> str | None:
    return None if module.threshold_related else "its output does not depend on its threshold: threshold_related=False"


def entries() -> dict[type, Adapter | Skip]:
    """The two base classes cover every node and a user's own; some differ."""
    node = import_module("braincog.base.node.node")
    common = Adapter("BrainCog", _threshold, binary=_binary)
    millivolts = Adapter("BrainCog", _above_reset, binary=_binary)
    named: dict[str, Adapter | Skip] = {
        "BaseNode": common,
        "BaseMCNode": common,
        "IzhNode": millivolts,
        "IzhNodeMU": millivolts,
        "aEIF": millivolts,
        "LIAFNode": Adapter("BrainCog", _threshold, spikes=_above_threshold, refuse=_free_of_threshold),
        "OnlineLIFNode": Adapter("BrainCog", _threshold, spikes=_without_past, binary=_binary),
        **{name: Skip("BrainCog", reason) for name, reason in _SKIPPED.items()},
    }
    return {getattr(node, name): entry for name, entry in named.items() if hasattr(node, name)}
