"""What the weights of an attached model carry: the scale of each layer, in the metadata of its state dict.

PyTorch keeps a mapping `_metadata` on what `state_dict()` gives, with an entry for each module. It goes through `torch.save`,
`torch.load(weights_only=True)` and `copy.deepcopy`, and comes back to the module that loads. Keys stay as they are, and a
program that does not know ahsar loads the same weights. A dictionary that is built anew has lost it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .state import ControllerState

KEY = "ahsar.scale"


class Carrier:
    """The hooks that put a layer's scale beside its weights, and take it from those that are loaded.

    Args:
        layer: has a `name`, the `scale` in force, and a `group` whose `receive(name, scale)` is called when weights are loaded.
    """

    layer: Any

    # no `__dict__`: tracetorch follows that of all that a module holds, and would come back to the module.
    # The second is the mark that PyTorch sets.
    __slots__ = ("_from_public_api", "layer")

    def __init__(self, layer: Any):
        self.layer = layer

    def hook(self, module: nn.Module) -> list[Any]:
        """Register both; each has a remove()."""
        return [module.register_state_dict_post_hook(self), module.register_load_state_dict_pre_hook(self.unpack)]

    def __call__(self, module: nn.Module, weights: Any, prefix: str, metadata: dict[str, Any]) -> None:
        """The hook on `state_dict()`; an object, as PyTorch marks it by an attribute. Nothing is copied from the device."""
        metadata[KEY] = self.layer.scale

    def unpack(
        self, module: nn.Module, weights: Any, prefix: str, metadata: dict[str, Any], strict: bool, missing: list[str],
        unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        """The hook on `load_state_dict()`. What is no scale is one of the errors that PyTorch raises when it is through."""
        packed = metadata.get(KEY)
        if isinstance(packed, Tensor) and packed.is_meta:  # weights without values
            return
        try:
            scale = None if packed is None else torch.as_tensor(packed, dtype=torch.float32).item()
        except (TypeError, ValueError, RuntimeError):
            scale = math.nan
        if scale is None or 0.0 < scale < math.inf:
            self.layer.group.receive(self.layer.name, scale)
        else:
            errors.append(
                f"layer {self.layer.name!r}: the scale that the weights carry, {packed!r}, is not finite and > 0: save them "
                "anew, or load dict(weights), which has none"
            )


def scales_in(weights: Mapping[str, Any]) -> dict[str, float]:
    """The scales that weights carry, by layer; none if they were saved without, or went into a new dictionary.

    Args:
        weights: what `state_dict()` gave, as it is, saved and loaded by PyTorch, or deep-copied.

    Examples:
        >>> model = nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9))
        >>> ahsar.attach(model).hold(0.5)
        >>> ahsar.scales_in(model.state_dict())
        {'1': 0.5}
        >>> ahsar.scales_in(dict(model.state_dict()))
        {}
    """
    metadata: Mapping[str, Any] = getattr(weights, "_metadata", None) or {}
    return {name: float(entry[KEY]) for name, entry in metadata.items() if KEY in entry}


def settled(state: ControllerState, name: str, scale: float) -> ControllerState:
    """The same state with a layer at the scale that its weights came with.

    It rests there, since the weights were trained against it; where nothing moved it, it may be led as if it were new. Rates
    of other weights say nothing of these.
    """
    log_scale = math.log(scale / state.gain)
    led = 0.0 if log_scale == 0.0 else math.inf
    news = {"scale": scale, "log_scale": log_scale, "led": led, **dict.fromkeys(("heard", "pushed", "away", "silent"), 0.0)}
    here = torch.tensor([other == name for other in state.names], device=state.device)
    return replace(state, **{key: torch.where(here, value, getattr(state, key)) for key, value in news.items()})


def without_scales(name: str, scale: float) -> dict[str, str]:
    """Weights came without scales, to a layer that has one."""
    return {
        "bare": f"weights without scales were loaded, and those in force stay (layer {name!r}: {scale:.3g}): "
        "they may not belong together. If homeostat.load_state_dict() comes next, all is well. Else keep weights as "
        "model.state_dict() gives them, or copy.deepcopy() of it: a new dictionary, safetensors and "
        "torch.distributed.checkpoint lose the scales; keep homeostat.state_dict() beside those"
    }


def held(name: str, came: float, scale: float) -> dict[str, str]:
    """Weights came with another scale than the one that is held by hand."""
    return {
        "held": f"the weights of layer {name!r} were saved at scale {came:.3g}, but scales are held by hand, "
        f"here at {scale:.3g}, and stay: call release() before you load to take those of the weights"
    }
