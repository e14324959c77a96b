"""The one place that counts spikes: in eager forwards, in compiled ones, and for whoever wants to know."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .adapters import Adapter
from .discovery import Found
from .errors import AdapterError
from .glance import Glance, verdicts

Call = TypeVar("Call", bound=Callable[..., Any])


def while_tracing(function: Call) -> Call:
    """Let torch.compile call the function once, while it traces, and leave it out of the compiled code; eager calls stay.

    The mark is all that `torch.compiler.assume_constant_result` does, which would import the compiler.
    """
    vars(function)["_dynamo_marked_constant"] = True
    return function


def inline_only(function: Call) -> Call:
    """Let torch.compile trace the function as part of what calls it, never alone: called from eager code, it stays eager.

    The interface is private; a torch without it compiles such hooks on their own, which is right but slower.
    """
    frames: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
    if hasattr(frames, "set_code_exec_strategy"):
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))
    return function


def spikes_in(adapter: Adapter, module: nn.Module, output: Any, name: str) -> Tensor:
    """The spikes in what forward returned, detached and dense; any shape.

    Raises:
        AdapterError: there is no tensor where the adapter looks.
    """
    spikes = adapter.spikes(module, output)
    if not isinstance(spikes, Tensor):
        raise AdapterError(
            f"layer {name!r}: {type(module).__name__} gave no spikes but a {type(spikes).__name__}; say where "
            "they are with ahsar.register_adapter(cls, threshold=..., spikes=index, key or callable)"
        )
    spikes = spikes.detach()
    if spikes.layout is torch.strided:
        return spikes
    return spikes.values() if spikes.layout is torch.jagged else spikes.to_dense()


def number_of(spikes: Tensor, summed: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    """How many spikes there are, 0-d: their sum where it counts them (`Adapter.binary`, `graded`), else the non-zeros.

    A sum is ten times cheaper on a CPU than counting, and both carry NaN and infinity on to the rate.
    """
    total = spikes.sum(dtype=dtype)
    return total if summed else torch.count_nonzero(spikes) + 0.0 * total


def shares(spikes: Tensor, counts: Tensor) -> Tensor:
    """The spikes [L] of an update, NaN where they are no share of the outputs `counts` [L]: no rate outside [0, 1] passes.

    There spikes were taken for 0 or 1 and are not. Sums of many ones are rounded.
    """
    false = (spikes < 0) | (spikes > 1.01 * counts)
    return torch.where(false, torch.nan, torch.minimum(spikes, counts))


class Sum:
    """Spikes and outputs of one layer since the last update.

    Args:
        binary, graded: what its spikes are, as in `Adapter`.
        known: whether it gives spikes for sure, as a class that `is_own`.

    Attributes:
        binary: taken back where a glance shows otherwise.
        glance: values of its first eager forwards, until an update has looked at them.
        spikes: of eager forwards, a 0-d float32 tensor on the layer's device, or None.
        count: their outputs, a plain number: no sync.
        tally: the same of compiled forwards, 0-d tensors (float32, int64) that they add to in place, or None before the
            first one. They stay the same objects as long as the device is the same.
    """

    binary: bool
    graded: bool
    known: bool
    count: int

    def __init__(self, binary: bool, graded: bool, known: bool) -> None:
        self.binary, self.graded, self.known = binary, graded, known
        self.glance: Glance | None = Glance()
        self.spikes: Tensor | None = None
        self.count = 0
        self.tally: tuple[Tensor, Tensor] | None = None

    def add(self, spikes: Tensor) -> None:
        """Add the spikes of an eager forward; nothing leaves the device."""
        if self.glance is not None:
            self.glance.note(spikes)
        # taken for 0 and 1 only once that was seen
        total = number_of(spikes, self.graded or (self.binary and self.glance is None))
        self.spikes = total if self.spikes is None else self.spikes + total
        self.count += spikes.numel()

    def add_traced(self, spikes: Tensor) -> None:
        """The same within a compiled forward.

        A compiler guards on every Python value that it reads and plays back every one that it writes, and refuses the latter
        within activation checkpointing: so this only adds to two tensors, which stay the same objects.
        """
        assert self.tally is not None
        self.tally[0].add_(number_of(spikes, self.graded or self.binary))
        self.tally[1].add_(spikes.numel())

    @torch.inference_mode(False)
    def settle(self, device: torch.device) -> None:
        """Have the tally on a device, with all that was counted."""
        before = self.tally
        if before is not None and before[0].device == device:
            return
        spikes = torch.zeros((), dtype=torch.float32, device=device)
        self.tally = fresh = spikes, torch.zeros((), dtype=torch.int64, device=device)
        for new, old in zip(fresh, before or (), strict=False):
            new.copy_(old)
        for tensor in fresh:  # CUDA graphs are not used for a forward that writes into other inputs
            torch._dynamo.mark_static_address(tensor)

    def heard(self) -> bool:
        """Whether anything was counted, as far as can be told without waiting for a device."""
        return self.spikes is not None or (
            self.tally is not None and (self.tally[1].device.type != "cpu" or bool(self.tally[1]))
        )

    def tensors(self) -> Iterator[Tensor]:
        """The sums of spikes there are."""
        if self.spikes is not None:
            yield self.spikes
        if self.tally is not None:
            yield self.tally[0]

    def clear(self) -> None:
        """Start the sums of the next update."""
        self.spikes, self.count = None, 0
        for tensor in self.tally or ():
            tensor.zero_()

    def read(self) -> tuple[Tensor | None, int]:
        """Spikes and outputs of eager and compiled forwards together. Copies from the device if compiled."""
        seen = 0 if self.tally is None else int(self.tally[1])
        if self.tally is None or seen == 0:
            return self.spikes, self.count
        return self.tally[0] + (0.0 if self.spikes is None else self.spikes), self.count + seen


def look(sums: Mapping[str, Sum]) -> set[str]:
    """The layers, by name, that give no spikes, of those that first ran since the last update.

    Copies from the device if there are any of these, else not.
    """
    first = {name: one.glance for name, one in sums.items() if one.glance is not None and one.glance.kept}
    mute = set()
    for name, (zero_or_one, may_be) in zip(first, verdicts(list(first.values())), strict=True):
        one = sums[name]
        one.glance, one.binary = None, one.binary and zero_or_one
        if not (may_be or one.known):
            mute.add(name)
    return mute


@dataclass
class Spikes:
    """Sums over forwards.

    Attributes:
        spikes: spikes of each layer that ran, by name, in the order of their first forward.
        outputs: all its outputs: neurons times time steps times samples.
    """

    spikes: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)

    @property
    def rates(self) -> dict[str, float]:
        """Spikes per neuron and time step of each layer."""
        return {name: self.spikes[name] / self.outputs[name] for name in self.spikes if self.outputs[name]}

    @property
    def mean_rate(self) -> float:
        """Spikes per neuron and time step of the whole network; 0 before a forward."""
        return sum(self.spikes.values()) / max(1, sum(self.outputs.values()))


@contextmanager
def counted(layers: Iterable[Found], into: Spikes | None = None) -> Iterator[Spikes]:
    """Count the spikes of these layers (of `ahsar.discover`) in every forward within the context, attached or not.

    Layers that cannot be regulated are left out. Each forward costs a device→host copy per layer.
    """
    sums = Spikes() if into is None else into
    usable = [item for item in layers if item.adapter and not item.reason]
    handles = [item.module.register_forward_hook(_counter(sums, item), prepend=True) for item in usable]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def _counter(sums: Spikes, layer: Found) -> Any:
    adapter, name = layer.adapter, layer.name
    assert adapter is not None
    summed = adapter.binary(layer.module) or adapter.graded(layer.module)

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        spikes = spikes_in(adapter, module, output, name)
        wide = torch.float64 if spikes.device.type in ("cpu", "cuda") else torch.float32
        number = number_of(spikes, summed, wide).item()
        if not 0 <= number <= spikes.numel():  # no share of the outputs: they are not 0 or 1
            number = number_of(spikes, False, wide).item()
        sums.spikes[name] = sums.spikes.get(name, 0) + number
        sums.outputs[name] = sums.outputs.get(name, 0) + spikes.numel()

    return hook
