"""One regulated layer: its hooks, what they sensed since the last update, and the writer of its threshold."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .adapters import Adapter, find
from .adapters._threshold import ShadowThreshold
from .errors import AdapterError

if TYPE_CHECKING:
    from .homeostat import Homeostat

# Activation checkpointing runs forward again inside backward; private, so a torch without it senses such layers twice,
# which changes no rate.
_graph_task = getattr(torch._C, "_current_graph_task_id", lambda: -1)


class Layer:
    """The hooks of one spiking module.

    Attributes:
        name: qualified name in the model.
        module: the spiking module.
        threshold: the writer of its threshold.
        spikes: non-zero outputs since the last update, a 0-dim float32 tensor on the layer's device, or None.
        count: outputs since the last update, a plain number: no sync.
        fired: whether the layer ever ran in a training forward.
        ceiling: the highest rate it can reach.
    """

    def __init__(self, name: str, module: nn.Module, adapter: Adapter, owner: "Homeostat"):
        self.name, self.module, self.adapter, self.owner = name, module, adapter, owner
        self.threshold = adapter.threshold(module)
        self.binary = adapter.binary(module)
        self.spikes: Tensor | None = None
        self.count = 0
        self.fired = False
        self.ceiling = 1.0
        self.handles: list[Any] = []  # each has a remove()

    def hook(self) -> None:
        """Register the hooks; a threshold written as a float needs none before forward."""
        if self.adapter.install is not None:
            self.handles.append(self.adapter.install(self.module))
        if isinstance(self.threshold, ShadowThreshold):
            self.handles.append(self.module.register_forward_pre_hook(self.before))
        self.handles.append(self.module.register_forward_hook(self.after, always_call=True))

    def unhook(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def before(self, module: nn.Module, args: Any) -> None:
        self.threshold.enter(module)  # type: ignore[union-attr]

    def after(self, module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(self.threshold, ShadowThreshold):
            self.threshold.leave(module)
        # a forward that raised calls this with None
        if module.training and self.owner.sensing and output is not None and _graph_task() == -1:
            self.sense(output)

    def sense(self, output: Any) -> None:
        """Add the spikes in `output` to the sums of this update; nothing leaves the device."""
        spikes = self.adapter.spikes(self.module, output)
        if not isinstance(spikes, Tensor):
            raise AdapterError(
                f"layer {self.name!r}: {type(self.module).__name__} gave no spikes but a {type(spikes).__name__}; say where "
                "they are with ahsar.register_adapter(cls, threshold=..., spikes=index, key or callable)"
            )
        spikes = spikes.detach()
        # A sum is ten times cheaper on CPU than counting non-zeros, and both carry NaN and infinity on to the rate.
        total = spikes.sum(dtype=torch.float32)
        if not self.binary:
            total = torch.count_nonzero(spikes) + 0.0 * total
        self.spikes = total if self.spikes is None else self.spikes + total
        self.count += spikes.numel()
        if not self.fired:
            self.fired = True
            self.ceiling = self.adapter.ceiling(self.module, spikes)
            self.owner.arrived(self)

    def forget(self) -> None:
        """Start the sums of the next update."""
        self.spikes, self.count = None, 0

    def __getstate__(self) -> dict[str, Any]:
        # an adapter may hold a user's lambda: it is found again by the module's class
        return {**self.__dict__, "adapter": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        entry = find(self.module)
        if not isinstance(entry, Adapter):
            raise AdapterError(
                f"layer {self.name!r}: no adapter for {type(self.module).__name__}; "
                "call ahsar.register_adapter before loading the model"
            )
        self.adapter = entry


def layers_of(model: nn.Module) -> list[Layer]:
    """The layers that are attached to `model` or a part of it, found by their hooks."""
    found: dict[int, Layer] = {}
    for module in nn.Module.modules(model):  # Rockpool's own `modules()` and `parameters()` return dictionaries
        for hook in module._forward_hooks.values():
            owner = getattr(hook, "__self__", None)
            if isinstance(owner, Layer):
                found[id(owner)] = owner
    return list(found.values())
