"""Thresholds that are Python numbers: written anew after each update, as a number or, for a compiler, as a tensor.

The attribute holds the scaled threshold all the time, since frameworks read it outside forward too. What someone else writes
there is known by its identity, and becomes the original: before the next forward the scale acts on it, once.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..functional import scale_threshold
from .attribute import find_attribute, is_property, tensor_of
from .stand_in import Absent, version_of
from .writer import Threshold


class FloatThreshold(Threshold):
    """Writes a Python float into an attribute that forward reads anew each time, and keeps the original aside.

    Args:
        attribute: its name.
        rest: the distance of the threshold from `rest` is scaled.
        wrote: called with the module and the scale after each change, for what else the framework scales with the threshold.
    """

    attribute: str
    rest: float
    wrote: Callable[[Any, float], None] | None
    inherited: bool

    host = True

    def __init__(self, module: nn.Module, attribute: str, rest: float = 0.0, wrote: Callable[[Any, float], None] | None = None):
        self.attribute, self.rest, self.wrote = attribute, rest, wrote
        self.original: Any = find_attribute(module, attribute)
        self.written: Any = self.original
        self.inherited = attribute not in module.__dict__
        self.scale: Tensor | float | None = None
        self._computed = is_property(module, attribute)  # a new object for each look
        self._copied = False
        self._refused: Any = Absent  # what was no number when forward began

    def value(self, module: nn.Module) -> Tensor:
        """The original threshold as a tensor on the CPU."""
        self.heed(module)
        return tensor_of(self.original)

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Set rest + s (θ⁰ − rest); None stands for s = 1."""
        self.heed(module)
        self.scale = scale
        self.lower(module)

    def restore(self, module: nn.Module) -> None:
        """Set the original itself, or give it back to the class that it came from; what someone else has set stays."""
        self.scale = None
        if self._is_ours(self._look(module)):
            self._give_back(module)

    def bake(self, module: nn.Module, shared: bool) -> None:
        """Leave the scaled threshold, a number; from now on it is the original."""
        self.heed(module)
        self.lower(module)
        self.original = self.written

    # ---------------------------------------------------------------- what others write

    def _look(self, module: nn.Module) -> Any:
        """What the module holds. Where numbers have lost their identity, in a pickle or a property, equal ones are ours."""
        now = getattr(module, self.attribute)
        alike = (self._copied or self._computed) and isinstance(now, Real)
        if (now is self.written and self._copied) or (alike and now == self.written):
            self._keep(now)
        elif alike and now == self.original:
            self.original = now
        self._copied = False
        return now

    def _is_ours(self, now: Any) -> bool:
        return now is self.written or now is self.original

    def heed(self, module: nn.Module) -> None:
        """Take what someone else has set for the original."""
        now = self._look(module)
        if self._is_ours(now):
            return
        if not _is_number(now) and not (isinstance(now, Tensor) and now.numel() == 1 and not isinstance(now, nn.Parameter)):
            self._refused = now
            raise AdapterError(
                f"layer {self.name!r}: {self.attribute} was a number when the model was attached, and a {type(now).__name__} "
                "was set since, which is not scaled: set a number, or detach and attach anew"
            )
        self.original, self.inherited = now, self.attribute not in module.__dict__
        self.written = Absent  # until it is scaled

    def enter(self, module: nn.Module, args: Any) -> None:
        """Before forward: scale what someone else has set.

        Raises:
            AdapterError: it is no number.
        """
        if module.__dict__.get(self.attribute) is not self.written:
            self.prepare(module)

    def prepare(self, module: nn.Module) -> None:
        """Scale what someone else has set."""
        self.heed(module)
        if self._look(module) is not self.written:
            self.lower(module)

    def leave(self, module: nn.Module) -> bool:
        """After forward: whether it has set the threshold itself, which is then taken for scaled.

        Raises:
            AdapterError: it has set what is no number.
        """
        if module.__dict__.get(self.attribute) is self.written:
            return False
        now = self._look(module)
        return not self._is_ours(now) and now is not self._refused and self._moved(module, now)

    def _moved(self, module: nn.Module, now: Any) -> bool:
        """Forward has set it, having read the scaled threshold: so this is scaled, too."""
        if not _is_number(now):
            raise AdapterError(
                f"layer {self.name!r}: {self.attribute} is a number, and forward puts a {type(now).__name__} in its place: "
                f"give the module a tensor from the start, torch.tensor({float(self.original):g}), and attach anew"
            )
        self.inherited = False
        self.original = now if self.scale is None else self.rest + (float(now) - self.rest) / float(self.scale)
        self._keep(now)
        return self.scale is not None

    # ---------------------------------------------------------------- writing

    def lift(self, module: nn.Module) -> None:
        """Let the module hold the original."""
        self.heed(module)
        self._give_back(module)

    def lower(self, module: nn.Module) -> None:
        """Let it hold the scaled threshold: rest + s (θ⁰ − rest), or θ⁰ itself without a scale."""
        if self.scale is None:
            self._give_back(module)
            return
        original, factor = float(self.original), float(self.scale)
        # around a rest other than 0 written so that s = 1 gives θ⁰ back bit for bit
        rested = original + (factor - 1.0) * (original - self.rest)
        self._set(module, rested if self.rest else factor * original, factor)

    def _give_back(self, module: nn.Module) -> None:
        self._set(module, self.original)
        if self.inherited:
            module.__dict__.pop(self.attribute, None)

    def _set(self, module: nn.Module, value: Any, factor: float = 1.0) -> None:
        setattr(module, self.attribute, value)
        self._keep(getattr(module, self.attribute))  # as the module holds it, perhaps rounded
        if self.wrote is not None:
            self.wrote(module, factor)

    def _keep(self, value: Any) -> None:
        """Know a value again as ours."""
        self.written = value

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_copied": True}


