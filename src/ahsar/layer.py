"""The hooks of one spiking module, and what the layers of a model share. Hooks write here; the controller reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling

from . import checks, tracing, warned
from .adapters import Adapter, find, is_own, unlimited
from .answers import Answers
from .copying import Copier
from .errors import AdapterError
from .modes import aside
from .pace import Pace
from .peers import Peers
from .spikes import Sum, inline_only, spikes_in, while_tracing
from .state import Sums
from .thresholds import Threshold
from .travel import Carrier

# Activation checkpointing runs forward again inside backward; private, so a torch without it senses such layers twice,
# which changes no rate.
_graph_task = getattr(torch._C, "_current_graph_task_id", lambda: -1)


class Group:
    """What the layers of one attached model share.

    Attributes:
        layers: all of them, in any order.
        sensing: whether forwards in training mode are sensed.
        in_eval: whether those in eval mode are sensed too.
        arrivals: names of the layers that ran, in the order of their first forward.
        answers: whose spikes are the model's answer; watches until the first update.
        too_high: layers that are left alone by the first update because of their threshold, with the reason.
        left_alone: layers that are not regulated, with the reason.
        said: what its user was warned of.
        pace: whether steps keep pace with training.
        peers: the ranks that train this model.
        homeostat: whose layers these are; for `ahsar.attached`, and so that a copy of the model has its own. No hook asks it.
        receive: takes the name of a layer whose weights are loaded, and the scale that came with them, or None.
    """

    sensing: bool
    in_eval: bool
    pace: Pace
    peers: Peers

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.sensing, self.in_eval = True, False
        self.arrivals: list[str] = []
        self.answers: Answers = Answers()
        self.too_high: dict[str, str] = {}
        self.left_alone: dict[str, str] = {}
        self.said: set[str] = set()
        self.pace, self.peers = Pace(), Peers()
        self.homeostat: Any = None
        self.receive: Any = None

    def idle(self) -> bool:
        """Whether no layer was heard since the last update. What was compiled for a GPU counts: a look would make it wait."""
        return not any(layer.sum.heard() for layer in self.layers)

    def sums(self) -> Sums:
        """What was sensed since the last update, in tensors of its own. Copies from the device if forwards are compiled."""
        read = ((layer.name, *layer.sum.read()) for layer in self.layers)
        return {name: (None if spikes is None else spikes.clone(), count) for name, spikes, count in read}

    def take(self, sums: Sums, arrivals: Sequence[str]) -> None:
        """Go on from what was sensed before; layers that `sums` lacks start anew."""
        self.arrivals = list(arrivals)
        self.forget()
        self.pace.restart()
        for layer in self.layers:
            layer.sum.spikes, layer.sum.count = sums.get(layer.name, (None, 0))
            layer.fired = layer.name in arrivals

    def forget(self) -> None:
        """Start the sums of the next update."""
        for layer in self.layers:
            layer.sum.clear()

    def bake(self, model: nn.Module) -> None:
        """Write the scaled thresholds of all layers for good; `model` may share them among its modules."""
        shared = [layer.threshold.shared(layer.module, model) for layer in self.layers]
        for layer, is_shared in zip(self.layers, shared, strict=True):
            layer.threshold.bake(layer.module, is_shared)

    @property
    def hooked(self) -> bool:
        """Whether the layers are attached."""
        return any(layer.handles for layer in self.layers)

    def unhook(self, restore: bool) -> None:
        """Remove all hooks; `restore`: give the layers their own thresholds back."""
        self.answers.remove()
        self.peers.end()
        for layer in self.layers:
            if restore:
                layer.threshold.restore(layer.module)
            layer.unhook()

    def leave_alone(self, reasons: Mapping[str, str]) -> None:
        """Let go of layers: they keep their own thresholds from now on."""
        for layer in [layer for layer in self.layers if layer.name in reasons]:
            layer.threshold.restore(layer.module)
            layer.unhook()
            self.layers.remove(layer)
        self.arrivals = [name for name in self.arrivals if name not in reasons]
        self.left_alone |= reasons

    def in_order(self, names: Sequence[str]) -> "list[Layer]":
        """The layers of these names, in their order."""
        if [layer.name for layer in self.layers] == list(names):
            return self.layers
        by_name = {layer.name: layer for layer in self.layers}
        return [by_name[name] for name in names]

    def recall(self) -> None:
        """Note layers that compiled code counted: it does not say again that it runs, should arrivals have been replaced."""
        for layer in self.layers:
            if layer.sum.tally is not None and not layer.fired and layer.sum.tally[1]:
                layer.arrive()


class Layer:
    """One spiking module.

    Attributes:
        name: qualified name in the model.
        module: the spiking module.
        threshold: the writer of its threshold.
        scale: the factor on it, > 0, 0-d or a number.
        sum: what was sensed since the last update.
        fired: whether the layer ever ran in a training forward.
        ceiling: the highest rate it can reach.
    """

    name: str
    module: nn.Module
    adapter: Adapter
    group: Group
    fired: bool
    ceiling: float

    def __init__(self, name: str, module: nn.Module, adapter: Adapter, group: Group, compile: bool = False):
        self.name, self.module, self.adapter, self.group = name, module, adapter, group
        self.compile = compile
        self.threshold: Threshold = (adapter.compiled if compile and adapter.compiled else adapter.threshold)(module)
        self.threshold.name = name
        self.limited: bool = adapter.ceiling is not unlimited
        self.sum: Sum = Sum(adapter.binary(module), adapter.graded(module), is_own(module))
        self.scale: Tensor | float = 1.0
        self.fired = False
        self.ceiling = 1.0
        self.handles: list[Any] = []  # each has a remove()
        group.layers.append(self)

    def hook(self) -> None:
        """Register the hooks."""
        if self.adapter.install is not None:
            self.handles.append(self.adapter.install(self.module, self.before, self.after_both))
        self.threshold.begin(self.module, self.compile)
        self.handles.append(self.module.register_forward_pre_hook(self.before))
        # what the neuron fired is heard, and not what a user's hook makes of it
        self.handles.append(self.module.register_forward_hook(self.hear, prepend=True))
        self.handles.append(self.module.register_forward_hook(self.after, always_call=True))
        self.handles.append(tracing.Unscriptable(self.module, self.name))
        self.handles += Carrier(self).hook(self.module)
        if hasattr(type(self.module), "__deepcopy__"):
            self.handles.append(Copier(self.module))

    def unhook(self) -> None:
        """Remove the hooks; the threshold stays as it is."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    @inline_only
    def before(self, module: nn.Module, args: Any) -> None:
        """The hook before forward."""
        if is_dynamo_compiling():
            self.ready(args[0].device if args and isinstance(args[0], Tensor) else None)
            self.threshold.cover(module)
        else:
            self.threshold.enter(module, args)

    @inline_only
    def after(self, module: nn.Module, args: Any, output: Any) -> None:
        """The last hook after forward; one that raised calls it too."""
        if is_dynamo_compiling():
            self.threshold.uncover(module)
        elif self.threshold.leave(module):
            warned.say(self.group.said, checks.sets_its_threshold(self.name))

    def after_both(self, module: nn.Module, args: Any, output: Any) -> None:
        """Both hooks after forward, for what goes past them; None where it raised."""
        try:
            self.hear(module, args, output)
        finally:
            self.after(module, args, output)

    @inline_only
    def hear(self, module: nn.Module, args: Any, output: Any) -> None:
        """The first hook after forward."""
        compiling = is_dynamo_compiling()
        runs = not compiling and _graph_task() == -1 and not tracing.under_way()
        if runs and module.training and (writes := self.group.pace.forward(self.name)):
            warned.say(self.group.said, checks.no_steps(f"weights were written {writes} times", self.group.pace.follows))
        if (module.training or self.group.in_eval) and self.group.sensing and output is not None:
            if compiling:
                self.sense_traced(output)
            elif runs:
                aside(self.sense, output)

    def sense(self, output: Any) -> None:
        """Add the spikes in `output` to the sum of this update; nothing leaves the device."""
        spikes = spikes_in(self.adapter, self.module, output, self.name)
        if not tracing.has_values(spikes):
            return
        self.sum.add(spikes)
        if self.group.answers.watching:
            self.group.answers.mark(output, self.name)
            self.group.answers.mark_states(self.module, self.name)
        if not self.fired:
            self.ceiling = self.adapter.ceiling(self.module, spikes)
            self.arrive()
            self.group.peers.look()

    def sense_traced(self, output: Any) -> None:
        """The same within a compiled forward."""
        if self.deaf():
            return
        spikes = spikes_in(self.adapter, self.module, output, self.name)
        self.trace(spikes.device, tuple(int(size) for size in spikes.shape[1:]) if self.limited else ())
        self.sum.add_traced(spikes)

    def arrive(self) -> None:
        """Note that this layer runs."""
        self.fired = True
        self.group.arrivals.append(self.name)

    # ---------------------------------------------------------------- run once, when a compiler traces a forward

    @while_tracing
    def ready(self, device: torch.device | None) -> None:
        """Have what the traced code reads; of all layers, since hooks that are compiled on their own are shared by layers."""
        for layer in self.group.layers:
            layer.threshold.prepare(layer.module)
        self.threshold.settle(self.module, device)

    @while_tracing
    def deaf(self) -> bool:
        """Whether nothing is sensed in what is compiled."""
        return tracing.within_compiler()

    @while_tracing
    def trace(self, device: torch.device, shape: tuple[int, ...]) -> None:
        """Have a tally on the device, and note that the layer runs: traced code must do neither."""
        for layer in self.group.layers:
            if layer is self or layer.sum.tally is None:
                layer.sum.settle(device)
        if not self.fired:
            if self.limited:
                self.ceiling = self.adapter.ceiling(self.module, torch.empty((1, *shape), device="meta"))
            self.arrive()
        self.group.answers.opaque = True
        if self.threshold.host:
            warned.say(self.group.said, checks.compiled_number(self.name))

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
    layers: dict[int, Layer] = {}
    for module in nn.Module.modules(model):  # Rockpool's own `modules()` and `parameters()` return dictionaries
        for hook in module._forward_hooks.values():
            layer = getattr(hook, "__self__", None)
            if isinstance(layer, Layer):
                layers[id(layer)] = layer
    return list(layers.values())
