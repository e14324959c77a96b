"""One regulated layer: its hooks, what they sensed since the last update, and the writer of its threshold."""

import copy
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling

from . import checks
from .adapters import Adapter, find
from .adapters._base import unlimited
from .adapters._number import TensorThreshold
from .adapters._shadow import ShadowThreshold
from .errors import AdapterError
from .tally import Tally, inline_only, while_tracing

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
        tally: what compiled forwards add to in place of `spikes` and `count`, or None before the first one.
        fired: whether the layer ever ran in a training forward.
        ceiling: the highest rate it can reach.
    """

    def __init__(self, name: str, module: nn.Module, adapter: Adapter, owner: "Homeostat", compile: bool = False):
        self.name, self.module, self.adapter, self.owner = name, module, adapter, owner
        self.compile = compile
        self.threshold = (adapter.compiled if compile and adapter.compiled else adapter.threshold)(module)
        self.binary = adapter.binary(module)
        self.limited = adapter.ceiling is not unlimited
        self.spikes: Tensor | None = None
        self.count = 0
        self.tally: Tally | None = None
        self.fired = False
        self.ceiling = 1.0
        self.handles: list[Any] = []  # each has a remove()

    def hook(self) -> None:
        """Register the hooks; a threshold written as a float needs none before forward."""
        if self.adapter.install is not None:
            self.handles.append(self.adapter.install(self.module))
        if isinstance(self.threshold, ShadowThreshold):
            if self.compile:
                # from the first forward on: a learnable threshold that is scaled is another kind of tensor
                self.threshold.write(self.module, torch.ones((), device="cpu"))
            self.handles.append(self.module.register_forward_pre_hook(self.before))
        elif isinstance(self.threshold, TensorThreshold):
            self.threshold.write(self.module, None)
            self.handles.append(self.module.register_forward_pre_hook(self.place))
        self.handles.append(self.module.register_forward_hook(self.after, always_call=True))
        if hasattr(type(self.module), "__deepcopy__"):
            self.module.__dict__["__deepcopy__"] = self.copy_module

    def unhook(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()
        self.module.__dict__.pop("__deepcopy__", None)

    def copy_module(self, memo: dict[int, Any]) -> nn.Module:
        """A deep copy of the module with its hooks, where its class leaves them out (sinabs builds its copies anew)."""
        copied = type(self.module).__deepcopy__(self.module, memo)  # type: ignore[attr-defined]
        memo[id(self.module)] = copied
        hooks = {name: value for name, value in self.module.__dict__.items() if "_hooks" in name or name == "__deepcopy__"}
        copied.__dict__.update({name: copy.deepcopy(value, memo) for name, value in hooks.items()})
        return copied

    @inline_only
    def before(self, module: nn.Module, args: Any) -> None:
        if is_dynamo_compiling():
            self.ready()
            self.threshold.cover(module)  # type: ignore[union-attr]
        else:
            self.threshold.enter(module, args)  # type: ignore[union-attr]

    @inline_only
    def place(self, module: nn.Module, args: Any) -> None:
        """Before forward: a tensor that stands for a number goes where the input is; `.to()` does not move it."""
        if args and isinstance(args[0], Tensor):
            self.settle(args[0].device)

    @inline_only
    def after(self, module: nn.Module, args: Any, output: Any) -> None:
        if is_dynamo_compiling():
            if isinstance(self.threshold, ShadowThreshold):
                self.threshold.uncover(module)
            if (module.training or self.owner.senses_eval) and self.owner.sensing and output is not None:
                self.sense_compiled(output)
            return
        if isinstance(self.threshold, ShadowThreshold):
            self.threshold.leave(module)
        # a forward that raised calls this with None
        if (module.training or self.owner.senses_eval) and self.owner.sensing and output is not None and _graph_task() == -1:
            self.sense(output)

    def sense(self, output: Any) -> None:
        """Add the spikes in `output` to the sums of this update; nothing leaves the device."""
        spikes = self.adapter.spikes(self.module, output)
        if not isinstance(spikes, Tensor):
            self._no_spikes(spikes)
        spikes = spikes.detach()
        # A sum is ten times cheaper on CPU than counting non-zeros, and both carry NaN and infinity on to the rate.
        total = spikes.sum(dtype=torch.float32)
        if not self.binary:
            total = torch.count_nonzero(spikes) + 0.0 * total
        self.spikes = total if self.spikes is None else self.spikes + total
        self.count += spikes.numel()
        if not self.fired:
            self.ceiling = self.adapter.ceiling(self.module, spikes)
            self.arrive()

    def sense_compiled(self, output: Any) -> None:
        """The same within a compiled forward.

        A compiler guards on every Python value that it reads and plays back every one that it writes, and refuses the latter
        within activation checkpointing: so this only adds to two tensors, which stay the same objects.
        """
        spikes = self.adapter.spikes(self.module, output)
        if not isinstance(spikes, Tensor):
            self._no_spikes(spikes)
        spikes = spikes.detach()
        self.begin(spikes.device, tuple(int(size) for size in spikes.shape[1:]) if self.limited else ())
        assert self.tally is not None
        total = spikes.sum(dtype=torch.float32)
        if not self.binary:
            total = torch.count_nonzero(spikes) + 0.0 * total
        self.tally.spikes.add_(total)
        self.tally.count.add_(spikes.numel())

    def _no_spikes(self, found: Any) -> NoReturn:
        raise AdapterError(
            f"layer {self.name!r}: {type(self.module).__name__} gave no spikes but a {type(found).__name__}; say where "
            "they are with ahsar.register_adapter(cls, threshold=..., spikes=index, key or callable)"
        )

    def arrive(self) -> None:
        """Tell the controller that this layer runs."""
        self.fired = True
        self.owner.arrived(self)

    # ---------------------------------------------------------------- run once, when a compiler traces a forward

    @while_tracing
    def ready(self) -> None:
        # of all layers: hooks that are compiled on their own are shared by layers
        for layer in self.owner.layers:
            if isinstance(layer.threshold, ShadowThreshold):
                layer.threshold.prepare(layer.module)

    @while_tracing
    def settle(self, device: torch.device) -> None:
        self.threshold.settle(self.module, device)  # type: ignore[union-attr]

    @while_tracing
    def begin(self, device: torch.device, shape: tuple[int, ...]) -> None:
        """Have a tally on the device, and note that the layer runs: traced code must do neither."""
        for layer in self.owner.layers:
            layer.tally = layer.tally or Tally(device)
        assert self.tally is not None
        self.tally.settle(device)
        self.owner.compiled = True
        if not self.fired:
            if self.limited:
                self.ceiling = self.adapter.ceiling(self.module, torch.empty((1, *shape), device="meta"))
            self.arrive()
        if self.threshold.host:
            self.owner.warn(checks.compiled_numbers(self))

    def forget(self) -> None:
        """Start the sums of the next update."""
        self.spikes, self.count = None, 0
        if self.tally is not None:
            self.tally.clear()

    def sums(self) -> tuple[Tensor | None, int]:
        """Spikes and outputs since the last update, of eager and compiled forwards. Copies from the device if compiled."""
        seen = 0 if self.tally is None else int(self.tally.count)
        if self.tally is None or seen == 0:
            return self.spikes, self.count
        return self.tally.spikes + (0.0 if self.spikes is None else self.spikes), self.count + seen

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