class TensorThreshold(FloatThreshold):
    """Writes a 0-d float32 tensor into an attribute that holds a number, for as long as the model is attached.

    A compiler takes a number for a constant, and compiles anew when it changes; a tensor is an input.
    """

    host = False

    def begin(self, module: nn.Module, compile: bool) -> None:
        """Put a tensor in the number's place, from the first forward on."""
        self.write(module, None)

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Use scale s from the next forward on, as a 0-d tensor; None stands for s = 1.

        Raises:
            AdapterError: a tensor was set that no hook has seen.
        """
        now = self._look(module)
        if isinstance(now, Tensor) and not self._is_ours(now):
            raise AdapterError(
                f"layer {self.name!r}: {self.attribute} was set to a tensor, in or after a forward that no hook told of: it "
                "may be compiled, where it cannot be told whether forward moved the scaled threshold or a new one was set. Set "
                "a number; leave a neuron that moves its own threshold out with layers=, or do not compile it"
            )
        super().write(module, scale)

    def heed(self, module: nn.Module) -> None:
        """Take what someone else has set for the original, as a number."""
        super().heed(module)
        self.original = self.original if _is_number(self.original) else float(self.original)

    def enter(self, module: nn.Module, args: Any) -> None:
        """Before forward: scale what someone else has set, and move the tensor to the input's device."""
        super().enter(module, args)
        if args and isinstance(args[0], Tensor):
            self.settle(module, args[0].device)

    def leave(self, module: nn.Module) -> bool:
        """After forward: whether it has set the threshold, or changed it in place."""
        before, now = self.original, self._look(module)
        if self._is_ours(now) or now is self._refused:
            return self.original is not before
        return self._moved(module, now)

    def _look(self, module: nn.Module) -> Any:
        now = super()._look(module)
        if now is self.written and isinstance(now, Tensor) and version_of(now) != self._version:
            self._moved(module, now)  # in place, whoever did that: it is the scaled threshold that moved
        return now

    def _moved(self, module: nn.Module, now: Any) -> bool:
        moved = super()._moved(module, float(now) if isinstance(now, Tensor) and now.numel() == 1 else now)
        self._keep(now)
        return moved

    def _keep(self, value: Any) -> None:
        super()._keep(value)
        self._version = version_of(value) if isinstance(value, Tensor) else 0

    def lower(self, module: nn.Module) -> None:
        """Let the module hold the scaled threshold, 0-d, on the device of the scale."""
        scale, now = self.scale, self.written
        device = scale.device if isinstance(scale, Tensor) else now.device if isinstance(now, Tensor) else "cpu"
        # not a tensor of inference mode: training may follow
        with torch.inference_mode(False), torch.no_grad():
            # torch.tensor would make the host wait
            original = torch.full((), float(self.original), dtype=torch.float32, device=device)
            self._set(module, original if scale is None else scale_threshold(original, scale, self.rest))

    def settle(self, module: nn.Module, device: torch.device | None) -> None:
        """Move to the device of the module's input; `.to()` does not move it."""
        now = getattr(module, self.attribute)
        if device is not None and isinstance(now, Tensor) and now.device != device:
            self._set(module, now.to(device))

    def bake(self, module: nn.Module, shared: bool) -> None:
        """Leave a number again."""
        super().bake(module, shared)
        self.original = float(self.written)
        self._set(module, self.original)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
